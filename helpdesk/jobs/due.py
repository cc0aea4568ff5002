"""Handle due timers, changes and deliveries; APScheduler and the other threads only say when to look."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from helpdesk.jobs.loop import Loop
from helpdesk.pipeline import handle
from helpdesk.pipeline.world import World
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

#: Contracts that begin are looked for so often, in seconds of real time.
LOOK_SECONDS = 300.0


class DueHandler:
    """Handles what is due whenever its loop is woken."""

    def __init__(self, world: World, writer: Writer, now: TimeSource, handled: Callable[[], None]) -> None:
        self._world, self._writer, self._now, self._handled = world, writer, now, handled
        self._next_look = 0.0
        self.loop = Loop("timers", self.turn)

    def close(self) -> None:
        """Nothing is held between turns."""

    def turn(self) -> bool:
        """Handle what is due now; False where nothing was."""
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK_SECONDS
            self._writer.run(lambda connection: handle.wake_covered(connection, self._now()))
        done = self._writer.run(lambda connection: handle.handle_due(connection, self._world, self._now()))
        if done:
            self._handled()
        return done > 0
