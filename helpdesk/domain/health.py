"""How the parts of a daemon are: what a look at them finds, and what follows for those who ask from outside."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

#: Longer words about one part say nothing more.
LONGEST_WORDS = 300

# Control characters, line separators, and what turns the writing direction: words may quote a server.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


@dataclass(frozen=True, slots=True)
class PartState:
    """One part at one look; ``words`` is "" while it is well, ``since`` (UTC) when its present trouble began.

    ``takes_mail`` marks parts without which no mail is taken or handled; ``lost`` says that only a restart helps.
    """

    name: str
    words: str = ""
    since: datetime | None = None
    advice: str = ""
    takes_mail: bool = False
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """What one look at all parts found."""

    at: datetime
    parts: tuple[PartState, ...]

    @property
    def troubles(self) -> tuple[PartState, ...]:
        """The parts that are not well."""
        return tuple(part for part in self.parts if part.words)

    @property
    def unready(self) -> tuple[PartState, ...]:
        """The parts for which no mail is taken or handled."""
        return tuple(part for part in self.troubles if part.takes_mail)

    @property
    def lost(self) -> tuple[PartState, ...]:
        """The parts that only a restart brings back."""
        return tuple(part for part in self.troubles if part.lost)


def plain(words: str) -> str:
    r"""Words on one line, without anything that steers a terminal, and not too many.

    >>> plain("cannot be reached:\n\x1b[31m go away")
    'cannot be reached: [31m go away'
    """
    text = " ".join(_STEERING.sub(" ", words).split())
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"


def as_mapping(report: Report) -> Mapping[str, object]:
    """The report as JSON has it; its keys stay as they are. Instants are UTC such as ``2026-11-23T21:43:43Z``."""
    return {
        "at": stamp(report.at),
        "live": not report.lost,
        "ready": not report.unready,
        "parts": [
            {
                "name": part.name,
                "well": not part.words,
                "words": part.words,
                "since": stamp(part.since) if part.since else None,
                "advice": part.advice if part.words else "",
                "takes_mail": part.takes_mail,
                "lost": part.lost,
            }
            for part in report.parts
        ],
    }


def stamp(at: datetime) -> str:
    """An instant as JSON and alarms say it."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
