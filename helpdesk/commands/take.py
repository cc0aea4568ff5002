"""Make the ticket your own: reminders and the customer's replies come to you."""

from __future__ import annotations

from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.decision import Assign
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass

WORD = "take"
ARGUMENT = ""
CLASS = CommandClass.STEER
MEANING = "makes the ticket yours; reminders and replies come to you"


def run(facts: Facts, argument: str) -> Done | Refused:
    """Taking what one has is no fault: it says so and changes nothing."""
    assert facts.ticket is not None
    assert facts.agent is not None
    if facts.ticket.agent == facts.agent.key:
        return Done((), f"{facts.ticket.reference} is yours already.")
    return Done(
        (Assign(facts.agent.key),), f"{facts.ticket.reference} is yours now: replies and reminders come to you."
    )
