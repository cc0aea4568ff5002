"""Handle due timers, changes and deliveries; APScheduler and the other threads only say when to look."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from helpdesk.pipeline import handle
from helpdesk.pipeline.world import World
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

#: Contracts that begin are looked for so often, in seconds of real time.
LOOK_SECONDS = 300.0

log = logging.getLogger(__name__)


class DueHandler:
    """A thread that handles what is due whenever it is woken."""

    def __init__(
        self, world: World, writer: Writer, now: TimeSource, wake: threading.Event, handled: Callable[[], None]
    ) -> None:
        self._world, self._writer, self._now, self._wake, self._handled = world, writer, now, wake, handled
        self._next_look = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="due", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout=15)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                while self.turn() and not self._stopping.is_set():
                    pass
            except Exception as problem:  # noqa: BLE001 (the outermost loop of this thread: promises are kept)
                log.error("due work met %s: %s", type(problem).__name__, problem)
                self._stopping.wait(1.0)
            self._wake.wait(5.0)
            self._wake.clear()

    def turn(self) -> int:
        """Handle what is due now; how many inputs that were."""
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK_SECONDS
            self._writer.run(lambda connection: handle.wake_covered(connection, self._now()))
        done = self._writer.run(lambda connection: handle.handle_due(connection, self._world, self._now()))
        if done:
            self._handled()
        return done
