"""Mails decided but not yet handed to the relay: one row per recipient, its bytes fixed when it was written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from helpdesk.domain.address import fold
from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.facts import Trigger
from helpdesk.store import inputs, wakes
from helpdesk.store.engine import lease_clock
from helpdesk.store.prepared import Prepared, insert, update
from helpdesk.store.tables import event, outbox, outbox_mail

#: A claim lasts so long, in seconds, unless it is renewed: the rows of a daemon that died go on after that.
LEASE_SECONDS = 120.0


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
    """A waiting row; ``data`` is b"" where it was not claimed."""

    id: int
    lease_no: int
    tenant: str
    ticket_id: int | None
    relay: str
    audience: str
    kind: str
    sender: str
    recipient: str
    attempts: int
    created_at: datetime
    not_before: datetime
    expires_at: datetime
    event_id: int | None
    last_error: str
    data: bytes = b""


_ADD_MAIL = Prepared(sa.insert(outbox_mail), ("outbox_id", "data", "text"))
_DATA = Prepared(sa.select(outbox_mail.c.data).where(outbox_mail.c.outbox_id == sa.bindparam("row_id")))


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
        "created_at": now,
        "not_before": letter.not_before,
        "expires_at": letter.expires_at,
        "state": "waiting",
    }
    row = insert(connection, outbox, values)
    _ADD_MAIL.run(connection, outbox_id=row, data=letter.data, text=letter.text)
    wakes.note(connection, wakes.relay(letter.relay))
    return row


_WAITING = outbox.c.state == sa.literal_column("'waiting'")  # spelt out, as in the partial index
_FREE = sa.or_(outbox.c.lease_until.is_(None), outbox.c.lease_until < sa.bindparam("clock", type_=sa.Float))
_NOW = sa.bindparam("now", type_=outbox.c.not_before.type)


def _first(what: sa.Select[Any], condition: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Free waiting rows of a relay, those first that became due first."""
    return (
        what.where(_WAITING, outbox.c.relay == sa.bindparam("of_relay", type_=sa.Text), condition, _FREE)
        .order_by(outbox.c.not_before, outbox.c.id)
        .limit(sa.bindparam("most", type_=sa.Integer))
        .with_for_update(skip_locked=True)
    )


_COLUMNS = [outbox.c[name] for name in Queued.__slots__ if name in outbox.c]
_CLAIM = Prepared(
    sa.update(outbox)
    .where(outbox.c.id.in_(_first(sa.select(outbox.c.id), outbox.c.not_before <= _NOW)))
    .values(
        lease_until=sa.bindparam("until", type_=sa.Float),
        lease_no=outbox.c.lease_no + 1,
        attempts=outbox.c.attempts + 1,
    )
    .returning(*_COLUMNS)
)
_STALE = Prepared(_first(sa.select(*_COLUMNS), outbox.c.expires_at <= _NOW))


def claim(connection: sa.Connection, relay: str, now: datetime, limit: int) -> list[Queued]:
    """Take due rows of a relay, those first that became due first, counting the attempt."""
    clock = lease_clock(connection)
    rows = _CLAIM.rows(connection, of_relay=relay, now=now, clock=clock, until=clock + LEASE_SECONDS, most=limit)
    rows.sort(key=lambda row: (row.not_before, row.id))
    return [_queued(row, _DATA.scalar(connection, row_id=row.id)) for row in rows]


def _queued(row: Any, data: bytes = b"") -> Queued:
    return Queued(**{column.name: getattr(row, column.name) for column in _COLUMNS}, data=data)


_OURS = sa.and_(
    outbox.c.id == sa.bindparam("row_id"),
    _WAITING,
    outbox.c.lease_no == sa.bindparam("our_lease", type_=sa.Integer),
)
_END = Prepared(sa.update(outbox).where(_OURS).values(lease_until=sa.null()), ("state", "last_error", "ended_at"))
_PUT_OFF = Prepared(sa.update(outbox).where(_OURS).values(lease_until=sa.null()), ("not_before", "last_error"))
_HAND_BACK = Prepared(
    sa.update(outbox)
    .where(_OURS)
    .values(
        lease_until=sa.null(),
        attempts=outbox.c.attempts - 1,
        last_error=sa.func.coalesce(sa.bindparam("words", type_=sa.Text), outbox.c.last_error),
    )
)
_RENEW = Prepared(sa.update(outbox).where(_OURS).values(lease_until=sa.bindparam("until", type_=sa.Float)))


def end(connection: sa.Connection, taken: Queued, state: str, words: str, now: datetime) -> bool:
    """The row is sent, failed, expired or cancelled; False where another daemon owns it by now.

    A ticket hears of it by a delivery input: of a person's answer in any case, of an automatic mail only where it did
    not go out.
    """
    values = {"state": state, "last_error": words, "ended_at": now}
    if not _END.run(connection, row_id=taken.id, our_lease=taken.lease_no, **values):
        return False
    if taken.ticket_id is not None and (taken.kind == "human" or state != "sent"):
        _tell(connection, taken, state, words, now)
    return True


def _tell(connection: sa.Connection, taken: Queued, state: str, words: str, now: datetime) -> None:
    data = {
        "outcome": state,
        "kind": taken.kind,
        "recipient": taken.recipient,
        "reason": words,
        "at": now.isoformat(),
        "since": taken.created_at.isoformat(),
        "event": taken.event_id,
        "audience": taken.audience,
        "mail": taken.id,
    }
    assert taken.ticket_id is not None
    inputs.add(connection, taken.tenant, Trigger.DELIVERY.value, taken.ticket_id, data, now)


def put_off(connection: sa.Connection, taken: Queued, words: str, until: datetime) -> bool:
    """Try again later; False where another daemon owns it by now."""
    values = {"not_before": until, "last_error": words}
    return _PUT_OFF.run(connection, row_id=taken.id, our_lease=taken.lease_no, **values) == 1


def hand_back(connection: sa.Connection, rows: Iterable[Queued], words: str = "") -> None:
    """Rows that were claimed and not tried keep their place and attempts; ``words`` say why, where there is a reason."""
    for taken in rows:
        _HAND_BACK.run(connection, row_id=taken.id, our_lease=taken.lease_no, words=words or None)


def renew(connection: sa.Connection, rows: Iterable[Queued]) -> None:
    """Extend the leases of rows that are still in hand."""
    until = lease_clock(connection) + LEASE_SECONDS
    for taken in rows:
        _RENEW.run(connection, row_id=taken.id, our_lease=taken.lease_no, until=until)


def expire(connection: sa.Connection, relay: str, now: datetime, words: str, limit: int) -> list[Queued]:
    """End rows of a relay that are not worth sending any more, and that nobody has in hand; those that were ended.

    ``words`` are the reason of those that have none of their own.
    """
    clock = lease_clock(connection)
    rows = [_queued(row) for row in _STALE.rows(connection, of_relay=relay, now=now, clock=clock, most=limit)]
    return [taken for taken in rows if end(connection, taken, "expired", taken.last_error or words, now)]


def drop_leases(connection: sa.Connection) -> None:
    """Free every claim: only for the one daemon of a SQLite file, when it starts."""
    connection.execute(sa.update(outbox).where(_WAITING, outbox.c.lease_until.is_not(None)).values(lease_until=None))


def waiting(connection: sa.Connection, relay: str) -> int:
    """How many mails wait for a relay, due or not."""
    query = sa.select(sa.func.count()).where(_WAITING, outbox.c.relay == relay)
    return int(connection.execute(query).scalar_one())


class NotWaiting(Exception):
    """A row that cannot be retried or cancelled; the text says why."""


def retry(connection: sa.Connection, number: int | None, now: datetime) -> int:
    """Make a waiting row due at once, or all of them; how many.

    One that failed or expired is tried anew for as long as it was worth at first: the reason may be mended. Raises
    NotWaiting for one that ended otherwise.
    """
    query = sa.update(outbox).where(_WAITING, outbox.c.not_before > now).values(not_before=now)
    if number is None:
        return connection.execute(query).rowcount
    row = _find(connection, number, ("waiting", *GIVEN_UP))
    if row.state != "waiting":
        life = row.expires_at - row.created_at
        anew = {"state": "waiting", "not_before": now, "expires_at": now + life, "ended_at": None, "lease_until": None}
        update(connection, outbox, number, anew)
        wakes.note(connection, wakes.relay(row.relay))
    else:
        connection.execute(query.where(outbox.c.id == number))
    return 1


def cancel(connection: sa.Connection, number: int, words: str, now: datetime) -> Queued:
    """End a waiting row that shall not be sent; its ticket hears of it. Raises NotWaiting, TemporaryFailure."""
    row = _find(connection, number)
    taken = _queued(row)
    if row.lease_until is not None and row.lease_until >= lease_clock(connection):
        raise TemporaryFailure(f"mail {number} is being handed to the relay at this moment")
    end(connection, taken, "cancelled", words, now)
    return taken


#: How a mail ends that no relay took.
GIVEN_UP = ("failed", "expired")


def _find(connection: sa.Connection, number: int, states: Collection[str] = ("waiting",)) -> Any:
    row = connection.execute(sa.select(outbox).where(outbox.c.id == number).with_for_update()).first()
    if row is None:
        raise NotWaiting(f"there is no mail {number} in the outbox")
    if row.state not in states:
        raise NotWaiting(f"mail {number} does not wait any more: it is {row.state}")
    return row


def next_due(connection: sa.Connection, relay: str) -> datetime | None:
    """When the next row of a relay becomes due."""
    return connection.execute(
        sa.select(sa.func.min(outbox.c.not_before)).where(_WAITING, outbox.c.relay == relay)
    ).scalar()


_RECENT = outbox.c.created_at > sa.bindparam("hour")
#: What warns an agent that his mails prove nothing, or were not understood.
WARNINGS = ("unproven", "is_it_yours", "returned", "refused_command")
_WARNED = sa.and_(_RECENT, sa.or_(*(outbox.c.block == block for block in WARNINGS)))
_AUTOMATIC = Prepared(
    sa.select(
        sa.func.count().label("day"),
        sa.func.coalesce(sa.func.sum(sa.case((_RECENT, 1), else_=0)), 0).label("hour"),
        sa.func.coalesce(sa.func.sum(sa.case((_WARNED, 1), else_=0)), 0).label("warned"),
        sa.func.max(outbox.c.created_at).label("last_at"),
    ).where(
        outbox.c.tenant == sa.bindparam("tenant"),
        outbox.c.folded == sa.bindparam("folded"),
        outbox.c.kind == "automatic",
        outbox.c.created_at > sa.bindparam("day"),
    )
)


def automatic_since(
    connection: sa.Connection, tenant: str, written: str, now: datetime
) -> tuple[int, int, int, datetime | None]:
    """How many automatic mails were decided for an address within a day, within an hour, and to warn an agent; when the
    last one of the day was."""
    hour, day = now - timedelta(hours=1), now - timedelta(days=1)
    row = _AUTOMATIC.first(connection, tenant=tenant, folded=fold(written), hour=hour, day=day)
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2]), row.last_at


@dataclass(frozen=True, slots=True)
class Handed:
    """A mail that the relay was offered at least once; ``state`` is "bounced" once it is known to have come back."""

    id: int
    ticket_id: int | None
    event_id: int | None
    audience: str
    kind: str
    recipient: str
    message_id: str
    created_at: datetime
    state: str


def handed(
    connection: sa.Connection, tenant: str, since: datetime, *, mail_id: int = 0, ids: Sequence[str] = ()
) -> list[Handed]:
    """Mails written since, of this row or with one of these Message-IDs, that some relay can have taken."""
    columns = [outbox.c[name] for name in Handed.__slots__]
    which = outbox.c.id == mail_id if mail_id else outbox.c.message_id.in_(ids)
    rows = connection.execute(
        sa.select(*columns).where(outbox.c.tenant == tenant, which, outbox.c.attempts > 0, outbox.c.created_at > since)
    )
    return [Handed(*row) for row in rows]


def came_back(connection: sa.Connection, mail_id: int, words: str, now: datetime) -> Handed | None:
    """The relay's acceptance of a mail is taken back; None where it was known to have ended badly before.

    A row that still waits may have been taken too, by a relay that reports faster than it answers.
    """
    taken = sa.and_(outbox.c.id == mail_id, outbox.c.state.in_(("sent", "waiting")))
    values = {"state": "bounced", "last_error": words, "ended_at": now, "lease_until": None}
    columns = [outbox.c[name] for name in Handed.__slots__]
    row = connection.execute(sa.update(outbox).where(taken).values(**values).returning(*columns)).first()
    return Handed(*row) if row else None


def was_told_about(
    connection: sa.Connection, tenant: str, written: str, block: str, address: str, since: datetime
) -> bool:
    """Whether a mail to ``written`` that began with this block was about ``address``, since."""
    said = (
        sa.select(event.c.data)
        .join(outbox, outbox.c.event_id == event.c.id)
        .where(
            outbox.c.tenant == tenant,
            outbox.c.folded == fold(written),
            outbox.c.created_at > since,
            outbox.c.block == block,
        )
    )
    return any(fold(str(data.get("about", ""))) == fold(address) for data in connection.execute(said).scalars())


def was_said(connection: sa.Connection, ticket_id: int, block: str) -> bool:
    """Whether a mail of a ticket began with this block."""
    found = sa.select(outbox.c.id).where(outbox.c.ticket_id == ticket_id, outbox.c.block == block)
    return connection.execute(found.limit(1)).first() is not None


def last_said(connection: sa.Connection, tenant: str, written: str, block: str) -> datetime | None:
    """When an address last got a mail that began with this block."""
    found = sa.select(sa.func.max(outbox.c.created_at)).where(
        outbox.c.tenant == tenant, outbox.c.folded == fold(written), outbox.c.block == block
    )
    at: datetime | None = connection.execute(found).scalar()
    return at


def was_written_to(connection: sa.Connection, ticket_id: int, audience: str) -> bool:
    """Whether this audience got any mail about a ticket."""
    found = sa.select(outbox.c.id).where(outbox.c.ticket_id == ticket_id, outbox.c.audience == audience)
    return connection.execute(found.limit(1)).first() is not None


def set_sender(connection: sa.Connection, mail_id: int, sender: str) -> None:
    """Give a mail its return path, which names the row and so cannot be known before it."""
    update(connection, outbox, mail_id, {"sender": sender})


def texts(connection: sa.Connection, tenant: str, ids: Sequence[str]) -> dict[str, str]:
    """The texts of mails that we sent, by Message-ID."""
    if not ids:
        return {}
    query = sa.select(outbox.c.message_id, outbox_mail.c.text).join(outbox_mail)
    rows = connection.execute(query.where(outbox.c.tenant == tenant, outbox.c.message_id.in_(ids)))
    return {row.message_id: row.text for row in rows}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A line of ``helpdesk outbox``."""

    id: int
    relay: str
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
    """Rows still waiting, in the order they become due; with ``ended`` all of them, oldest first."""
    query = sa.select(*(outbox.c[name] for name in Waiting.__slots__))
    query = query.order_by(outbox.c.id) if ended else query.where(_WAITING).order_by(outbox.c.not_before, outbox.c.id)
    return [Waiting(*row) for row in connection.execute(query)]
