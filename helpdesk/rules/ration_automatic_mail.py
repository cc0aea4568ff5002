"""Give one address only so many automatic mails: few to the unproven, more to the proven (design section 5)."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Suppress, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    if facts.agent is not None:
        return None
    if not facts.proof.proven and facts.ration.last_day >= facts.desk.unproven_per_day:
        why = f"{facts.ration.last_day} automatic mail to this unproven address within a day already"
        return Verdict((Suppress(Audience.CUSTOMER),), why)
    if facts.ration.last_hour >= facts.desk.automatic_per_hour:
        why = f"{facts.ration.last_hour} automatic mails to this address within an hour already"
        return Verdict((Suppress(Audience.CUSTOMER),), why)
    return None
