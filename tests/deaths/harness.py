"""Kill the daemon in the phases that hurt, start it again without repair, and let it come to rest."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, ClassVar

from tests.deaths import desk
from tests.deaths.phases import PHASES, Board
from tests.deaths.traffic import Traffic
from tests.servers.dovecot import Mailbox
from tests.servers.ports import free_port, greeting, wait_for
from tests.servers.sink import Sink

#: The kill comes so many seconds after the phase began, at most.
LATEST = {"spool": 0.003, "reading": 0.01, "batch": 0.02, "imap-move": 0.008, "relay": 0.004}
#: A phase that does not come within so many seconds is left for another one.
PATIENCE = 4.0


@dataclass(slots=True, eq=False)
class Running:
    """A started daemon, with its reading processes in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: IO[bytes]
    #: All that were started and not yet seen to end.
    alive: ClassVar[list[Running]] = []

    def __post_init__(self) -> None:
        self.alive.append(self)

    def _ended(self) -> None:
        self.log.close()
        self.alive.remove(self)

    def kill(self) -> None:
        """kill -9 of the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        self._ended()

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        code = self.process.wait(seconds)
        self._ended()
        return code


@dataclass(slots=True)
class Deaths:
    """A desk that will die often; ``work`` is an empty folder."""

    work: Path
    sink: Sink
    mailbox: Mailbox | None = None
    mutant: str = ""
    seed: int = 0
    port: int = field(default_factory=free_port)
    hit: Counter[str] = field(default_factory=Counter)
    relay_hits: int = 0
    traffic: Traffic = field(init=False)
    board: Board = field(init=False)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.work.mkdir(exist_ok=True)
        imap = self.mailbox and desk.Imap(self.mailbox.server.imap_port, self.mailbox.user, self.mailbox.password)
        desk.write(self.config, port=self.port, relay_port=self.sink.port, database=self.database, imap=imap or None)
        self.traffic = Traffic(self.port, self.sink, self.mailbox)
        self.board = Board(self.work / "board")
        self._random = random.Random(self.seed)

    @property
    def config(self) -> Path:
        return self.work / "config"

    @property
    def database(self) -> Path:
        return self.work / "helpdesk.sqlite"

    @property
    def log(self) -> Path:
        return self.work / "daemon.log"

    def start(self, *, traced: tuple[str, ...] = ()) -> Running:
        """Start the daemon as it lies there; ``traced`` is a command that runs it."""
        self.board.clear()
        command = [*traced, sys.executable, "-m", "tests.deaths.launch", str(self.config)]
        command += ["--board", str(self.work / "board"), *(["--mutant", self.mutant] if self.mutant else [])]
        log = self.log.open("ab")
        return Running(
            subprocess.Popen(command, stdout=log, stderr=log, env=desk.environment(), start_new_session=True), log
        )

    def run(self, kills: int, phases: tuple[str, ...] = PHASES) -> None:
        """Kill so often while mail flows, always next in the phase that was hit least, then let everything settle."""
        self.traffic.start()
        while self.kills < kills:
            self._live_and_die(phases)
        self.settle()

    @property
    def kills(self) -> int:
        """How often the daemon was killed."""
        return self.hit.total()

    def _live_and_die(self, phases: tuple[str, ...]) -> None:
        running = self.start()
        try:
            target = self._await(sorted(phases, key=lambda phase: (self.hit[phase], self._random.random())), running)
            time.sleep(self._random.uniform(0, LATEST[target]))
        finally:
            running.kill()
        # The board is as the dead left it: this is what was hit, whatever was meant.
        active = self.board.all_active()
        self.relay_hits += "relay" in active
        self.hit[target if target in active else active[0] if active else "between"] += 1

    def _await(self, phases: list[str], running: Running) -> str:
        for phase in phases:
            until = time.monotonic() + PATIENCE
            while time.monotonic() < until:
                if self.board.active(phase):
                    return phase
                assert running.process.poll() is None, f"the daemon ended by itself:\n{self.last_words()}"
                time.sleep(0.0003)
        raise AssertionError(f"none of {phases} came:\n{self.last_words()}")

    def settle(self, seconds: float = 90) -> None:
        """Start it once more, let every writer end and every queue run empty, and stop it in peace."""
        running = self.start()
        try:
            greeting(self.port, 20)
            self.traffic.end()
            wait_for(self.at_rest, seconds, 0.2)
            time.sleep(0.3)  # a mutant may still have mails up its sleeve
            wait_for(self.at_rest, seconds, 0.2)
            assert running.stop() == 0, self.last_words()
        except BaseException:
            running.kill()
            raise

    def at_rest(self) -> bool:
        """Nothing waits: no mail in the spool, no input, nothing in the outbox, nothing in the mailbox."""
        waiting = (
            "SELECT (SELECT count(*) FROM spool WHERE done_at IS NULL)"
            " + (SELECT count(*) FROM input WHERE done_at IS NULL)"
            " + (SELECT count(*) FROM outbox WHERE state = 'waiting')"
        )
        # The mailbox first: what has left it is in the spool, and must be seen there.
        if self.mailbox and self.mailbox.mails():
            return False
        with contextlib.closing(sqlite3.connect(self.database, timeout=10)) as connection:
            return not connection.execute(waiting).fetchone()[0]

    def last_words(self) -> str:
        """The end of the daemon's log."""
        return self.log.read_text(errors="replace")[-3000:]

    def summary(self) -> str:
        """What was done, in a line."""
        phases = ", ".join(f"{phase} {self.hit[phase]}" for phase in (*PHASES, "between") if self.hit[phase])
        again = sum(one.attempts > 1 for one in self.traffic.sent.values())
        return f"kills: {phases}; mails {len(self.traffic.sent)}, offered again {again}"
