"""Reading in a process of its own that may be killed: a mail that never ends, or eats all memory, costs only itself.

Mails go to the process by the handful. One that is over its time is killed with its process, and the others of its handful
are read by the next one. A pool of a library (pebble) did the same with three threads between us and the process; on a
quiet desk those threads cost more than all reading, on a busy one as much.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.authenticate import TENANTS
from helpdesk.inbound.read import Read
from helpdesk.inbound.read import read as read_mail
from helpdesk.inbound.reading_process import READY, Request, Unreadable

__all__ = ["Job", "Reader", "Unreadable"]

MAX_MEMORY_BYTES = 1536 * 1024 * 1024
#: A process is replaced after so many mails, so that nothing a mail leaves behind adds up.
MAILS_PER_PROCESS = 5000
#: So many mails go to the process at once, and so many bytes of them: a hop costs about as much as reading a small one.
MAILS_AT_ONCE = 8
BYTES_AT_ONCE = 2 * 1024 * 1024
#: A new process may take so long to start, in seconds, on a busy machine.
START_SECONDS = 30.0

#: A mail, and the texts of ours that it may quote by their Message-IDs.
Job = tuple[RawMail, Mapping[str, str]]


class Reader:
    """One process that reads mails; for one thread. ``read`` must be a function that can be imported by its name."""

    def __init__(
        self,
        borders: tuple[str, ...] = (),
        timeout_seconds: float = 20.0,
        read: Read = read_mail,
        memory_bytes: int = MAX_MEMORY_BYTES,
        peers: tuple[str, ...] = ("127.0.0.1", "::1"),
    ) -> None:
        self.borders, self.timeout_seconds, self.read, self.memory_bytes = borders, timeout_seconds, read, memory_bytes
        self.peers = peers
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._mails = 0

    def read_all(self, jobs: Sequence[Job]) -> list[Reading | Unreadable]:
        """Read each mail with the parents' texts beside it; the answers are in the order of the jobs.

        Raises TemporaryFailure where no process can be started: that is no fault of any mail.
        """
        return [answer for handful in _in_handfuls(jobs) for answer in self._read(handful)]

    def close(self) -> None:
        """Kill the process; the next mail gets another."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._connection, self._process = None, None

    def _read(self, jobs: Sequence[Job]) -> Sequence[Reading | Unreadable]:
        mails = [(raw, dict(parents), self._believed(raw)) for raw, parents in jobs]
        try:
            return self._ask(Request(self.read, mails, int(self.timeout_seconds + START_SECONDS)))
        except TimeoutError:
            cause = f"took longer than {self.timeout_seconds:g} s"
        except (EOFError, OSError, pickle.UnpicklingError):
            cause = "killed the reading process"
        self.close()
        if len(jobs) == 1:
            return [Unreadable(cause)]
        # One of them did it: each alone, so that it costs only itself.
        return [answer for job in jobs for answer in self._read([job])]

    def _ask(self, request: Request) -> list[Reading | Unreadable]:
        """Raises TimeoutError where the answer does not come in time, EOFError or OSError where the process is gone."""
        try:
            connection = self._connected()
        except (EOFError, OSError, pickle.UnpicklingError) as problem:
            self.close()
            raise TemporaryFailure(f"the process that reads mails does not start ({_words_of(problem)})") from None
        connection.send_bytes(pickle.dumps(request, pickle.HIGHEST_PROTOCOL))
        if not connection.poll(self.timeout_seconds):
            raise TimeoutError
        answers: list[Reading | Unreadable] = connection.recv()
        self._mails += len(answers)
        return answers

    def _connected(self) -> Connection:
        if self._connection is not None and self._mails < MAILS_PER_PROCESS:
            return self._connection
        self.close()
        ours, theirs = socket.socketpair()
        # A process that takes nothing in must not hold us up either.
        patience = struct.pack("ll", int(START_SECONDS), 0)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        self._connection, self._mails = Connection(ours.detach()), 0
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "helpdesk.inbound.reading_process",
                    str(theirs.fileno()),
                    str(self.memory_bytes),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # What the interpreter says as it fails would lie in the log as lines of no shape, once a second.
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        if not self._connection.poll(START_SECONDS) or self._connection.recv() != READY:
            raise EOFError("it says nothing")
        return self._connection

    def _believed(self, raw: RawMail) -> tuple[str, ...]:
        """The borders whose word counts for this mail: on an open port, only if it came from a border's own address.

        Anybody may connect there and write a border's name into a header. A mailbox, or a pipe, lies behind its border. A
        tenant's stamp counts only where the mail lay in a mailbox, for only that lies within the tenant.
        """
        if raw.door in (Door.SMTP, Door.LMTP) and raw.envelope.peer not in self.peers:
            return ()
        return self.borders if raw.door is Door.IMAP else tuple(one for one in self.borders if one not in TENANTS)


def _words_of(problem: Exception) -> str:
    return (problem.strerror if isinstance(problem, OSError) else "") or str(problem) or type(problem).__name__


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
