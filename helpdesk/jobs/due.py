"""Handle due timers, changes and deliveries; APScheduler and the other threads only say when to look."""

from __future__ import annotations

from time import monotonic

from helpdesk.jobs.loop import Loop
from helpdesk.pipeline import handle
from helpdesk.pipeline.world import World
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

#: Contracts that begin, and mails that wait in quarantine, are looked for so often, in seconds of real time.
LOOK_SECONDS = 300.0


class DueHandler:
    """Handles what is due whenever its loop is woken."""

    def __init__(self, world: World, writer: Writer, now: TimeSource) -> None:
        self._world, self._writer, self._now = world, writer, now
        self._next_look = 0.0
        self.loop = Loop("timers", self.turn)

    def close(self) -> None:
        """Nothing is held between turns."""

    def turn(self) -> bool:
        """Handle what is due now; False where nothing was."""
        if monotonic() >= self._next_look:
            self._next_look = monotonic() + LOOK_SECONDS
            self._writer.run(lambda connection: handle.wake_covered(connection, self._world, self._now()))
            self._writer.run(lambda connection: handle.tell_of_quarantine(connection, self._world, self._now()))
        return self._writer.run(lambda connection: handle.handle_due(connection, self._world, self._now())) > 0
