"""The watch: it looks at every part each second, keeps the last report, and says when somebody must be told.

It shares nothing with the loops it watches, asks nothing that could wait, and goes on whatever a part does.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic

from helpdesk.domain import alarm
from helpdesk.domain.alarm import Memory, News
from helpdesk.domain.errors import place_of
from helpdesk.domain.health import PartState, Report, plain
from helpdesk.timesource import TimeSource

log = logging.getLogger(__name__)

#: Between two looks, in seconds.
LOOK_SECONDS = 1.0
#: A watch that has not looked for so long hangs, in seconds.
STALE_SECONDS = 30.0


def never() -> bool:
    """For a part that no restart could help."""
    return False


@dataclass(frozen=True, slots=True)
class Part:
    """Something that can be in trouble.

    ``condition`` gives "" or what is wrong, ``lost`` whether only a restart helps; both answer at once. ``advice`` is
    what a person can do. Where ``takes_mail``, no mail is taken or handled without it.
    """

    name: str
    condition: Callable[[], str]
    advice: str
    takes_mail: bool = False
    lost: Callable[[], bool] = never


class Watch:
    """A thread that looks; ``tell`` is given each news with its report and the clock, ``looked`` each report."""

    def __init__(
        self,
        parts: Sequence[Part],
        tell: Callable[[News, Report, float], None],
        now: TimeSource,
        *,
        after_seconds: float,
        looked: Callable[[Report], None] | None = None,
    ) -> None:
        self._parts, self._tell, self._now = tuple(parts), tell, now
        self._after, self._looked = after_seconds, looked
        self._memory = Memory()
        self._since: dict[str, datetime] = {}
        self._stopping = threading.Event()
        self._looked_at = monotonic()
        self._report = Report(now(), ())
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Look once, so that there is a report, then go on in the thread."""
        self._look_safely()
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what ends from now on is no trouble."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=LOOK_SECONDS * 5)

    def report(self) -> Report:
        """What the last look found, with the watch itself as a part. Never waits."""
        age = monotonic() - self._looked_at
        words = f"has not looked for {age:.0f} seconds" if age > STALE_SECONDS else ""
        watch = PartState("watch", words, self._report.at if words else None, "restart helpdesk", lost=bool(words))
        return Report(self._report.at, (*self._report.parts, watch))

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._look_safely()

    def _look_safely(self) -> None:
        try:
            self._look()
        except Exception as fault:  # noqa: BLE001 (the outermost loop of a thread: looking never stops)
            log.error("the watch met %s at %s", type(fault).__name__, place_of(fault))

    def _look(self) -> None:
        at, clock = self._now(), monotonic()
        states = [_asked(part) for part in self._parts]
        ill = [state.name for state in states if state.words]
        self._memory, news = alarm.judge(self._memory, ill, clock, self._after)
        self._since = {name: self._since.get(name, at) for name in self._memory.spells}
        found = [_dated(state, self._since.get(state.name)) for state in states]
        self._log_changes(found)
        self._report, self._looked_at = Report(at, tuple(found)), clock
        if news is not None:
            self._tell(news, self._report, clock)
        if self._looked is not None:
            self._looked(self.report())

    def _log_changes(self, found: Sequence[PartState]) -> None:
        before = {part.name: bool(part.words) for part in self._report.parts}
        for part in found:
            if part.words and not before.get(part.name, False):
                log.warning("%s: %s", part.name, part.words)
            elif before.get(part.name, False) and not part.words:
                log.info("%s: works again", part.name)


def _asked(part: Part) -> PartState:
    try:
        words = plain(part.condition())
        lost = bool(words) and part.lost()
    except Exception as fault:  # noqa: BLE001 (a part that cannot be asked is in trouble)
        words, lost = f"cannot be asked: {type(fault).__name__}", False
    return PartState(part.name, words, None, part.advice, part.takes_mail, lost)


def _dated(state: PartState, since: datetime | None) -> PartState:
    return PartState(
        state.name, state.words, since if state.words else None, state.advice, state.takes_mail, state.lost
    )


@dataclass(slots=True)
class Standstill:
    """Whether the head of a queue stays the same for longer than ``patience`` seconds.

    Times of receipt and due times say nothing here: a mail may come days late from a mailbox, and time may be shifted.
    """

    patience: float
    _head: Hashable = field(default=None)
    _since: float = field(default=0.0)

    def seconds(self, head: Hashable | None, clock: float) -> float:
        """For how many seconds this head has stood, once that is more than the patience; else 0."""
        if head is None or head != self._head:
            self._head, self._since = head, clock
        standing = clock - self._since
        return standing if standing > self.patience else 0.0
