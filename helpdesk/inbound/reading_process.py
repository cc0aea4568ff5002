"""The process that reads mails: bounded in memory, ended by its own alarm where nobody is left to end it.

    python -m helpdesk.inbound.reading_process SOCKET BYTES

Requests and answers are pickled between two processes of ours over a socket that nobody else has.
"""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from helpdesk.domain.mail import RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound import scan
from helpdesk.inbound.read import Read


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A mail that was not read, and why, in words for people; ``final`` where another attempt would say the same."""

    cause: str
    final: bool = False


#: Said once everything is loaded.
READY = "ready"

#: What ``read`` takes: a mail, the texts of ours that it may quote by their Message-IDs, the borders to believe.
Arguments = tuple[RawMail, Mapping[str, str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Request:
    """Mails to read with ``read``, all of them within so many seconds."""

    read: Read
    mails: Sequence[Arguments]
    seconds: int


def serve(connection: Connection) -> None:
    """Answer requests until nobody is left to ask."""
    connection.send(READY)
    while True:
        try:
            request: Request = connection.recv()
            signal.alarm(request.seconds)
            answers = [read_one(request.read, *one) for one in request.mails]
            signal.alarm(0)
            connection.send(answers)
        except (EOFError, ConnectionError):
            return


def read_one(read: Read, raw: RawMail, parents: Mapping[str, str], borders: tuple[str, ...]) -> Reading | Unreadable:
    """Look for danger first, then read; whatever the mail raises becomes an answer."""
    try:
        if cause := scan.danger(raw.data):
            return Unreadable(cause, final=True)
        return read(raw, parents, borders)
    except MemoryError:
        return Unreadable("took too much memory")
    except Exception as fault:  # noqa: BLE001 (whatever a strange mail raises, those behind it go on)
        return Unreadable(f"stopped the reader: {type(fault).__name__}")


def main(socket: int, memory_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's to handle
    with Connection(socket) as connection:
        serve(connection)


if __name__ == "__main__":
    # By its name in the package, so that what is pickled here is known there.
    from helpdesk.inbound import reading_process

    reading_process.main(int(sys.argv[1]), int(sys.argv[2]))
