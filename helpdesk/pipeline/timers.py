"""Keep the stored timers equal to what the ticket's events say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from helpdesk.domain.contract import Contract
from helpdesk.domain.history import first_response
from helpdesk.domain.sla import Timer, measure, next_wake, pick
from helpdesk.domain.ticket import Ticket
from helpdesk.pipeline.world import RunningDesk
from helpdesk.store import people, tickets

FIRST_RESPONSE = "first_response"


def compute(
    connection: sa.Connection, desk: RunningDesk, ticket: Ticket, known: Sequence[Contract] = ()
) -> Timer | None:
    """The first-response timer of a ticket, from its history; None where nothing is promised or nothing started."""
    group = ticket.requester.organisation
    contract = contract_of(connection, ticket, known)
    target = pick(
        desk.targets,
        FIRST_RESPONSE,
        severity=ticket.severity,
        organisation=group.name if group else "",
        contract=contract.number if contract else "",
    )
    if target is None:
        return None
    return measure(first_response(tickets.happened(connection, ticket.id)), target, desk.calendar)


def rewrite(
    connection: sa.Connection, desk: RunningDesk, ticket: Ticket, now: datetime, known: Sequence[Contract] = ()
) -> Timer | None:
    """Compute the timer anew and write its index row; the transaction that changed its cause calls this."""
    found = compute(connection, desk, ticket, known)
    if found is not None:
        done = tickets.reminders_done(connection, ticket.id, found.promise)
        tickets.store_timer(connection, desk.facts.tenant, ticket.id, found, next_wake(found, now, done))
    else:
        tickets.drop_timer(connection, ticket.id, FIRST_RESPONSE)
    return found


def contract_of(connection: sa.Connection, ticket: Ticket, known: Sequence[Contract] = ()) -> Contract | None:
    """The contract that a ticket is worked under; ``known`` are contracts that the input's facts hold already."""
    group = ticket.requester.organisation
    if ticket.contract_id is None or group is None:
        return None
    found = next((one for one in known if one.id == ticket.contract_id), None)
    return found or next(
        (one for one in people.contracts_of(connection, group.id) if one.id == ticket.contract_id), None
    )
