"""Empty the outbox: a thread for each relay, its connection kept open, one mail after the other.

A row is claimed (and its attempt counted) before the first byte goes out, and its fate is durable before the next mail
is begun; so a crash repeats at most the one mail that the relay took in that moment, with the same Message-ID and bytes.

A relay that takes no mail at all pauses as a whole: rows keep their order and their attempts, one of them asks again
after a while, and what expires meanwhile ends. When the relay is back the queue does not fall upon it at once. Where it
is the sender that it minds, the mail that met this goes behind the others, so that the next one to ask is another's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import random
from time import monotonic
from typing import TypeVar

import sqlalchemy as sa

from helpdesk.domain.errors import PermanentFailure, TemporaryFailure
from helpdesk.jobs.loop import STUCK_SECONDS, Loop
from helpdesk.outbound.transport import LONGEST_SEND, RelayDown, SenderRefused, Transport
from helpdesk.store import outbox
from helpdesk.store.outbox import LEASE_SECONDS, Queued
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

log = logging.getLogger(__name__)
T = TypeVar("T")

#: Waits between attempts at one mail, in seconds: from seconds for a greylist up to four hours (F22).
FIRST_WAIT = 5.0
LONGEST_WAIT = 4 * 3600.0
#: Waits between attempts to reach a relay that takes nothing, in seconds (F23).
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 300.0
#: The same where it answers and only minds the sender: others may wait behind a few of his mails.
LONGEST_SENDER_PAUSE = 20.0
#: Rows claimed at once.
CLAIMED = 20
#: While the database takes nothing, the fate of the mail in hand is offered again after so many seconds.
DATABASE_SECONDS = 1.0
#: While a relay pauses, what is not worth sending any more is ended so often, in seconds.
EXPIRY_SECONDS = 60.0
#: After a pause a relay gets so many mails a second, twice as many after each so many seconds, until it keeps up with
#: what is due or takes so many a second.
RAMP_START = 20.0
RAMP_SECONDS = 10.0
RAMP_END = 1000.0
#: A relay that took none of so many mails in a row does not work, whatever it says to each.
REFUSED_IN_A_ROW = 10
#: Mails that are due for longer than this, in seconds, although they were worked at all the while, are behind.
BEHIND_SECONDS = 180.0


def backoff(attempts: int) -> timedelta:
    """How long a mail waits after so many failed attempts, with up to a tenth of jitter."""
    return timedelta(seconds=min(LONGEST_WAIT, FIRST_WAIT * 3.0 ** (attempts - 1)) * (1 + random() / 10))


def pause(failures: int, longest: float = LONGEST_PAUSE) -> timedelta:
    """How long a relay is left alone after so many failures, with up to a tenth of jitter."""
    return timedelta(seconds=min(longest, FIRST_PAUSE * 2.0 ** (failures - 1)) * (1 + random() / 10))


def _clock() -> float:
    """Seconds that pass even while the machine sleeps, as they do for the database's leases."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else monotonic()


@dataclass(frozen=True, slots=True)
class _Pause:
    """A relay takes nothing since ``since``; it is asked again at ``until``."""

    words: str
    since: datetime
    began: datetime
    until: datetime
    failures: int
    waiting: int

    def lasts(self, now: datetime) -> bool:
        """False once it is over, or where the clock was set back to before it began."""
        return self.began <= now < self.until


class Deliverer:
    """Hands the outbox to one relay."""

    def __init__(
        self,
        relay: str,
        transport: Transport,
        writer: Writer,
        now: TimeSource,
        mails_per_second: int = 0,
    ) -> None:
        self._relay, self._transport, self._writer, self._now = relay, transport, writer, now
        self._gap = 1 / mails_per_second if mails_per_second else 0.0
        self._paused: _Pause | None = None
        self._expired_at: datetime | None = None
        self._ramp: float | None = None
        self._held: Sequence[Queued] = ()
        self._leased_at = 0.0
        self._refused: dict[int, str] = {}
        self._due_since: datetime | None = None
        self._busy_since = 0.0
        self.loop = Loop(f"relay {relay}", self.turn, patience=LONGEST_SEND + STUCK_SECONDS)

    def close(self) -> None:
        """Say goodbye to the relay."""
        self._transport.close()

    def condition(self) -> str:
        """What an administrator should know of this relay, in words; "" while all is well. Never waits."""
        paused, due_since = self._paused, self._due_since
        if paused is not None and paused.waiting:
            since = f"{paused.since:%Y-%m-%d %H:%M} UTC"
            return f"takes nothing since {since}: {paused.words}; {_mails(paused.waiting)}"
        refused = dict(self._refused)
        if len(refused) >= REFUSED_IN_A_ROW:
            return f"took none of the last {len(refused)} mails; to the last one: {list(refused.values())[-1]}"
        if due_since is not None and monotonic() - self._busy_since > BEHIND_SECONDS:
            seconds = (self._now() - due_since).total_seconds()
            if seconds > BEHIND_SECONDS:
                return f"is too slow: the mail in hand was due {seconds / 60:.0f} minutes ago"
        return self.loop.condition()

    def renew(self) -> None:
        """Keep the rows in hand ours while the relay takes its time; called each second, by any thread but the loop's."""
        held, asked = self._held, _clock()
        if not held or asked - self._leased_at < LEASE_SECONDS / 3:
            return

        def renewed(done: Future[None]) -> None:
            if done.exception() is None and held is self._held:
                self._leased_at = max(self._leased_at, asked)

        self._writer.submit(lambda connection: outbox.renew(connection, held)).add_done_callback(renewed)

    def turn(self) -> bool:
        """Try the rows that are due; False where none is, or where the relay pauses."""
        paused = self._paused
        if paused is not None and paused.lasts(self._now()):
            self._expire(paused)
            return False
        rows = self._claim(1 if paused else CLAIMED)
        if paused is not None and not rows:
            waiting = self._writer.run(lambda connection: outbox.waiting(connection, self._relay))
            self._paused = replace(paused, waiting=waiting)
        if paused is None and len(rows) < CLAIMED:
            self._ramp = None
        try:
            return self._work(rows)
        finally:
            self._held = ()

    def _claim(self, most: int) -> list[Queued]:
        asked = _clock()
        rows = self._writer.run(lambda connection: outbox.claim(connection, self._relay, self._now(), most))
        self._leased_at, self._held = asked, rows
        if not rows:
            self._due_since = None
        elif self._due_since is None:
            self._busy_since = monotonic()
        return rows

    def _work(self, rows: list[Queued]) -> bool:
        for position, taken in enumerate(rows):
            began = monotonic()
            self._due_since = max(taken.not_before, taken.created_at)
            # Somebody else may have a row whose lease ran out, however that came: then it is not ours to send.
            if self.loop.stopping or _clock() - self._leased_at > LEASE_SECONDS / 2:
                self._record(lambda connection, left=rows[position:]: outbox.hand_back(connection, left))  # type: ignore[misc]
                return True
            try:
                self._try(taken)
            except RelayDown as down:
                if down.of_sender:
                    self._put_off(taken, str(down), self._now())
                    self._pause(str(down), rows[position + 1 :], LONGEST_SENDER_PAUSE)
                else:
                    self._pause(str(down), rows[position:])
                return False
            self.loop.progress()
            if gap := max(self._gap, self._ramp_gap()):
                self.loop.wait(max(0.0, began + gap - monotonic()))
        return bool(rows)

    def _try(self, taken: Queued) -> None:
        now = self._now()
        if now >= taken.expires_at:
            self._end(taken, "expired", taken.last_error or "it was not worth sending any more", now)
            return
        try:
            accepted = self._transport.send(taken.sender, taken.recipient, taken.data)
        except RelayDown:
            raise
        except SenderRefused as failure:
            self._note(taken, str(failure))
            if len(self._refused) >= REFUSED_IN_A_ROW:
                # A login that changed, or a setting: nothing that people wrote may be given up for that.
                raise RelayDown(str(failure), of_sender=True) from failure
            self._answered(taken, str(failure))
            self._end(taken, "failed", str(failure), self._now())
        except TemporaryFailure as failure:
            self._answered(taken, str(failure))
            self._put_off(taken, str(failure), self._now())
        except PermanentFailure as failure:
            self._answered(taken, str(failure))
            self._end(taken, "failed", str(failure), self._now())
        except Exception as fault:
            # A fault of ours: the mail waits, those behind it go on.
            log.exception("outbox %d could not be sent (%s)", taken.id, type(fault).__name__)
            self._put_off(taken, f"a fault of ours ({type(fault).__name__}); the log has the details", self._now())
        else:
            self._answered(taken, "")
            self._end(taken, "sent", accepted.reply, self._now())

    # The relay

    def _pause(self, words: str, rows: Sequence[Queued], longest: float = LONGEST_PAUSE) -> None:
        """Leave the relay alone for a while; the rows keep their places."""
        before, now = self._paused, self._now()

        def work(connection: sa.Connection) -> int:
            outbox.hand_back(connection, rows, words)
            return outbox.waiting(connection, self._relay)

        waiting = self._record(work)
        failures = before.failures + 1 if before else 1
        since = before.since if before else now
        if before is None or before.words != words:
            log.warning("relay %s takes nothing, %s: %s", self._relay, _mails(waiting), words)
        self._due_since = None
        self._paused = _Pause(words, since, now, now + pause(failures, longest), failures, waiting)
        self._expired_at = None
        self._expire(self._paused)

    def _answered(self, taken: Queued, refusal: str) -> None:
        """The relay spoke about a mail; ``refusal`` is "" where it took it."""
        self._note(taken, refusal)
        if self._paused is not None:
            log.info("relay %s takes mail again, after %s", self._relay, self._now() - self._paused.since)
            self._paused = None
            self._ramp = monotonic()

    def _note(self, taken: Queued, refusal: str) -> None:
        if not refusal:
            self._refused.clear()
        else:
            self._refused.pop(taken.id, None)
            self._refused[taken.id] = refusal
            if len(self._refused) > REFUSED_IN_A_ROW:
                del self._refused[next(iter(self._refused))]

    def _ramp_gap(self) -> float:
        """How long one mail after a pause keeps the next one waiting, in seconds."""
        if self._ramp is None:
            return 0.0
        rate: float = RAMP_START * 2.0 ** ((monotonic() - self._ramp) // RAMP_SECONDS)
        if rate > RAMP_END:
            self._ramp = None
        return 1 / rate

    def _expire(self, paused: _Pause) -> None:
        """End what nobody needs to get any more: an answer that expires is told to its agent while there is time."""
        now = self._now()
        if self._expired_at is not None and 0 <= (now - self._expired_at).total_seconds() < EXPIRY_SECONDS:
            return
        ended: list[Queued] = []
        while not self.loop.stopping:
            more = self._writer.run(
                lambda connection: outbox.expire(connection, self._relay, now, paused.words, CLAIMED)
            )
            ended += more
            if len(more) < CLAIMED:
                break
        self._expired_at = now
        for taken in ended:
            log.warning("outbox %d expired: %s", taken.id, taken.last_error or paused.words)
        self._paused = replace(paused, waiting=max(0, paused.waiting - len(ended)))

    # The rows

    def _put_off(self, taken: Queued, words: str, now: datetime) -> None:
        until = now + backoff(taken.attempts)
        if until >= taken.expires_at:
            self._end(taken, "expired", words, now)
            return
        log.warning("outbox %d waits until %s: %s", taken.id, until.isoformat(timespec="seconds"), words)
        self._record(lambda connection: outbox.put_off(connection, taken, words, until))

    def _end(self, taken: Queued, state: str, words: str, now: datetime) -> None:
        if state != "sent":
            log.warning("outbox %d %s: %s", taken.id, state, words)
        self._record(lambda connection: outbox.end(connection, taken, state, words, now))

    def _record(self, work: Callable[[sa.Connection], T]) -> T:
        """Make a mail's fate durable, however long the database takes nothing: what was forgotten would be sent twice."""
        while True:
            try:
                return self._writer.run(work, urgent=True)
            except TemporaryFailure:
                if self.loop.wait(DATABASE_SECONDS):
                    raise


def _mails(count: int) -> str:
    return "1 mail waits" if count == 1 else f"{count} mails wait"
