"""Reading in a process of its own that may be killed: a mail that never ends, or eats all memory, costs only itself.

The process is pebble's. Mails go to it by the handful; one that is over its time is killed with its process, and the others
of its handful are read by the next one.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass

from pebble import ProcessExpired, ProcessPool

from helpdesk.domain.mail import Door, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound import scan
from helpdesk.inbound.read import Read
from helpdesk.inbound.read import read as read_mail

MAX_MEMORY_BYTES = 1536 * 1024 * 1024
#: A process is replaced after so many mails, so that nothing a mail leaves behind adds up.
MAILS_PER_PROCESS = 5000
#: So many mails go to the process at once, and so many bytes of them: a hop costs about as much as reading a small one.
MAILS_AT_ONCE = 8
BYTES_AT_ONCE = 2 * 1024 * 1024
#: A process that says nothing for so long after a mail's time is over is given up, in seconds.
SILENCE_SECONDS = 30.0

#: A mail, and the texts of ours that it may quote by their Message-IDs.
Job = tuple[RawMail, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A mail that was not read, and why, in words for people; ``final`` where another attempt would say the same."""

    cause: str
    final: bool = False


class Reader:
    """One process that reads mails. ``read`` must be a function that can be pickled by name."""

    def __init__(
        self,
        borders: tuple[str, ...] = (),
        timeout_seconds: float = 20.0,
        read: Read = read_mail,
        memory_bytes: int = MAX_MEMORY_BYTES,
        peers: tuple[str, ...] = ("127.0.0.1", "::1"),
    ) -> None:
        self.peers = peers
        self.borders, self.timeout_seconds, self.read, self.memory_bytes = borders, timeout_seconds, read, memory_bytes
        self.pool = self._new_pool()

    def read_all(self, jobs: Sequence[Job]) -> list[Reading | Unreadable]:
        """Read each mail with the parents' texts beside it; the answers are in the order of the jobs."""
        if not self.pool.active:
            self.close()
            self.pool = self._new_pool()
        waiting = [(several, self._begin(several)) for several in _in_handfuls(jobs)]
        return [answer for several, future in waiting for answer in self._finish(several, future)]

    def close(self) -> None:
        """Kill the process; mails still being read are given up."""
        self.pool.stop()  # type: ignore[no-untyped-call]
        self.pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            max_tasks=MAILS_PER_PROCESS // MAILS_AT_ONCE,
            initializer=_limit,
            initargs=(self.memory_bytes,),
            context=multiprocessing.get_context("spawn"),
        )

    def _begin(self, jobs: Sequence[Job]) -> Future[list[Reading | Unreadable]]:
        mails = [(raw, dict(parents), self._believed(raw)) for raw, parents in jobs]
        future: Future[list[Reading | Unreadable]] = self.pool.schedule(
            _read_handful, args=(self.read, mails), timeout=self.timeout_seconds
        )
        return future

    def _believed(self, raw: RawMail) -> tuple[str, ...]:
        """The borders whose word counts for this mail: on an open port, only if it came from a border's own address.

        Anybody may connect there and write a border's name into a header. A mailbox, or a pipe, lies behind its border.
        """
        if raw.door in (Door.SMTP, Door.LMTP) and raw.envelope.peer not in self.peers:
            return ()
        return self.borders

    def _finish(
        self, jobs: Sequence[Job], future: Future[list[Reading | Unreadable]]
    ) -> Sequence[Reading | Unreadable]:
        try:
            return future.result(timeout=self.timeout_seconds + SILENCE_SECONDS)
        except FutureTimeout:
            cause = f"took longer than {self.timeout_seconds:g} s"
            if not future.done():  # not the mail's time is over, nobody answers at all
                self.close()
                self.pool = self._new_pool()
                cause = "got no answer from the reading process"
        except ProcessExpired:
            cause = "killed the reading process"
        except CancelledError:
            cause = "was given up with its reading process"
        if len(jobs) == 1:
            return [Unreadable(cause)]
        # One of them did it: each alone, so that it costs only itself.
        return [answer for job in jobs for answer in self._finish([job], self._begin([job]))]


def _in_handfuls(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    handful: list[Job] = []
    size = 0
    for job in jobs:
        if handful and (len(handful) == MAILS_AT_ONCE or size + len(job[0].data) > BYTES_AT_ONCE):
            yield handful
            handful, size = [], 0
        handful.append(job)
        size += len(job[0].data)
    if handful:
        yield handful


def _read_handful(
    read: Read, mails: Sequence[tuple[RawMail, Mapping[str, str], tuple[str, ...]]]
) -> list[Reading | Unreadable]:
    """What the process does: look for danger first, then read; whatever a mail raises, the others are read."""
    return [_read_one(read, *one) for one in mails]


def _read_one(read: Read, raw: RawMail, parents: Mapping[str, str], borders: tuple[str, ...]) -> Reading | Unreadable:
    try:
        if cause := scan.danger(raw.data):
            return Unreadable(cause, final=True)
        return read(raw, parents, borders)
    except MemoryError:
        return Unreadable("took too much memory")
    except Exception as fault:  # noqa: BLE001 - whatever a strange reader raises, the mails behind it go on
        return Unreadable(f"stopped the reader: {type(fault).__name__}")


def _limit(memory_bytes: int) -> None:
    """Begin a reading process: bounded memory, and Ctrl-C is the parent's to handle."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
