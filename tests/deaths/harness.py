"""Kill the daemon in the phases that hurt, start it again without repair, and let it come to rest."""

from __future__ import annotations

import contextlib
import json
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
from typing import ClassVar

from tests.deaths import desk
from tests.deaths.phases import PHASES, Board
from tests.deaths.traffic import Traffic
from tests.deaths.zygote import Forked, Program, Zygote
from tests.servers.dovecot import Mailbox
from tests.servers.ports import free_port, greeting, wait_for
from tests.servers.sink import Sink

#: The kill comes so many seconds after the phase began, at most.
LATEST = {"spool": 0.003, "reading": 0.01, "batch": 0.02, "imap-move": 0.008, "relay": 0.004}
#: A phase that does not come within so many seconds is left for another one.
PATIENCE = 4.0
#: Every so many-th daemon is started cold, as an administrator starts it.
COLD = 15


@dataclass(slots=True, eq=False)
class Running:
    """A started daemon, with its reading processes in a process group of its own."""

    process: subprocess.Popen[bytes] | Forked
    #: All that were started and not yet seen to end.
    alive: ClassVar[list[Running]] = []

    def __post_init__(self) -> None:
        self.alive.append(self)

    def kill(self) -> None:
        """kill -9 of the whole group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait(10)

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.wait(seconds)

    def wait(self, seconds: float) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        code = self.process.wait(seconds)
        if self in self.alive:
            self.alive.remove(self)
        return code


@dataclass(slots=True)
class Deaths:
    """A desk that will die often; ``work`` is an empty folder."""

    work: Path
    sink: Sink
    mailbox: Mailbox | None = None
    mutant: str = ""
    seed: int = 0
    #: More arguments for the launcher.
    options: tuple[str, ...] = ()
    #: Where the daemon finds the mailbox's server, if not where it is.
    imap_port: int = 0
    port: int = field(default_factory=free_port)
    hit: Counter[str] = field(default_factory=Counter)
    relay_hits: int = 0
    cold: int = 0
    traffic: Traffic = field(init=False)
    board: Board = field(init=False)
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.work.mkdir(exist_ok=True)
        box = self.mailbox
        imap = desk.Imap(self.imap_port or box.server.imap_port, box.user, box.password) if box else None
        desk.write(self.config, port=self.port, relay_port=self.sink.port, database=self.database, imap=imap)
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

    @property
    def threads(self) -> Path:
        """Where a daemon that is ready lists its threads."""
        return self.work / "threads"

    def start(self, *, traced: tuple[str, ...] = (), cold: bool = False) -> Running:
        """Start the daemon as it lies there; ``traced`` is a command that runs it, ``cold`` inherits no imports."""
        self.board.clear()
        self.threads.unlink(missing_ok=True)
        arguments = [str(self.config), "--board", str(self.work / "board"), "--threads", str(self.threads)]
        arguments += [*(["--mutant", self.mutant] if self.mutant else []), *self.options]
        if not traced and not cold:
            return Running(Zygote.one().fork(arguments, self.log))
        self.cold += 1
        return self.run_command(*traced, sys.executable, "-m", "tests.deaths.launch", *arguments)

    def serve(self, *, cold: bool = False) -> Running:
        """The command as an administrator types it."""
        arguments = ["--config", str(self.config), "serve"]
        if cold:
            return self.run_command(sys.executable, "-m", "helpdesk", *arguments)
        program: Program = "helpdesk"
        return Running(Zygote.one().fork(arguments, self.log, program))

    def run_command(self, *command: str) -> Running:
        """Start a command that leads a session of its own and writes into the log."""
        with self.log.open("ab") as log:
            return Running(
                subprocess.Popen(command, stdout=log, stderr=log, env=desk.environment(), start_new_session=True)
            )

    def ready(self, seconds: float = 30) -> dict[str, int]:
        """Wait until every thread of the started daemon runs; their names and the kernel's numbers for them."""
        wait_for(self.threads.exists, seconds)
        found = json.loads(self.threads.read_text())
        assert isinstance(found, dict)
        return found

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
        running = self.start(cold=self.kills % COLD == 0)
        try:
            target = self._await(sorted(phases, key=lambda phase: (self.hit[phase], self._random.random())), running)
            time.sleep(self._random.uniform(0, LATEST[target]))
        finally:
            running.kill()
        # The board is as the dead left it: this is what was hit, whatever was meant.
        active = self.board.all_active()
        self.count(target if target in active else active[0] if active else "between")

    def count(self, phase: str) -> None:
        """Note a death; the board is as the dead left it."""
        self.relay_hits += self.board.active("relay")
        self.hit[phase] += 1

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
        return f"kills: {phases}; cold starts {self.cold}; mails {len(self.traffic.sent)}, offered again {again}"
