"""Set a mail aside that a spam filter on its way condemned, where nobody we know wrote it; nothing is answered."""

from __future__ import annotations

from helpdesk.domain.decision import SetAside, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    if not facts.reading.spam or facts.released:
        return None
    if facts.ticket is not None or facts.agent is not None or facts.to_role:
        return None
    known = facts.employer is not None or (facts.sender is not None and facts.sender.organisation is not None)
    if known and facts.proof.proven:
        return None
    cause = f"a spam filter condemned it ({facts.reading.spam}), and it is from nobody whom we know for sure"
    return Verdict((SetAside(cause),), cause, final=True)
