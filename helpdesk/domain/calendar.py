"""Working hours: when a desk is open, and what "8 business hours" from an instant means.

Hours are wall-clock times of one zone; what is counted is elapsed time. Every opening is therefore turned into two UTC
instants first and measured there: wall-clock subtraction would cheat a 24x7 calendar of an hour on the day that the
clocks change. A wall time that a clock change skips or repeats means what RFC 5545 section 3.3.5 says: the offset
before the gap, the first of two. Whatever instant comes out of this module is in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

#: Opens and closes; a closing time that is not later than the opening time belongs to the next day.
Interval = tuple[time, time]
#: The same as two UTC instants, the second excluded.
Opening = tuple[datetime, datetime]

#: Open from midnight to midnight: ``hours={day: (WHOLE_DAY,) for day in range(7)}`` is 24x7.
WHOLE_DAY: Interval = (time(0), time(0))

_DAY = timedelta(days=1)
_SEARCH_LIMIT = timedelta(days=731)
_REMEMBERED_DAYS = 5000
_ZONE_KEY = re.compile(r"(?!(?:right|posix)/|localtime$|posixrules$)[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*")
_HOURS = re.compile(r"([0-9]{1,2}):([0-9]{2})[-–]([0-9]{1,2}):([0-9]{2})")
_SPAN = re.compile(r"([0-9]{1,5})\s+(business\s+)?(minute|hour|day)s?", re.IGNORECASE)


@dataclass(frozen=True)
class Calendar:
    """When a desk works: weekly hours (0 is Monday; several intervals leave breaks between them), zone and holidays.

    A holiday closes the calendar on that local date from midnight to midnight, also for a night shift that reaches into
    it. Raises ValueError for an unknown zone or weekday, and where the week has no open hours at all.
    """

    name: str
    zone: str
    hours: Mapping[int, tuple[Interval, ...]] = field(hash=False)
    holidays: Mapping[date, str] = field(default_factory=dict, hash=False)
    _days: dict[date, tuple[Opening, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _shifts: dict[date, tuple[Opening, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known_zone(self.zone)
        if not any(self.hours.values()):
            raise ValueError(f"calendar {self.name!r} has no open hours")
        for weekday, intervals in self.hours.items():
            if weekday not in range(7):
                raise ValueError(f"calendar {self.name!r}: weekday {weekday!r} is not one of 0 (Monday) to 6 (Sunday)")
            if any(end.tzinfo or start.tzinfo for start, end in intervals):
                raise ValueError(
                    f"calendar {self.name!r}: opening hours are wall-clock times without a zone of their own"
                )

    def openings(self, day: date) -> tuple[Opening, ...]:
        """The open stretches of a local date, in order and apart from each other; empty when closed."""
        if day not in self._days:
            if len(self._days) >= _REMEMBERED_DAYS:
                self._days.clear()
            self._days[day] = self._openings(day)
        return self._days[day]

    def opening(self, day: date) -> datetime | None:
        """When the calendar first opens on a local date; None when it does not."""
        return next((start for start, _ in self.openings(day)), None)

    def is_open(self, at: datetime) -> bool:
        """True inside opening hours; at the very moment of closing it is closed."""
        at = _utc(at)
        # Where clocks go back over midnight, the repeated hour is found among the next date's openings.
        day = self._date(at)
        return _holds(self.openings(day) + self.openings(day + _DAY), at)

    def next_open(self, at: datetime) -> datetime:
        """``at`` itself where it is open, else the next opening; ValueError when none follows within two years."""
        return next(self._ahead(_utc(at)))[0]

    def add_business(self, at: datetime, duration: timedelta) -> datetime:
        """The earliest instant with that much open time after ``at``; no duration gives ``at`` itself.

        It may be the moment of closing: eight hours of a day from nine to five end at five, not the next morning.
        """
        if duration < timedelta(0):
            raise ValueError("business time can only be added forwards")
        at = _utc(at)
        if not duration:
            return at
        for start, end in self._ahead(at):
            if end - start >= duration:
                return start + duration
            duration -= end - start
        raise AssertionError("the search ends by itself")

    def add_business_days(self, at: datetime, n: int) -> datetime:
        """The same local time on the Nth later working day, moved into that day's hours.

        Outside hours it counts from the next opening. A night shift belongs to the day on which it starts: Saturday
        02:00 of a shift from Friday 22:00 is Friday's, so one business day later is Tuesday 02:00. A time in a break or
        before opening moves to where work goes on, a time after closing back to closing.
        """
        if n < 0:
            raise ValueError("business days can only be added forwards")
        start = self.next_open(at)
        if n == 0:
            return start
        first = self._working_day(start)
        target = self._later_working_day(first, n)
        wall = start.astimezone(ZoneInfo(self.zone)).replace(tzinfo=None) + (target - first)
        return _moved_into(self._shift(target), self._instant(wall))

    def business_between(self, a: datetime, b: datetime) -> timedelta:
        """The open time from ``a`` to ``b``, negative where ``b`` is earlier."""
        a, b = _utc(a), _utc(b)
        if b < a:
            return -self.business_between(b, a)
        first, last = self._date(a), self._date(b) + _DAY
        days = (first + timedelta(days=n) for n in range((last - first).days + 1))
        open_time = (end - start for day in days for start, end in _overlap(self.openings(day), ((a, b),)))
        return sum(open_time, timedelta(0))

    def _openings(self, day: date) -> tuple[Opening, ...]:
        if day in self.holidays:
            return ()
        bounds = (self._instant(datetime.combine(day, time())), self._instant(datetime.combine(day + _DAY, time())))
        return _joined(_overlap(self._hours_from(day - _DAY) + self._hours_from(day), (bounds,)))

    def _hours_from(self, day: date) -> tuple[Opening, ...]:
        """The hours that begin on a date, holiday or not, to the end of its night shift."""
        return _joined(
            (
                self._instant(datetime.combine(day, start)),
                self._instant(datetime.combine(day if end > start else day + _DAY, end)),
            )
            for start, end in self.hours.get(day.weekday(), ())
        )

    def _shift(self, day: date) -> tuple[Opening, ...]:
        """What is really worked of the hours that begin on a date."""
        if day not in self._shifts:
            if len(self._shifts) >= _REMEMBERED_DAYS:
                self._shifts.clear()
            self._shifts[day] = _overlap(self._hours_from(day), self.openings(day) + self.openings(day + _DAY))
        return self._shifts[day]

    def _working_day(self, at: datetime) -> date:
        """The working day to which an open instant belongs."""
        day = self._date(at)
        own, night = self._shift(day), self._shift(day - _DAY)
        in_night_shift = _holds(night, at) and not _holds(own, at)
        return day - _DAY if in_night_shift else day

    def _later_working_day(self, day: date, n: int) -> date:
        last = day
        while n:
            day += _DAY
            if day not in self.holidays and self._shift(day):
                n, last = n - 1, day
            elif day - last > _SEARCH_LIMIT:
                raise self._never_opens(last)
        return day

    def _ahead(self, at: datetime) -> Iterator[Opening]:
        """The open stretches from ``at`` on, the first one cut to begin there."""
        day = last = self._date(at)
        while True:
            for start, end in self.openings(day):
                last = day
                if end > at:
                    yield max(start, at), end
            day += _DAY
            if day - last > _SEARCH_LIMIT:
                raise self._never_opens(last)

    def _never_opens(self, since: date) -> ValueError:
        return ValueError(f"calendar {self.name!r} does not open within two years of {since}")

    def _date(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()

    def _instant(self, wall: datetime) -> datetime:
        return wall.replace(tzinfo=ZoneInfo(self.zone), fold=0).astimezone(UTC)


class Unit(StrEnum):
    """In what a span is counted; plain units are elapsed time, a plain day is 24 hours."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    BUSINESS_MINUTE = "business minute"
    BUSINESS_HOUR = "business hour"
    BUSINESS_DAY = "business day"

    @property
    def business(self) -> bool:
        """True where only open hours count."""
        return self.startswith("business")


_LENGTHS = {
    Unit.MINUTE: timedelta(minutes=1),
    Unit.HOUR: timedelta(hours=1),
    Unit.DAY: timedelta(days=1),
    Unit.BUSINESS_MINUTE: timedelta(minutes=1),
    Unit.BUSINESS_HOUR: timedelta(hours=1),
}


@dataclass(frozen=True, slots=True)
class Span:
    """A promised length of time, as written in a policy: ``8 business hours``."""

    n: int
    unit: Unit

    def __str__(self) -> str:
        return f"{self.n} {self.unit}" + ("" if self.n == 1 else "s")


def parse_span(text: str) -> Span:
    """A span from its words; ValueError says what would be legal.

    >>> parse_span("1 business day")
    Span(n=1, unit=<Unit.BUSINESS_DAY: 'business day'>)
    >>> str(parse_span("90 Minutes"))
    '90 minutes'
    """
    found = _SPAN.fullmatch(text.strip())
    if not found or int(found[1]) == 0:
        raise ValueError(
            f"{text!r} is not a length of time; legal: a whole number from 1 to 99999 and minutes, hours, days, "
            'business minutes, business hours or business days, such as "8 business hours"'
        )
    return Span(int(found[1]), Unit(("business " if found[2] else "") + found[3].lower()))


def add(calendar: Calendar, at: datetime, span: Span) -> datetime:
    """The instant a span after ``at``, in UTC."""
    if span.unit is Unit.BUSINESS_DAY:
        return calendar.add_business_days(at, span.n)
    length = span.n * _LENGTHS[span.unit]
    return calendar.add_business(at, length) if span.unit.business else _utc(at) + length


def parse_hours(text: str) -> tuple[Interval, ...]:
    """The intervals of one day in order, from ``09:00-12:30 13:30-17:00``; none from an empty text.

    ``24:00`` may end an interval; ``22:00-06:00`` reaches into the next morning. ValueError says what is wrong.
    """
    spans = sorted(_minutes(part) for part in re.split(r"[\s,]+", text.strip()) if part)
    following = spans[1:] + [(start + 1440, end) for start, end in spans[:1]]
    for (start, end), (next_start, _) in zip(spans, following, strict=True):
        if next_start < end:
            raise ValueError(f"{text!r}: the hours from {_clock(start)} to {_clock(end)} overlap others of this day")
    return tuple((_time(start), _time(end)) for start, end in spans)


def known_zone(key: str) -> ZoneInfo:
    """The time zone of an IANA name such as ``Europe/Berlin``; ValueError where there is none of that name."""
    try:
        if _ZONE_KEY.fullmatch(key):
            return ZoneInfo(key)
    except (KeyError, ValueError, OSError):  # a folder of the zone database, such as "America", is an OSError
        pass
    raise ValueError(f"{key!r} is not a time zone; legal: a name of the IANA database such as Europe/Berlin")


def _minutes(part: str) -> tuple[int, int]:
    found = _HOURS.fullmatch(part)
    if not found:
        raise ValueError(f"{part!r} is not an interval of hours; legal: 09:00-17:00")
    start_hour, start_minute, end_hour, end_minute = (int(number) for number in found.groups())
    start, end = start_hour * 60 + start_minute, end_hour * 60 + end_minute
    if max(start_minute, end_minute) > 59 or start >= 1440 or end > 1440:
        raise ValueError(f"{part!r} has a time that no clock shows; legal: from 00:00 to 23:59, 24:00 only as an end")
    if start == end:
        raise ValueError(f"{part!r} is empty; legal: 00:00-24:00 for the whole day")
    return start, end if end > start else end + 1440


def _time(minutes: int) -> time:
    return time(minutes // 60 % 24, minutes % 60)


def _clock(minutes: int) -> str:
    return f"{minutes // 60 - 24 * (minutes > 1440):02}:{minutes % 60:02}"


def _utc(at: datetime) -> datetime:
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone")
    return at.astimezone(UTC)


def _joined(openings: Iterable[Opening]) -> tuple[Opening, ...]:
    """Sorted, touching and overlapping ones made one."""
    joined: list[Opening] = []
    for start, end in sorted(openings):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def _overlap(some: tuple[Opening, ...], others: tuple[Opening, ...]) -> tuple[Opening, ...]:
    """What two ordered lists of openings have in common, in order; one that a clock change swallowed is dropped."""
    pairs = ((max(a, c), min(b, d)) for a, b in some for c, d in others)
    return tuple((start, end) for start, end in pairs if start < end)


def _holds(openings: tuple[Opening, ...], at: datetime) -> bool:
    return any(start <= at < end for start, end in openings)


def _moved_into(openings: tuple[Opening, ...], at: datetime) -> datetime:
    for start, end in openings:
        if at <= end:
            return max(start, at)
    return openings[-1][1]
