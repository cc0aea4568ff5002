"""Reading in a process of its own that may be killed: a mail that never ends, or eats all memory, costs only itself.

The process is pebble's: a hop adds about 0.4 ms, a mail that is over its time is killed with its process, and the mails
behind it are read by the next one.
"""

from __future__ import annotations

import multiprocessing
import resource
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
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

    def read_all(self, jobs: Sequence[tuple[RawMail, Mapping[str, str]]]) -> list[Reading | Unreadable]:
        """Read each mail with the parents' texts beside it; the answers are in the order of the jobs."""
        if not self.pool.active:
            self.close()
            self.pool = self._new_pool()
        waiting = [self._begin(raw, parents) for raw, parents in jobs]
        return [answer if isinstance(answer, Unreadable) else self._finish(answer) for answer in waiting]

    def close(self) -> None:
        """Kill the process; mails still being read are given up."""
        self.pool.stop()  # type: ignore[no-untyped-call]
        self.pool.join()

    def _new_pool(self) -> ProcessPool:
        return ProcessPool(
            max_workers=1,
            max_tasks=MAILS_PER_PROCESS,
            initializer=_limit,
            initargs=(self.memory_bytes,),
            context=multiprocessing.get_context("spawn"),
        )

    def _begin(self, raw: RawMail, parents: Mapping[str, str]) -> Future[Reading] | Unreadable:
        cause = scan.danger(raw.data)
        if cause:
            return Unreadable(cause, final=True)
        future: Future[Reading] = self.pool.schedule(
            self.read, args=(raw, dict(parents), self._believed(raw)), timeout=self.timeout_seconds
        )
        return future

    def _believed(self, raw: RawMail) -> tuple[str, ...]:
        """The borders whose word counts for this mail: on an open port, only if it came from a border's own address.

        Anybody may connect there and write a border's name into a header. A mailbox, or a pipe, lies behind its border.
        """
        if raw.door in (Door.SMTP, Door.LMTP) and raw.envelope.peer not in self.peers:
            return ()
        return self.borders

    def _finish(self, answer: Future[Reading]) -> Reading | Unreadable:
        try:
            return answer.result()
        except FutureTimeout:
            return Unreadable(f"took longer than {self.timeout_seconds:g} s")
        except ProcessExpired:
            return Unreadable("killed the reading process")
        except MemoryError:
            return Unreadable("took too much memory")
        except Exception as fault:  # noqa: BLE001 - whatever a strange reader raises, the mails behind it go on
            return Unreadable(f"stopped the reader: {type(fault).__name__}")


def _limit(memory_bytes: int) -> None:
    """Begin a reading process: bounded memory, and Ctrl-C is the parent's to handle."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
