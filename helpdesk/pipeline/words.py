"""Facts in words for mails: working hours, kinds of contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, time, timedelta
from functools import lru_cache

from babel import Locale
from babel.dates import format_date, format_time, get_timezone_location

from helpdesk.domain.bounce import Cause
from helpdesk.domain.calendar import Calendar
from helpdesk.domain.reading import Attachment

_MONDAY = date(2026, 11, 23)
_AND = {"de": "und"}
_TO = {"de": "bis"}
_ROUND_THE_CLOCK = {"en": "around the clock, every day", "de": "rund um die Uhr, an jedem Tag"}
_KIND = {
    "en": {"contract": "support contract", "subscription": "subscription"},
    "de": {"contract": "Supportvertrag", "subscription": "Abonnement"},
}


_UNDELIVERED = {
    "en": {
        Cause.NO_MAILBOX: "there is no such mailbox",
        Cause.NO_DOMAIN: "the part behind the @ takes no mail",
        Cause.SWITCHED_OFF: "the mailbox is switched off",
        Cause.FULL: "the mailbox is full",
        Cause.TOO_LARGE: "the mail is too large",
        Cause.REFUSED: "their server did not want it",
        Cause.TOO_LONG: "their server could not be reached for days",
    },
    "de": {
        Cause.NO_MAILBOX: "das Postfach gibt es nicht",
        Cause.NO_DOMAIN: "der Teil hinter dem @ nimmt keine Mail an",
        Cause.SWITCHED_OFF: "das Postfach ist abgeschaltet",
        Cause.FULL: "das Postfach ist voll",
        Cause.TOO_LARGE: "die Mail ist zu groß",
        Cause.REFUSED: "der Server dort wollte sie nicht",
        Cause.TOO_LONG: "der Server dort war tagelang nicht zu erreichen",
    },
}


_UNNAMED = {"en": "unnamed file", "de": "Datei ohne Namen"}
_IN_TEXT = {"en": "{name} (shown in the text)", "de": "{name} (im Text gezeigt)"}
_OLD = {
    "en": ("a picture that came before", "{count} pictures that came before"),
    "de": ("ein Bild, das schon da war", "{count} Bilder, die schon da waren"),
}
_LEFT_OUT = {
    "en": "{name} ({size}): too large to send along, the administrator has the whole mail (helpdesk ticket raw)",
    "de": "{name} ({size}): zu groß, um hier mitzukommen; die ganze Mail hat der Administrator (helpdesk ticket raw)",
}


def undelivered(cause: Cause, language: str) -> str:
    """Why a mail did not arrive, as a clause; "" where nobody knows."""
    return _UNDELIVERED.get(language[:2], _UNDELIVERED["en"]).get(cause, "")


def file_list(files: Sequence[Attachment], language: str, *, along: bool) -> tuple[str, ...]:
    """What the attached files are called; ``along`` says that they come with the mail. Old pictures are only counted."""
    new = [one for one in files if not one.old]
    named = tuple((_file_name if along else _left_out)(one, language) for one in new)
    old = len(files) - len(new)
    return (*named, _OLD.get(language[:2], _OLD["en"])[old > 1].format(count=old)) if old else named


def _file_name(file: Attachment, language: str) -> str:
    name = file.name or _UNNAMED.get(language[:2], _UNNAMED["en"])
    return _IN_TEXT.get(language[:2], _IN_TEXT["en"]).format(name=name) if file.inline else name


def _left_out(file: Attachment, language: str) -> str:
    megabytes = f"{file.size / 1_000_000:.1f} MB"
    return _LEFT_OUT.get(language[:2], _LEFT_OUT["en"]).format(name=_file_name(file, language), size=megabytes)


def contract_kind(kind: str, language: str) -> str:
    """What a kind of contract is called in a mail."""
    return _KIND.get(language[:2], _KIND["en"]).get(kind, kind)


def working_hours(calendar: Calendar, language: str) -> str:
    """A calendar's hours as one says them: "Monday to Friday, 9:00 to 17:00, Sydney time"."""
    return _week(tuple(calendar.hours.get(weekday, ()) for weekday in range(7)), calendar.zone, language)


@lru_cache(maxsize=256)
def _week(days: tuple[tuple[tuple[time, time], ...], ...], zone: str, language: str) -> str:
    if all(_whole_day(intervals) for intervals in days):
        return _ROUND_THE_CLOCK.get(language[:2], _ROUND_THE_CLOCK["en"])
    spans: list[tuple[int, int]] = []
    for weekday, intervals in enumerate(days):
        if spans and spans[-1][1] == weekday - 1 and days[spans[-1][0]] == intervals:
            spans[-1] = spans[-1][0], weekday
        else:
            spans.append((weekday, weekday))
    parts = [f"{_days(first, last, language)}, {_hours(days[first], language)}" for first, last in spans if days[first]]
    return "; ".join(parts) + f", {_zone(zone, language)}"


def _whole_day(intervals: tuple[tuple[time, time], ...]) -> bool:
    return any(start == end == time(0) for start, end in intervals)


def _days(first: int, last: int, language: str) -> str:
    names = [format_date(_MONDAY + timedelta(days=day), "EEEE", locale=_locale(language)) for day in (first, last)]
    if first == last:
        return names[0]
    word = _TO.get(language[:2], "to") if last - first > 1 else _AND.get(language[:2], "and")
    return f"{names[0]} {word} {names[1]}"


def _hours(intervals: tuple[tuple[time, time], ...], language: str) -> str:
    to = _TO.get(language[:2], "to")
    return f" {_AND.get(language[:2], 'and')} ".join(
        f"{_clock(start, language)} {to} {_clock(end, language)}" for start, end in intervals
    )


def _clock(at: time, language: str) -> str:
    return format_time(at, "H:mm", locale=_locale(language))


def _zone(zone: str, language: str) -> str:
    place = get_timezone_location(zone, locale=_locale(language), return_city=True)
    return f"Ortszeit {place}" if language.startswith("de") else f"{place} time"


def _locale(language: str) -> Locale:
    try:
        return Locale.parse(language.replace("-", "_"))
    except ValueError:
        return Locale("en")
