"""Tickets, their history, and the ids by which mails find them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from helpdesk.domain.address import fold
from helpdesk.domain.event import EventKind
from helpdesk.domain.history import Happened
from helpdesk.domain.people import Person
from helpdesk.domain.sla import Timer
from helpdesk.domain.ticket import Reason, Status, Ticket
from helpdesk.store import people
from helpdesk.store.prepared import Prepared, insert, insert_or_ignore, update
from helpdesk.store.tables import (
    contract,
    counter,
    decision,
    event,
    input_,
    membership,
    message_id,
    named,
    participant,
    reminder,
    ticket,
    timer,
)

#: The first ticket of a prefix is one above this.
FIRST_NUMBER = 1000


_COUNT = Prepared(
    sa.update(counter)
    .where(counter.c.name == sa.bindparam("counted"))
    .values(value=counter.c.value + 1)
    .returning(counter.c.value)
)


def next_reference(connection: sa.Connection, tenant: str, prefix: str) -> str:
    """A reference that no other ticket of the tenant has, for example AC-1042."""
    name = f"reference {tenant} {prefix}"
    number = _COUNT.scalar(connection, counted=name)
    if number is None:
        insert_or_ignore(connection, counter, {"name": name, "value": FIRST_NUMBER})
        number = _COUNT.scalar(connection, counted=name)
    return f"{prefix}-{number}"


def open_ticket(
    connection: sa.Connection,
    *,
    tenant: str,
    desk: str,
    prefix: str,
    subject: str,
    requester: Person,
    proven: bool,
    at: datetime,
) -> tuple[int, str]:
    """A new ticket; its id and reference."""
    reference = next_reference(connection, tenant, prefix)
    values = {
        "tenant": tenant,
        "desk": desk,
        "reference": reference,
        "subject": subject,
        "status": Status.NEW.value,
        "requester_id": requester.id,
        "organisation_id": requester.organisation.id if requester.organisation else None,
        "proven": proven,
        "opened_at": at,
        "changed_at": at,
    }
    return insert(connection, ticket, values), reference


def change(connection: sa.Connection, ticket_id: int, at: datetime, **values: Any) -> None:
    """Change columns of a ticket; the event that says so is the caller's."""
    update(connection, ticket, ticket_id, {"changed_at": at, **values})


_LOCK = Prepared(sa.select(ticket.c.id).where(ticket.c.id == sa.bindparam("ticket_id")).with_for_update())
_BY_ID = Prepared(
    sa.select(ticket).where(ticket.c.tenant == sa.bindparam("tenant"), ticket.c.id == sa.bindparam("ticket_id"))
)
_BY_REFERENCE = Prepared(
    sa.select(ticket).where(ticket.c.tenant == sa.bindparam("tenant"), ticket.c.reference == sa.bindparam("reference"))
)
_PARTICIPANTS = Prepared(sa.select(participant.c.person_id).where(participant.c.ticket_id == sa.bindparam("ticket_id")))


def snapshot(connection: sa.Connection, tenant: str, ticket_id: int, *, lock: bool = False) -> Ticket | None:
    """A ticket of this tenant by id; with ``lock`` no other daemon changes it before this transaction ends."""
    if lock and connection.dialect.name != "sqlite":  # where the transaction itself is the lock
        _LOCK.first(connection, ticket_id=ticket_id)
    return _snapshot(connection, _BY_ID.first(connection, tenant=tenant, ticket_id=ticket_id))


def by_reference(connection: sa.Connection, tenant: str, reference: str) -> Ticket | None:
    """A ticket of this tenant by the reference people know."""
    return _snapshot(connection, _BY_REFERENCE.first(connection, tenant=tenant, reference=reference))


def _snapshot(connection: sa.Connection, row: Any) -> Ticket | None:
    if row is None:
        return None
    others = _PARTICIPANTS.rows(connection, ticket_id=row.id)
    return Ticket(
        id=row.id,
        reference=row.reference,
        desk=row.desk,
        subject=row.subject,
        status=Status(row.status),
        reason=Reason(row.reason),
        opened_at=row.opened_at,
        requester=people.by_id(connection, row.requester_id, row.organisation_id),
        participants=tuple(people.by_id(connection, other.person_id) for other in others),
        agent=row.agent,
        severity=row.severity,
        contract_id=row.contract_id,
        proven=row.proven,
    )


def held_for_contract(connection: sa.Connection, organisation_id: int) -> list[int]:
    """Tickets of an organisation that wait for a contract, oldest first."""
    return list(
        connection.execute(
            sa.select(ticket.c.id)
            .where(
                ticket.c.organisation_id == organisation_id,
                ticket.c.status == Status.HELD.value,
                ticket.c.reason == Reason.CONTRACT.value,
            )
            .order_by(ticket.c.id)
        ).scalars()
    )


def coverable(connection: sa.Connection, tenant: str, desk: str, day: date) -> list[int]:
    """Tickets of a desk held for a contract whose organisation has one on this day, and no change waits for them."""
    waiting = sa.select(input_.c.ticket_id).where(input_.c.done_at.is_(None), input_.c.trigger == "change")
    rows = connection.execute(
        sa.select(ticket.c.id)
        .distinct()
        .join(contract, contract.c.organisation_id == ticket.c.organisation_id)
        .where(
            ticket.c.tenant == tenant,
            ticket.c.desk == desk,
            ticket.c.status == Status.HELD.value,
            ticket.c.reason == Reason.CONTRACT.value,
            contract.c.starts <= day,
            contract.c.ends >= day,
            ticket.c.id.not_in(waiting),
        )
        .order_by(ticket.c.id)
    )
    return list(rows.scalars())


def adopt_members(connection: sa.Connection, tenant: str) -> list[int]:
    """Tickets held because nobody knew the requester, who belongs to an organisation by now: it becomes the ticket's."""
    rows = connection.execute(
        sa.select(ticket.c.id, membership.c.organisation_id)
        .join(membership, membership.c.person_id == ticket.c.requester_id)
        .where(
            ticket.c.tenant == tenant,
            ticket.c.status == Status.HELD.value,
            ticket.c.reason == Reason.DETAILS.value,
            membership.c.ends.is_(None),
        )
        .order_by(ticket.c.id)
    ).all()
    for row in rows:
        connection.execute(sa.update(ticket).where(ticket.c.id == row.id).values(organisation_id=row.organisation_id))
    return [row.id for row in rows]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of ``helpdesk ticket list``."""

    id: int
    reference: str
    desk: str
    subject: str
    status: str
    reason: str
    agent: str
    requester: str
    opened_at: datetime
    due_at: datetime | None


def listing(connection: sa.Connection, tenant: str | None = None, *, closed: bool = False) -> list[Listed]:
    """Tickets in order of arrival (SM8); without ``closed`` only those still to do."""
    query = (
        sa.select(ticket, timer.c.due_at, timer.c.state)
        .outerjoin(timer, timer.c.ticket_id == ticket.c.id)
        .order_by(ticket.c.opened_at, ticket.c.id)
    )
    if tenant:
        query = query.where(ticket.c.tenant == tenant)
    if not closed:
        query = query.where(ticket.c.status != Status.CLOSED.value)
    return [
        Listed(
            row.id,
            row.reference,
            row.desk,
            row.subject,
            row.status,
            row.reason,
            row.agent,
            people.by_id(connection, row.requester_id).address,
            row.opened_at,
            row.due_at if row.state in ("running", "paused") else None,
        )
        for row in connection.execute(query)
    ]


def find_anywhere(connection: sa.Connection, reference: str) -> tuple[str, Ticket] | None:
    """The tenant and ticket of a reference, for the command line."""
    tenant = connection.execute(sa.select(ticket.c.tenant).where(ticket.c.reference == reference.upper())).scalar()
    found = by_reference(connection, tenant, reference.upper()) if tenant else None
    return (tenant, found) if tenant and found else None


def add_participant(connection: sa.Connection, ticket_id: int, person_id: int, since: datetime) -> None:
    """From now on this person may read and write in the ticket."""
    insert_or_ignore(connection, participant, {"ticket_id": ticket_id, "person_id": person_id, "since": since})


def note_named(connection: sa.Connection, ticket_id: int, addresses: Iterable[str]) -> None:
    """Remember whom an entry named in To or Cc."""
    for one in sorted({fold(address) for address in addresses} - {""}):
        insert_or_ignore(connection, named, {"ticket_id": ticket_id, "address": one})


_NAMED = Prepared(
    sa.select(named.c.id).where(
        named.c.ticket_id == sa.bindparam("ticket_id"), named.c.address == sa.bindparam("address")
    )
)


def was_named(connection: sa.Connection, ticket_id: int, written: str) -> bool:
    """True where an entry of the ticket named this address in To or Cc."""
    return _NAMED.first(connection, ticket_id=ticket_id, address=fold(written)) is not None


def add_event(
    connection: sa.Connection,
    *,
    tenant: str,
    ticket_id: int,
    at: datetime,
    kind: EventKind,
    person_id: int | None = None,
    text: str = "",
    data: Mapping[str, Any] | None = None,
    spool_id: int | None = None,
) -> int:
    """Append to a ticket's history; the event's id."""
    values = {
        "tenant": tenant,
        "ticket_id": ticket_id,
        "at": at,
        "kind": kind.value,
        "person_id": person_id,
        "text": text,
        "data": dict(data or {}),
        "spool_id": spool_id,
    }
    return insert(connection, event, values)


@dataclass(frozen=True, slots=True)
class Event:
    """One event as shown to people."""

    id: int
    at: datetime
    kind: EventKind
    person: str
    text: str
    data: Mapping[str, Any]
    spool_id: int | None


def history(connection: sa.Connection, ticket_id: int) -> list[Event]:
    """Everything that happened to a ticket, in order."""
    rows = connection.execute(sa.select(event).where(event.c.ticket_id == ticket_id).order_by(event.c.id)).all()
    names = {key: people.by_id(connection, key).called for key in {row.person_id for row in rows if row.person_id}}
    return [
        Event(row.id, row.at, EventKind(row.kind), names.get(row.person_id, ""), row.text, row.data, row.spool_id)
        for row in rows
    ]


_FILES = Prepared(
    sa.select(event.c.kind, event.c.data).where(
        event.c.ticket_id == sa.bindparam("ticket_id"), event.c.spool_id.is_not(None)
    )
)


def pictures(connection: sa.Connection, ticket_id: int, kinds: Collection[EventKind]) -> frozenset[str]:
    """The digests of all pictures that came with entries of these kinds on a ticket."""
    rows = [row for row in _FILES.rows(connection, ticket_id=ticket_id) if row.kind in kinds]
    return frozenset(file["digest"] for row in rows for file in row.data.get("files", ()) if "digest" in file)


_LAST_WORDS = Prepared(
    sa.select(event.c.text)
    .where(event.c.ticket_id == sa.bindparam("ticket_id"), event.c.kind == EventKind.CUSTOMER_ENTRY.value)
    .order_by(event.c.id.desc())
    .limit(1)
)


def last_words(connection: sa.Connection, ticket_id: int) -> str:
    """What the customer wrote last."""
    return _LAST_WORDS.scalar(connection, ticket_id=ticket_id) or ""


#: What an entry's data call the address that its writer wants answers to.
REPLY_TO = "reply_to"
_LAST_OF = Prepared(
    sa.select(event.c.data)
    .where(
        event.c.ticket_id == sa.bindparam("ticket_id"),
        event.c.person_id == sa.bindparam("person_id"),
        event.c.kind == EventKind.CUSTOMER_ENTRY.value,
    )
    .order_by(event.c.id.desc())
    .limit(1)
)


def place_to_answer(connection: sa.Connection, ticket_id: int, person_id: int) -> str:
    """Where a person asked to be answered in his last mail on a ticket; "" for his own address."""
    row = _LAST_OF.first(connection, ticket_id=ticket_id, person_id=person_id)
    return str(row.data.get(REPLY_TO, "")) if row else ""


_LAST_MAIL = Prepared(
    sa.select(event.c.spool_id, event.c.person_id)
    .where(
        event.c.ticket_id == sa.bindparam("ticket_id"),
        event.c.spool_id.is_not(None),
        sa.or_(
            event.c.kind == EventKind.CUSTOMER_ENTRY.value,
            event.c.kind == EventKind.THIRD_PARTY_ENTRY.value,
        ),
    )
    .order_by(event.c.id.desc())
    .limit(1)
)


def last_mail(connection: sa.Connection, ticket_id: int) -> tuple[int, Person | None] | None:
    """Number in the spool, and writer, of the last mail from outside; None where there is none."""
    row = _LAST_MAIL.first(connection, ticket_id=ticket_id)
    return (row.spool_id, people.by_id(connection, row.person_id) if row.person_id else None) if row else None


@dataclass(frozen=True, slots=True)
class Entry:
    """The text of an entry and whose it is."""

    text: str
    person_id: int | None


def entry(connection: sa.Connection, event_id: int) -> Entry | None:
    """One entry by the id of its event."""
    row = connection.execute(sa.select(event.c.text, event.c.person_id).where(event.c.id == event_id)).first()
    return Entry(row.text, row.person_id) if row else None


#: The kinds of events that promises are measured by.
MEASURED = (EventKind.OPENED, EventKind.STATUS, EventKind.ANSWER_ACCEPTED, EventKind.BOUNCED)
_HAPPENED = Prepared(
    sa.select(event.c.at, event.c.kind, event.c.data)
    .where(event.c.ticket_id == sa.bindparam("ticket_id"), sa.or_(*(event.c.kind == kind.value for kind in MEASURED)))
    .order_by(event.c.at, event.c.id)
)


def happened(connection: sa.Connection, ticket_id: int) -> list[Happened]:
    """The events that promises are measured by, in order of their time."""
    rows = _HAPPENED.rows(connection, ticket_id=ticket_id)
    return [Happened(row.at, EventKind(row.kind), row.data) for row in rows]


def note_message_id(
    connection: sa.Connection, tenant: str, text: str, ticket_id: int, event_id: int | None, audience: str
) -> None:
    """A Message-ID was seen on a ticket: its mails, and answers to them, find it from now on."""
    insert_or_ignore(
        connection,
        message_id,
        {"tenant": tenant, "message_id": text, "ticket_id": ticket_id, "event_id": event_id, "audience": audience},
    )


_BY_MESSAGE_ID = Prepared(
    sa.select(message_id.c.ticket_id)
    .where(message_id.c.tenant == sa.bindparam("tenant"), message_id.c.message_id == sa.bindparam("one"))
    .order_by(message_id.c.id)
)


def by_message_ids(connection: sa.Connection, tenant: str, ids: Sequence[str]) -> list[int]:
    """Tickets on which these ids were seen, in the order of the ids."""
    found = [row.ticket_id for one in ids for row in _BY_MESSAGE_ID.rows(connection, tenant=tenant, one=one)]
    return list(dict.fromkeys(found))


_MOST_LATELY = 20
_LATELY_OF = Prepared(
    sa.select(ticket.c.id)
    .where(
        ticket.c.tenant == sa.bindparam("tenant"),
        ticket.c.requester_id == sa.bindparam("person_id"),
        ticket.c.changed_at >= sa.bindparam("since"),
    )
    .order_by(ticket.c.changed_at.desc(), ticket.c.id.desc())
    .limit(_MOST_LATELY)
)


def lately_of(connection: sa.Connection, tenant: str, person_id: int, since: datetime) -> list[int]:
    """The latest tickets of a requester that changed since then, the latest first; at most 20."""
    return [row.id for row in _LATELY_OF.rows(connection, tenant=tenant, person_id=person_id, since=since)]


_THREAD = Prepared(
    sa.select(message_id.c.message_id)
    .where(message_id.c.ticket_id == sa.bindparam("ticket_id"), message_id.c.audience == sa.bindparam("audience"))
    .order_by(message_id.c.id)
)


def requested_by(connection: sa.Connection, person_id: int, ids: Sequence[int]) -> int:
    """How many of these mentions of tickets are of tickets that this person opened; the latest hundred are looked at."""
    latest = list(ids)[-100:]
    if not latest:
        return 0
    found = sa.select(ticket.c.id).where(ticket.c.id.in_(latest), ticket.c.requester_id == person_id)
    own = set(connection.execute(found).scalars())
    return sum(one in own for one in latest)


def thread(connection: sa.Connection, ticket_id: int, audience: str) -> list[str]:
    """The Message-IDs that an audience has seen of a ticket, oldest first."""
    return [row.message_id for row in _THREAD.rows(connection, ticket_id=ticket_id, audience=audience)]


def conversation_of(audience: str) -> str:
    """Whose conversation a key is noted for, beside the Message-IDs of the audience."""
    return f"x{audience}"


_STORE_TIMER = Prepared(
    sa.update(timer).where(
        timer.c.ticket_id == sa.bindparam("of_ticket"), timer.c.promise == sa.bindparam("of_promise")
    ),
    ("state", "due_at", "wake_at", "round"),
)


def store_timer(connection: sa.Connection, tenant: str, ticket_id: int, found: Timer, wake_at: datetime | None) -> None:
    """Write the index row of a computed timer."""
    values = {"state": found.state, "due_at": found.due_at, "wake_at": wake_at, "round": found.round}
    key = {"tenant": tenant, "ticket_id": ticket_id, "promise": found.promise}
    if not _STORE_TIMER.run(connection, of_ticket=ticket_id, of_promise=found.promise, **values):
        insert_or_ignore(connection, timer, {**key, **values})


_DROP_TIMER = Prepared(
    sa.delete(timer).where(timer.c.ticket_id == sa.bindparam("ticket_id"), timer.c.promise == sa.bindparam("promise"))
)


def drop_timer(connection: sa.Connection, ticket_id: int, promise: str) -> None:
    """Nothing is promised any more, or not yet: no index row."""
    _DROP_TIMER.run(connection, ticket_id=ticket_id, promise=promise)


@dataclass(frozen=True, slots=True)
class TimerRow:
    """A timer that wants to be looked at."""

    id: int
    tenant: str
    ticket_id: int
    promise: str


def due_timers(connection: sa.Connection, now: datetime, limit: int) -> list[TimerRow]:
    """Timers whose time to wake has come, oldest first."""
    rows = connection.execute(
        sa.select(timer)
        .where(timer.c.wake_at.is_not(None), timer.c.wake_at <= now)
        .order_by(timer.c.wake_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [TimerRow(row.id, row.tenant, row.ticket_id, row.promise) for row in rows]


def sleep(connection: sa.Connection, timer_id: int, until: datetime | None) -> None:
    """Look at a timer again at this time, or never."""
    connection.execute(sa.update(timer).where(timer.c.id == timer_id).values(wake_at=until))


def timers(connection: sa.Connection, ticket_id: int) -> list[tuple[str, str, datetime | None]]:
    """Promise, state and due time of a ticket's timers."""
    rows = connection.execute(sa.select(timer).where(timer.c.ticket_id == ticket_id).order_by(timer.c.promise))
    return [(row.promise, row.state, row.due_at) for row in rows]


_REMINDERS = Prepared(
    sa.select(reminder.c.round, reminder.c.step).where(
        reminder.c.ticket_id == sa.bindparam("ticket_id"), reminder.c.promise == sa.bindparam("promise")
    )
)


def reminders_done(connection: sa.Connection, ticket_id: int, promise: str) -> set[tuple[int, str]]:
    """(round, step) of the reminders that were spoken of."""
    return {(row.round, row.step) for row in _REMINDERS.rows(connection, ticket_id=ticket_id, promise=promise)}


def note_reminders(
    connection: sa.Connection, ticket_id: int, promise: str, round_: int, steps: Iterable[str], at: datetime
) -> None:
    """Mark steps as spoken of; the unique key keeps each to once."""
    for step in steps:
        insert_or_ignore(
            connection,
            reminder,
            {"ticket_id": ticket_id, "promise": promise, "step": step, "round": round_, "at": at},
        )


def store_decision(
    connection: sa.Connection,
    *,
    tenant: str,
    trigger: str,
    ticket_id: int | None,
    at: datetime,
    facts: Mapping[str, Any],
    decided: Mapping[str, Any],
    spool_id: int | None = None,
    input_id: int | None = None,
) -> None:
    """Keep what was known and what was decided, for whoever asks why."""
    values = {
        "tenant": tenant,
        "trigger": trigger,
        "spool_id": spool_id,
        "input_id": input_id,
        "ticket_id": ticket_id,
        "at": at,
        "facts": dict(facts),
        "decision": dict(decided),
    }
    insert(connection, decision, values)


def decisions(connection: sa.Connection, ticket_id: int) -> list[Mapping[str, Any]]:
    """The stored decisions of a ticket, oldest first."""
    rows = connection.execute(sa.select(decision).where(decision.c.ticket_id == ticket_id).order_by(decision.c.id))
    return [dict(row._mapping) for row in rows]
