"""Let a held request in without a contract, for a reason that is kept."""

from __future__ import annotations

from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.decision import Audience, Say, SetStatus, UseContract
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass
from helpdesk.domain.ticket import Status

WORD = "admit"
ARGUMENT = "REASON"
CLASS = CommandClass.STEER
MEANING = "lets a held request in; the reason is kept"


def run(facts: Facts, argument: str) -> Done | Refused:
    """The ticket is open from now on, and only now its time begins to count."""
    ticket = facts.ticket
    assert ticket is not None
    if ticket.status is not Status.HELD:
        return Refused(f"{ticket.reference} is not held, so there is nothing to let in. Nothing was changed.")
    if not argument:
        return Refused("Please give the reason: #admit REASON, for example #admit renewal is on its way.")
    effects = (SetStatus(Status.OPEN, why=argument), UseContract(None), Say(Audience.CUSTOMER, "admitted"))
    return Done(
        effects, f"{ticket.reference} is let in ({argument}). The customer is told, and the time runs from now."
    )
