"""Give a new ticket to the desk's first agent, so that it is always somebody's."""

from __future__ import annotations

from helpdesk.domain.decision import Assign, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    if facts.ticket is None or not facts.opened or facts.ticket.agent or not facts.agents:
        return None
    chosen = next((agent for agent in facts.agents if agent.key == facts.desk.first_agent), facts.agents[0])
    return Verdict((Assign(chosen.key),), f"assigned to {chosen.name}")
