"""From what was said to mails in the outbox: one mail for each audience, one row for each of its people."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from helpdesk.commands import offered
from helpdesk.domain import token
from helpdesk.domain.bounce import Cause
from helpdesk.domain.contract import Contract, entitlement
from helpdesk.domain.decision import Audience, Say, Value
from helpdesk.domain.errors import PermanentFailure
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import CONFIRM_WITHIN, Facts, Trigger
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.people import Agent, Person
from helpdesk.domain.sla import Timer
from helpdesk.domain.ticket import Status, Ticket
from helpdesk.inbound.body import decode_attachment
from helpdesk.inbound.thread import INDEX_KEY, index, topic
from helpdesk.outbound.compose import Draft, Enclosure, compose
from helpdesk.outbound.template_variables import Words
from helpdesk.pipeline.timers import contract_of
from helpdesk.pipeline.words import contract_kind, file_list, undelivered, working_hours
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.store import inputs, outbox, people, spool, tickets

log = logging.getLogger(__name__)

#: One letter for each audience in a Message-ID; customers and staff never share one.
LETTERS = {
    Audience.CUSTOMER: token.CUSTOMERS,
    Audience.AGENT: "a",
    Audience.ACTOR: "a",
    Audience.LEAD: "l",
    Audience.MANAGER: "m",
    Audience.OPERATOR: "o",
}
#: The same for mails that speak of one in quarantine, whose number they bear.
_OF_QUARANTINE = {Audience.OPERATOR: "q", Audience.ACTOR: "y"}
#: Folder of templates for each audience.
FOLDERS = {Audience.ACTOR: "agent"}

#: Blocks that show an agent what somebody wrote, so the files go along.
SHOWS_WORDS = ("new_ticket", "customer_wrote", "who_is_this", "held_ticket")
#: Files beyond this size in sum, in bytes, are named and not sent along to agents.
ENCLOSED_BYTES = 20_000_000
#: So many mails in quarantine are listed in the morning.
WAITING_LISTED = 20


@dataclass(frozen=True, slots=True)
class Occasion:
    """What the mails are about: the facts as decided, the ticket as it now is, and the words of the input."""

    facts: Facts
    ticket: Ticket | None
    timer: Timer | None
    now: datetime
    event_id: int | None
    spool_id: int
    raw: bytes
    words: str
    relayed: str | None
    quarantine_id: int | None = None


@dataclass(frozen=True, slots=True)
class _Reader:
    """Somebody who gets a mail."""

    person_id: int
    name: str
    address: str
    language: str
    zone: str
    unreachable: bool = False


def write(connection: sa.Connection, world: World, desk: RunningDesk, occasion: Occasion, said: Sequence[Say]) -> None:
    """Compose and queue everything that was said, in the transaction of the decision."""
    by_audience: dict[Audience, list[Say]] = {}
    for one in said:
        by_audience.setdefault(one.audience, []).append(one)
    if occasion.relayed is not None:
        by_audience.setdefault(Audience.CUSTOMER, []).insert(0, Say(Audience.CUSTOMER, "answer"))
    for audience, blocks in by_audience.items():
        readers = list(_readers(connection, world, desk, occasion, audience, blocks))
        kept_back = [] if occasion.relayed is not None else [one for one in readers if one.unreachable]
        if kept_back and occasion.ticket is not None:
            readers = [one for one in readers if not one.unreachable]
            _note_kept_back(connection, desk, occasion, audience, blocks, kept_back)
        if readers:
            _write_one(connection, world, desk, occasion, audience, blocks, readers)


def _note_kept_back(
    connection: sa.Connection,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    blocks: Sequence[Say],
    readers: Sequence[_Reader],
) -> None:
    """Automatic mail to an address whose mail comes back would only come back as well: the history says it instead."""
    assert occasion.ticket is not None
    data = {
        "audience": audience.value,
        "blocks": [one.block for one in blocks],
        "kept back from": [one.address for one in readers],
        "why": "mail to it came back",
    }
    tickets.add_event(
        connection,
        tenant=desk.facts.tenant,
        ticket_id=occasion.ticket.id,
        at=occasion.now,
        kind=EventKind.SAID,
        data=data,
    )


def _readers(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    blocks: Sequence[Say],
) -> Iterable[_Reader]:
    facts, ticket = occasion.facts, occasion.ticket
    match audience:
        case Audience.CUSTOMER if ticket is not None:
            everybody = occasion.relayed is not None or any(one.block == "closed" for one in blocks)
            people_ = (ticket.requester, *ticket.participants) if everybody else (ticket.requester,)
            found = [_customer(desk, person) for person in people_]
            # A machine's mail goes to the address on record (RFC 3834 section 4).
            return [_where_asked(connection, ticket, one) for one in found] if occasion.relayed is not None else found
        case Audience.ACTOR if facts.agent is not None:
            return [_agent(desk, facts.agent)]
        case Audience.AGENT:
            return [_agent(desk, one) for one in _assigned(desk, ticket)] or [_operator(world, desk)]
        case Audience.LEAD:
            return [_agent(desk, one) for one in desk.agents if one.lead] or [_operator(world, desk)]
        case Audience.MANAGER:
            return [_manager(connection, world, desk, ticket, facts.contracts)]
        case Audience.OPERATOR:
            return [_operator(world, desk)]
        case _:
            return []


def _assigned(desk: RunningDesk, ticket: Ticket | None) -> tuple[Agent, ...]:
    """The assigned agent; where there is none, or he is gone, the lead, else anybody: never nobody."""
    named = tuple(agent for agent in desk.agents if ticket and agent.key == ticket.agent)
    return named or tuple(agent for agent in desk.agents if agent.lead) or desk.agents[:1]


def _customer(desk: RunningDesk, person: Person) -> _Reader:
    language, zone = person.language or desk.facts.language, person.zone or desk.facts.zone
    return _Reader(person.id, person.name, person.address, language, zone, person.unreachable_since is not None)


def _where_asked(connection: sa.Connection, ticket: Ticket, reader: _Reader) -> _Reader:
    """The reader at the address that his last mail asks to be answered to."""
    place = tickets.place_to_answer(connection, ticket.id, reader.person_id)
    return replace(reader, address=place, unreachable=False) if place else reader


def _agent(desk: RunningDesk, agent: Agent) -> _Reader:
    language, zone = agent.language or desk.facts.language, agent.zone or desk.facts.zone
    return _Reader(agent.id, agent.name, agent.address, language, zone)


def _operator(world: World, desk: RunningDesk) -> _Reader:
    return _Reader(0, "", world.operator, desk.facts.language, desk.facts.zone)


def _manager(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    ticket: Ticket | None,
    contracts: Sequence[Contract],
) -> _Reader:
    address = _manager_address(connection, desk, ticket, contracts)
    if not address:
        return _agent(desk, _assigned(desk, ticket)[0]) if desk.agents else _operator(world, desk)
    known = next((agent for agent in desk.agents if agent.address.casefold() == address.casefold()), None)
    return _agent(desk, known) if known else _Reader(0, "", address, desk.facts.language, desk.facts.zone)


def _manager_address(
    connection: sa.Connection, desk: RunningDesk, ticket: Ticket | None, contracts: Sequence[Contract]
) -> str:
    group = ticket.requester.organisation if ticket else None
    if group is None:
        return desk.manager
    known = [one for one in contracts if one.organisation_id == group.id]
    contracts = sorted(known or people.contracts_of(connection, group.id), key=lambda one: one.ends, reverse=True)
    return next((one.manager for one in contracts if one.manager), group.manager or desk.manager)


def _write_one(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    blocks: Sequence[Say],
    readers: Sequence[_Reader],
) -> None:
    human = audience is Audience.CUSTOMER and occasion.relayed is not None
    ticket = occasion.ticket
    event_id = occasion.event_id if human else None
    if event_id is None and ticket is not None:
        event_id = tickets.add_event(
            connection,
            tenant=desk.facts.tenant,
            ticket_id=ticket.id,
            at=occasion.now,
            kind=EventKind.SAID,
            data={
                "audience": audience.value,
                "blocks": [one.block for one in blocks],
                "to": [one.address for one in readers],
                **_about(blocks),
            },
        )
    letter = LETTERS[audience]
    host = desk.written.rpartition("@")[2]
    number = event_id if ticket is not None and event_id is not None else occasion.spool_id
    if ticket is None and occasion.quarantine_id and audience in _OF_QUARANTINE:
        # A mail that is set aside again after its release is news again, and needs an id of its own.
        number, letter = occasion.quarantine_id, _OF_QUARANTINE[audience]
    if blocks[0].block == "quarantine_waits":
        # One a day, so the day is its number.
        letter = "d"
    mail_id = token.message_id(world.keys, host, ticket.id if ticket else 0, number, letter)
    thread = tickets.thread(connection, ticket.id, letter) if ticket else []
    for reader in readers:
        try:
            data, text = _compose(connection, world, desk, occasion, audience, blocks, reader, mail_id, thread)
        except PermanentFailure as problem:
            _unwritable(connection, desk, occasion, audience, reader, str(problem), event_id)
            continue
        queued = _letter(world, desk, occasion, audience, blocks, reader, mail_id, data, text, event_id)
        row = outbox.add(connection, queued, occasion.now)
        if human and world.own_return_paths:
            outbox.set_sender(connection, row, _return_path(world, desk, event_id, row))
    if ticket is not None:
        tickets.note_message_id(connection, desk.facts.tenant, mail_id, ticket.id, event_id, letter)


def _about(blocks: Sequence[Say]) -> dict[str, Value]:
    """The address that a mail is about, where it is about one."""
    return next(({"about": one.values["address"]} for one in blocks if "address" in one.values), {})


def _return_path(world: World, desk: RunningDesk, event_id: int | None, row: int) -> str:
    """An address that only the mail system which bounces this mail learns; the desk's own where that would be too long."""
    try:
        return token.return_address(world.keys, desk.written, event_id or 0, row)
    except ValueError:
        return desk.written


def _unwritable(
    connection: sa.Connection,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    reader: _Reader,
    reason: str,
    event_id: int | None,
) -> None:
    """An address that no mail can be written to is a failed delivery like any other; the others still get theirs."""
    log.warning("a mail could not be written: %s", reason)
    if occasion.ticket is not None:
        data = {
            "outcome": "failed",
            "kind": "human" if audience is Audience.CUSTOMER and occasion.relayed is not None else "automatic",
            "audience": audience.value,
            "recipient": reader.address,
            "reason": reason,
            "at": occasion.now.isoformat(),
            "event": event_id,
        }
        inputs.add(connection, desk.facts.tenant, Trigger.DELIVERY.value, occasion.ticket.id, data, occasion.now)


def _letter(
    world: World,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    blocks: Sequence[Say],
    reader: _Reader,
    mail_id: str,
    data: bytes,
    text: str,
    event_id: int | None,
) -> outbox.Letter:
    human = audience is Audience.CUSTOMER and occasion.relayed is not None
    to_customer = audience is Audience.CUSTOMER
    life = timedelta(days=world.give_up_after_days)
    if to_customer and not human:
        life = timedelta(hours=world.automatic_expires_hours)
    return outbox.Letter(
        tenant=desk.facts.tenant,
        ticket_id=occasion.ticket.id if occasion.ticket else None,
        event_id=event_id,
        relay=world.relays["customers" if to_customer else "staff"],
        audience=audience.value,
        block=blocks[0].block,
        kind="human" if human else "automatic",
        sender=desk.written if human else "",
        recipient=reader.address,
        message_id=mail_id,
        data=data,
        text=text,
        expires_at=occasion.now + life,
        not_before=occasion.now,
    )


def _compose(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    blocks: Sequence[Say],
    reader: _Reader,
    mail_id: str,
    thread: Sequence[str],
) -> tuple[bytes, str]:
    human = audience is Audience.CUSTOMER and occasion.relayed is not None
    ticket, facts = occasion.ticket, occasion.facts
    values = _values(connection, world, desk, occasion, audience, reader)
    whole = _whole_mail(connection, occasion, blocks)
    if whole is not None:
        number = str(facts.quarantine.id) if facts.quarantine else ""
        values |= {"who": whole.writer, "file": whole.enclosure.name if whole.enclosure else "", "id": number}
    if any(one.block == "quarantine_waits" for one in blocks):
        values["waiting"] = _waiting(connection, world, desk)
    folder = FOLDERS.get(audience, audience.value)
    rendered = world.templates.compose_text(
        reader.language,
        folder,
        [(one.block, _usable(world, folder, one, values, reader.language)) for one in blocks],
        _frame(desk, occasion, audience, reader),
    )
    if rendered.problem:
        log.error("a template could not be used as it is: %s", rendered.problem)
    author = facts.agent.name if human and facts.agent else ""
    routed = ticket is not None and reader.person_id != 0
    draft = Draft(
        sender=Mailbox(desk.written, f"{author} ({desk.facts.name})" if author else desk.facts.name),
        to=(Mailbox(reader.address, reader.name),),
        subject=rendered.subject,
        text=rendered.text,
        html=rendered.html,
        message_id=mail_id,
        date=occasion.now,
        in_reply_to=thread[-1] if thread else "",
        references=tuple(thread),
        thread_index=_thread_index(connection, world, ticket, audience, occasion.now) if ticket else "",
        thread_topic=topic(ticket.subject) if ticket and _shows_subject(occasion, audience) else "",
        reply_to=_about_quarantine(world, desk, occasion, audience, blocks)
        or (
            token.reply_address(
                world.keys, desk.written, "n" if _is_inside(audience, blocks) else "r", ticket.id, reader.person_id
            )
            if routed and ticket
            else ""
        ),
        auto="" if human else "auto-replied" if facts.trigger is Trigger.MAIL else "auto-generated",
        loop_mark=desk.facts.addresses[0],
        enclosures=(
            *_enclosures(occasion, audience, blocks),
            *((whole.enclosure,) if whole and whole.enclosure else ()),
        ),
        language=reader.language,
        smtputf8=not reader.address.isascii(),
    )
    return compose(draft), rendered.text


def _about_quarantine(
    world: World, desk: RunningDesk, occasion: Occasion, audience: Audience, blocks: Sequence[Say]
) -> str:
    """Where the operator, or the agent whose mail it seems to be, answers about the mail that was set aside."""
    if any(one.block == "quarantine_waits" for one in blocks):
        return token.quarantine_address(world.keys, desk.written, 0)
    shown = occasion.facts.quarantine
    number, agent = occasion.quarantine_id or (shown.id if shown else 0), occasion.facts.agent
    if number and (audience is Audience.OPERATOR or (shown and audience is Audience.ACTOR)):
        return token.quarantine_address(world.keys, desk.written, number)
    if number and agent and audience is Audience.ACTOR and any(one.block == "is_it_yours" for one in blocks):
        return token.confirming_address(world.keys, desk.written, number, agent.id)
    return ""


def _waiting(connection: sa.Connection, world: World, desk: RunningDesk) -> tuple[dict[str, Any], ...]:
    """The oldest mails in quarantine, each with the address for an order about it."""
    found = spool.quarantined(connection, desk.facts.tenant, most=WAITING_LISTED)
    return tuple(
        {
            "id": one.id,
            "since": one.at,
            "sender": one.sender or "",
            "cause": one.cause,
            "address": token.quarantine_address(world.keys, desk.written, one.id),
        }
        for one in found
    )


def _is_inside(audience: Audience, blocks: Sequence[Say]) -> bool:
    """Whether the mail is talk among us, whose readers answer each other: a reply to it is a note."""
    return audience in (Audience.LEAD, Audience.MANAGER) or any(one.block == "note_added" for one in blocks)


def _usable(world: World, folder: str, said: Say, values: Mapping[str, object], language: str) -> dict[str, object]:
    """Of all values, those that the block's template may use."""
    names = {variable.name for variable in world.templates.variables(folder, said.block)}
    return {name: value for name, value in {**values, **_given(said.values, language)}.items() if name in names}


def _given(values: Mapping[str, Value], language: str) -> dict[str, object]:
    """A rule's own values; an organisation and contract it proposes become the template's ``proposal``, a cause words."""
    if "contract" in values and "organisation" in values:
        return {"proposal": dict(values)}
    if "cause" in values and values["cause"] in set(Cause):
        return {**values, "cause": undelivered(Cause(str(values["cause"])), language)}
    return dict(values)


def _enclosures(occasion: Occasion, audience: Audience, blocks: Sequence[Say]) -> tuple[Enclosure, ...]:
    relaying = audience is Audience.CUSTOMER and occasion.relayed is not None
    showing = audience is Audience.AGENT and any(one.block in SHOWS_WORDS for one in blocks)
    files = occasion.facts.reading.attachments
    if not (relaying or showing) or (showing and not _fit(occasion.facts)):
        return ()
    enclosed = (Enclosure(one.name, one.type, decode_attachment(occasion.raw, one)) for one in files if not one.old)
    return tuple(one for one in enclosed if not (relaying and _is_ours(one)))


@dataclass(frozen=True, slots=True)
class _WholeMail:
    """A mail as it came, and by what name we call who wrote it; without ``enclosure`` where it is too large."""

    writer: str
    enclosure: Enclosure | None


def _whole_mail(connection: sa.Connection, occasion: Occasion, blocks: Sequence[Say]) -> _WholeMail | None:
    """The mail in quarantine, or the ticket's last one from outside, for whoever asked for it; None where nobody did."""
    if all(one.block != "whole_mail" for one in blocks):
        return None
    if (waiting := occasion.facts.quarantine) is not None:
        found = spool.quarantined(connection, released=True, number=waiting.id)
        name, writer, number = f"mail-{waiting.id}", found[0].sender or "", found[0].spool_id
    elif occasion.ticket is not None and (last := tickets.last_mail(connection, occasion.ticket.id)):
        name, writer, number = occasion.ticket.reference, last[1].called if last[1] else "", last[0]
    else:
        return None
    taken = spool.load(connection, number)
    assert taken is not None
    if len(taken.mail.data) > ENCLOSED_BYTES:
        return _WholeMail(writer, None)
    return _WholeMail(writer, Enclosure(f"{name}.eml", "message/rfc822", taken.mail.data))


def _fit(facts: Facts) -> bool:
    """Whether a mail's files go along to the agent."""
    return sum(one.size for one in facts.reading.attachments) <= ENCLOSED_BYTES


def _is_ours(enclosed: Enclosure) -> bool:
    """True for a mail of our own that a client attached to the answer: a notice is never the customer's to read."""
    return enclosed.type.startswith("message/") and b"x-helpdesk-loop:" in enclosed.data[:65536].lower()


def _frame(desk: RunningDesk, occasion: Occasion, audience: Audience, reader: _Reader) -> dict[str, object]:
    ticket = occasion.ticket
    return {
        "name": reader.name,
        "desk": desk.facts.name,
        "desk_address": desk.written,
        "zone": reader.zone,
        "reference": ticket.reference if ticket else "",
        "subject": (ticket.subject if ticket else occasion.facts.reading.subject)
        if _shows_subject(occasion, audience)
        else "",
    }


def _shows_subject(occasion: Occasion, audience: Audience) -> bool:
    """Frozen: what the first mail could not repeat (unproven), no later mail of the thread repeats."""
    return audience is not Audience.CUSTOMER or (occasion.ticket is not None and occasion.ticket.proven)


def _thread_index(connection: sa.Connection, world: World, ticket: Ticket, audience: Audience, now: datetime) -> str:
    """Of the conversation that the audience's first mail with one began, else of one of ours."""
    letter = LETTERS[audience]
    known = tickets.thread(connection, ticket.id, tickets.conversation_of(letter))
    conversation = known[0].removeprefix(INDEX_KEY) if known else token.conversation(world.keys, ticket.id, letter)
    return index(conversation, ticket.opened_at, now)


def _values(
    connection: sa.Connection,
    world: World,
    desk: RunningDesk,
    occasion: Occasion,
    audience: Audience,
    reader: _Reader,
) -> dict[str, object]:
    """Every value that some template of this audience may use."""
    facts, ticket = occasion.facts, occasion.ticket
    due = occasion.timer.due_at if occasion.timer and occasion.timer.state == "running" else None
    contract = contract_of(connection, ticket, facts.contracts) if ticket else None
    writer = _writer(occasion)
    values: dict[str, object] = {
        "contract": _contract(contract, ticket, reader.language) if contract and not facts.third_party else None,
        "hours": working_hours(desk.calendar, reader.language),
        "how_to_renew": desk.how_to_renew,
        "found": _found(facts, ticket, reader.language),
        "agent": facts.agent.name if facts.agent else _assigned_name(desk, ticket),
        "proven": facts.proof.proven,
    }
    if audience is Audience.CUSTOMER:
        address = _manager_address(connection, desk, ticket, facts.contracts)
        name = next((one.name for one in desk.agents if one.address.casefold() == address.casefold()), "")
        values["manager"] = {"name": name, "address": address} if address else None
        values["answer_due"] = due if desk.print_answer_due else None
        values["words"] = Words(occasion.relayed or "")
        return values
    return values | {
        "who": writer.called if writer else "",
        "organisation": writer.organisation.name if writer and writer.organisation else "",
        "due": due,
        "proof": "" if facts.trigger is not Trigger.MAIL or facts.proof.proven else "sender not proven",
        "words": Words(_words(connection, occasion, audience)),
        "answer_to": tickets.place_to_answer(connection, ticket.id, ticket.requester.id) if ticket else "",
        "attachments": file_list(facts.reading.attachments, reader.language, along=_fit(facts)),
        "commands": tuple({"word": word, "meaning": meaning} for word, meaning in offered()),
        "note_address": token.reply_address(world.keys, desk.written, "n", ticket.id, reader.person_id)
        if ticket and reader.person_id
        else "",
        "answer_address": token.reply_address(world.keys, desk.written, "r", ticket.id, reader.person_id)
        if ticket and reader.person_id
        else "",
        "address": facts.agent.address if facts.agent else (writer.address if writer else ""),
        "waiting_since": occasion.timer.started_at if occasion.timer else None,
        "since": (facts.delivery and facts.delivery.since) or occasion.now,
        "id": str(occasion.quarantine_id or ""),
        "until": occasion.now + CONFIRM_WITHIN,
        "sender": facts.reading.claimed.address if facts.reading.claimed else "",
    }


def _words(connection: sa.Connection, occasion: Occasion, audience: Audience) -> str:
    """What the mail is about: the input's own words, those that could not be delivered, else the customer's last."""
    if audience is Audience.ACTOR and occasion.facts.trigger is Trigger.MAIL:
        reading = occasion.facts.reading
        said = reading.new_text or reading.text
        # A mail that is attached whole is a part of what he would send.
        attached = reading.forwarded if reading.forwarded and reading.forwarded.text not in reading.text else None
        whom = attached.sender.address if attached and attached.sender else ""
        return f"{said}\n\nFrom: {whom}\nSubject: {attached.subject}\n\n{attached.text}" if attached else said
    if occasion.facts.delivery is not None:
        return occasion.facts.delivery.words
    return occasion.words or (tickets.last_words(connection, occasion.ticket.id) if occasion.ticket else "")


def _writer(occasion: Occasion) -> Person | None:
    """Who wrote what the mail shows: the sender of the input, else the requester."""
    facts, ticket = occasion.facts, occasion.ticket
    if facts.trigger is Trigger.MAIL:
        if facts.agent is not None and not facts.opened:
            return Person(facts.agent.id, facts.agent.name, facts.agent.address)
        if facts.sender is not None and facts.agent is None:
            return facts.sender
        if facts.third_party and facts.reading.sender is not None:
            return Person(0, facts.reading.sender.name, facts.reading.sender.address)
    return ticket.requester if ticket else None


def _assigned_name(desk: RunningDesk, ticket: Ticket | None) -> str:
    return next((agent.name for agent in desk.agents if ticket and agent.key == ticket.agent), "")


def _contract(contract: Contract, ticket: Ticket | None, language: str) -> dict[str, Any]:
    group = ticket.requester.organisation if ticket else None
    return {
        "kind": contract_kind(contract.kind, language),
        "number": contract.number,
        "ends": contract.ends,
        "organisation": group.name if group else "",
    }


def _found(facts: Facts, ticket: Ticket | None, language: str) -> tuple[dict[str, Any], ...]:
    """What was found where nothing covers the request; for nobody but the requester's own organisation."""
    if ticket is None or ticket.status is not Status.HELD or ticket.requester.organisation is None:
        return ()
    contracts = facts.contracts_of(ticket.requester.organisation.id)
    nearest = entitlement(contracts, facts.today).contract
    listed = sorted(contracts, key=lambda one: (one is not nearest, one.number))[:3]
    return tuple(
        {
            "kind": contract_kind(one.kind, language),
            "number": one.number,
            "ended": one.ends,
            "products": one.products,
        }
        for one in listed
        if one.ends < facts.today
    )
