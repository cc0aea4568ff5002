"""Collect what the rules may know about one input; reads only."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from helpdesk.domain.address import fold
from helpdesk.domain.bounce import Fate
from helpdesk.domain.contract import Contract
from helpdesk.domain.decision import Audience
from helpdesk.domain.facts import (
    BY_REFERENCE,
    BY_SUBJECT,
    BY_THREAD_INDEX,
    Candidate,
    Change,
    Delivery,
    Facts,
    Proposal,
    Ration,
    Returned,
    TimerDue,
    Trigger,
    Waiting,
)
from helpdesk.domain.mail import Door
from helpdesk.domain.people import Agent, Organisation, Person
from helpdesk.domain.proof import Proof, Role, TokenState
from helpdesk.domain.reading import Kind, Reading
from helpdesk.domain.sla import BREACH, DueStep, Timer
from helpdesk.domain.ticket import Reason, Ticket
from helpdesk.domain.token import (
    CUSTOMERS,
    Routed,
    confirmed_mail,
    own_conversation,
    own_message_id,
    returned_mail,
    route,
    set_aside_mail,
)
from helpdesk.inbound import thread
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.store import outbox, people, spool, tickets
from helpdesk.store.outbox import Handed
from helpdesk.store.spool import Spooled

_REFERENCE = re.compile(r"\b([A-Z]{1,6}-[0-9]{4,12})\b")
_CONTRACT_NUMBER = re.compile(r"[\w][\w./-]{2,39}")
_DIGIT = re.compile(r"\d")
_CONFIRMED = re.compile(r"^#confirm[:\s]+(\S.*)$", re.IGNORECASE | re.MULTILINE)

#: A report about a mail of ours is believed for so many days after it was written; mail systems give up within a week.
REPORT_DAYS = 30
#: Of a report that gives no reason in fields, so many characters of its text stand for it.
_FIRST_WORDS = 200
#: The subject of a reply leads to tickets that changed within so many days, no further.
SUBJECT_DAYS = 30
#: A reminder so many seconds after its time is late: the desk was not running.
LATE_SECONDS = 900


def addressed(taken: Spooled, reading: Reading) -> tuple[str, ...]:
    """The addresses the mail was sent to: the envelope's, and where an IMAP server lost them the headers' first."""
    headers = tuple(mailbox.address for mailbox in (*reading.to, *reading.cc))
    envelope = taken.mail.envelope.recipients
    return (*headers, *envelope) if taken.mail.door in (Door.IMAP, Door.FILE) else (*envelope, *headers)


def _to_role(world: World, tenant: str, taken: Spooled, reading: Reading) -> bool:
    """Whether the mail came to postmaster or abuse and to no desk's own address.

    The envelope of a watched mailbox says only which desk the mailbox is for.
    """
    envelope = taken.mail.envelope.recipients
    headers = tuple(mailbox.address for mailbox in (*reading.to, *reading.cc))
    named = (headers, envelope) if taken.mail.door in (Door.IMAP, Door.FILE) else (envelope,)
    for addresses in named:
        ours = [one for one in addresses if (desk := world.desk_of(one)) and desk.facts.tenant == tenant]
        if ours:
            return all(map(world.is_role, ours))
    return False


def mail(
    connection: sa.Connection, world: World, desk: RunningDesk, taken: Spooled, reading: Reading, now: datetime
) -> Facts:
    """Facts about a mail; its time is that of receipt."""
    tenant = desk.facts.tenant
    released = spool.released_how(connection, taken.id)
    reading = _by_its_writer(world, desk, _as_released(reading) if released else reading)
    today = taken.mail.received_at.astimezone(ZoneInfo(desk.facts.zone)).date()
    sender = _sender(connection, tenant, reading, today)
    agent = _agent(desk, sender)
    proof = reading.proof
    if agent is not None and not proof.proven and released:
        if released == spool.CONFIRMED:
            proof = Proof.CONFIRMED
        else:
            agent = None  # a person let it out of quarantine: its words are filed, its sender stays unbelieved
    employer = _employer(connection, tenant, reading, sender)
    addresses = addressed(taken, reading)
    token, routed = _token(world, addresses, sender)
    to_return_path, ours = _returned(connection, world, tenant, addresses, reading, taken.mail.received_at)
    candidates = _candidates(connection, world, tenant, reading, routed, sender, employer, ours, taken.mail.received_at)
    if routed and _quotes_another(connection, world, tenant, reading, routed.ticket_id):
        token = TokenState.OTHER_TICKETS
    numbers = _contract_numbers(reading)
    holder = people.contract_holder(connection, tenant, numbers) if _may_propose(sender, agent) else None
    customer = _customer(connection, world, tenant, reading, today) if agent else None
    organisations = people.organisations(connection, tenant, _CONFIRMED.findall(reading.lead_text)) if agent else ()
    return Facts(
        trigger=Trigger.MAIL,
        now=now,
        today=today,
        desk=desk.facts,
        reading=reading,
        proof=proof,
        role=_role(sender, agent) if employer is None else Role.CONTACT,
        sender=sender,
        agent=agent,
        token=token,
        purpose=routed.purpose if routed else "",
        candidates=candidates,
        contracts=_contracts(
            connection, (sender, customer), candidates, (*organisations, *((employer,) if employer else ()))
        ),
        employer=employer,
        proposal=Proposal(*holder) if holder else None,
        organisations=organisations,
        agents=desk.agents,
        ration=_ration(connection, tenant, agent, reading, now),
        returned=_reported(ours, reading) if ours and reading.kind.is_report else None,
        to_return_path=to_return_path,
        to_role=_to_role(world, tenant, taken, reading),
        ours=own_message_id(world.keys, reading.message_id) is not None,
        repeats=_repeats(connection, taken, sender, agent, reading, candidates),
        customer=customer,
        customer_ration=Ration(*outbox.automatic_since(connection, tenant, customer.address, now))
        if customer
        else Ration(),
        quarantine=_spoken_of(connection, world, tenant, addresses),
        confirming=_confirming(connection, world, tenant, addresses, agent) if agent else None,
        released=bool(released),
        by_operator=reading.sender is not None and fold(reading.sender.address) == fold(world.operator),
    )


def _as_released(reading: Reading) -> Reading:
    """A mail without one strict sender that a person let in is from whom it seems to be from, as far as that proves."""
    seems = reading.claimed
    if reading.sender is not None or seems is None or not fold(seems.address):
        return reading
    return replace(reading, sender=seems, proof=Proof.AMBIGUOUS, proof_why=reading.sender_problem)


def _by_its_writer(world: World, desk: RunningDesk, reading: Reading) -> Reading:
    """The reading with its true writer, where a web form or the desk's own list stands before him.

    Whoever fills in a form may write any address into it, so nothing proves it.
    """
    lists = world.desk_of(reading.list_address) if reading.list_address else None
    if reading.kind is Kind.BULK and lists is not None and lists.facts.tenant == desk.facts.tenant:
        # Everything that comes by the list that the desk's own address is bears its marks.
        reading = replace(reading, kind=Kind.HUMAN, kind_why="came by the list at the desk's own address")
    if reading.sender is None or reading.loop_marks or own_message_id(world.keys, reading.message_id) is not None:
        return reading
    form = fold(reading.sender.address)
    ours = world.desk_of(form) is not None
    if not (form in desk.facts.web_forms or (ours and reading.proof is not Proof.FAILED)):
        return reading
    named = [one for one in reading.reply_to if fold(one.address) != form and world.desk_of(one.address) is None]
    # A form that writes as the desk itself is told by the address to answer to alone: agents' mails hold such lines, too.
    found = named[0] if len(named) == 1 else None if ours else reading.submitter
    if found is None or not fold(found.address) or world.desk_of(found.address) is not None:
        return reading
    return replace(reading, sender=found, proof=Proof.NONE, proof_why="a web form names the writer; nothing proves him")


def _spoken_of(connection: sa.Connection, world: World, tenant: str, addresses: Sequence[str]) -> Waiting | None:
    for address in addresses:
        number = set_aside_mail(world.keys, _tag(address))
        if number == 0:  # an answer to the list of the morning
            return Waiting(0, waits=False)
        if number is not None and (found := spool.in_quarantine(connection, tenant, number)) is not None:
            return Waiting(number, *found)
    return None


def _confirming(
    connection: sa.Connection, world: World, tenant: str, addresses: Sequence[str], agent: Agent
) -> Waiting | None:
    """The mail that this agent, and nobody else, was asked about."""
    for address in addresses:
        number, person_id = confirmed_mail(world.keys, _tag(address)) or (0, 0)
        if person_id == agent.id and (found := spool.in_quarantine(connection, tenant, number)) is not None:
            return Waiting(number, *found)
    return None


def _tag(address: str) -> str:
    return address.rpartition("@")[0].partition("+")[2]


def timer(desk: RunningDesk, ticket: Ticket, found: Timer, due: DueStep, now: datetime) -> Facts:
    """Facts about a reminder that is due."""
    late = (now - due.at).total_seconds() > LATE_SECONDS
    step = TimerDue(found.promise, due.step, due.stands_for, found.due_at, due.round, due.step == BREACH, late)
    return _about(desk, ticket, Trigger.TIMER, now, timer=step)


def change(connection: sa.Connection, desk: RunningDesk, ticket: Ticket, kind: str, now: datetime) -> Facts:
    """Facts about something that an administrator changed."""
    group = ticket.requester.organisation
    contracts = people.contracts_of(connection, group.id) if group else ()
    what = Change(kind, heard=outbox.was_written_to(connection, ticket.id, Audience.CUSTOMER.value))
    ration = Ration(*outbox.automatic_since(connection, desk.facts.tenant, ticket.requester.address, now))
    return _about(desk, ticket, Trigger.CHANGE, now, change=what, contracts=contracts, ration=ration)


def delivery(
    connection: sa.Connection, world: World, desk: RunningDesk, ticket: Ticket, data: dict[str, Any], now: datetime
) -> Facts:
    """Facts about the fate of an outbox row."""
    entry = tickets.entry(connection, data["event"]) if data.get("event") else None
    author = next((agent for agent in desk.agents if entry and agent.id == entry.person_id), None)
    what = Delivery(
        outcome=data["outcome"],
        human=data["kind"] == "human",
        recipient=data["recipient"],
        reason=data.get("reason", ""),
        at=datetime.fromisoformat(data["at"]),
        since=datetime.fromisoformat(data["since"]) if "since" in data else None,
        words=entry.text if entry else "",
        event_id=data.get("event"),
        audience=data.get("audience", Audience.CUSTOMER.value),
        status=data.get("status", ""),
        told=_told(connection, world, desk, data, now),
    )
    return _about(desk, ticket, Trigger.DELIVERY, now, delivery=what, agent=author)


def _told(connection: sa.Connection, world: World, desk: RunningDesk, data: dict[str, Any], now: datetime) -> bool:
    """Whether the operator heard within a day that mail to this address fails."""
    if data["outcome"] == "sent":
        return False
    since, tenant, block = now - timedelta(days=1), desk.facts.tenant, "staff_unreachable"
    return outbox.was_told_about(connection, tenant, world.operator, block, data["recipient"], since)


def _about(desk: RunningDesk, ticket: Ticket, trigger: Trigger, now: datetime, **more: Any) -> Facts:
    today = now.astimezone(ZoneInfo(desk.facts.zone)).date()
    return Facts(trigger=trigger, now=now, today=today, desk=desk.facts, ticket=ticket, agents=desk.agents, **more)


def _sender(connection: sa.Connection, tenant: str, reading: Reading, today: Any) -> Person | None:
    return people.by_address(connection, tenant, reading.sender.address, today) if reading.sender else None


def _customer(connection: sa.Connection, world: World, tenant: str, reading: Reading, today: Any) -> Person | None:
    """Whom the forwarded mail is from; None for staff and for our own addresses, whose mails are nobody's request."""
    author = reading.forwarded.sender if reading.forwarded else None
    if author is None or not author.address or world.desk_of(author.address) is not None:
        return None
    known = people.by_address(connection, tenant, author.address, today)
    if known is not None and known.agent:
        return None
    return known or Person(0, "", author.address)


def _agent(desk: RunningDesk, sender: Person | None) -> Agent | None:
    if sender is None or not sender.agent:
        return None
    return next((agent for agent in desk.agents if agent.id == sender.id), None)


def _employer(connection: sa.Connection, tenant: str, reading: Reading, sender: Person | None) -> Organisation | None:
    """The organisation that a proven sender's domain tells, where we know him as nobody's yet (SM5)."""
    if reading.sender is None or not reading.proof.proven or (sender and (sender.organisation or sender.agent)):
        return None
    return people.by_domain(connection, tenant, reading.sender.address)


def _role(sender: Person | None, agent: Agent | None) -> Role:
    if agent is not None:
        return Role.AGENT
    if sender is None or sender.organisation is None:
        return Role.STRANGER
    return Role(sender.role) if sender.role in (Role.ADMINISTRATOR, Role.PARTNER) else Role.CONTACT


def _may_propose(sender: Person | None, agent: Agent | None) -> bool:
    return agent is None and (sender is None or sender.organisation is None)


def _contract_numbers(reading: Reading) -> list[str]:
    """Words of the new text that may be contract numbers: some sign, at least one digit."""
    words = _CONTRACT_NUMBER.findall(f"{reading.subject}\n{reading.new_text or reading.text}"[:20_000])
    return [word.rstrip(".-/") for word in dict.fromkeys(words) if _DIGIT.search(word)][:200]


def _token(world: World, addresses: Sequence[str], sender: Person | None) -> tuple[TokenState, Routed | None]:
    """The route that the addresses name; of several a note's wins, and one that was tampered with spoils them all."""
    spoilt, routes = False, list[Routed]()
    for address in addresses:
        if world.desk_of(address) is None:
            continue
        found = route(world.keys, _tag(address))
        if isinstance(found, Routed):
            routes.append(found)
        elif found is not None:
            spoilt = True
    chosen = next((one for one in routes if one.purpose == "n"), routes[0] if routes else None)
    if spoilt:
        return TokenState.TAMPERED, chosen
    if chosen is None:
        return TokenState.NONE, None
    if any(one.ticket_id != chosen.ticket_id for one in routes):
        return TokenState.OTHER_TICKETS, chosen
    own = sender is not None and sender.id == chosen.person_id
    return (TokenState.OWN if own else TokenState.SOMEBODY_ELSES), chosen


def _quotes_another(connection: sa.Connection, world: World, tenant: str, reading: Reading, ticket_id: int) -> bool:
    """True where the mail answers mails of tickets, and none of them is the one that its address names."""
    own = [found[0] for parent in reading.parents if (found := own_message_id(world.keys, parent)) and found[0]]
    answered = {*own, *tickets.by_message_ids(connection, tenant, reading.parents)}
    return bool(answered) and ticket_id not in answered


@dataclass(frozen=True, slots=True)
class _Ours:
    """A mail that we sent, and what shows that this one is about it."""

    mail: Handed
    how: str


def _returned(
    connection: sa.Connection,
    world: World,
    tenant: str,
    addresses: Sequence[str],
    reading: Reading,
    received_at: datetime,
) -> tuple[bool, _Ours | None]:
    """Whether the mail came to a return path, and the mail of ours that it is about.

    That is the one whose return path it came to; for a report else the one whose Message-ID it returns and whose
    recipient it names, both: an id alone is known to everybody whom the same words were sent to.
    """
    since = received_at - timedelta(days=REPORT_DAYS)
    named = _return_paths(world, addresses)
    for found in named:
        if found != "tampered":
            event_id, mail_id = found
            rows = outbox.handed(connection, tenant, since, mail_id=mail_id)
            if rows and (rows[0].event_id or 0) == event_id:
                return True, _Ours(rows[0], "the return path")
    if reading.report is not None and reading.report.returned:
        rows = outbox.handed(connection, tenant, since, ids=reading.report.returned)
        reported = {fold(one) for fate in reading.report.fates for one in (fate.recipient, fate.original)} - {""}
        mine = next((row for row in rows if fold(row.recipient) in reported), None)
        if mine is not None:
            return bool(named), _Ours(mine, "the mail that it returns")
    return bool(named), None


def _return_paths(world: World, addresses: Sequence[str]) -> list[tuple[int, int] | Literal["tampered"]]:
    tags = [one.rpartition("@")[0].partition("+")[2] for one in addresses if world.desk_of(one) is not None]
    return [found for tag in tags if (found := returned_mail(world.keys, tag)) is not None]


def _reported(ours: _Ours, reading: Reading) -> Returned:
    """What the report says of our mail: of its recipient, else of the only one, who may be whom it was forwarded to."""
    fates = reading.report.fates if reading.report else ()
    mine = [one for one in fates if fold(ours.mail.recipient) in (fold(one.recipient), fold(one.original))]
    failed = [one for one in fates if one.action == "failed"]
    fate = next(iter((*mine, *failed, *fates)), Fate())
    if not fate.words:
        fate = replace(fate, words=" ".join(reading.text.split())[:_FIRST_WORDS])
    mail = ours.mail
    known = mail.state in ("bounced", "failed", "expired")
    return Returned(mail.id, mail.kind == "human", mail.recipient, ours.how, fate, known)


def _repeats(
    connection: sa.Connection,
    taken: Spooled,
    sender: Person | None,
    agent: Agent | None,
    reading: Reading,
    candidates: Sequence[Candidate],
) -> int:
    """How many mails of the last day had the same words and sender: of an agent's, those to the same ticket alone; of
    somebody's whose organisation we know, those of his own tickets; of a stranger's, all of his domain."""
    since = taken.mail.received_at - timedelta(days=1)
    alike = spool.alike(connection, taken, reading.likeness, since)
    if agent is None and sender is not None and sender.organisation is not None:
        return tickets.requested_by(connection, sender.id, [one for one in alike if one])
    if agent is None:
        return len(alike)
    ids = {candidate.ticket.id for candidate in candidates}
    return sum(ticket_id in ids for ticket_id in alike)


def _candidates(
    connection: sa.Connection,
    world: World,
    tenant: str,
    reading: Reading,
    routed: Routed | None,
    sender: Person | None,
    employer: Organisation | None,
    ours: _Ours | None,
    received_at: datetime,
) -> tuple[Candidate, ...]:
    """Tickets the mail may belong to: reply address, our own ids, any id seen, then the weak signs.

    A bounce belongs to none but that of the mail which came back: anybody can send a thing that looks like one.
    """
    if reading.kind in (Kind.BOUNCE, Kind.DELAYED):
        ticket = tickets.snapshot(connection, tenant, ours.mail.ticket_id or 0, lock=True) if ours else None
        return (Candidate(ticket, ours.how),) if ours and ticket else ()
    signs: list[tuple[int, str]] = []
    if routed:
        signs.append((routed.ticket_id, "the reply address"))
    if ours and ours.mail.ticket_id:
        signs.append((ours.mail.ticket_id, ours.how))
    answered = thread.answered(reading)
    for parent in answered:
        if own := own_message_id(world.keys, parent):
            signs.append((own[0], "a mail of ours that it answers"))
    known = tickets.by_message_ids(connection, tenant, answered)
    signs += [(ticket_id, "a mail of the ticket that it answers") for ticket_id in known]
    found: dict[int, Candidate] = {}
    for ticket_id, how in signs:
        ticket = None if ticket_id in found else tickets.snapshot(connection, tenant, ticket_id, lock=True)
        if ticket is not None:
            found[ticket_id] = _candidate(connection, ticket, how, reading, sender, employer)
    for ticket, how in _by_weak_signs(connection, world, tenant, reading, sender, found.keys(), received_at):
        if ticket.id not in found:
            found[ticket.id] = _candidate(connection, ticket, how, reading, sender, employer)
    return tuple(found.values())


def _by_weak_signs(
    connection: sa.Connection,
    world: World,
    tenant: str,
    reading: Reading,
    sender: Person | None,
    found: Collection[int],
    received_at: datetime,
) -> list[tuple[Ticket, str]]:
    """Tickets by what anybody may write into a mail; none for a forward, which tells of another conversation.

    Agents are led by a reference alone: what they write goes out to a customer.
    """
    if thread.is_new(reading):
        return []
    references = dict.fromkeys(_REFERENCE.findall(reading.subject))
    named = [(tickets.by_reference(connection, tenant, one), BY_REFERENCE) for one in references]
    if sender is not None and not sender.agent:
        if key := thread.index_key(reading):
            ids = tickets.by_message_ids(connection, tenant, (key,))
            ids += filter(None, (own_conversation(world.keys, reading.thread_index, CUSTOMERS),))
            same = [tickets.snapshot(connection, tenant, one) for one in ids]
            named += [(one, BY_THREAD_INDEX) for one in same if one and thread.same_subject(reading, one.subject)]
        if not found and not named and reading.proof.proven and thread.is_reply(reading):
            since = received_at - timedelta(days=SUBJECT_DAYS)
            ids = tickets.lately_of(connection, tenant, sender.id, since)
            own = [tickets.snapshot(connection, tenant, one) for one in ids]
            named += [(one, BY_SUBJECT) for one in own if one and thread.same_subject(reading, one.subject)][:1]
    return [(one, how) for one, how in named if one is not None]


def _candidate(
    connection: sa.Connection,
    ticket: Ticket,
    how: str,
    reading: Reading,
    sender: Person | None,
    employer: Organisation | None,
) -> Candidate:
    named = bool(reading.sender and tickets.was_named(connection, ticket.id, reading.sender.address))
    group = ticket.requester.organisation
    own = sender.organisation if sender and sender.organisation else employer
    same = bool(group and own and own.id == group.id)
    asked = ticket.reason is Reason.DETAILS
    thanked = asked and outbox.was_said(connection, ticket.id, "thanks_details")
    return Candidate(ticket, how, named, same, thanked)


def _contracts(
    connection: sa.Connection,
    writers: Sequence[Person | None],
    candidates: Sequence[Candidate],
    organisations: Sequence[Organisation],
) -> tuple[Contract, ...]:
    groups = {one.id for one in organisations}
    for person in (*writers, *(candidate.ticket.requester for candidate in candidates)):
        if person and person.organisation:
            groups.add(person.organisation.id)
    return tuple(one for group in sorted(groups) for one in people.contracts_of(connection, group))


def _ration(connection: sa.Connection, tenant: str, agent: Agent | None, reading: Reading, now: datetime) -> Ration:
    """Counted at the address that would be written to: an agent's is the one on record."""
    if reading.sender is None:
        return Ration()
    address = agent.address if agent else reading.sender.address
    return Ration(*outbox.automatic_since(connection, tenant, address, now))
