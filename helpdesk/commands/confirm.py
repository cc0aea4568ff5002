"""Confirm which organisation an unknown sender belongs to; his contract is checked at once."""

from __future__ import annotations

from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.contract import entitlement
from helpdesk.domain.decision import Audience, Confirm, Effect, Say, SetStatus, UseContract
from helpdesk.domain.facts import Facts
from helpdesk.domain.people import Organisation
from helpdesk.domain.proof import CommandClass
from helpdesk.domain.ticket import Reason, Status

WORD = "confirm"
ARGUMENT = "ORGANISATION"
CLASS = CommandClass.PEOPLE
MEANING = "the sender belongs to this organisation; the contract is checked at once"


def run(facts: Facts, argument: str) -> Done | Refused:
    """``facts.organisations`` holds the one named, ``facts.contracts`` its contracts."""
    ticket = facts.ticket
    assert ticket is not None
    if not argument:
        return Refused("Please name the organisation as in your contact list: #confirm ORGANISATION.")
    named = next((one for one in facts.organisations if one.name.casefold() == argument.casefold()), None)
    if named is None:
        return Refused(f"I know no organisation called {argument}. Nothing was changed; check the name as imported.")
    if ticket.requester.organisation is not None and ticket.requester.organisation.id != named.id:
        return Refused(f"{ticket.requester.called} belongs to {ticket.requester.organisation.name} already.")
    line = f"{ticket.requester.called} now belongs to {named.name}."
    effects: tuple[Effect, ...] = (Confirm(named.id),)
    if ticket.status is not Status.HELD or ticket.reason is not Reason.DETAILS:
        return Done(effects, line)
    more, words = _cover(facts, named)
    return Done((*effects, *more), f"{line} {words}")


def _cover(facts: Facts, named: Organisation) -> tuple[tuple[Effect, ...], str]:
    found = entitlement(facts.contracts_of(named.id), facts.today, facts.grace_days)
    if found.covered and found.contract:
        open_ = (SetStatus(Status.OPEN), UseContract(found.contract.id), Say(Audience.CUSTOMER, "opened"))
        return open_, f"The ticket is open: {found.why()}. The time runs from now."
    held = (
        SetStatus(Status.HELD, Reason.CONTRACT),
        Say(Audience.CUSTOMER, "held_contract"),
        Say(Audience.MANAGER, "lapsed"),
    )
    return held, f"The ticket stays held: {found.why()}. The customer is told how to renew."
