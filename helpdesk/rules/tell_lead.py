"""Tell the lead when a promise is broken."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Say, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    if facts.timer is None or not facts.timer.breached:
        return None
    return Verdict((Say(Audience.LEAD, "breach", {"late": facts.timer.late}),), f"{facts.timer.promise} is broken")
