"""Inputs that are not mails: a change by an administrator, the fate of a delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
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


def waiting(connection: sa.Connection, limit: int) -> list[Input]:
    """Inputs to handle, oldest first, each locked for this transaction."""
    rows = connection.execute(
        sa.select(input_)
        .where(input_.c.done_at.is_(None))
        .order_by(input_.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [
        Input(row.id, row.tenant, row.trigger, row.ticket_id, row.data, row.created_at, row.attempts) for row in rows
    ]


#: An input that fails so often is given up, and the log says so each time.
ATTEMPTS = 5


def fail(connection: sa.Connection, input_id: int, attempts: int, now: datetime) -> bool:
    """The input could not be handled: it is tried again at the next tick, a few times; True where it is given up."""
    connection.execute(sa.update(input_).where(input_.c.id == input_id).values(attempts=attempts))
    return attempts >= ATTEMPTS and finish(connection, input_id, "could not be handled: see the log", now)


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
