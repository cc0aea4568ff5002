"""When somebody must be told that a part does not work, and in which words. Pure; times are seconds of a clock that
never jumps.

* A part that is in trouble for ``after`` seconds raises the alarm. The message names everything that is in trouble.
* While it lasts the message is repeated every four hours.
* All well again: one message, once every part has been calm for ``after`` seconds.
* A part that goes up and down within that time is in one long trouble. One that raised an alarm less than half an hour
  before its present trouble began needs four times as long for either message, so that flapping tells little, and
  a lasting trouble is still told within five minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from helpdesk.domain.health import Report, stamp

#: While trouble lasts it is told again so often, in seconds.
REMIND_SECONDS = 4 * 3600.0
#: An alarm so shortly before makes a part restless, in seconds.
RESTLESS_SECONDS = 30 * 60.0
#: A restless part needs so many times the patience.
RESTLESS_FACTOR = 4


@dataclass(frozen=True, slots=True)
class Spell:
    """One trouble of one part: when it began and was last seen, and whether somebody was told."""

    began: float
    seen: float
    told: bool = False
    restless: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A trouble that somebody was told of and that is over."""

    part: str
    began: float
    ended: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What was seen and told so far; ``said`` is when the last message went out, None while no alarm is open."""

    spells: Mapping[str, Spell] = field(default_factory=dict)
    alarmed: Mapping[str, float] = field(default_factory=dict)
    ended: tuple[Ended, ...] = ()
    said: float | None = None


@dataclass(frozen=True, slots=True)
class News:
    """That somebody must be told now: ``kind`` is "trouble", "reminder" or "well"; ``parts`` are new in it."""

    kind: str
    parts: tuple[str, ...] = ()
    ended: tuple[Ended, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """An alarm in words: one line, and a text of several."""

    subject: str
    text: str


def judge(memory: Memory, ill: Collection[str], now: float, after: float) -> tuple[Memory, News | None]:
    """One look found ``ill`` in trouble: what to remember, and the news if there are any."""
    spells, over = _spells(memory, ill, now, after)
    ended = (*memory.ended, *over)
    due = tuple(
        part for part in ill if not spells[part].told and now - spells[part].began >= _patience(spells[part], after)
    )
    if due:
        # What began a moment ago is in the message as well: it has the same cause more often than not.
        new = tuple(part for part in ill if not spells[part].told)
        spells = {part: replace(one, told=True) if part in ill else one for part, one in spells.items()}
        alarmed = {**memory.alarmed, **dict.fromkeys(new, now)}
        return Memory(spells, alarmed, ended, now), News("trouble", new)
    if memory.said is not None and not spells:
        return Memory(spells, memory.alarmed), News("well", ended=ended)
    if memory.said is not None and ill and now - memory.said >= REMIND_SECONDS:
        return Memory(spells, memory.alarmed, ended, now), News("reminder")
    return Memory(spells, memory.alarmed, ended, memory.said), None


def _spells(memory: Memory, ill: Collection[str], now: float, after: float) -> tuple[dict[str, Spell], list[Ended]]:
    spells: dict[str, Spell] = {}
    over: list[Ended] = []
    for part, spell in memory.spells.items():
        if part in ill:
            spells[part] = replace(spell, seen=now)
        elif now - spell.seen < _patience(spell, after):
            spells[part] = spell
        elif spell.told:
            over.append(Ended(part, spell.began, spell.seen))
    for part in ill:
        if part not in spells:
            restless = now - memory.alarmed.get(part, float("-inf")) < RESTLESS_SECONDS
            spells[part] = Spell(now, now, restless=restless)
    return spells, over


def _patience(spell: Spell, after: float) -> float:
    return after * RESTLESS_FACTOR if spell.restless else after


def message(news: News, report: Report, now: float, place: str, command: str) -> Message:
    """The news in words. ``place`` names the daemon for people ("desk1"), ``command`` shows more."""
    if news.kind == "well":
        began = min(one.began for one in news.ended) if news.ended else now
        lines = [f"Everything on {place} works again.", ""]
        lines += [f"{one.part}: did not work {_span(one, now, report.at)}" for one in news.ended]
        return Message(f"helpdesk on {place}: all is well again after {_length(now - began)}", "\n".join([*lines, ""]))
    troubles = report.troubles
    first = next((one for one in troubles if one.name in news.parts), troubles[0])
    more = f", and {len(troubles) - 1} more" if len(troubles) > 1 else ""
    still = "still " if news.kind == "reminder" else ""
    lines = [f"helpdesk on {place} {still}has trouble.", ""]
    for one in troubles:
        since = one.since or report.at
        lines += [
            one.name,
            f"  {one.words}",
            f"  since {stamp(since)} ({_length((report.at - since).total_seconds())})",
        ]
        lines += [f"  what to do: {one.advice}"] if one.advice else []
        lines += [""]
    lines += [_consequence(report), f"More: {command}", ""]
    return Message(f"helpdesk on {place}: {first.name} {still}does not work{more}", "\n".join(lines))


def _consequence(report: Report) -> str:
    if report.unready:
        return "Mail may be refused or wait for the moment; senders' servers try again."
    return "Mail is still taken and kept; nothing is lost."


def _span(one: Ended, now: float, at: datetime) -> str:
    began, ended = (at - timedelta(seconds=now - moment) for moment in (one.began, one.ended))
    return f"from {stamp(began)} to {stamp(ended)} ({_length(one.ended - one.began)})"


def _length(seconds: float) -> str:
    """``40 seconds``, ``12 minutes`` or ``5 hours``."""
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {word}s"
    return f"{max(1, seconds):.0f} second{'s' * (seconds >= 1.5)}"
