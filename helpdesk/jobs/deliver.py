"""Empty the outbox: a thread for each relay, its connection kept open, one mail after the other.

A row is claimed (and its attempt counted) before the first byte goes out, and its fate is durable before the next mail
is begun; so a crash repeats at most the one mail that the relay took in that moment, with the same Message-ID and bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from random import random
from time import monotonic

import sqlalchemy as sa

from helpdesk.domain.errors import PermanentFailure, TemporaryFailure
from helpdesk.domain.facts import Trigger
from helpdesk.jobs.loop import Loop
from helpdesk.outbound.transport import Transport
from helpdesk.store import inputs, outbox
from helpdesk.store.outbox import LEASE_SECONDS, Queued
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

log = logging.getLogger(__name__)

#: Waits between attempts, in seconds: from seconds for a relay that restarts up to four hours (F22).
FIRST_WAIT = 5.0
LONGEST_WAIT = 4 * 3600.0
#: Rows claimed at once.
CLAIMED = 20
#: While the database takes nothing, the fate of the mail in hand is offered again after so many seconds.
DATABASE_SECONDS = 1.0


def backoff(attempts: int) -> timedelta:
    """How long to wait after so many failed attempts, with up to a tenth of jitter."""
    return timedelta(seconds=min(LONGEST_WAIT, FIRST_WAIT * 3.0 ** (attempts - 1)) * (1 + random() / 10))


class Deliverer:
    """Hands the outbox to one relay."""

    def __init__(
        self,
        relay: str,
        transport: Transport,
        writer: Writer,
        now: TimeSource,
        settled: Callable[[], None],
        mails_per_second: int = 0,
    ) -> None:
        self._relay, self._transport, self._writer, self._now = relay, transport, writer, now
        self._settled = settled
        self._pause = 1 / mails_per_second if mails_per_second else 0.0
        self.loop = Loop(f"relay {relay}", self.turn)

    def close(self) -> None:
        """Say goodbye to the relay."""
        self._transport.close()

    def turn(self) -> bool:
        """Try the rows that are due; False where none is."""
        rows = self._writer.run(lambda connection: outbox.claim(connection, self._relay, self._now(), CLAIMED))
        until = monotonic() + LEASE_SECONDS / 2
        for position, taken in enumerate(rows):
            if self.loop.stopping or monotonic() > until:
                left = rows[position:]
                self._record(lambda connection, left=left: outbox.hand_back(connection, left))  # type: ignore[misc]
                return True
            self._try(taken)
            if self._pause:
                self.loop.wait(self._pause)
        return bool(rows)

    def _try(self, taken: Queued) -> None:
        now = self._now()
        if now >= taken.expires_at:
            self._end(taken, "expired", taken.last_error or "it was not worth sending any more", now)
            return
        try:
            accepted = self._transport.send(taken.sender, taken.recipient, taken.data)
        except TemporaryFailure as failure:
            self._put_off(taken, str(failure), self._now())
        except PermanentFailure as failure:
            self._end(taken, "failed", str(failure), self._now())
        except Exception as fault:
            # A fault of ours, such as a password that cannot be read: the mail waits, those behind it go on.
            log.exception("outbox %d could not be sent (%s)", taken.id, type(fault).__name__)
            self._put_off(taken, f"a fault of ours ({type(fault).__name__}); the log has the details", self._now())
        else:
            self._end(taken, "sent", accepted.reply, self._now())

    def _put_off(self, taken: Queued, words: str, now: datetime) -> None:
        until = now + backoff(taken.attempts)
        if until >= taken.expires_at:
            self._end(taken, "expired", words, now)
            return
        log.warning("outbox %d waits until %s: %s", taken.id, until.isoformat(timespec="seconds"), words)
        self._record(lambda connection: outbox.put_off(connection, taken, words, until))

    def _end(self, taken: Queued, state: str, words: str, now: datetime) -> None:
        def work(connection: sa.Connection) -> None:
            if outbox.end(connection, taken, state, words, now) and self._is_news(taken, state):
                data = {
                    "outcome": state,
                    "kind": taken.kind,
                    "recipient": taken.recipient,
                    "reason": words,
                    "at": now.isoformat(),
                    "since": taken.created_at.isoformat(),
                    "event": taken.event_id,
                }
                assert taken.ticket_id is not None
                inputs.add(connection, taken.tenant, Trigger.DELIVERY.value, taken.ticket_id, data, now)

        if state != "sent":
            log.warning("outbox %d %s: %s", taken.id, state, words)
        self._record(work)
        self._settled()

    def _record(self, work: Callable[[sa.Connection], object]) -> None:
        """Make a mail's fate durable, however long the database takes nothing: what was forgotten would be sent twice."""
        while True:
            try:
                self._writer.run(work, urgent=True)
            except TemporaryFailure:
                if self.loop.wait(DATABASE_SECONDS):
                    raise
            else:
                return

    def _is_news(self, taken: Queued, state: str) -> bool:
        """Whether a rule should hear of it: a person's answer in any case, an automatic mail only where it failed."""
        return taken.ticket_id is not None and (taken.kind == "human" or state != "sent")
