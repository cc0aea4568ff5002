"""Kill a daemon at a chosen system call of a chosen thread, while one mail is on its way through it (F2).

strace counts the calls of each thread apart. So it is attached to one thread of a daemon that is at rest, just before the
mail comes: the n-th call from there on is the n-th call of this mail's path. The kill comes as the call is entered, so
the call is not made, and the one before it is.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.deaths import desk
from tests.deaths.harness import Deaths, Running
from tests.deaths.traffic import Sent
from tests.servers.ports import greeting, wait_for

#: Waiting for what others do, and for the clock: killed in these, a thread is where the call before left it.
IDLE = {"futex", "epoll_wait", "poll", "select", "pselect6", "ppoll", "clock_nanosleep", "restart_syscall"}
#: What leaves a mark outside of the process: on the disk, at a client, a server or the reading process.
MARKS = {"pwrite64", "write", "fdatasync", "fsync", "ftruncate", "sendto", "sendmsg", "unlink", "rename", "shutdown",
         "close", "connect", "accept4", "fcntl"}  # fmt: skip
#: The reading process is not a thread of the daemon, but stands beside them.
READER = "reader"
_LINE = re.compile(r"^(\w+)\(")
_ATTACHED = b"attached"


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The ``number``-th call of this name in this thread, from 1."""

    thread: str
    call: str
    number: int


@dataclass(slots=True)
class OneMail:
    """One mail after the other through a desk, each with a death on its way; a daemon that lived takes the next."""

    deaths: Deaths
    door: Literal["smtp", "imap"] = "smtp"
    hit: Counter[Point] = field(default_factory=Counter)
    #: Points that the mail's path did not come to this time.
    missed: list[Point] = field(default_factory=list)
    #: A mail must be through within so many seconds.
    patience: float = 60.0
    _running: Running | None = None
    _threads: dict[str, int] = field(default_factory=dict)

    def survey(self) -> list[Point]:
        """Let one mail through and write down every call of every thread; the points in that order of threads."""
        self.begin()
        found: list[Point] = []
        for thread in self._tracees():
            log = self.deaths.work / "survey"
            with self._attached(thread, log):
                self.mail_through()
            calls = Counter(
                match[1] for match in map(_LINE.match, log.read_text(errors="replace").splitlines()) if match
            )
            found += [Point(thread, call, n + 1) for call in sorted(calls) for n in range(calls[call])]
        return found

    def begin(self) -> None:
        """Let a mail through that starts the reading process and connects to the relay, as the first one does."""
        self._start()
        self.mail_through()

    def die_at(self, point: Point) -> bool:
        """Send a mail, die at this point of its path, start again, see the mail through; False where it was not met."""
        running = self._start()
        inject = f"inject={point.call}:signal=KILL:when={point.number}"
        with self._attached(point.thread, Path(os.devnull), "-e", f"trace={point.call}", "-e", inject) as tracer:
            mail = self._begin()
            wait_for(lambda: tracer.poll() is not None or self._is_through(mail), self.patience, self._look())
        if point.thread != READER:
            # The tracer saw the end before the zygote did, or will see none.
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(0.5 if tracer.returncode != 0 else 5)
        died = running.process.poll() is not None if point.thread != READER else tracer.returncode == 0
        if running.process.poll() is not None:
            assert running.process.poll() == -signal.SIGKILL, self.deaths.last_words()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.process.pid, signal.SIGKILL)
            self.deaths.count(point.call)
            self._running = None
            self._start()
        if died:
            self.hit[point] += 1
        else:
            self.missed.append(point)
        self._see_through(mail)
        return died

    def end(self) -> None:
        """Let every queue run empty, and stop in peace."""
        running = self._start()
        wait_for(self.deaths.at_rest, 60, 0.05)
        assert running.stop() == 0, self.deaths.last_words()

    def _start(self) -> Running:
        if self._running is None:
            self._running = self.deaths.start()
            self._threads = self.deaths.ready()
            greeting(self.deaths.port, 20)
        return self._running

    def _tracees(self) -> list[str]:
        return [*sorted(name for name in self._threads if name not in ("MainThread",)), READER]

    def _number_of(self, thread: str) -> int:
        if thread != READER:
            return self._threads[thread]
        assert self._running is not None
        return _reader(self._running.process.pid)

    @contextmanager
    def _attached(self, thread: str, log: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
        """strace on one thread, from the moment that it has taken hold of it."""
        if thread == READER:
            self.mail_through()  # there is none before the first mail
        command = ["strace", "-p", str(self._number_of(thread)), "-o", str(log), "-e", "signal=none", *options]
        tracer = subprocess.Popen(command, stderr=subprocess.PIPE)
        try:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            assert _ATTACHED in said, said
            yield tracer
        finally:
            tracer.terminate()
            tracer.wait(10)
            tracer.stderr and tracer.stderr.close()

    def _begin(self) -> Sent:
        traffic = self.deaths.traffic
        mail = traffic.new_request(self.door)
        if self.door == "smtp":
            threading.Thread(target=traffic.send, args=(mail,), daemon=True).start()
        else:
            traffic.append(mail)
        return mail

    def mail_through(self) -> None:
        """Send a mail and wait until it is through."""
        self._see_through(self._begin())

    def _see_through(self, mail: Sent) -> None:
        wait_for(lambda: self._is_through(mail), self.patience, self._look())

    def _is_through(self, mail: Sent) -> bool:
        """Acknowledged, and nothing of it waits anywhere; the sink took the acknowledgement and the agent's notice."""
        return bool(mail.acknowledged_at) and self._arrived(mail) and self.deaths.at_rest()

    def _look(self) -> float:
        # To look into the mailbox costs a login.
        return 0.005 if self.door == "smtp" else 0.03

    def _arrived(self, mail: Sent) -> bool:
        mark = desk.mark(mail.number).encode()
        return sum(mark in one.data for one in list(self.deaths.sink.deliveries)[-20:]) >= 2


def sample(points: Sequence[Point], count: int) -> list[Point]:
    """About ``count`` of the points that leave marks: as many of each thread's each call, spread evenly over the path."""
    groups: defaultdict[tuple[str, str], list[Point]] = defaultdict(list)
    for point in points:
        if point.call in MARKS:
            groups[point.thread, point.call].append(point)
    quota = next(quota for quota in range(1, len(points) + 1) if _taken(groups.values(), quota) >= count)
    return [
        group[number * len(group) // min(quota, len(group))]
        for group in groups.values()
        for number in range(min(quota, len(group)))
    ]


def _taken(groups: Iterable[Sequence[Point]], quota: int) -> int:
    return sum(min(quota, len(group)) for group in groups)


def by_thread(points: Iterable[Point]) -> str:
    """How many points of each thread, in a line."""
    counted = Counter(point.thread for point in points)
    return ", ".join(f"{thread} {count}" for thread, count in sorted(counted.items()))


def _reader(daemon: int) -> int:
    """The reading process of the fast lane: the daemon's child that was last busy with a mail."""
    found: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            parts = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes()
            if int(parts[1]) == daemon and b"reading_process" in command:
                found[int(folder.name)] = int(parts[11])
    assert found, "no reading process was started"
    return max(found, key=lambda pid: found[pid])
