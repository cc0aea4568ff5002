"""F6, G11: the room on the disk ends at each 4 KB of one mail's life.

The mail is put off or kept, never both and never lost; once there is room, all goes on by itself within half a minute.
"""

from __future__ import annotations

import contextlib
import os
import resource
import smtplib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pytest

from tests.deaths import checker, desk
from tests.deaths.harness import Deaths, Running
from tests.deaths.traffic import arrived
from tests.servers.ports import wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]

STEP = 4096
#: In CI only every so many-th step. A frame of the log takes four steps and 24 octets, so each part of one is met.
STRIDE = 9
#: One mail's life needs about 160 steps; a test that gets so far measures nothing.
MOST_STEPS = 400
#: Once there is room, all that waited is done within so many seconds (G11).
RECOVERY_SECONDS = 30.0
#: Everything else that the tests wait for comes within so many seconds, even on a busy machine.
PATIENCE = 60.0
WATCHER = "watcher@ops.example"
ADVICE = "see that the database can be written: its lock, its rights, its disk"
#: Over a second relay, since a command would have no room either.
ALARM = """
[[alarm]]
host = "127.0.0.1"
port = {port}
tls = "none"
to = "{to}"
[health]
alarm_after_seconds = 1
"""


class Room(Protocol):
    """The room that a daemon has for its files."""

    def leave(self, running: Running, octets: int) -> None:
        """No file can take more than so many octets beyond what it has; for the log, which is empty, that is its size."""

    def give(self, running: Running) -> None:
        """As much room as anybody wants."""


class LimitedFiles:
    """RLIMIT_FSIZE: the kernel refuses what goes beyond a file's size (EFBIG). Needs no rights."""

    def leave(self, running: Running, octets: int) -> None:
        _, most = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (octets, most))

    def give(self, running: Running) -> None:
        _, most = resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(running.process.pid, resource.RLIMIT_FSIZE, (most, most))


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A file system of its own that a ballast fills up (ENOSPC)."""

    folder: Path

    def leave(self, running: Running, octets: int) -> None:
        ballast = self.folder / "ballast"
        ballast.touch()
        disk = os.statvfs(self.folder)
        size = ballast.stat().st_size + disk.f_bavail * disk.f_frsize - octets
        with ballast.open("r+b") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)

    def give(self, running: Running) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)


@dataclass(slots=True)
class Desk:
    """A desk at rest whose log is empty before each mail, so that each mail's life needs the same room."""

    deaths: Deaths
    room: Room
    alarms: Sink
    running: Running = field(init=False)
    log: list[str] = field(default_factory=list)
    #: What each step did: "put off", "kept" (and handled once there was room) or "through".
    outcomes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.deaths.config / "helpdesk.toml"
        settings.write_text(settings.read_text() + ALARM.format(port=self.alarms.port, to=WATCHER))
        # A pipe, since a file would have no room either.
        os.mkfifo(self.deaths.log)
        threading.Thread(target=self._listen, daemon=True).start()
        self.running = self.deaths.start()
        self.deaths.ready()

    def _listen(self) -> None:
        with self.deaths.log.open() as opened:
            self.log.extend(opened)

    def step(self, octets: int) -> str:
        """A mail while so much room is left, and again, as a mail server would, when there is room; what became of it."""
        self.empty_log()
        undone = self._undone()
        self.room.leave(self.running, octets)
        mail = self.deaths.traffic.new_request()
        code = self.offer(mail.number, mail.data)
        if code == 250:
            wait_for(lambda: self.through(mail.number) or self._undone() > undone, PATIENCE)
        found = "put off" if code != 250 else "through" if self.through(mail.number) else "kept"
        self.room.give(self.running)
        if code != 250:
            assert self.offer(mail.number, mail.data) == 250, "there is room, but the mail is refused again"
        mail.acknowledged_at = 1.0
        wait_for(lambda: self.through(mail.number), RECOVERY_SECONDS)
        self.outcomes.append(found)
        return found

    def offer(self, number: int, data: bytes) -> int:
        """The door's answer to a mail."""
        with smtplib.SMTP("127.0.0.1", self.deaths.port, timeout=PATIENCE) as client:
            try:
                client.sendmail(desk.customer(number), [desk.DESK], data)
            except smtplib.SMTPResponseException as refusal:
                said = refusal.smtp_code, refusal.smtp_error
            else:
                return 250
        assert b"disk" not in said[1], "details belong in the log"
        return said[0]

    def told(self) -> str:
        """All alarms, each line break a space."""
        texts = [arrived(one).text for one in self.alarms.to(WATCHER)]
        return " ".join(" ".join(texts).split())

    def through(self, number: int) -> bool:
        """Nothing waits, and customer and agent were written to."""
        came = [one for one in list(self.deaths.sink.deliveries)[-6:] if number in arrived(one).marks]
        return len(came) >= 2 and self.deaths.at_rest()

    def empty_log(self) -> None:
        """Move the write-ahead log over, so that the next mail needs new room."""
        with contextlib.closing(sqlite3.connect(self.deaths.database, timeout=PATIENCE)) as connection:
            wait_for(lambda: connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0), PATIENCE)

    def end(self) -> list[str]:
        """Stop in peace; what is wrong with the ledgers."""
        assert self.running.stop() == 0, self.log[-20:]
        return checker.problems(self.deaths, troubled=True)

    def _undone(self) -> int:
        return sum("was undone" in line for line in list(self.log))


@pytest.fixture(params=["limited files", "small disk"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Room]:
    """Where room can be taken away: everywhere by a limit, and by a real full disk where one can be mounted."""
    if request.param == "limited files":
        return tmp_path, LimitedFiles()
    folder = request.getfixturevalue("small_disk")
    return folder, SmallDisk(folder)


@pytest.fixture
def full(place: tuple[Path, Room], sink: Sink) -> Iterator[Desk]:
    """A desk there, which tries again soon, so that it meets many steps in a short time."""
    folder, room = place
    alarms = Sink()
    yield Desk(Deaths(folder / "desk", sink, options=("--again=0.05",)), room, alarms)
    alarms.stop()


def test_g11_the_room_ends_within_a_mails_life(full: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """At some of the steps of 4 KB."""
    _walk(full, STRIDE, capsys)


@pytest.mark.long
def test_g11_the_room_ends_at_every_step_of_a_mails_life(full: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    """At each step of 4 KB."""
    _walk(full, 1, capsys)


def _walk(full: Desk, stride: int, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(0, MOST_STEPS, stride):
        if full.step(number * STEP) == "through":
            break

    problems = full.end()
    with capsys.disabled():
        print(f"\nroom ended at {len(full.outcomes)} steps of {stride * STEP} octets: {full.outcomes}")
    assert problems == []
    assert full.outcomes[0] == "put off"
    assert "kept" in full.outcomes
    assert full.outcomes[-1] == "through"


def test_f6_a_full_disk_is_told_and_ends_by_itself(tmp_path: Path, sink: Sink) -> None:
    """At the pace of real life: put off, told over a second channel, taken and handled as soon as there is room."""
    alarms, room = Sink(), LimitedFiles()
    full = Desk(Deaths(tmp_path / "desk", sink), room, alarms)
    full.empty_log()
    room.leave(full.running, 0)
    mail = full.deaths.traffic.new_request()

    assert full.offer(mail.number, mail.data) == 451
    wait_for(lambda: "the database takes nothing" in full.told() and ADVICE in full.told(), PATIENCE)
    assert sink.deliveries == []

    room.give(full.running)
    assert full.offer(mail.number, mail.data) == 250
    mail.acknowledged_at = 1.0
    wait_for(lambda: full.through(mail.number), RECOVERY_SECONDS)
    wait_for(lambda: any("writer: works again" in line for line in list(full.log)), PATIENCE)
    assert full.end() == []
    alarms.stop()


def test_g11_a_daemon_that_says_250_whatever_happens_is_caught(tmp_path: Path, sink: Sink) -> None:
    """What it acknowledged without room for it is gone."""
    alarms = Sink()
    full = Desk(Deaths(tmp_path / "desk", sink, mutant="250-whatever-happens"), LimitedFiles(), alarms)
    full.empty_log()
    full.room.leave(full.running, 0)
    mail = full.deaths.traffic.new_request()

    assert full.offer(mail.number, mail.data) == 250
    full.room.give(full.running)
    mail.acknowledged_at = 1.0
    assert full.step(MOST_STEPS * STEP) == "through"
    assert any(problem.startswith("lost: ") for problem in full.end())
    alarms.stop()
