"""``helpdesk ticket``: what there is to do, and the whole story of one ticket."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpdesk.cli.effects import in_words
from helpdesk.cli.opened import clock, database
from helpdesk.cli.terminal import (
    Stopped,
    indented,
    local_time,
    one_line,
    say,
    short_time,
    show_json,
    show_table,
    size_in_words,
)

if TYPE_CHECKING:
    import sqlalchemy as sa

    from helpdesk.domain.ticket import Ticket
    from helpdesk.settings import Settings
    from helpdesk.store.tickets import Event, Listed

Timers = Sequence[tuple[str, str, datetime | None]]


@click.group()
def ticket() -> None:
    """List and show tickets."""


@ticket.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also closed tickets.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_(folder: Path, everything: bool, as_json: bool) -> None:
    """List the tickets still to do, oldest first; times are those of the desk's zone."""
    from helpdesk.settings import load
    from helpdesk.store import tickets
    from helpdesk.store.engine import reading

    settings = load(folder)
    with database(settings) as engine, reading(engine).begin() as connection:
        found = tickets.listing(connection, closed=everything)
    if as_json:
        names = tickets.Listed.__dataclass_fields__
        show_json([{name: getattr(one, name) for name in names if name != "id"} for one in found])
    elif not found:
        say("There is no ticket." if everything else "There is nothing to do.")
    else:
        show_table(
            ("Ticket", "State", "Due", "Agent", "From", "Subject"),
            [_row(one, _zone(settings, one.desk)) for one in found],
            folding={"State": 6, "Agent": 5, "From": 14, "Subject": 14},
        )


def _row(one: Listed, zone: str) -> tuple[str, ...]:
    due = short_time(one.due_at, zone) if one.due_at else ""
    return one.reference, _state(one.status, one.reason), due, one.agent, one.requester, one.subject


@ticket.command()
@click.argument("reference")
@click.option("--why", is_flag=True, help="Also show what was decided at each step, and why.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def show(folder: Path, reference: str, why: bool, as_json: bool) -> None:
    """Show a ticket with its whole history."""
    from helpdesk.settings import load
    from helpdesk.store import tickets
    from helpdesk.store.engine import reading

    settings = load(folder)
    with database(settings) as engine, reading(engine).begin() as connection:
        one = _find(connection, reference)
        timers = tickets.timers(connection, one.id)
        history = tickets.history(connection, one.id)
        decisions = tickets.decisions(connection, one.id) if why else []
    if as_json:
        show_json(_as_json(one, timers, history, decisions))
        return
    zone = _zone(settings, one.desk)
    _show_header(one, timers, zone, clock(settings)())
    for event in history:
        say()
        _show_event(event, zone)
    for decision in decisions:
        say()
        _show_decision(decision, zone)


@ticket.command()
@click.argument("reference")
@click.argument("number", metavar="[MAIL]", type=int, required=False)
@click.pass_obj
def raw(folder: Path, reference: str, number: int | None) -> None:
    """Write a mail of the ticket to stdout as it came: the newest, or the one that ticket show calls mail MAIL."""
    from helpdesk.settings import load
    from helpdesk.store import spool, tickets
    from helpdesk.store.engine import reading

    with database(load(folder)) as engine, reading(engine).begin() as connection:
        one = _find(connection, reference)
        numbers = [event.spool_id for event in tickets.history(connection, one.id) if event.spool_id]
        wanted = number or (numbers[-1] if numbers else 0)
        taken = spool.load(connection, wanted) if wanted in numbers else None
    if taken is None:
        raise Stopped(
            f"ticket {reference} has no such mail; helpdesk ticket show {reference} names them", os.EX_DATAERR
        )
    sys.stdout.buffer.write(taken.mail.data)


def _find(connection: sa.Connection, reference: str) -> Ticket:
    from helpdesk.store import tickets

    found = tickets.find_anywhere(connection, reference)
    if found is None:
        raise Stopped(f"there is no ticket {reference}; helpdesk ticket list --all shows them", os.EX_DATAERR)
    return found[1]


def _zone(settings: Settings, desk: str) -> str:
    section = settings.desks.get(desk)
    return settings.calendars[section.calendar].zone if section else "UTC"


def _state(status: str, reason: str) -> str:
    return f"{status}: {reason}" if reason else status


def _show_header(one: Ticket, timers: Timers, zone: str, now: datetime) -> None:
    group = one.requester.organisation
    say(f"{one.reference}  {one_line(one.subject)}")
    say(f"State:      {_state(one.status.value, one.reason.value)}")
    whose = f" of {group.name}" if group else ", organisation unknown"
    say(f"Requester:  {one_line(f'{one.requester.called} <{one.requester.address}>{whose}')}")
    for person in (one.requester, *one.participants):
        if person.unreachable_since:
            when = local_time(person.unreachable_since, zone)
            say(f"            {one_line(f'{person.address}: mail to it came back {when}: {person.unreachable_why}')}")
    if one.participants:
        say(f"Also:       {one_line(', '.join(person.address for person in one.participants))}")
    say(f"Agent:      {one_line(one.agent) or 'nobody yet'}")
    say(f"Desk:       {one.desk}, opened {local_time(one.opened_at, zone)}")
    for promise, state, due in timers:
        say(f"Promise:    {promise.replace('_', ' ')}: {_timer_in_words(state, due, zone, now)}")


def _timer_in_words(state: str, due: datetime | None, zone: str, now: datetime) -> str:
    when = f" {local_time(due, zone)}" if due else ""
    match state:
        case "running" if due and due < now:
            return f"broken, was due{when} ({_span(now - due)} ago)"
        case "running" if due:
            return f"due{when} (in {_span(due - now)})"
        case "paused":
            return f"paused; would be due{when}"
        case "met":
            return f"kept, was due{when}"
        case "missed":
            return f"answered too late, was due{when}"
        case _:
            return "called off"


def _span(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 60 // 24} days"


def _show_event(event: Event, zone: str) -> None:
    who = f"  {one_line(event.person)}" if event.person else ""
    details = "; ".join(filter(None, (f"mail {event.spool_id}" if event.spool_id else "", _details(event.data))))
    say(f"{local_time(event.at, zone)}  {event.kind.value}{who}" + (f"  ({one_line(details)})" if details else ""))
    for file in event.data.get("files", ()):
        again = ", seen before" if file.get("again") else ""
        say(f"    file: {one_line(file['name'] or 'unnamed')} ({file['type']}, {size_in_words(file['size'])}{again})")
    if event.text:
        say(indented(event.text))


def _details(data: Mapping[str, Any]) -> str:
    """What the event's data say, without what is shown otherwise."""
    parts = []
    for name, value in data.items():
        if name != "files" and value not in ("", None, [], {}):
            shown = ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
            parts.append(f"{name}: {shown}")
    return "; ".join(parts)


def _show_decision(row: Mapping[str, Any], zone: str) -> None:
    from helpdesk.domain import codec
    from helpdesk.domain.decision import Decision

    say(f"{local_time(row['at'], zone)}  decided because of a {row['trigger']}")
    for step in codec.load(Decision, row["decision"]).steps:
        say(f"    {step.rule}: {one_line(step.why)}")
        for effect in step.effects:
            say(f"        {one_line(in_words(effect))}")


def _as_json(
    one: Ticket, timers: Timers, history: Sequence[Event], decisions: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    group = one.requester.organisation
    return {
        "reference": one.reference,
        "desk": one.desk,
        "subject": one.subject,
        "status": one.status.value,
        "reason": one.reason.value,
        "agent": one.agent,
        "requester": {
            "name": one.requester.name,
            "address": one.requester.address,
            "organisation": group.name if group else None,
            "unreachable_since": one.requester.unreachable_since,
        },
        "participants": [person.address for person in one.participants],
        "opened_at": one.opened_at,
        "timers": [{"promise": promise, "state": state, "due_at": due} for promise, state, due in timers],
        "history": [
            {
                "at": event.at,
                "kind": event.kind.value,
                "person": event.person,
                "text": event.text,
                "mail": event.spool_id,
                "data": dict(event.data),
            }
            for event in history
        ],
        "decisions": [
            {"at": row["at"], "trigger": row["trigger"], "steps": row["decision"]["steps"]} for row in decisions
        ],
    }
