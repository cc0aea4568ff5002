"""What waits at the head of each queue; a head that stays the same tells that nobody works there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from helpdesk.store.engine import lease_clock
from helpdesk.store.tables import input_, outbox, spool, timer


@dataclass(frozen=True, slots=True)
class Backlog:
    """The first that is due and in nobody's hands, by id: a mail, an input, a timer, and a row of each relay."""

    mail: int | None = None
    change: int | None = None
    timer: tuple[int, datetime] | None = None
    outbox: Mapping[str, int] = field(default_factory=dict)


def look(connection: sa.Connection, now: datetime) -> Backlog:
    """Read the heads of all queues."""
    clock = lease_clock(connection)
    mail = sa.select(sa.func.min(spool.c.id)).where(
        spool.c.done_at.is_(None),
        sa.or_(spool.c.lease_until.is_(None), spool.c.lease_until < clock),
        sa.or_(spool.c.not_before.is_(None), spool.c.not_before <= clock),
    )
    change = sa.select(sa.func.min(input_.c.id)).where(input_.c.done_at.is_(None))
    overdue = (
        sa.select(timer.c.id, timer.c.wake_at)
        .where(timer.c.wake_at.is_not(None), timer.c.wake_at <= now)
        .order_by(timer.c.wake_at, timer.c.id)
        .limit(1)
    )
    due = (
        sa.select(outbox.c.relay, sa.func.min(outbox.c.id))
        .where(
            outbox.c.state == sa.text("'waiting'"),
            outbox.c.not_before <= now,
            sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < clock),
        )
        .group_by(outbox.c.relay)
    )
    found = connection.execute(overdue).first()
    return Backlog(
        mail=connection.execute(mail).scalar(),
        change=connection.execute(change).scalar(),
        timer=(found[0], found[1]) if found else None,
        outbox={str(relay): int(row) for relay, row in connection.execute(due)},
    )
