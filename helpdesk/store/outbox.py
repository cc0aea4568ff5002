"""Mails decided but not yet handed to the relay: one row per recipient, its bytes fixed when it was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from helpdesk.domain.address import fold
from helpdesk.store.engine import lease_clock
from helpdesk.store.prepared import Prepared, insert
from helpdesk.store.tables import outbox

#: A claim lasts so long, in seconds: longer than any SMTP dialogue we allow.
LEASE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail for one recipient, ready to go."""

    tenant: str
    ticket_id: int | None
    event_id: int | None
    relay: str
    audience: str
    block: str
    kind: str
    sender: str
    recipient: str
    message_id: str
    data: bytes
    text: str
    expires_at: datetime
    not_before: datetime


@dataclass(frozen=True, slots=True)
class Queued:
    """A claimed row."""

    id: int
    lease_no: int
    tenant: str
    ticket_id: int | None
    relay: str
    audience: str
    kind: str
    sender: str
    recipient: str
    data: bytes
    attempts: int
    created_at: datetime
    expires_at: datetime
    event_id: int | None
    last_error: str


def add(connection: sa.Connection, letter: Letter, now: datetime) -> int:
    """Put a mail into the outbox; the row's id."""
    values = {
        "tenant": letter.tenant,
        "ticket_id": letter.ticket_id,
        "event_id": letter.event_id,
        "relay": letter.relay,
        "audience": letter.audience,
        "block": letter.block,
        "kind": letter.kind,
        "sender": letter.sender,
        "recipient": letter.recipient,
        "folded": fold(letter.recipient),
        "message_id": letter.message_id,
        "data": letter.data,
        "text": letter.text,
        "created_at": now,
        "not_before": letter.not_before,
        "expires_at": letter.expires_at,
        "state": "waiting",
    }
    return insert(connection, outbox, values)


def claim(connection: sa.Connection, relay: str, now: datetime, limit: int) -> list[Queued]:
    """Take due rows of a relay, oldest first, counting the attempt."""
    clock = lease_clock(connection)
    ids = list(
        connection.execute(
            sa.select(outbox.c.id)
            .where(
                outbox.c.state == "waiting",
                outbox.c.relay == relay,
                outbox.c.not_before <= now,
                sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < clock),
            )
            .order_by(outbox.c.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).scalars()
    )
    if not ids:
        return []
    connection.execute(
        sa.update(outbox)
        .where(outbox.c.id.in_(ids))
        .values(lease_until=clock + LEASE_SECONDS, lease_no=outbox.c.lease_no + 1, attempts=outbox.c.attempts + 1)
    )
    rows = connection.execute(sa.select(outbox).where(outbox.c.id.in_(ids)).order_by(outbox.c.id))
    return [
        Queued(
            row.id,
            row.lease_no,
            row.tenant,
            row.ticket_id,
            row.relay,
            row.audience,
            row.kind,
            row.sender,
            row.recipient,
            row.data,
            row.attempts,
            row.created_at,
            row.expires_at,
            row.event_id,
            row.last_error,
        )
        for row in rows
    ]


def _owned(taken: Queued) -> sa.Update:
    return sa.update(outbox).where(
        outbox.c.id == taken.id, outbox.c.state == "waiting", outbox.c.lease_no == taken.lease_no
    )


def end(connection: sa.Connection, taken: Queued, state: str, words: str, now: datetime) -> bool:
    """The row is sent, failed or expired; False where another daemon owns it by now."""
    values = {"state": state, "last_error": words, "ended_at": now, "lease_until": None}
    return connection.execute(_owned(taken).values(**values)).rowcount == 1


def put_off(connection: sa.Connection, taken: Queued, words: str, until: datetime) -> bool:
    """Try again later; False where another daemon owns it by now."""
    return connection.execute(_owned(taken).values(not_before=until, last_error=words, lease_until=None)).rowcount == 1


def hand_back(connection: sa.Connection, rows: Iterable[Queued]) -> None:
    """Rows that were claimed and not tried."""
    for taken in rows:
        connection.execute(_owned(taken).values(lease_until=None, attempts=outbox.c.attempts - 1))


def drop_leases(connection: sa.Connection) -> None:
    """Free every claim: only for the one daemon of a SQLite file, when it starts."""
    connection.execute(sa.update(outbox).where(outbox.c.state == "waiting").values(lease_until=None))


def next_due(connection: sa.Connection, relay: str) -> datetime | None:
    """When the next row of a relay becomes due."""
    return connection.execute(
        sa.select(sa.func.min(outbox.c.not_before)).where(outbox.c.state == "waiting", outbox.c.relay == relay)
    ).scalar()


_RECENT = outbox.c.created_at > sa.bindparam("hour")
#: What warns an agent that his mails prove nothing, or were not understood.
WARNINGS = ("unproven", "returned", "refused_command")
_WARNED = sa.and_(_RECENT, sa.or_(*(outbox.c.block == block for block in WARNINGS)))
_AUTOMATIC = Prepared(
    sa.select(
        sa.func.count().label("day"),
        sa.func.coalesce(sa.func.sum(sa.case((_RECENT, 1), else_=0)), 0).label("hour"),
        sa.func.coalesce(sa.func.sum(sa.case((_WARNED, 1), else_=0)), 0).label("warned"),
    ).where(
        outbox.c.tenant == sa.bindparam("tenant"),
        outbox.c.folded == sa.bindparam("folded"),
        outbox.c.kind == "automatic",
        outbox.c.created_at > sa.bindparam("day"),
    )
)


def automatic_since(connection: sa.Connection, tenant: str, written: str, now: datetime) -> tuple[int, int, int]:
    """How many automatic mails were decided for an address within a day, within an hour, and to warn an agent."""
    hour, day = now - timedelta(hours=1), now - timedelta(days=1)
    row = _AUTOMATIC.first(connection, tenant=tenant, folded=fold(written), hour=hour, day=day)
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2])


def texts(connection: sa.Connection, tenant: str, ids: Sequence[str]) -> dict[str, str]:
    """The texts of mails that we sent, by Message-ID."""
    if not ids:
        return {}
    rows = connection.execute(
        sa.select(outbox.c.message_id, outbox.c.text).where(outbox.c.tenant == tenant, outbox.c.message_id.in_(ids))
    )
    return {row.message_id: row.text for row in rows}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A line of ``helpdesk outbox``."""

    id: int
    state: str
    kind: str
    recipient: str
    block: str
    created_at: datetime
    not_before: datetime
    expires_at: datetime
    attempts: int
    last_error: str
    message_id: str


def listing(connection: sa.Connection, *, ended: bool = False) -> list[Waiting]:
    """Rows still waiting, oldest first; with ``ended`` all of them."""
    query = sa.select(*(outbox.c[name] for name in Waiting.__slots__)).order_by(outbox.c.id)
    if not ended:
        query = query.where(outbox.c.state == "waiting")
    return [Waiting(*row) for row in connection.execute(query)]
