"""Working hours, as tables, as laws and against two oracles that know nothing of helpdesk."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
import workclock
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.calendar import (
    WHOLE_DAY,
    Calendar,
    Interval,
    Span,
    Unit,
    add,
    known_zone,
    parse_hours,
    parse_span,
)

BERLIN = ZoneInfo("Europe/Berlin")
OFFICE = {day: parse_hours("09:00-12:30 13:30-17:00") for day in range(5)}
ALWAYS = dict.fromkeys(range(7), (WHOLE_DAY,))
NIGHTS = {day: parse_hours("22:00-06:00") for day in range(5)}

ZONES = [
    "Africa/Cairo", "Africa/Casablanca", "America/Havana", "America/New_York", "America/Santiago", "America/Sao_Paulo",
    "America/St_Johns", "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Kathmandu", "Asia/Tehran", "Asia/Tokyo",
    "Australia/Lord_Howe", "Australia/Sydney", "Europe/Berlin", "Europe/Dublin", "Pacific/Apia", "Pacific/Chatham",
    "UTC",
]  # fmt: skip


def berlin(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=BERLIN)


def office(**holidays: str) -> Calendar:
    days = {date.fromisoformat(day[1:].replace("_", "-")): name for day, name in holidays.items()}
    return Calendar("office", "Europe/Berlin", OFFICE, days)


@pytest.mark.parametrize(
    ("at", "hours", "due"),
    [
        (berlin(2026, 3, 2, 9), 2, berlin(2026, 3, 2, 11)),
        (berlin(2026, 3, 2, 11, 30), 2, berlin(2026, 3, 2, 14, 30)),  # over the break
        (berlin(2026, 3, 2, 9), 7, berlin(2026, 3, 2, 17)),  # ends at closing, not next morning
        (berlin(2026, 3, 6, 15), 4, berlin(2026, 3, 9, 11)),  # over the weekend
        (berlin(2026, 3, 27, 15), 4, berlin(2026, 3, 30, 11)),  # over a weekend with a clock change
        (berlin(2026, 3, 7, 23), 1, berlin(2026, 3, 9, 10)),  # from outside hours
        (berlin(2026, 3, 2, 12, 45), 1, berlin(2026, 3, 2, 14, 30)),  # from inside the break
        (berlin(2026, 4, 30, 16), 2, berlin(2026, 5, 4, 10)),  # 1 May is a holiday
        (datetime(2026, 3, 2, 8, tzinfo=UTC), 2, berlin(2026, 3, 2, 11)),
    ],
)
def test_adds_business_hours(at, hours, due):
    assert office(d2026_05_01="Labour Day").add_business(at, timedelta(hours=hours)) == due


@pytest.mark.parametrize(
    ("at", "n", "due"),
    [
        (berlin(2026, 3, 6, 16, 50), 1, berlin(2026, 3, 9, 16, 50)),
        (berlin(2026, 3, 6, 16, 50), 2, berlin(2026, 3, 10, 16, 50)),
        (berlin(2026, 3, 6, 18, 0), 1, berlin(2026, 3, 10, 9)),  # counts from Monday's opening
        (berlin(2026, 3, 7, 12), 1, berlin(2026, 3, 10, 9)),
        (berlin(2026, 3, 2, 12, 45), 1, berlin(2026, 3, 3, 13, 30)),
        (berlin(2026, 4, 30, 10), 1, berlin(2026, 5, 4, 10)),
        (berlin(2026, 3, 27, 10), 1, berlin(2026, 3, 30, 10)),  # same local time although the clocks changed
    ],
)
def test_adds_business_days_at_the_same_local_time(at, n, due):
    assert office(d2026_05_01="Labour Day").add_business_days(at, n) == due


def test_business_day_is_moved_into_shorter_hours_and_over_a_break():
    hours = {0: parse_hours("08:00-18:00"), 1: parse_hours("10:00-12:00 13:00-15:00")}
    calendar = Calendar("short", "Europe/Berlin", hours)

    moved = [calendar.add_business_days(berlin(2026, 3, 2, *at), 1) for at in [(8, 5), (11, 0), (12, 20), (17, 59)]]

    assert moved == [berlin(2026, 3, 3, *at) for at in [(10, 0), (11, 0), (13, 0), (15, 0)]]


def test_night_shift_belongs_to_the_day_it_starts_on():
    nights = Calendar("nights", "Europe/Berlin", NIGHTS)
    saturday = berlin(2026, 3, 7, 2)

    assert nights.is_open(saturday)
    assert not nights.is_open(berlin(2026, 3, 8, 2))
    assert nights.add_business_days(saturday, 1) == berlin(2026, 3, 10, 2)
    assert nights.add_business_days(berlin(2026, 3, 6, 23), 1) == berlin(2026, 3, 9, 23)
    assert nights.add_business(berlin(2026, 3, 6, 20), timedelta(hours=8)) == berlin(2026, 3, 7, 6)


def test_night_shift_as_two_intervals_means_the_same():
    halves = {0: parse_hours("22:00-24:00"), 1: parse_hours("00:00-06:00")}
    one = Calendar("one", "Europe/Berlin", {0: parse_hours("22:00-06:00")})
    two = Calendar("two", "Europe/Berlin", halves)

    for hour in range(0, 24 * 8, 1):
        at = berlin(2026, 3, 1) + timedelta(hours=hour)
        assert one.add_business(at, timedelta(hours=5)) == two.add_business(at, timedelta(hours=5))


def test_holiday_closes_from_midnight_to_midnight():
    nights = Calendar("nights", "Europe/Berlin", NIGHTS, {date(2026, 3, 4): "Founder's Day"})

    assert nights.next_open(berlin(2026, 3, 4, 1)) == berlin(2026, 3, 5, 0)
    assert nights.add_business_days(berlin(2026, 3, 3, 23), 1) == berlin(2026, 3, 5, 23)
    assert nights.openings(date(2026, 3, 4)) == ()


def test_round_the_clock_contract_is_not_cheated_when_the_clocks_change():
    always = Calendar("always", "Europe/Berlin", ALWAYS)

    assert always.add_business(berlin(2026, 3, 28, 12), timedelta(hours=24)) == berlin(2026, 3, 29, 13)
    assert always.add_business(berlin(2026, 10, 24, 12), timedelta(hours=24)) == berlin(2026, 10, 25, 11)
    assert always.add_business_days(berlin(2026, 3, 28, 12), 1) == berlin(2026, 3, 29, 12)


def test_closes_at_the_moment_of_closing():
    assert office().is_open(berlin(2026, 3, 2, 9))
    assert not office().is_open(berlin(2026, 3, 2, 12, 30))
    assert not office().is_open(berlin(2026, 3, 2, 17))
    assert office().next_open(berlin(2026, 3, 2, 17)) == berlin(2026, 3, 3, 9)
    assert office().opening(date(2026, 3, 2)) == berlin(2026, 3, 2, 9)
    assert office().opening(date(2026, 3, 1)) is None


def test_date_that_a_zone_skipped_has_no_hours():
    """Samoa went from 29 to 31 December 2011."""
    samoa = Calendar("samoa", "Pacific/Apia", ALWAYS)

    assert samoa.openings(date(2011, 12, 30)) == ()
    assert samoa.add_business_days(datetime(2011, 12, 29, 10, tzinfo=ZoneInfo("Pacific/Apia")), 1) == datetime(
        2011, 12, 31, 10, tzinfo=ZoneInfo("Pacific/Apia")
    )


def test_hour_repeated_over_midnight_is_counted():
    """Until 2011 Newfoundland's clocks went back at 00:01, into the evening of the day before."""
    island = Calendar("island", "America/St_Johns", ALWAYS)
    again = datetime(2006, 10, 28, 23, 30, fold=1, tzinfo=ZoneInfo("America/St_Johns")).astimezone(UTC)

    assert island.is_open(again)
    assert island.business_between(again - timedelta(hours=2), again) == timedelta(hours=2)
    assert island.add_business(again, timedelta(hours=1)) == again + timedelta(hours=1)


@pytest.mark.parametrize(
    ("zone", "hours", "words"),
    [
        ("Europe/Berlin", {}, "no open hours"),
        ("Europe/Berlin", {0: ()}, "no open hours"),
        ("Europe/Berlin", {7: (WHOLE_DAY,)}, "weekday 7"),
        ("Mars/Olympus", OFFICE, "not a time zone"),
        ("Europe/Berlin", {0: ((time(9, tzinfo=UTC), time(17)),)}, "wall-clock"),
    ],
)
def test_refuses_impossible_calendars(zone, hours, words):
    with pytest.raises(ValueError, match=words):
        Calendar("broken", zone, hours)


def test_search_ends_where_holidays_never_do():
    days = {date(2026, 1, 1) + timedelta(days=n): "closed" for n in range(900)}
    closed = Calendar("closed", "Europe/Berlin", OFFICE, days)
    at = berlin(2026, 1, 2, 10)

    for search in (closed.next_open, lambda at: closed.add_business_days(at, 1)):
        with pytest.raises(ValueError, match="two years"):
            search(at)
    with pytest.raises(ValueError, match="two years"):
        closed.add_business(at, timedelta(minutes=1))
    assert closed.business_between(at, at + timedelta(days=890)) == timedelta(0)
    assert not closed.is_open(at)


def test_refuses_naive_and_backward_times():
    for wrong in (
        lambda: office().next_open(datetime(2026, 3, 2)),
        lambda: add(office(), datetime(2026, 3, 2), Span(1, Unit.DAY)),
    ):
        with pytest.raises(ValueError, match="no time zone"):
            wrong()
    with pytest.raises(ValueError, match="forwards"):
        office().add_business(berlin(2026, 3, 2), timedelta(hours=-1))
    with pytest.raises(ValueError, match="forwards"):
        office().add_business_days(berlin(2026, 3, 2), -1)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("09:00-17:00", ((time(9), time(17)),)),
        ("13:30-17:00, 9:00-12:30", ((time(9), time(12, 30)), (time(13, 30), time(17)))),
        ("00:00-24:00", (WHOLE_DAY,)),
        ("22:00-06:00", ((time(22), time(6)),)),
        ("00:00-06:00 22:00-24:00", ((time(0), time(6)), (time(22), time(0)))),
        ("", ()),
    ],
)
def test_reads_hours(text, hours):
    assert parse_hours(text) == hours


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9-17", "'9-17' is not an interval"),
        ("09:00", "is not an interval"),
        ("09:00-25:00", "no clock shows"),
        ("24:00-06:00", "no clock shows"),
        ("09:60-17:00", "no clock shows"),
        ("09:00-09:00", "is empty"),
        ("09:00-13:00 12:00-17:00", "overlap"),
        ("22:00-06:00 05:00-08:00", "overlap"),
        ("closed", "is not an interval"),
        ("٠٩:٠٠-17:00", "is not an interval"),
    ],
)
def test_refuses_wrong_hours_in_words(text, words):
    with pytest.raises(ValueError, match=words):
        parse_hours(text)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("8 business hours", Span(8, Unit.BUSINESS_HOUR)),
        ("1 business day", Span(1, Unit.BUSINESS_DAY)),
        ("2 business days", Span(2, Unit.BUSINESS_DAY)),
        ("30 minutes", Span(30, Unit.MINUTE)),
        ("4 hours", Span(4, Unit.HOUR)),
        ("3 days", Span(3, Unit.DAY)),
        ("45 business minutes", Span(45, Unit.BUSINESS_MINUTE)),
    ],
)
def test_reads_spans(text, span):
    assert parse_span(text) == span
    assert str(span) == text


@pytest.mark.parametrize(
    "text", ["", "soon", "0 hours", "-1 hours", "1.5 hours", "8 businesshours", "1 week", "١ day", "100000 days"]
)
def test_refuses_wrong_spans_in_words(text):
    with pytest.raises(ValueError, match="legal: a whole number"):
        parse_span(text)


def test_adds_each_kind_of_span():
    friday = berlin(2026, 3, 27, 16, 50)

    assert add(office(), friday, parse_span("1 business day")) == berlin(2026, 3, 30, 16, 50)
    assert add(office(), friday, parse_span("1 business hour")) == berlin(2026, 3, 30, 9, 50)
    assert add(office(), friday, parse_span("20 business minutes")) == berlin(2026, 3, 30, 9, 10)
    assert add(office(), friday, parse_span("2 days")) == berlin(2026, 3, 29, 17, 50)  # 48 hours, one of them skipped
    assert add(office(), friday, parse_span("90 minutes")) == berlin(2026, 3, 27, 18, 20)


@pytest.mark.parametrize(
    "key", ["", "America", "localtime", "right/UTC", "/etc/passwd", "../UTC", "europe\0", "tzdata.zi", "Ä/B"]
)
def test_refuses_what_is_no_zone(key):
    with pytest.raises(ValueError, match="not a time zone"):
        known_zone(key)


# Laws and oracles


@st.composite
def intervals(draw: st.DrawFn) -> tuple[Interval, ...]:
    """Up to three intervals of a day, to the quarter of an hour, the last one perhaps into the night."""
    marks = sorted(draw(st.sets(st.integers(0, 95), max_size=6)))
    times = [time(mark // 4, mark % 4 * 15) for mark in marks[: len(marks) // 2 * 2]]
    pairs = list(zip(times[::2], times[1::2], strict=True))
    if pairs and draw(st.integers(0, 4)) == 0:
        pairs[-1] = (pairs[-1][0], draw(st.sampled_from([time(0), pairs[0][0] if len(pairs) > 1 else time(6)])))
    return tuple(pairs)


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    hours = draw(st.dictionaries(st.integers(0, 6), intervals(), min_size=1))
    if not any(hours.values()):
        hours = draw(st.sampled_from([OFFICE, ALWAYS, NIGHTS]))
    holidays = draw(st.sets(st.dates(date(2024, 1, 1), date(2026, 12, 31)), max_size=8))
    return Calendar("drawn", draw(st.sampled_from(ZONES)), hours, dict.fromkeys(holidays, "holiday"))


# Most draws lie near a clock change of one hemisphere or the other.
INSTANTS = st.one_of(
    st.datetimes(datetime(2024, 1, 1), datetime(2026, 12, 31)),
    st.datetimes(datetime(2026, 3, 26), datetime(2026, 4, 7)),
    st.datetimes(datetime(2025, 10, 23), datetime(2025, 11, 4)),
).map(lambda at: at.replace(microsecond=0, tzinfo=UTC))
DURATIONS = st.integers(1, 60 * 60 * 60).map(lambda seconds: timedelta(seconds=seconds))


@given(calendars(), INSTANTS, DURATIONS)
@settings(max_examples=150, deadline=None)
def test_what_was_added_lies_between(calendar, at, duration):
    assert calendar.business_between(at, calendar.add_business(at, duration)) == duration


@given(calendars(), INSTANTS, DURATIONS, DURATIONS)
@settings(max_examples=100, deadline=None)
def test_adding_twice_is_adding_the_sum(calendar, at, some, more):
    once = calendar.add_business(calendar.add_business(at, some), more)

    assert once == calendar.add_business(at, some + more)


@given(calendars(), INSTANTS, DURATIONS, DURATIONS)
@settings(max_examples=100, deadline=None)
def test_later_and_longer_never_end_earlier(calendar, at, shift, duration):
    due = calendar.add_business(at, duration)

    assert calendar.add_business(at + shift, duration) >= due
    assert calendar.add_business(at, duration + shift) > due


@given(calendars(), INSTANTS, DURATIONS)
@settings(max_examples=100, deadline=None)
def test_never_lands_outside_hours(calendar, at, duration):
    due = calendar.add_business(at, duration)

    assert calendar.is_open(due - timedelta(microseconds=1))
    assert calendar.is_open(calendar.next_open(at))
    assert due.tzinfo is UTC


@given(calendars(), INSTANTS, st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_business_days_end_within_hours_of_a_later_day(calendar, at, n):
    due = calendar.add_business_days(at, n)

    assert due > calendar.next_open(at)
    assert calendar.is_open(due) or calendar.is_open(due - timedelta(microseconds=1))
    assert calendar.add_business_days(at, n + 1) > due


@given(calendars(), INSTANTS, INSTANTS, INSTANTS)
@settings(max_examples=60, deadline=None)
def test_parts_add_up_to_the_whole(calendar, a, b, c):
    assert calendar.business_between(a, b) + calendar.business_between(b, c) == calendar.business_between(a, c)


@given(st.sampled_from(ZONES), st.integers(0, 1095), st.integers(0, 14 * 60))
@settings(max_examples=150, deadline=None)
def test_business_day_keeps_the_local_time_in_every_zone(zone, day, minute):
    """Daytime hours that no zone's clock change touches."""
    calendar = Calendar("days", zone, {weekday: parse_hours("06:00-20:00") for weekday in range(7)})
    at = datetime(2024, 1, 1, 6, tzinfo=ZoneInfo(zone)) + timedelta(days=day, minutes=min(minute, 14 * 60 - 1))

    due = calendar.add_business_days(at, 1).astimezone(ZoneInfo(zone))

    assert due.replace(tzinfo=None) == at.replace(tzinfo=None) + timedelta(days=1)


@given(calendars(), INSTANTS, DURATIONS)
@settings(max_examples=300, deadline=None)
def test_agrees_with_workclock(calendar, at, duration):
    """An independent implementation, in Rust."""
    oracle = schedule(calendar)

    assert calendar.add_business(at, duration) == oracle.add(at, duration)
    assert calendar.business_between(at, at + duration) == oracle.between(at, at + duration)


@given(calendars(), INSTANTS, st.integers(1, 4 * 60))
@settings(max_examples=40, deadline=None)
def test_agrees_with_stepping_minute_by_minute(calendar, at, minutes):
    """A clock that looks at the wall every minute; it knows nothing of instants, so clock changes are left out."""
    at = at.replace(second=0)
    zone = ZoneInfo(calendar.zone)
    span = (at.astimezone(zone) - timedelta(days=1), at.astimezone(zone) + timedelta(days=6))
    if any(offset(when) != offset(span[0]) for when in (at.astimezone(zone), span[1])):
        return
    wall, counted = at, 0
    while counted < minutes and wall < at + timedelta(days=5):
        counted += shows_open(calendar, wall.astimezone(zone))
        wall += timedelta(minutes=1)

    assert calendar.business_between(at, wall) == timedelta(minutes=counted)
    if counted == minutes:
        assert calendar.add_business(at, timedelta(minutes=minutes)) == wall


def offset(when: datetime) -> timedelta | None:
    return when.utcoffset()


def shows_open(calendar: Calendar, wall: datetime) -> bool:
    if wall.date() in calendar.holidays:
        return False
    today = calendar.hours.get(wall.weekday(), ())
    yesterday = calendar.hours.get((wall.weekday() - 1) % 7, ())
    now = wall.time()
    return any(start <= now and (now < end or end <= start) for start, end in today) or any(
        end <= start and now < end for start, end in yesterday
    )


def schedule(calendar: Calendar) -> workclock.Schedule:
    hours = [
        workclock.WorkDay(start, end, days=[day], time_zone=calendar.zone)
        for day, pairs in calendar.hours.items()
        for start, end in pairs
    ]
    return workclock.Schedule([*hours, workclock.Holidays(list(calendar.holidays))], time_zone=calendar.zone)
