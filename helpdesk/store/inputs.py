"""Inputs that are not mails: a change by an administrator, the fate of a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from helpdesk.store import wakes
from helpdesk.store.prepared import insert
from helpdesk.store.tables import input_


@dataclass(frozen=True, slots=True)
class Input:
    """A row to be handled like a mail."""

    id: int
    tenant: str
    trigger: str
    ticket_id: int
    data: Mapping[str, Any]
    created_at: datetime
    attempts: int


def add(
    connection: sa.Connection, tenant: str, trigger: str, ticket_id: int, data: Mapping[str, Any], now: datetime
) -> None:
    """Queue an input about a ticket."""
    values = {"tenant": tenant, "trigger": trigger, "ticket_id": ticket_id, "data": dict(data), "created_at": now}
    insert(connection, input_, values)
    wakes.note(connection, wakes.INPUT)


def waiting(connection: sa.Connection, limit: int, now: datetime) -> list[Input]:
    """Inputs to handle, oldest first, each locked for this transaction."""
    rows = connection.execute(
        sa.select(input_)
        .where(input_.c.done_at.is_(None), sa.or_(input_.c.not_before.is_(None), input_.c.not_before <= now))
        .order_by(input_.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [
        Input(row.id, row.tenant, row.trigger, row.ticket_id, row.data, row.created_at, row.attempts) for row in rows
    ]


#: After a failed attempt an input waits so long, in seconds; after the last of these it is given up. The log says so
#: each time.
WAITS = (5.0, 30.0, 180.0, 1200.0)


def fail(connection: sa.Connection, input_id: int, attempts: int, now: datetime) -> bool:
    """The input could not be handled: it is tried again after a while, a few times; True where it is given up."""
    if attempts > len(WAITS):
        return finish(connection, input_id, "could not be handled: see the log", now)
    again = now + timedelta(seconds=WAITS[attempts - 1])
    connection.execute(sa.update(input_).where(input_.c.id == input_id).values(attempts=attempts, not_before=again))
    return False


def finish(connection: sa.Connection, input_id: int, outcome: str, now: datetime) -> bool:
    """The input is handled; False where it was already."""
    return (
        connection.execute(
            sa.update(input_)
            .where(input_.c.id == input_id, input_.c.done_at.is_(None))
            .values(done_at=now, outcome=outcome)
        ).rowcount
        == 1
    )
