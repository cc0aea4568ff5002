"""A daemon and two sinks as processes of their own, and what may be asked of them from outside."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import company
from benchmarks.tools import ROOT
from tests.servers.ports import free_port, wait_for

#: What takes longer than this to start, or to empty its queues once mail has stopped coming, is broken; in seconds.
START_SECONDS = 60.0
SETTLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows of a store: mails handled, entries of customers, tickets, quarantined mails, and all that still waits."""

    handled: int
    entries: int
    tickets: int
    quarantined: int
    waiting: int


_COUNTS = """
SELECT (SELECT count(*) FROM spool WHERE done_at IS NOT NULL),
       (SELECT count(*) FROM event WHERE kind = 'customer entry'),
       (SELECT count(*) FROM ticket),
       (SELECT count(*) FROM quarantine)
"""
_WAITING = """
SELECT (SELECT count(*) FROM spool WHERE done_at IS NULL)
     + (SELECT count(*) FROM input WHERE done_at IS NULL)
     + (SELECT count(*) FROM outbox WHERE state = 'waiting')
"""


def counts(folder: Path) -> Counts:
    """Look into the store of a company, without disturbing its writer."""
    with closing(sqlite3.connect(f"file:{folder / 'helpdesk.sqlite'}?mode=ro", uri=True)) as store:
        rows = store.execute(_COUNTS).fetchone()
    handled, entries, tickets, quarantined = rows
    return Counts(handled, entries, tickets, quarantined, waiting(folder))


def waiting(folder: Path) -> int:
    """Mails that are not handled, inputs that are not, and letters that are not sent."""
    with closing(sqlite3.connect(f"file:{folder / 'helpdesk.sqlite'}?mode=ro", uri=True)) as store:
        return int(store.execute(_WAITING).fetchone()[0])


class Sink:
    """``sink.py`` of the shared folder: takes every mail and remembers when it came."""

    def __init__(self, perf: Path) -> None:
        self.port, self.control = free_port(), free_port()
        listen, control = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.control}"
        command = [sys.executable, str(perf / "sink.py"), "--listen", listen, "--control", control]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_for(self._answers, START_SECONDS)

    def taken(self) -> int:
        """How many mails came since the last reset."""
        return int(self.ask("stat")["acks"])

    def ask(self, word: str) -> Any:
        """The answer to a word on the control port."""
        with socket.create_connection(("127.0.0.1", self.control), START_SECONDS) as channel:
            channel.sendall(word.encode() + b"\n")
            return json.loads(channel.makefile("rb").readline())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return bool(self.ask("stat"))
        except OSError:
            return False


class Daemon:
    """``helpdesk serve`` on a configuration folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = folder / "log"
        begin = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [*command(folder), "serve"], stdin=subprocess.DEVNULL, stderr=stderr, env=environment(), cwd=folder
            )

        def ready() -> re.Match[str] | None:
            text = self._log.read_bytes()[begin:].decode()
            if self._process.poll() is not None:
                raise RuntimeError(f"the daemon ended with {self._process.returncode}:\n{text}")
            return re.search(r"is ready.* smtp=\S+?:(\d+)", text)

        found = wait_for(ready, START_SECONDS)
        assert found is not None
        self.port = int(found[1])

    @property
    def process_id(self) -> int:
        return self._process.pid

    def settle(self) -> None:
        """Come back when nothing waits: all that came is handled, all that was decided is sent."""
        wait_for(lambda: waiting(self.folder) == 0, SETTLE_SECONDS, 0.05)

    def complaints(self) -> list[str]:
        """The lines of the log that say that something is wrong."""
        lines = self._log.read_text(errors="replace").splitlines()
        return [line for line in lines if re.search(r" (WARNING|ERROR|CRITICAL) ", line)]

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(START_SECONDS)


@contextmanager
def sinks(perf: Path) -> Iterator[tuple[Sink, Sink]]:
    """One for what goes to customers, one for what goes to staff."""
    with ExitStack() as stack:
        both = []
        for _ in range(2):
            both.append(Sink(perf))
            stack.callback(both[-1].stop)
        yield both[0], both[1]


@contextmanager
def started(folder: Path) -> Iterator[Daemon]:
    """A daemon as long as the block lasts."""
    daemon = Daemon(folder)
    try:
        yield daemon
    finally:
        daemon.stop()


def prepare(folder: Path, relays: company.Relays) -> None:
    """Write the company into a folder and import its customers by command."""
    folder.mkdir(parents=True, exist_ok=True)
    company.write(folder, relays)
    tables = folder / "customers"
    company.write_customers(tables)
    helpdesk(folder, "import", str(tables))


def helpdesk(folder: Path, *arguments: str) -> float:
    """Run a command; how many seconds it took."""
    begin = time.monotonic()
    done = subprocess.run(
        [*command(folder), *arguments], env=environment(), capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"helpdesk {' '.join(arguments)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return time.monotonic() - begin


def command(folder: Path) -> list[str]:
    """The command line of this very source tree."""
    return [sys.executable, "-m", "helpdesk", "--config", str(folder)]


def environment() -> dict[str, str]:
    """Ours, with this source tree first on the path."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "HELPDESK_CONFIG": ""}
