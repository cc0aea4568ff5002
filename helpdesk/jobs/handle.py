"""Read what is in the spool and handle it: a fast lane for every mail's first attempt, a slow one for the others.

A mail that hangs or kills its reader fails its first attempt within seconds and goes on alone in the slow lane, so that
the mails behind it never wait for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from time import monotonic
from typing import Protocol

import sqlalchemy as sa

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.worker import MAILS_AT_ONCE, Job, Reader, Unreadable
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
#: A new reading process needs so long at most, in seconds.
NEW_PROCESS_SECONDS = 2.0
#: While the database takes nothing, the batch in hand is offered again after so many seconds.
DATABASE_SECONDS = 1.0


def longest_turn(mails: int, reading_seconds: float) -> float:
    """For how long a turn may show no life, in seconds: each of its mails may hang and cost its reading process."""
    return mails * (reading_seconds + NEW_PROCESS_SECONDS) + LEASE_SECONDS


class Judge(Protocol):
    """Knows more of a mail than its bytes say: who sent it, whether it is spam. Takes some seconds at most."""

    def judge_all(self, mails: Sequence[tuple[RawMail, Reading]]) -> list[Reading]:
        """The readings in their order, each with what is known now."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _InHand:
    """A mail that was read and is being written; ``until`` is when another may take it, by the monotonic clock."""

    taken: Spooled
    found: Reading | Unreadable
    until: float
    written: Future[Outcome | None]


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
        judges: Sequence[Judge] = (),
    ) -> None:
        self._world, self._engine, self._writer, self._reader, self._now = world, engine, writer, reader, now
        self._retries, self._judges = retries, judges
        # As many as are read at once: should each of them hang, all are done before the lease runs out.
        self._batch = 1 if retries else MAILS_AT_ONCE
        self._in_hand: list[_InHand] = []
        patience = longest_turn(self._batch, reader.timeout_seconds)
        self.loop = Loop("slow lane" if retries else "fast lane", self.turn, patience)

    def close(self) -> None:
        """See the mails in hand to their end, and end the reading process."""
        self._settle()
        self._reader.close()

    def turn(self) -> bool:
        """Read one batch while the one before it is being written; False where nothing more waits."""
        batch = self._writer.run(lambda connection: spool.claim(connection, self._batch, retries=self._retries))
        readings: Sequence[Reading | Unreadable] = ()
        if batch:
            with for_reading(self._engine).begin() as connection:
                jobs = [(taken.mail, handle.parents_of(connection, taken)) for taken in batch]
            readings = self._judged(batch, self._read(batch, jobs))
        self._settle()
        self._handle(batch, readings)
        if len(batch) == self._batch or self.loop.woken:
            return True
        self._settle()
        return False

    def _read(self, batch: Sequence[Spooled], jobs: Sequence[Job]) -> Sequence[Reading | Unreadable]:
        """The readings; where no process can be started, every mail goes back as if nobody had tried to read it."""
        try:
            return self._reader.read_all(jobs)
        except TemporaryFailure:
            self._writer.run(lambda connection: spool.hand_back(connection, batch))
            raise

    def _judged(
        self, batch: Sequence[Spooled], found: Sequence[Reading | Unreadable]
    ) -> Sequence[Reading | Unreadable]:
        """The readings with what the DNS says of their senders, and a spam filter of them."""
        for judge in self._judges:
            read = [(taken.mail, one) for taken, one in zip(batch, found, strict=True) if isinstance(one, Reading)]
            judged = iter(judge.judge_all(read))
            found = [next(judged) if isinstance(one, Reading) else one for one in found]
        return found

    def _handle(self, batch: Sequence[Spooled], readings: Sequence[Reading | Unreadable]) -> None:
        """Give what was read to the writer; ``_settle`` sees it to its end."""
        until = monotonic() + LEASE_SECONDS / 2
        self._in_hand = [
            _InHand(taken, found, until, self._submit(taken, found))
            for taken, found in zip(batch, readings, strict=True)
        ]

    def _settle(self) -> None:
        """Wait until each mail in hand is written, however often the database refuses, while its lease lasts."""
        left = [one for one in self._in_hand if not self._settled(one.taken, one.written)]
        self._in_hand = []
        while left and not self.loop.wait(DATABASE_SECONDS):
            left = [replace(one, written=self._submit(one.taken, one.found)) for one in left if monotonic() < one.until]
            left = [one for one in left if not self._settled(one.taken, one.written)]

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
