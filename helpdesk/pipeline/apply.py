"""Turn a Decision into rows: the one module where effects have consequences. Writes only, in the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from helpdesk.domain import codec, token
from helpdesk.domain.address import domain_of, fold
from helpdesk.domain.decision import (
    AddEntry,
    Assign,
    ClearAddress,
    Confirm,
    Decision,
    Drop,
    Effect,
    EndQuarantine,
    JoinTicket,
    MarkAddress,
    OpenTicket,
    PassReport,
    Record,
    Relay,
    Say,
    SetAside,
    SetStatus,
    Suppress,
    UseContract,
)
from helpdesk.domain.event import PUBLIC_ENTRIES, EventKind
from helpdesk.domain.facts import Facts, Trigger
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.people import Person
from helpdesk.domain.public_domains import PUBLIC_MAIL_DOMAINS
from helpdesk.domain.reading import Attachment
from helpdesk.domain.ticket import Status
from helpdesk.inbound import thread
from helpdesk.inbound.authenticate import aligned
from helpdesk.pipeline import letters, timers
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.store import inputs, outbox, people, spool, tickets
from helpdesk.store.spool import Spooled


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an input, for its own row and for people."""

    name: str
    why: str
    ticket_id: int | None
    quarantine_id: int | None = None


@dataclass(slots=True)
class _Progress:
    """What the effects so far made."""

    sender: Person | None
    ticket_id: int | None
    customer: Person | None = None
    event_id: int | None = None
    words: str = ""
    third_party: bool = False
    relayed: str | None = None
    outcome: str = ""
    why: str = ""
    quarantine_id: int | None = None
    seen_pictures: frozenset[str] = frozenset()
    said: list[Say] = field(default_factory=list)
    changes: dict[str, object] = field(default_factory=dict)


def apply(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    facts: Facts,
    decision: Decision,
    *,
    at: datetime,
    taken: Spooled | None = None,
    input_id: int | None = None,
) -> Outcome:
    """Write everything the decision wants; ``at`` is when the input happened (UTC), which is what promises count."""
    progress = _Progress(facts.sender, facts.ticket.id if facts.ticket else None)
    for effect in decision.effects:
        _write(connection, world, desk, facts, progress, effect, at, taken)
    if progress.changes:
        tickets.change(connection, _ticket(progress), at, **progress.changes)
    ticket = tickets.snapshot(connection, desk.facts.tenant, progress.ticket_id) if progress.ticket_id else None
    timer = timers.rewrite(connection, desk, ticket, facts.now, facts.contracts) if ticket else None
    if taken is not None:
        _remember_ids(connection, desk, facts, progress, taken)
    occasion = letters.Occasion(
        facts=_with_old_pictures_named(replace(facts.after(decision.effects), proposal=facts.proposal), progress),
        ticket=ticket,
        timer=timer,
        now=facts.now,
        event_id=progress.event_id,
        spool_id=taken.id if taken else input_id or 0,
        raw=taken.mail.data if taken else b"",
        words=progress.words,
        relayed=progress.relayed,
        quarantine_id=progress.quarantine_id,
    )
    letters.write(connection, world, desk, occasion, progress.said)
    tickets.store_decision(
        connection,
        tenant=desk.facts.tenant,
        trigger=facts.trigger.value,
        ticket_id=progress.ticket_id,
        at=facts.now,
        facts=codec.dump(facts),
        decided=codec.dump(decision),
        spool_id=taken.id if taken else None,
        input_id=input_id,
    )
    name = progress.outcome or ("entry" if progress.event_id else "nothing to do")
    why = progress.why or (decision.steps[-1].why if decision.steps else "no rule fired")
    return Outcome(name, why, progress.ticket_id, progress.quarantine_id)


def _write(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    facts: Facts,
    progress: _Progress,
    effect: Effect,
    at: datetime,
    taken: Spooled | None,
) -> None:
    match effect:
        case OpenTicket():
            _open(connection, world, desk, facts, progress, effect, at)
        case JoinTicket():
            progress.ticket_id = effect.ticket_id
            if effect.participant:
                sender = _known_sender(connection, desk, facts, progress)
                tickets.add_participant(connection, effect.ticket_id, sender.id, at)
        case AddEntry():
            _add_entry(connection, world, desk, facts, progress, effect, at, taken)
        case SetStatus():
            _set_status(connection, desk, progress, effect, at, _actor(facts))
        case Assign():
            progress.changes["agent"] = effect.agent
            _event(connection, desk, progress, EventKind.ASSIGNED, at, {"agent": effect.agent}, _actor(facts))
        case UseContract():
            progress.changes["contract_id"] = effect.contract_id
            _event(connection, desk, progress, EventKind.CONTRACT, at, {"contract": effect.contract_id}, _actor(facts))
        case Confirm():
            _confirm(connection, desk, facts, progress, effect, at)
        case Record():
            moment = facts.delivery.at if facts.delivery and facts.delivery.at else at
            _event(connection, desk, progress, effect.kind, moment, dict(effect.data), _actor(facts))
        case PassReport():
            _pass_report(connection, desk, progress, effect, at)
        case MarkAddress():
            people.mark_unreachable(connection, desk.facts.tenant, effect.address, effect.why, at)
        case ClearAddress():
            people.mark_reachable(connection, desk.facts.tenant, effect.address)
        case Relay():
            progress.relayed = effect.text
        case Say():
            progress.said.append(effect)
        case Drop():
            progress.outcome, progress.why = "dropped", effect.reason
        case SetAside():
            progress.outcome, progress.why = "quarantined", effect.cause
            if taken is not None:
                progress.quarantine_id = spool.set_aside(connection, taken, effect.cause, facts.now)
        case EndQuarantine():
            end = spool.release if effect.release else spool.drop_set_aside
            end(connection, effect.number, spool.CONFIRMED if effect.confirmed else "by mail", facts.now)
        case Suppress():
            pass


def _ticket(progress: _Progress) -> int:
    assert progress.ticket_id is not None, "an effect on a ticket before any ticket was opened or joined"
    return progress.ticket_id


def _actor(facts: Facts) -> int | None:
    """Who caused a change: an agent by his mail, else nobody but the desk itself."""
    return facts.agent.id if facts.trigger is Trigger.MAIL and facts.agent else None


def _event(
    connection: sa.Connection,
    desk: RunningDesk,
    progress: _Progress,
    kind: EventKind,
    at: datetime,
    data: dict[str, object],
    person_id: int | None,
) -> None:
    tickets.add_event(
        connection,
        tenant=desk.facts.tenant,
        ticket_id=_ticket(progress),
        at=at,
        kind=kind,
        data=data,
        person_id=person_id,
    )


def _known_sender(connection: sa.Connection, desk: RunningDesk, facts: Facts, progress: _Progress) -> Person:
    """The sender as a person of ours, made now where he writes for the first time.

    An unproven newcomer's display name is not taken over: it would be repeated in automatic mail (T20).
    """
    if progress.sender is None:
        written = facts.reading.sender or Mailbox("")
        name = written.name if facts.proof.proven else ""
        group = facts.employer.id if facts.employer else None
        progress.sender = people.add(connection, desk.facts.tenant, written.address, name, group)
    elif facts.employer is not None and progress.sender.organisation is None:
        people.join(connection, desk.facts.tenant, progress.sender.id, facts.employer.id, "contact")
        progress.sender = people.by_id(connection, progress.sender.id)
    return progress.sender


def _requester(
    connection: sa.Connection, desk: RunningDesk, facts: Facts, progress: _Progress, *, forwarded: bool
) -> Person:
    """Whose words an entry holds: the sender's, or his whose mail an agent forwarded; made a person of ours where new."""
    if not forwarded or facts.customer is None:
        return _known_sender(connection, desk, facts, progress)
    if progress.customer is None:
        new = facts.customer.id == 0
        progress.customer = (
            people.add(connection, desk.facts.tenant, facts.customer.address, "") if new else facts.customer
        )
    return progress.customer


def _open(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    facts: Facts,
    progress: _Progress,
    effect: OpenTicket,
    at: datetime,
) -> None:
    sender = _requester(connection, desk, facts, progress, forwarded=effect.forwarded)
    progress.ticket_id, _ = tickets.open_ticket(
        connection,
        tenant=desk.facts.tenant,
        desk=desk.facts.key,
        prefix=desk.prefix,
        subject=effect.subject,
        requester=sender,
        proven=facts.proof.proven and not effect.forwarded,
        at=at,
    )
    _event(connection, desk, progress, EventKind.OPENED, at, {"status": Status.NEW.value}, sender.id)
    for letter in ("c", "a"):
        # Stored, since it must stay the same when the key that signs it is changed.
        root = token.message_id(world.keys, desk.written.rpartition("@")[2], progress.ticket_id, 0, letter)
        tickets.note_message_id(connection, desk.facts.tenant, root, progress.ticket_id, None, letter)


def _add_entry(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    facts: Facts,
    progress: _Progress,
    effect: AddEntry,
    at: datetime,
    taken: Spooled | None,
) -> None:
    report = effect.kind is EventKind.REPORT
    # A mail system is nobody, and whose name it bears is not told by the report.
    sender = None
    if facts.reading.sender and not report:
        sender = _requester(connection, desk, facts, progress, forwarded=effect.forwarded)
    # What is attached to a forward came with the customer's mail, not with the note above it.
    noted = effect.kind is EventKind.NOTE and progress.customer is not None
    attached = () if noted else facts.reading.attachments
    if any(map(_may_be_logo, attached)):
        progress.seen_pictures = tickets.pictures(connection, _ticket(progress), _read_before(effect.kind))
    files = [_file(one) | ({"again": True} if _is_again(one, progress) else {}) for one in attached]
    data: dict[str, object] = {"files": files, "proof": facts.proof.value} if files else {"proof": facts.proof.value}
    his_own = effect.kind is EventKind.CUSTOMER_ENTRY and not effect.forwarded
    if his_own and (place := _place_to_answer(connection, world, desk, facts)):
        data[tickets.REPLY_TO] = place
    progress.words = effect.text
    progress.third_party = report or effect.kind is EventKind.THIRD_PARTY_ENTRY
    progress.event_id = tickets.add_event(
        connection,
        tenant=desk.facts.tenant,
        ticket_id=_ticket(progress),
        at=at,
        kind=effect.kind,
        person_id=sender.id if sender else None,
        text=effect.text,
        data=data,
        spool_id=taken.id if taken else None,
    )
    # A forged mail must not be able to name those who may join later (T2).
    if effect.kind is EventKind.CUSTOMER_ENTRY and facts.proof.proven and not effect.forwarded:
        others = [mailbox.address for mailbox in (*facts.reading.to, *facts.reading.cc)]
        if tickets.REPLY_TO in data:
            others.insert(0, str(data[tickets.REPLY_TO]))
        tickets.note_named(connection, _ticket(progress), others[:25])


def _place_to_answer(connection: sa.Connection, world: World, desk: RunningDesk, facts: Facts) -> str:
    """Where a proven sender asks to be answered; "" where that is his own address, or may be somebody else's.

    Within his own organisation's domain alone, and never staff: Reply-To proves nothing (reliability T4).
    """
    sender, places = facts.reading.sender, facts.reading.reply_to
    if sender is None or len(places) != 1 or not facts.proof.proven:
        return ""
    place = places[0].address
    domain = domain_of(place)
    if fold(place) == fold(sender.address) or domain in PUBLIC_MAIL_DOMAINS or world.desk_of(place) is not None:
        return ""
    if not aligned(domain, domain_of(sender.address)):
        return ""
    known = people.by_address(connection, desk.facts.tenant, place, facts.today)
    return "" if known is not None and known.agent else place


def _file(one: Attachment) -> dict[str, object]:
    """An attachment as the history names it."""
    known: dict[str, object] = {"name": one.name, "type": one.type, "size": one.size}
    return known | {"digest": one.digest} if one.digest else known


def _read_before(kind: EventKind) -> tuple[EventKind, ...]:
    """Which entries the readers of one of this kind have read: agents all from outside, customers the answers."""
    if kind in (EventKind.CUSTOMER_ENTRY, EventKind.THIRD_PARTY_ENTRY):
        return PUBLIC_ENTRIES
    return (EventKind.ANSWER,) if kind is EventKind.ANSWER else ()


def _may_be_logo(one: Attachment) -> bool:
    return one.inline and bool(one.digest)


def _is_again(one: Attachment, progress: _Progress) -> bool:
    """True for a picture in the text that its reader got with an earlier mail of the ticket: a logo, or part of a quote."""
    return _may_be_logo(one) and one.digest in progress.seen_pictures


def _with_old_pictures_named(facts: Facts, progress: _Progress) -> Facts:
    """What the mails about it show: a logo comes along once, not with each mail of its owner."""
    if not progress.seen_pictures:
        return facts
    files = tuple(replace(one, old=_is_again(one, progress)) for one in facts.reading.attachments)
    return replace(facts, reading=replace(facts.reading, attachments=files))


def _pass_report(
    connection: sa.Connection, desk: RunningDesk, progress: _Progress, effect: PassReport, at: datetime
) -> None:
    """Once for each mail: whoever sends the same report again changes nothing."""
    found = outbox.came_back(connection, effect.mail_id, effect.reason, at)
    if found is None:
        return
    data = {
        "outcome": "bounced",
        "kind": found.kind,
        "audience": found.audience,
        "recipient": found.recipient,
        "reason": effect.reason,
        "status": effect.status,
        "at": at.isoformat(),
        "since": found.created_at.isoformat(),
        "event": found.event_id,
        "mail": found.id,
    }
    inputs.add(connection, desk.facts.tenant, Trigger.DELIVERY.value, _ticket(progress), data, at)


def _set_status(
    connection: sa.Connection,
    desk: RunningDesk,
    progress: _Progress,
    effect: SetStatus,
    at: datetime,
    person_id: int | None,
) -> None:
    progress.changes |= {"status": effect.status.value, "reason": effect.reason.value}
    data: dict[str, object] = {"status": effect.status.value, "reason": effect.reason.value, "why": effect.why}
    _event(connection, desk, progress, EventKind.STATUS, at, data, person_id)


def _confirm(
    connection: sa.Connection, desk: RunningDesk, facts: Facts, progress: _Progress, effect: Confirm, at: datetime
) -> None:
    assert facts.candidates or facts.ticket
    found = tickets.snapshot(connection, desk.facts.tenant, _ticket(progress))
    assert found is not None
    people.join(connection, desk.facts.tenant, found.requester.id, effect.organisation_id, "contact")
    progress.changes["organisation_id"] = effect.organisation_id
    data: dict[str, object] = {"organisation": effect.organisation_id}
    _event(connection, desk, progress, EventKind.REQUESTER, at, data, _actor(facts))


def _remember_ids(
    connection: sa.Connection, desk: RunningDesk, facts: Facts, progress: _Progress, taken: Spooled
) -> None:
    """The mail's own id finds the ticket from now on; staff's and customers' threads are kept apart."""
    if progress.event_id is None or progress.ticket_id is None:
        return
    # A third party's id finds the ticket too, but stands in nobody's thread: it would tell that he wrote.
    audience = "a" if facts.agent is not None else "t" if progress.third_party else "c"
    # What is noted for "x" is known by and never cited, and a conversation only as one.
    keys = [(alias, "x") for alias in facts.reading.aliases]
    if not progress.third_party and not thread.is_new(facts.reading):
        keys.append((thread.index_key(facts.reading), tickets.conversation_of(audience)))
    for key, noted_for in (*keys, (facts.reading.message_id, audience)):
        if key:
            tickets.note_message_id(
                connection, desk.facts.tenant, key, progress.ticket_id, progress.event_id, noted_for
            )
