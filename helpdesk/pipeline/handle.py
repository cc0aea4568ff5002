"""One input in, one decision, one transaction.

    mail     --read--> Reading --gather--> Facts --decide--> Decision --apply--> rows
    timer, change, delivery    --gather--> Facts --decide--> Decision --apply--> rows

Everything left of ``apply`` may be repeated without harm: call it again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from helpdesk.domain.decision import Audience, Decision, JoinTicket, Say
from helpdesk.domain.facts import Facts, Trigger
from helpdesk.domain.reading import Reading
from helpdesk.domain.sla import due_steps
from helpdesk.inbound.read import ancestors
from helpdesk.inbound.worker import Unreadable
from helpdesk.pipeline import gather, letters, timers
from helpdesk.pipeline.apply import Outcome, apply
from helpdesk.pipeline.world import RunningDesk, World
from helpdesk.rules.engine import decide
from helpdesk.store import inputs, outbox, spool, tickets
from helpdesk.store.engine import is_fault_of_database
from helpdesk.store.inputs import Input
from helpdesk.store.spool import Spooled
from helpdesk.store.tickets import TimerRow

log = logging.getLogger(__name__)

#: The texts of so many ancestors are given to the reader; a client quotes the nearest.
PARENTS = 3
#: A timer or change that could not be handled is looked at again after so many minutes.
AGAIN_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Considered:
    """What the desk would do about a mail."""

    desk: RunningDesk
    facts: Facts
    decision: Decision


def parents_of(connection: sa.Connection, taken: Spooled) -> Mapping[str, str]:
    """Texts that we sent and that this mail may quote, by Message-ID: those of its nearest ancestors."""
    return outbox.texts(connection, taken.tenant, ancestors(taken.mail.data)[:PARENTS])


def consider(
    connection: sa.Connection, world: World, taken: Spooled, reading: Reading, now: datetime
) -> Considered | None:
    """Gather and decide, change nothing; None where the mail is for no desk of its tenant."""
    desk = world.first_desk(taken.tenant, gather.addressed(taken, reading))
    if desk is None:
        return None
    facts = gather.mail(connection, world, desk, taken, reading, now)
    decision = decide(facts, desk.rules[Trigger.MAIL])
    home = _home(world, desk, facts, decision)
    if home is None:
        return Considered(desk, facts, decision)
    facts = gather.mail(connection, world, home, taken, reading, now)
    return Considered(home, facts, decide(facts, home.rules[Trigger.MAIL]))


def _home(world: World, desk: RunningDesk, facts: Facts, decision: Decision) -> RunningDesk | None:
    """The ticket's own desk, where the mail came by another one: its rules, agents and promises count."""
    joined = next((effect.ticket_id for effect in decision.effects if isinstance(effect, JoinTicket)), None)
    key = next((found.ticket.desk for found in facts.candidates if found.ticket.id == joined), desk.facts.key)
    return world.desks.get(key) if key != desk.facts.key else None


def handle_mail(connection: sa.Connection, world: World, taken: Spooled, reading: Reading, now: datetime) -> Outcome:
    """Handle a claimed mail once; raises LeaseLost where another daemon has it by now."""
    first = spool.remember(connection, taken, reading.message_id, reading.content_hash, reading.likeness)
    if first is not None and first != taken.id and not spool.replace_set_aside(connection, first, taken):
        outcome = Outcome("seen before", f"the same mail as number {first}", None)
    else:
        considered = consider(connection, world, taken, reading, now)
        if considered is None:
            return quarantine(connection, world, taken, "it is addressed to no desk", now)
        desk, facts, decision = considered.desk, considered.facts, considered.decision
        outcome = apply(connection, world, desk, facts, decision, at=taken.mail.received_at, taken=taken)
    spool.finish(connection, taken, outcome.name, outcome.why, outcome.ticket_id, now)
    return outcome


def quarantine(connection: sa.Connection, world: World, taken: Spooled, cause: str, now: datetime) -> Outcome:
    """Set a mail aside that could not be understood, and tell the operator."""
    number = spool.set_aside(connection, taken, cause, now)
    spool.finish(connection, taken, "quarantined", cause, None, now)
    desk = world.first_desk(taken.tenant, taken.mail.envelope.recipients) or _any_desk(world, taken.tenant)
    if desk is not None:
        facts = Facts(Trigger.MAIL, now, now.date(), desk.facts)
        occasion = letters.Occasion(facts, None, None, now, None, taken.id, b"", "", None, number)
        letters.write(connection, world, desk, occasion, [Say(Audience.OPERATOR, "quarantined", {"cause": cause})])
    return Outcome("quarantined", cause, None, number)


def _any_desk(world: World, tenant: str) -> RunningDesk | None:
    return next((desk for desk in world.desks.values() if desk.facts.tenant == tenant), None)


def handle_unreadable(
    connection: sa.Connection, world: World, taken: Spooled, problem: Unreadable, now: datetime
) -> Outcome | None:
    """Quarantine a mail on its last attempt; before that, None: it is tried again alone, out of the others' way."""
    if problem.final or taken.attempts >= world.attempts:
        return quarantine(connection, world, taken, problem.cause, now)
    spool.give_back(connection, taken, 0)
    return None


def handle_timer(connection: sa.Connection, world: World, row: TimerRow, now: datetime) -> Outcome | None:
    """Send the one reminder that is due, or set the timer's index right where none is."""
    ticket = tickets.snapshot(connection, row.tenant, row.ticket_id, lock=True)
    desk = world.desks.get(ticket.desk) if ticket else None
    if ticket is None or desk is None:
        tickets.sleep(connection, row.id, None)
        return None
    found = timers.rewrite(connection, desk, ticket, now)
    due = due_steps(found, now, tickets.reminders_done(connection, ticket.id, found.promise)) if found else None
    if found is None or due is None:
        if found is None:
            tickets.sleep(connection, row.id, None)
        return None
    facts = gather.timer(desk, ticket, found, due, now)
    decision = decide(facts, desk.rules[Trigger.TIMER])
    tickets.note_reminders(connection, ticket.id, found.promise, due.round, due.stands_for, now)
    return apply(connection, world, desk, facts, decision, at=now)


def handle_input(connection: sa.Connection, world: World, row: Input, now: datetime) -> Outcome | None:
    """Handle a change or the fate of a delivery."""
    ticket = tickets.snapshot(connection, row.tenant, row.ticket_id, lock=True)
    desk = world.desks.get(ticket.desk) if ticket else None
    if ticket is None or desk is None:
        inputs.finish(connection, row.id, "its ticket or desk is gone", now)
        return None
    trigger = Trigger(row.trigger)
    if trigger is Trigger.CHANGE:
        facts = gather.change(connection, desk, ticket, str(row.data["kind"]), now)
    else:
        facts = gather.delivery(connection, world, desk, ticket, dict(row.data), now)
    decision = decide(facts, desk.rules[trigger])
    outcome = apply(connection, world, desk, facts, decision, at=row.created_at, input_id=row.id)
    inputs.finish(connection, row.id, outcome.why, now)
    return outcome


def _tell_given_up(connection: sa.Connection, world: World, row: Input, now: datetime) -> None:
    """What met a fault of ours until it was given up is somebody's to mend by hand."""
    ticket = tickets.snapshot(connection, row.tenant, row.ticket_id)
    desk = (world.desks.get(ticket.desk) if ticket else None) or _any_desk(world, row.tenant)
    if desk is None:
        return
    try:
        with connection.begin_nested():
            facts = Facts(Trigger.CHANGE, now, now.date(), desk.facts, ticket=ticket)
            occasion = letters.Occasion(facts, ticket, None, now, None, 0, b"", "", None)
            said = Say(Audience.OPERATOR, "input_given_up", {"kind": row.trigger})
            letters.write(connection, world, desk, occasion, [said])
    except Exception as problem:
        if is_fault_of_database(problem):
            raise
        log.exception("nobody could be told that input %d was given up", row.id)


def wake_covered(connection: sa.Connection, world: World, now: datetime) -> int:
    """Queue a change for held tickets that a contract covers by now: one imported before the day that it starts on.

    The day is that of the ticket's desk, as where a mail is asked for a contract.
    """
    woken = 0
    for desk in world.desks.values():
        day = now.astimezone(ZoneInfo(desk.facts.zone)).date()
        for ticket_id in tickets.coverable(connection, desk.facts.tenant, desk.facts.key, day):
            inputs.add(connection, desk.facts.tenant, Trigger.CHANGE.value, ticket_id, {"kind": "contract"}, now)
            woken += 1
    return woken


#: The operator hears of what waits in quarantine from this hour on, by the desk's clock, once a day.
_MORNING = 8
_MOST_TENANTS = 10_000


def tell_of_quarantine(connection: sa.Connection, world: World, now: datetime) -> int:
    """Write to the operator once a day where mails wait in quarantine; how many mails were written."""
    written = 0
    for place, tenant in enumerate(sorted({desk.facts.tenant for desk in world.desks.values()})):
        desk = _any_desk(world, tenant)
        assert desk is not None
        local = now.astimezone(ZoneInfo(desk.facts.zone))
        count, oldest = spool.waiting_in_quarantine(connection, tenant)
        today = local.replace(hour=0, minute=0, second=0, microsecond=0)
        if not count or local.hour < _MORNING or _told_today(connection, world, tenant, today):
            continue
        occasion = letters.Occasion(
            Facts(Trigger.CHANGE, now, local.date(), desk.facts),
            None,
            None,
            now,
            None,
            # The number in its Message-ID: one a day and tenant, though desks may share a domain.
            local.toordinal() * _MOST_TENANTS + place,
            b"",
            "",
            None,
        )
        said = Say(Audience.OPERATOR, "quarantine_waits", {"count": count, "since": (oldest or now).date().isoformat()})
        letters.write(connection, world, desk, occasion, [said])
        written += 1
    return written


def _told_today(connection: sa.Connection, world: World, tenant: str, today: datetime) -> bool:
    last = outbox.last_said(connection, tenant, world.operator, "quarantine_waits")
    return last is not None and last >= today


def handle_due(connection: sa.Connection, world: World, now: datetime, limit: int = 50) -> int:
    """Handle due timers and waiting inputs; each in a savepoint, so that a bad one never stops the others."""
    done = 0
    for row in inputs.waiting(connection, limit, now):
        done += 1
        try:
            with connection.begin_nested():
                handle_input(connection, world, row, now)
        except Exception as problem:
            if is_fault_of_database(problem):
                raise
            log.exception("input %d could not be handled at attempt %d", row.id, row.attempts + 1)
            if inputs.fail(connection, row.id, row.attempts + 1, now):
                _tell_given_up(connection, world, row, now)
            done -= 1
    for timer in tickets.due_timers(connection, now, limit):
        done += 1
        try:
            with connection.begin_nested():
                handle_timer(connection, world, timer, now)
        except Exception as problem:
            if is_fault_of_database(problem):
                raise
            log.exception("timer %d could not be handled", timer.id)
            tickets.sleep(connection, timer.id, now + timedelta(minutes=AGAIN_MINUTES))
    return done
