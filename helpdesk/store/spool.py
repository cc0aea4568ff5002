"""Mails as they came: kept once, claimed under a lease, finished once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.store import wakes
from helpdesk.store.engine import lease_clock
from helpdesk.store.prepared import Prepared, insert, insert_or_ignore
from helpdesk.store.tables import mail, quarantine, raw, sighting, spool

#: A claim lasts so long, in seconds; a reader that died loses it (F4).
LEASE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Spooled:
    """A claimed mail; ``lease_no`` is the fencing number that finishing it must name."""

    id: int
    tenant: str
    lease_no: int
    attempts: int
    mail: RawMail


class LeaseLost(Exception):
    """Another daemon took the row over; nothing of this one may be written."""


def keep(connection: sa.Connection, kept: RawMail, tenants: Sequence[str], now: datetime) -> list[int]:
    """Write a mail down for each tenant it is for and give the rows' ids; none for one an IMAP server shows again."""
    if kept.sighting and _seen_before(connection, kept):
        return []
    rows: list[int] = []
    digest = hashlib.sha256(kept.data).hexdigest()
    insert_or_ignore(connection, raw, {"hash": digest, "data": kept.data})
    for tenant in tenants:
        values = {
            "tenant": tenant,
            "door": kept.door.value,
            "sender": kept.envelope.sender,
            "recipients": list(kept.envelope.recipients),
            "peer": kept.envelope.peer,
            "user": kept.envelope.user,
            "received_at": kept.received_at,
            "raw_hash": digest,
        }
        row = insert(connection, spool, values)
        wakes.note(connection, wakes.MAIL)
        rows.append(row)
        if kept.sighting:
            seen = {
                "spool_id": row,
                "mailbox": kept.sighting.mailbox,
                "uidvalidity": kept.sighting.uidvalidity,
                "uid": kept.sighting.uid,
                "seen_at": now,
            }
            insert(connection, sighting, seen)
    return rows


def _seen_before(connection: sa.Connection, kept: RawMail) -> bool:
    where = kept.sighting
    assert where is not None
    return (
        connection.execute(
            sa.select(sighting.c.id)
            .join(spool, spool.c.id == sighting.c.spool_id)
            .where(
                sighting.c.mailbox == where.mailbox,
                sighting.c.uidvalidity == where.uidvalidity,
                sighting.c.uid == where.uid,
                spool.c.raw_hash == hashlib.sha256(kept.data).hexdigest(),
            )
        ).first()
        is not None
    )


def claim(connection: sa.Connection, limit: int, *, retries: bool = False) -> list[Spooled]:
    """Take up to ``limit`` mails in order of receipt and count the attempt, before anything reads them.

    Mails of a first attempt and ``retries`` are claimed apart, so that a mail that hangs delays no other.
    """
    clock = lease_clock(connection)
    free = sa.and_(
        spool.c.done_at.is_(None),
        spool.c.attempts > 0 if retries else spool.c.attempts == 0,
        sa.or_(spool.c.lease_until.is_(None), spool.c.lease_until < clock),
        sa.or_(spool.c.not_before.is_(None), spool.c.not_before <= clock),
    )
    ids = list(
        connection.execute(
            sa.select(spool.c.id).where(free).order_by(spool.c.id).limit(limit).with_for_update(skip_locked=True)
        ).scalars()
    )
    if not ids:
        return []
    connection.execute(
        sa.update(spool)
        .where(spool.c.id.in_(ids))
        .values(lease_until=clock + LEASE_SECONDS, lease_no=spool.c.lease_no + 1, attempts=spool.c.attempts + 1)
    )
    rows = connection.execute(_whole().where(spool.c.id.in_(ids)).order_by(spool.c.id))
    return [_spooled(row) for row in rows]


def keep_claimed(connection: sa.Connection, kept: RawMail, tenant: str, now: datetime) -> Spooled | None:
    """Write a mail down and claim it in the same breath; None where the IMAP server had shown it before."""
    rows = keep(connection, kept, (tenant,), now)
    if not rows:
        return None
    connection.execute(sa.update(spool).where(spool.c.id == rows[0]).values(attempts=1, lease_no=spool.c.lease_no + 1))
    return load(connection, rows[0])


def load(connection: sa.Connection, spool_id: int) -> Spooled | None:
    """One mail by its id, claimed or not."""
    row = connection.execute(_whole().where(spool.c.id == spool_id)).first()
    return _spooled(row) if row else None


def _whole() -> sa.Select[tuple[object, ...]]:
    return sa.select(spool, raw.c.data).join(raw, raw.c.hash == spool.c.raw_hash)


def _spooled(row: sa.Row[tuple[object, ...]]) -> Spooled:
    found = row._mapping
    envelope = Envelope(found["sender"], tuple(found["recipients"]), found["peer"], found["user"])
    kept = RawMail(Door(found["door"]), envelope, found["received_at"], found["data"])
    return Spooled(found["id"], found["tenant"], found["lease_no"], found["attempts"], kept)


_FINISH = Prepared(
    sa.update(spool).where(
        spool.c.id == sa.bindparam("of_mail"),
        spool.c.done_at.is_(None),
        spool.c.lease_no == sa.bindparam("of_lease"),
    ),
    ("done_at", "outcome", "outcome_why", "ticket_id", "lease_until"),
)


def finish(
    connection: sa.Connection, taken: Spooled, outcome: str, why: str, ticket_id: int | None, now: datetime
) -> None:
    """Say what became of a mail, once; raises LeaseLost where another daemon owns it by now."""
    values = {"done_at": now, "outcome": outcome, "outcome_why": why, "ticket_id": ticket_id, "lease_until": None}
    if _FINISH.run(connection, of_mail=taken.id, of_lease=taken.lease_no, **values) != 1:
        raise LeaseLost(f"mail {taken.id}")


def hand_back(connection: sa.Connection, batch: Sequence[Spooled]) -> None:
    """Undo a claim that came to nothing for a reason of our own: the attempts do not count."""
    for taken in batch:
        connection.execute(
            sa.update(spool)
            .where(spool.c.id == taken.id, spool.c.done_at.is_(None), spool.c.lease_no == taken.lease_no)
            .values(lease_until=None, attempts=spool.c.attempts - 1)
        )


def give_back(connection: sa.Connection, taken: Spooled, wait_seconds: float) -> None:
    """Let a mail that could not be handled now be claimed again after a while, in seconds."""
    connection.execute(
        sa.update(spool)
        .where(spool.c.id == taken.id, spool.c.done_at.is_(None), spool.c.lease_no == taken.lease_no)
        .values(lease_until=None, not_before=lease_clock(connection) + wait_seconds)
    )
    wakes.note(connection, wakes.AGAIN)


def drop_leases(connection: sa.Connection) -> None:
    """Free every claim: only for the one daemon of a SQLite file, when it starts."""
    connection.execute(sa.update(spool).where(spool.c.done_at.is_(None)).values(lease_until=None))


def remember(
    connection: sa.Connection, taken: Spooled, message_id: str, content_hash: str, likeness: str = ""
) -> int | None:
    """Note the mail's key; the spool id of the first sighting where the same mail was handled before, else None."""
    if insert_or_ignore(
        connection,
        mail,
        {
            "tenant": taken.tenant,
            "message_id": message_id,
            "content_hash": content_hash,
            "likeness": likeness,
            "spool_id": taken.id,
        },
    ):
        return None
    first: int = connection.execute(
        sa.select(mail.c.spool_id).where(
            mail.c.tenant == taken.tenant, mail.c.message_id == message_id, mail.c.content_hash == content_hash
        )
    ).scalar_one()
    return first


_LIKE = Prepared(
    sa.select(spool.c.ticket_id)
    .join(mail, mail.c.spool_id == spool.c.id)
    .where(
        mail.c.tenant == sa.bindparam("of_tenant"),
        mail.c.likeness == sa.bindparam("alike"),
        spool.c.id != sa.bindparam("but_mail"),
        spool.c.received_at > sa.bindparam("since"),
    )
)


def alike(connection: sa.Connection, taken: Spooled, likeness: str, since: datetime) -> list[int | None]:
    """The tickets, None for none, of other mails received since with the same sender and words."""
    if not likeness:
        return []
    rows = _LIKE.rows(connection, of_tenant=taken.tenant, alike=likeness, but_mail=taken.id, since=since)
    return [row.ticket_id for row in rows]


def replace_set_aside(connection: sa.Connection, first: int, taken: Spooled) -> bool:
    """True where the first sighting of this mail ended in quarantine: sent again, perhaps with proof, it is handled."""
    outcome = connection.execute(sa.select(spool.c.outcome).where(spool.c.id == first)).scalar()
    if outcome != "quarantined":
        return False
    connection.execute(sa.update(mail).where(mail.c.spool_id == first).values(spool_id=taken.id))
    return True


def set_aside(connection: sa.Connection, taken: Spooled, cause: str, now: datetime) -> int:
    """Put a mail into quarantine; its number there."""
    number: int = connection.execute(
        sa.insert(quarantine)
        .values(tenant=taken.tenant, spool_id=taken.id, cause=cause, at=now)
        .returning(quarantine.c.id)
    ).scalar_one()
    return number


@dataclass(frozen=True, slots=True)
class SetAsideMail:
    """A mail in quarantine."""

    id: int
    tenant: str
    cause: str
    at: datetime
    door: str
    sender: str | None
    recipients: tuple[str, ...]
    size: int
    spool_id: int
    released_at: datetime | None
    dropped: bool = False


def quarantined(
    connection: sa.Connection, tenant: str = "", *, released: bool = False, number: int = 0, most: int = 0
) -> list[SetAsideMail]:
    """What waits in quarantine, oldest first; with ``released`` also what was let go.

    Of one ``tenant`` alone where one is named, the one of this ``number``, at ``most`` so many.
    """
    query = (
        sa.select(
            quarantine, spool.c.door, spool.c.sender, spool.c.recipients, sa.func.length(raw.c.data).label("size")
        )
        .join(spool, spool.c.id == quarantine.c.spool_id)
        .join(raw, raw.c.hash == spool.c.raw_hash)
        .order_by(quarantine.c.id)
    )
    if not released:
        query = query.where(quarantine.c.released_at.is_(None))
    if tenant:
        query = query.where(quarantine.c.tenant == tenant)
    if number:
        query = query.where(quarantine.c.id == number)
    if most:
        query = query.limit(most)
    return [
        SetAsideMail(
            row.id,
            row.tenant,
            row.cause,
            row.at,
            row.door,
            row.sender,
            tuple(row.recipients),
            row.size,
            row.spool_id,
            row.released_at,
            (row.released_how or "").startswith(_DROPPED),
        )
        for row in connection.execute(query)
    ]


def release(connection: sa.Connection, quarantine_id: int, how: str, now: datetime) -> bool:
    """Let a mail be read anew from its first attempt; False when there is no such mail waiting."""
    spool_id = connection.execute(
        sa.update(quarantine)
        .where(quarantine.c.id == quarantine_id, quarantine.c.released_at.is_(None))
        .values(released_at=now, released_how=how)
        .returning(quarantine.c.spool_id)
    ).scalar_one_or_none()
    if spool_id is None:
        return False
    connection.execute(sa.delete(mail).where(mail.c.spool_id == spool_id))
    connection.execute(
        sa.update(spool)
        .where(spool.c.id == spool_id)
        .values(done_at=None, outcome="", outcome_why="", attempts=0, lease_until=None, not_before=None)
    )
    return True


#: How it is written down that a mail's own writer let it out.
CONFIRMED = "by its writer's confirming reply"
#: How the end of a mail that somebody dropped is written down.
_DROPPED = "dropped"


def drop_set_aside(connection: sa.Connection, quarantine_id: int, how: str, now: datetime) -> bool:
    """Drop a mail that waits in quarantine, counted as such; its bytes stay. False when there is no such mail waiting."""
    spool_id = connection.execute(
        sa.update(quarantine)
        .where(quarantine.c.id == quarantine_id, quarantine.c.released_at.is_(None))
        .values(released_at=now, released_how=f"{_DROPPED} {how}")
        .returning(quarantine.c.spool_id)
    ).scalar_one_or_none()
    if spool_id is None:
        return False
    ended = {"outcome": "dropped", "outcome_why": f"{_DROPPED} from quarantine {how}"}
    connection.execute(sa.update(spool).where(spool.c.id == spool_id).values(ended))
    return True


def in_quarantine(connection: sa.Connection, tenant: str, quarantine_id: int) -> tuple[bool, datetime] | None:
    """Whether this mail still waits there, and when it was set aside; None where the tenant has no such mail."""
    found = sa.select(quarantine.c.released_at, quarantine.c.at).where(
        quarantine.c.id == quarantine_id, quarantine.c.tenant == tenant
    )
    row = connection.execute(found).one_or_none()
    return (row.released_at is None, row.at) if row else None


def waiting_in_quarantine(connection: sa.Connection, tenant: str) -> tuple[int, datetime | None]:
    """How many mails wait there, and since when the oldest does."""
    found = sa.select(sa.func.count(), sa.func.min(quarantine.c.at)).where(
        quarantine.c.tenant == tenant, quarantine.c.released_at.is_(None)
    )
    count, oldest = connection.execute(found).one()
    return int(count), oldest


_RELEASED_HOW = Prepared(
    sa.select(quarantine.c.released_how)
    .where(
        quarantine.c.spool_id == sa.bindparam("spool_id"),
        quarantine.c.released_at.is_not(None),
        quarantine.c.released_how.not_like(f"{_DROPPED}%"),
    )
    .order_by(quarantine.c.id.desc())
    .limit(1)
)


def released_how(connection: sa.Connection, spool_id: int) -> str:
    """How this mail was let out of quarantine the last time, "" where it was not: CONFIRMED where its own writer did it.

    Where a person did, its bytes are trusted, its sender is not.
    """
    return str(_RELEASED_HOW.scalar(connection, spool_id=spool_id) or "")
