"""Read what is in the spool and handle it: a fast lane for every mail's first attempt, a slow one for the others.

A mail that hangs or kills its reader fails its first attempt within seconds and goes on alone in the slow lane, so that
the mails behind it never wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from time import monotonic

import sqlalchemy as sa

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.reading import Reading
from helpdesk.inbound.worker import Reader, Unreadable
from helpdesk.jobs.loop import Loop
from helpdesk.pipeline import handle
from helpdesk.pipeline.apply import Outcome
from helpdesk.pipeline.world import World
from helpdesk.store import spool
from helpdesk.store.engine import reading as for_reading
from helpdesk.store.spool import LEASE_SECONDS, LeaseLost, Spooled
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

log = logging.getLogger(__name__)

#: The fast lane gives a mail so many seconds; what needs more is read alone.
FAST_SECONDS = 3.0
#: A mail whose handling failed waits so long before its next attempt, in seconds.
AGAIN_SECONDS = 2.0
#: While the database takes nothing, the batch in hand is offered again after so many seconds.
DATABASE_SECONDS = 1.0


class Lane:
    """Claims, reads and handles; ``retries`` says which lane it is."""

    def __init__(
        self,
        world: World,
        engine: sa.Engine,
        writer: Writer,
        reader: Reader,
        now: TimeSource,
        *,
        retries: bool,
        handled: Callable[[], None],
    ) -> None:
        self._world, self._engine, self._writer, self._reader, self._now = world, engine, writer, reader, now
        self._retries, self._handled = retries, handled
        self._batch = 1 if retries else 50
        self.loop = Loop("slow lane" if retries else "fast lane", self.turn)

    def close(self) -> None:
        """End the reading process."""
        self._reader.close()

    def turn(self) -> bool:
        """Handle one batch; False where nothing waits."""
        batch = self._writer.run(lambda connection: spool.claim(connection, self._batch, retries=self._retries))
        if not batch:
            return False
        with for_reading(self._engine).begin() as connection:
            jobs = [(taken.mail, handle.parents_of(connection, taken)) for taken in batch]
        self._handle(batch, self._reader.read_all(jobs))
        self._handled()
        return True

    def _handle(self, batch: Sequence[Spooled], readings: Sequence[Reading | Unreadable]) -> None:
        until = monotonic() + LEASE_SECONDS * 0.8
        left = list(zip(batch, readings, strict=True))
        while left and monotonic() < until:
            futures = [(taken, found, self._submit(taken, found)) for taken, found in left]
            left = [(taken, found) for taken, found, future in futures if not self._settled(taken, future)]
            if left and self.loop.wait(DATABASE_SECONDS):
                return

    def _submit(self, taken: Spooled, found: Reading | Unreadable) -> Future[Outcome | None]:
        def work(connection: sa.Connection) -> Outcome | None:
            if isinstance(found, Unreadable):
                return handle.handle_unreadable(connection, self._world, taken, found, self._now())
            return handle.handle_mail(connection, self._world, taken, found, self._now())

        return self._writer.submit(work)

    def _settled(self, taken: Spooled, future: Future[Outcome | None]) -> bool:
        """True where the mail is done, given back, or another daemon's; False where the database took nothing."""
        try:
            outcome = future.result()
        except TemporaryFailure:
            return False
        except LeaseLost:
            log.warning("mail %d was taken over by another daemon", taken.id)
            return True
        except Exception as problem:
            log.exception("mail %d could not be handled (%s)", taken.id, type(problem).__name__)
            return self._put_off(taken)
        if outcome is None:
            log.warning("mail %d was not read at attempt %d; it is tried again alone", taken.id, taken.attempts)
        else:
            log.info("mail %d: %s", taken.id, outcome.name)
        return True

    def _put_off(self, taken: Spooled) -> bool:
        cause = "it could not be handled because of a fault of ours; the log has the details"

        def work(connection: sa.Connection) -> None:
            if taken.attempts >= self._world.attempts:
                handle.quarantine(connection, self._world, taken, cause, self._now())
            else:
                spool.give_back(connection, taken, AGAIN_SECONDS)

        try:
            self._writer.run(work)
        except TemporaryFailure:
            return False
        except LeaseLost:
            log.warning("mail %d was taken over by another daemon", taken.id)
        return True
