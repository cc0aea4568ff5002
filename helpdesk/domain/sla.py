"""Promises and how they stand: a timer is computed from what happened to a ticket, never counted.

    moments of a ticket + target + calendar --measure--> Timer --due_steps--> the one reminder to send now

The same moments always give the same timer, so a stored ``due_at`` is only an index of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal

from helpdesk.domain.calendar import Calendar, Span, add

#: The step that is reached when a promise is broken.
BREACH = "breach"

#: What can happen to a timer; ``round`` is a change of target or severity, or a repeat after breach.
What = Literal["start", "pause", "resume", "stop", "cancel", "round"]
State = Literal["running", "paused", "met", "missed", "off"]


@dataclass(frozen=True, slots=True)
class Target:
    """A promise with the length of time it is kept within; an empty field fits every ticket.

    ``warn_at`` are shares of that time, each above 0 and below 1, at which agents are reminded.
    """

    promise: str
    within: Span
    warn_at: tuple[Fraction, ...] = ()
    severity: str = ""
    organisation: str = ""
    contract: str = ""
    kind: str = ""

    def __post_init__(self) -> None:
        wrong = [share for share in self.warn_at if not 0 < share < 1]
        if wrong:
            raise ValueError(f"{wrong[0]} is not a share of the time to a promise; legal: above 0 and below 1")


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a timer, and when."""

    at: datetime
    what: What


@dataclass(frozen=True, slots=True)
class Reminder:
    """A step on the way to a promise (``50%``, ``breach``) and when it is reached."""

    step: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Timer:
    """How one promise stands.

    A running timer past ``due_at`` stays running until it is stopped: only then is it missed. While it is paused,
    ``due_at`` and the reminders are those that would hold if it went on at the moment of the pause.
    ``reminders`` are in order, the breach last. Instants are in UTC.
    """

    promise: str
    started_at: datetime
    due_at: datetime
    state: State
    stopped_at: datetime | None = None
    round: int = 0
    reminders: tuple[Reminder, ...] = ()


@dataclass(frozen=True, slots=True)
class DueStep:
    """The one reminder to send now: the latest step reached, and all steps that it stands for, itself the last."""

    step: str
    at: datetime
    round: int
    stands_for: tuple[str, ...]


def parse_share(text: str) -> Fraction:
    """A share of the time to a promise, from ``50%``; ValueError says what would be legal.

    >>> parse_share("80%")
    Fraction(4, 5)
    """
    number, percent, rest = text.strip().partition("%")
    if not percent or rest or not (number.isascii() and number.isdigit()) or not 0 < int(number) < 100:
        raise ValueError(f"{text!r} is not a share of the time to a promise; legal: 1% to 99%")
    return Fraction(int(number), 100)


def pick(
    targets: Iterable[Target],
    promise: str,
    *,
    severity: str = "",
    organisation: str = "",
    contract: str = "",
    kind: str = "",
) -> Target | None:
    """The most specific target for a promise, None where nothing was promised.

    A field weighs more than all after it together: contract, organisation, kind of request, severity. Of equals the
    first one written counts. Case does not matter.
    """
    ticket = [value.casefold() for value in (contract, organisation, kind, severity)]
    best: tuple[list[bool], Target] | None = None
    for target in targets:
        wanted = [value.casefold() for value in (target.contract, target.organisation, target.kind, target.severity)]
        fits = all(want in ("", have) for want, have in zip(wanted, ticket, strict=True))
        named = [bool(want) for want in wanted]
        if target.promise == promise and fits and (best is None or named > best[0]):
            best = named, target
    return best[1] if best else None


def measure(moments: Iterable[Moment], target: Target, calendar: Calendar) -> Timer | None:
    """How a promise stands after these moments, or None when nothing started it.

    Moments count in order of time, equal ones in the order given; those that change nothing (a pause while paused, a
    stop after the stop) are passed over. A start after a stop or cancel begins a new measurement in the next round.
    Pauses push what is still ahead by the business time they took, for a target in plain hours by the elapsed time.
    """
    history = _replay(moments)
    if history is None:
        return None
    due_at = add(calendar, history.started_at, target.within)
    ahead = [
        (_percent(share), _part(share, history.started_at, due_at, target, calendar))
        for share in sorted(target.warn_at)
    ]
    reminders = tuple(
        Reminder(step, _pushed(at, history.pauses, target, calendar)) for step, at in [*ahead, (BREACH, due_at)]
    )
    due_at = reminders[-1].at
    state = history.state
    if history.stopped_at and state == "met" and history.stopped_at > due_at:
        state = "missed"
    started_at = history.started_at
    return Timer(target.promise, started_at, due_at, state, history.stopped_at, history.round, reminders)


def due_steps(timer: Timer, now: datetime, done: Collection[tuple[int, str]]) -> DueStep | None:
    """The one step to speak of now, or None; ``done`` holds (round, step) of those already spoken of.

    Steps passed while nobody looked become one that names the latest, and a step before one that is done is not made up
    for. A timer that does not run asks for nothing.
    """
    reached = [reminder for reminder in timer.reminders if reminder.at <= now]
    if timer.state != "running" or not reached or (timer.round, reached[-1].step) in done:
        return None
    latest = reached[-1]
    steps = tuple(reminder.step for reminder in reached if (timer.round, reminder.step) not in done)
    return DueStep(latest.step, latest.at, timer.round, steps)


def next_wake(timer: Timer, now: datetime, done: Collection[tuple[int, str]]) -> datetime | None:
    """When to look at the timer again: not after now where a step is due already, None where none will come."""
    due = due_steps(timer, now, done)
    if due:
        return due.at
    if timer.state != "running":
        return None
    ahead = (r.at for r in timer.reminders if r.at > now and (timer.round, r.step) not in done)
    return next(ahead, None)


@dataclass(frozen=True, slots=True)
class _History:
    """What happened to one measurement; ``state`` is met for any stop until the due time is known."""

    started_at: datetime
    state: State = "running"
    pauses: tuple[tuple[datetime, datetime], ...] = ()
    stopped_at: datetime | None = None
    round: int = 0


def _replay(moments: Iterable[Moment]) -> _History | None:
    history: _History | None = None
    paused_at: datetime | None = None
    for moment in sorted(moments, key=lambda moment: moment.at):
        if history is None or history.state not in ("running", "paused"):
            if moment.what == "start":
                history = _History(moment.at, round=history.round + 1 if history else 0)
                paused_at = None
            continue
        state: State = history.state
        pauses, stopped_at, count = history.pauses, history.stopped_at, history.round
        if paused_at and moment.what in ("resume", "stop", "cancel"):
            pauses, paused_at, state = (*pauses, (paused_at, moment.at)), None, "running"
        if moment.what == "pause" and not paused_at:
            paused_at, state = moment.at, "paused"
        elif moment.what in ("stop", "cancel"):
            stopped_at, state = moment.at, "met" if moment.what == "stop" else "off"
        elif moment.what == "round":
            count += 1
        history = _History(history.started_at, state, pauses, stopped_at, count)
    return history


def _part(share: Fraction, start: datetime, due: datetime, target: Target, calendar: Calendar) -> datetime:
    """The instant at which a share of the time from start to due is used up."""
    business = target.within.unit.business
    whole = calendar.business_between(start, due) if business else due - start
    length = timedelta(microseconds=whole // timedelta(microseconds=1) * share.numerator // share.denominator)
    return calendar.add_business(start, length) if business else start + length


def _pushed(
    at: datetime, pauses: tuple[tuple[datetime, datetime], ...], target: Target, calendar: Calendar
) -> datetime:
    """``at`` moved on by every pause that began before it was reached."""
    for begin, end in pauses:
        if begin >= at:
            break
        if target.within.unit.business:
            at = calendar.add_business(at, calendar.business_between(begin, end))
        else:
            at += end - begin
    return at


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):g}%"
