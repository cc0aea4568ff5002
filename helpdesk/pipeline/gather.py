"""Collect what the rules may know about one input; reads only."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from helpdesk.domain.contract import Contract
from helpdesk.domain.facts import Candidate, Change, Delivery, Facts, Proposal, Ration, TimerDue, Trigger
from helpdesk.domain.mail import Door
from helpdesk.domain.people import Agent, Organisation, Person
from helpdesk.domain.proof import Role, TokenState
from helpdesk.domain.reading import Reading
from helpdesk.domain.sla import BREACH, DueStep, Timer
from helpdesk.domain.ticket import Ticket
from helpdesk.domain.token import Routed, own_message_id, route
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.store import outbox, people, spool, tickets
from helpdesk.store.spool import Spooled

_REFERENCE = re.compile(r"\b([A-Z]{1,6}-[0-9]{4,12})\b")
_CONTRACT_NUMBER = re.compile(r"[\w][\w./-]{2,39}")
_CONFIRMED = re.compile(r"^#confirm[:\s]+(\S.*)$", re.IGNORECASE | re.MULTILINE)

#: A reminder so many seconds after its time is late: the desk was not running.
LATE_SECONDS = 900


def addressed(taken: Spooled, reading: Reading) -> tuple[str, ...]:
    """The addresses the mail was sent to: the envelope's, and where an IMAP server lost them the headers' first."""
    headers = tuple(mailbox.address for mailbox in (*reading.to, *reading.cc))
    envelope = taken.mail.envelope.recipients
    return (*headers, *envelope) if taken.mail.door in (Door.IMAP, Door.FILE) else (*envelope, *headers)


def mail(
    connection: sa.Connection, world: World, desk: RunningDesk, taken: Spooled, reading: Reading, now: datetime
) -> Facts:
    """Facts about a mail; its time is that of receipt."""
    tenant = desk.facts.tenant
    today = taken.mail.received_at.astimezone(ZoneInfo(desk.facts.zone)).date()
    sender = _sender(connection, tenant, reading, today)
    agent = _agent(desk, sender)
    if agent is not None and not reading.proof.proven and spool.was_released(connection, taken.id):
        agent = None  # a person let it out of quarantine: its words are filed, its sender stays unbelieved
    employer = _employer(connection, tenant, reading, sender)
    token, routed = _token(world, addressed(taken, reading), sender)
    candidates = _candidates(connection, world, tenant, reading, routed, sender)
    if routed and _quotes_another(connection, world, tenant, reading, routed.ticket_id):
        token = TokenState.OTHER_TICKETS
    numbers = _contract_numbers(reading)
    holder = people.contract_holder(connection, tenant, numbers) if _may_propose(sender, agent) else None
    organisations = people.organisations(connection, tenant, _CONFIRMED.findall(reading.lead_text)) if agent else ()
    return Facts(
        trigger=Trigger.MAIL,
        now=now,
        today=today,
        desk=desk.facts,
        reading=reading,
        proof=reading.proof,
        role=_role(sender, agent) if employer is None else Role.CONTACT,
        sender=sender,
        agent=agent,
        token=token,
        purpose=routed.purpose if routed else "",
        candidates=candidates,
        contracts=_contracts(connection, sender, candidates, (*organisations, *((employer,) if employer else ()))),
        employer=employer,
        proposal=Proposal(*holder) if holder else None,
        organisations=organisations,
        agents=desk.agents,
        ration=_ration(connection, tenant, agent, reading, now),
    )


def timer(desk: RunningDesk, ticket: Ticket, found: Timer, due: DueStep, now: datetime) -> Facts:
    """Facts about a reminder that is due."""
    late = (now - due.at).total_seconds() > LATE_SECONDS
    step = TimerDue(found.promise, due.step, due.stands_for, found.due_at, due.round, due.step == BREACH, late)
    return _about(desk, ticket, Trigger.TIMER, now, timer=step)


def change(connection: sa.Connection, desk: RunningDesk, ticket: Ticket, kind: str, now: datetime) -> Facts:
    """Facts about something that an administrator changed."""
    group = ticket.requester.organisation
    contracts = people.contracts_of(connection, group.id) if group else ()
    return _about(desk, ticket, Trigger.CHANGE, now, change=Change(kind), contracts=contracts)


def delivery(
    connection: sa.Connection, desk: RunningDesk, ticket: Ticket, data: dict[str, Any], now: datetime
) -> Facts:
    """Facts about the fate of an outbox row."""
    entry = tickets.entry(connection, data["event"]) if data.get("event") else None
    author = next((agent for agent in desk.agents if entry and agent.id == entry.person_id), None)
    what = Delivery(
        outcome=data["outcome"],
        human=data["kind"] == "human",
        recipient=data["recipient"],
        reason=data.get("reason", ""),
        accepted_at=datetime.fromisoformat(data["at"]),
        since=datetime.fromisoformat(data["since"]) if "since" in data else None,
        words=entry.text if entry else "",
    )
    return _about(desk, ticket, Trigger.DELIVERY, now, delivery=what, agent=author)


def _about(desk: RunningDesk, ticket: Ticket, trigger: Trigger, now: datetime, **more: Any) -> Facts:
    today = now.astimezone(ZoneInfo(desk.facts.zone)).date()
    return Facts(trigger=trigger, now=now, today=today, desk=desk.facts, ticket=ticket, agents=desk.agents, **more)


def _sender(connection: sa.Connection, tenant: str, reading: Reading, today: Any) -> Person | None:
    return people.by_address(connection, tenant, reading.sender.address, today) if reading.sender else None


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
    return [word.rstrip(".-/") for word in dict.fromkeys(words) if any(sign.isdigit() for sign in word)][:200]


def _token(world: World, addresses: Sequence[str], sender: Person | None) -> tuple[TokenState, Routed | None]:
    """The route that the addresses name; of several a note's wins, and one that was tampered with spoils them all."""
    spoilt, routes = False, list[Routed]()
    for address in addresses:
        if world.desk_of(address) is None:
            continue
        found = route(world.keys, address.rpartition("@")[0].partition("+")[2])
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


def _candidates(
    connection: sa.Connection,
    world: World,
    tenant: str,
    reading: Reading,
    routed: Routed | None,
    sender: Person | None,
) -> tuple[Candidate, ...]:
    """Tickets the mail may belong to: reply address, our own ids, any id seen, the reference in the subject."""
    signs: list[tuple[int, str]] = []
    if routed:
        signs.append((routed.ticket_id, "the reply address"))
    for parent in reading.parents:
        if own := own_message_id(world.keys, parent):
            signs.append((own[0], "a mail of ours that it answers"))
    known = tickets.by_message_ids(connection, tenant, reading.parents)
    signs += [(ticket_id, "a mail of the ticket that it answers") for ticket_id in known]
    found: dict[int, Candidate] = {}
    for ticket_id, how in signs:
        ticket = None if ticket_id in found else tickets.snapshot(connection, tenant, ticket_id, lock=True)
        if ticket is not None:
            found[ticket_id] = _candidate(connection, ticket, how, reading, sender)
    for reference in dict.fromkeys(_REFERENCE.findall(reading.subject)):
        ticket = tickets.by_reference(connection, tenant, reference)
        if ticket is not None and ticket.id not in found:
            found[ticket.id] = _candidate(connection, ticket, "the reference in the subject", reading, sender)
    return tuple(found.values())


def _candidate(
    connection: sa.Connection, ticket: Ticket, how: str, reading: Reading, sender: Person | None
) -> Candidate:
    named = bool(reading.sender and tickets.was_named(connection, ticket.id, reading.sender.address))
    group = ticket.requester.organisation
    same = bool(group and sender and sender.organisation and sender.organisation.id == group.id)
    return Candidate(ticket, how, named, same)


def _contracts(
    connection: sa.Connection,
    sender: Person | None,
    candidates: Sequence[Candidate],
    organisations: Sequence[Organisation],
) -> tuple[Contract, ...]:
    groups = {one.id for one in organisations}
    for person in (sender, *(candidate.ticket.requester for candidate in candidates)):
        if person and person.organisation:
            groups.add(person.organisation.id)
    return tuple(one for group in sorted(groups) for one in people.contracts_of(connection, group))


def _ration(connection: sa.Connection, tenant: str, agent: Agent | None, reading: Reading, now: datetime) -> Ration:
    """Counted at the address that would be written to: an agent's is the one on record."""
    if reading.sender is None:
        return Ration()
    address = agent.address if agent else reading.sender.address
    return Ration(*outbox.automatic_since(connection, tenant, address, now))
