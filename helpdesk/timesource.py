"""What time it is for everything promised: real, faster, or moved by a file (for demonstrations and tests)."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

#: An offset in seconds has no more digits than that.
LONGEST_OFFSET = 64

TimeSource = Callable[[], datetime]


def real() -> datetime:
    """Now, aware, UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Shifted:
    """Real time plus the seconds written in a file, read at each call; a missing or empty file means none."""

    file: Path

    def __call__(self) -> datetime:
        try:
            # Asked for several times a mail, so without what a text file takes.
            opened = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
            try:
                seconds = float(os.read(opened, LONGEST_OFFSET) or 0)
            finally:
                os.close(opened)
        except (OSError, ValueError):
            seconds = 0.0
        return real() + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class Scaled:
    """Time that runs ``factor`` times as fast from ``start`` on."""

    start: datetime
    factor: float
    began: float = field(default_factory=time.monotonic)

    def __call__(self) -> datetime:
        return self.start + timedelta(seconds=(time.monotonic() - self.began) * self.factor)
