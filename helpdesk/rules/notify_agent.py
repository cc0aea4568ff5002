"""Tell the assigned agent of a new ticket: who, under which contract, due when."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Say, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    if facts.ticket is None or not facts.opened:
        return None
    return Verdict((Say(Audience.AGENT, "new_ticket"),), "the agent is told")
