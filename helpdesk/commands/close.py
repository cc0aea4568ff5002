"""Close the ticket and tell the customer; his reply opens it again."""

from __future__ import annotations

from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.decision import Audience, Say, SetStatus
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass
from helpdesk.domain.ticket import Reason, Status

WORD = "close"
ARGUMENT = ""
CLASS = CommandClass.STEER
MEANING = "closes the ticket and tells the customer; his reply opens it again"


def run(facts: Facts, argument: str) -> Done | Refused:
    """Refused where the ticket is closed already, so that nobody is told twice."""
    assert facts.ticket is not None
    if facts.ticket.status is Status.CLOSED:
        return Refused(f"{facts.ticket.reference} is closed already. Nothing was changed.")
    # What held the ticket holds it again when a reply reopens it.
    held = facts.ticket.status is Status.HELD
    effects = (
        SetStatus(Status.CLOSED, facts.ticket.reason if held else Reason.NONE, argument),
        Say(Audience.CUSTOMER, "closed"),
    )
    return Done(effects, f"{facts.ticket.reference} is closed and the customer is told. A reply opens it again.")
