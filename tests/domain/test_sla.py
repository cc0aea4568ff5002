"""Timers: what they say after a history, what they remind of, and that neither depends on when one looks."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.calendar import Calendar, Span, Unit, add, parse_hours, parse_span
from helpdesk.domain.sla import (
    BREACH,
    DueStep,
    Moment,
    Reminder,
    Target,
    Timer,
    due_steps,
    measure,
    next_wake,
    parse_share,
    pick,
)

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = Calendar(
    "office",
    "Europe/Berlin",
    {day: parse_hours("09:00-17:00") for day in range(5)},
    {date(2026, 5, 1): "Labour Day"},
)
WARN = (parse_share("50%"), parse_share("80%"))
EIGHT_HOURS = Target("first_response", parse_span("8 business hours"), WARN)
ONE_DAY = Target("first_response", parse_span("1 business day"), WARN)
FOUR_PLAIN = Target("first_response", parse_span("4 hours"), WARN)


def on(day: int, hour: int, minute: int = 0) -> datetime:
    """A day of March 2026, which begins on a Sunday."""
    return datetime(2026, 3, day, hour, minute, tzinfo=BERLIN)


def timer(target: Target, *moments: tuple[datetime, str]) -> Timer:
    measured = measure([Moment(at, what) for at, what in moments], target, OFFICE)  # type: ignore[arg-type]
    assert measured is not None
    return measured


def test_nothing_is_measured_before_it_starts():
    assert measure([], EIGHT_HOURS, OFFICE) is None
    assert measure([Moment(on(2, 9), "stop"), Moment(on(2, 10), "pause")], EIGHT_HOURS, OFFICE) is None


def test_running_timer_knows_its_reminders():
    assert timer(EIGHT_HOURS, (on(6, 13), "start")) == Timer(
        promise="first_response",
        started_at=on(6, 13),
        due_at=on(9, 13),
        state="running",
        reminders=(Reminder("50%", on(6, 17)), Reminder("80%", on(9, 11, 24)), Reminder(BREACH, on(9, 13))),
    )


def test_business_day_ends_at_the_same_local_time():
    running = timer(ONE_DAY, (on(6, 16, 50), "start"))

    assert running.due_at == on(9, 16, 50)
    assert running.reminders[0] == Reminder("50%", on(9, 12, 50))


@pytest.mark.parametrize(
    ("target", "moments", "due", "state"),
    [
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 16), "stop")], on(2, 17), "met"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 17), "stop")], on(2, 17), "met"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 17, 1), "stop")], on(2, 17), "missed"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 10), "cancel")], on(2, 17), "off"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 10), "pause")], on(2, 17), "paused"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 10), "pause"), (on(2, 12), "resume")], on(3, 11), "running"),
        # Friday evening to Monday 10:00 took one hour of work.
        (EIGHT_HOURS, [(on(6, 13), "start"), (on(6, 18), "pause"), (on(9, 10), "resume")], on(9, 14), "running"),
        (ONE_DAY, [(on(5, 12), "start"), (on(5, 13), "pause"), (on(5, 15), "resume")], on(6, 14), "running"),
        # Plain hours elapse, and so does a pause of theirs: otherwise a weekend's pause would break the promise.
        (FOUR_PLAIN, [(on(6, 16), "start"), (on(6, 18), "pause"), (on(9, 10), "resume")], on(9, 12), "running"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 10), "pause"), (on(2, 12), "stop")], on(3, 11), "met"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(3, 10), "pause"), (on(4, 12), "resume")], on(2, 17), "running"),
        # What changes nothing is passed over.
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 11), "start"), (on(2, 12), "resume")], on(2, 17), "running"),
        (EIGHT_HOURS, [(on(2, 9), "start"), (on(2, 10), "stop"), (on(2, 11), "cancel")], on(2, 17), "met"),
        (
            EIGHT_HOURS,
            [(on(2, 9), "start"), (on(2, 10), "pause"), (on(2, 11), "pause"), (on(2, 12), "resume")],
            on(3, 11),
            "running",
        ),
    ],
)
def test_measures_what_happened(target, moments, due, state):
    measured = timer(target, *moments)

    assert (measured.due_at, measured.state) == (due, state)


def test_reminder_passed_before_a_pause_stays_where_it_was():
    measured = timer(EIGHT_HOURS, (on(2, 9), "start"), (on(2, 14), "pause"), (on(2, 16), "resume"))

    assert [r.at for r in measured.reminders] == [on(2, 13), on(3, 9, 24), on(3, 11)]


def test_start_after_the_end_is_a_new_measurement_of_the_next_round():
    again = timer(EIGHT_HOURS, (on(2, 9), "start"), (on(2, 10), "pause"), (on(2, 12), "stop"), (on(4, 9), "start"))

    assert (again.started_at, again.due_at, again.round, again.stopped_at) == (on(4, 9), on(4, 17), 1, None)


def test_new_round_asks_again_for_steps_of_the_old_one():
    raised = timer(EIGHT_HOURS, (on(2, 9), "start"), (on(2, 14), "round"))

    assert raised.round == 1
    assert due_steps(raised, on(2, 14), {(0, "50%")}) == DueStep("50%", on(2, 13), 1, ("50%",))


@pytest.mark.parametrize(
    ("now", "done", "step", "stands_for", "wake"),
    [
        (on(2, 12, 59), set(), None, (), on(2, 13)),
        (on(2, 13), set(), "50%", ("50%",), on(2, 13)),
        (on(2, 13), {(0, "50%")}, None, (), on(2, 15, 24)),
        (on(5, 9), set(), BREACH, ("50%", "80%", BREACH), on(2, 17)),  # down for days: one mail
        (on(5, 9), {(0, "50%")}, BREACH, ("80%", BREACH), on(2, 17)),
        (on(5, 9), {(0, BREACH)}, None, (), None),
        (on(2, 16), {(0, "80%")}, None, (), on(2, 17)),  # the earlier step is not made up for
        (on(2, 13), {(1, "50%")}, "50%", ("50%",), on(2, 13)),  # another round's
    ],
)
def test_speaks_of_the_latest_step_once(now, done, step, stands_for, wake):
    running = timer(EIGHT_HOURS, (on(2, 9), "start"))

    due = due_steps(running, now, done)

    assert (due and due.step, due.stands_for if due else ()) == (step, stands_for)
    assert next_wake(running, now, done) == wake


@pytest.mark.parametrize("what", ["pause", "stop", "cancel"])
def test_timer_that_does_not_run_asks_for_nothing(what):
    still = timer(EIGHT_HOURS, (on(2, 9), "start"), (on(2, 16), what))

    assert due_steps(still, on(5, 9), set()) is None
    assert next_wake(still, on(5, 9), set()) is None


GENERAL = Target("first_response", parse_span("8 business hours"))
TARGETS = [
    GENERAL,
    Target("resolution", parse_span("3 days"), contract="C-1"),
    Target("first_response", parse_span("7 business hours"), severity="high"),
    Target("first_response", parse_span("6 business hours"), kind="question"),
    Target("first_response", parse_span("5 business hours"), organisation="Acme", severity="high"),
    Target("first_response", parse_span("4 business hours"), contract="C-1"),
    Target("first_response", parse_span("3 business hours"), contract="C-1", severity="high"),
    Target("first_response", parse_span("2 business hours"), contract="C-1", severity="high"),
]


@pytest.mark.parametrize(
    ("ticket", "hours"),
    [
        ({}, 8),
        ({"severity": "low", "organisation": "Umbrella"}, 8),
        ({"severity": "high"}, 7),
        ({"severity": "high", "kind": "question"}, 6),
        ({"severity": "high", "organisation": "ACME", "kind": "question"}, 5),
        ({"severity": "low", "organisation": "Acme", "contract": "C-1", "kind": "question"}, 4),
        ({"severity": "High", "organisation": "Acme", "contract": "c-1"}, 3),
    ],
)
def test_most_specific_target_wins(ticket, hours):
    picked = pick(TARGETS, "first_response", **ticket)

    assert picked is not None
    assert picked.within == Span(hours, Unit.BUSINESS_HOUR)


def test_nothing_is_picked_where_nothing_was_promised():
    assert pick(TARGETS, "update") is None
    assert pick(TARGETS, "resolution", contract="C-2") is None


@pytest.mark.parametrize("text", ["", "50", "0%", "100%", "50%%", "half", "-5%", "5.5%", "٥٠%"])
def test_refuses_wrong_shares_in_words(text):
    with pytest.raises(ValueError, match="legal: 1% to 99%"):
        parse_share(text)


@pytest.mark.parametrize("share", [Fraction(0), Fraction(1), Fraction(3, 2)])
def test_refuses_a_reminder_that_is_no_warning(share):
    with pytest.raises(ValueError, match="above 0 and below 1"):
        Target("first_response", parse_span("1 hour"), (share,))


# Laws

STARTS = st.datetimes(datetime(2026, 3, 20), datetime(2026, 5, 10)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
BUSINESS = st.builds(
    Target,
    st.just("first_response"),
    st.builds(Span, st.integers(1, 12), st.sampled_from([Unit.BUSINESS_MINUTE, Unit.BUSINESS_HOUR, Unit.BUSINESS_DAY])),
    st.lists(st.fractions(Fraction(1, 100), Fraction(99, 100), max_denominator=100), max_size=4, unique=True).map(
        tuple
    ),
)
PLAIN = st.builds(
    Target,
    st.just("first_response"),
    st.builds(Span, st.integers(1, 50), st.sampled_from([Unit.MINUTE, Unit.HOUR, Unit.DAY])),
    st.just(WARN),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Moment]:
    """A start and then anything at all, sensible or not, each later than the one before."""
    at = draw(STARTS)
    moments = [Moment(at, "start")]
    for _ in range(draw(st.integers(0, 7))):
        at += timedelta(minutes=draw(st.integers(1, 60 * 20)))
        moments.append(Moment(at, draw(st.sampled_from(["start", "pause", "resume", "stop", "cancel", "round"]))))
    return moments


@given(histories(), BUSINESS | PLAIN, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_in_which_moments_are_read_does_not_matter(moments, target, random):
    shuffled = random.sample(moments, len(moments))

    assert measure(shuffled, target, OFFICE) == measure(moments, target, OFFICE)


@given(histories(), BUSINESS | PLAIN)
@settings(max_examples=150, deadline=None)
def test_reminders_are_in_order_and_end_with_the_breach(moments, target):
    measured = timer(target, *((moment.at, moment.what) for moment in moments))

    assert all(a.at <= b.at for a, b in pairwise(measured.reminders))
    assert measured.reminders[-1] == Reminder(BREACH, measured.due_at)
    assert all(measured.started_at <= r.at for r in measured.reminders)
    assert len(measured.reminders) == len(target.warn_at) + 1


@given(histories(), BUSINESS)
@settings(max_examples=100, deadline=None)
def test_reminders_on_business_time_come_within_hours(moments, target):
    measured = timer(target, *((moment.at, moment.what) for moment in moments))

    assert all(OFFICE.is_open(r.at) or OFFICE.is_open(r.at - timedelta(microseconds=1)) for r in measured.reminders)


@given(STARTS, BUSINESS, st.lists(st.integers(1, 300), min_size=2, max_size=8))
@settings(max_examples=100, deadline=None)
def test_business_time_outside_pauses_is_what_was_promised(start, target, gaps):
    """Pauses inside the running time push the end by exactly the business time that they took."""
    moments, at, paused = [(start, "start")], start, timedelta(0)
    due = add(OFFICE, start, target.within)
    for pause, length in zip(gaps[::2], gaps[1::2], strict=False):
        begin, end = at + timedelta(minutes=pause), at + timedelta(minutes=pause + length)
        if begin < due:
            moments += [(begin, "pause"), (end, "resume")]
            paused += OFFICE.business_between(begin, end)
            due = OFFICE.add_business(add(OFFICE, start, target.within), paused)
        at = end

    measured = timer(target, *moments)

    assert measured.due_at == due
    assert OFFICE.business_between(start, measured.due_at) - paused == OFFICE.business_between(
        start, add(OFFICE, start, target.within)
    )


@given(histories(), BUSINESS | PLAIN, st.lists(st.integers(0, 3000), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_every_step_is_spoken_for_exactly_once_however_often_one_looks(moments, target, pauses):
    measured = timer(target, *((moment.at, moment.what) for moment in moments))
    now, done, spoken = measured.started_at, set(), []
    for minutes in [*pauses, 10**6]:
        now += timedelta(minutes=minutes)
        due = due_steps(measured, now, done)
        if due:
            spoken += due.stands_for
            done |= {(due.round, step) for step in due.stands_for}
        assert due_steps(measured, now, done) is None
        wake = next_wake(measured, now, done)
        assert wake is None or wake > now

    expected = [r.step for r in measured.reminders] if measured.state == "running" else []
    assert spoken == expected
