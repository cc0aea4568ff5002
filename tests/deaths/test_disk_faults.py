"""F7, F8: the disk fails to write or to sync (EIO), or has become read-only (EROFS), under a daemon that runs.

strace is attached to the daemon's writing thread and lets its calls fail. A file system cannot be made read-only by hand
while files on it are open for writing; the kernel does so after faults, and then answers just like this.
"""

from __future__ import annotations

import os
import re
import smtplib
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from helpdesk.store import engine
from tests.deaths import checker, desk, mounts
from tests.deaths.harness import Deaths, Running
from tests.deaths.power_loss import require_tracing
from tests.deaths.test_disk_full import ADVICE, ALARM, PATIENCE, RECOVERY_SECONDS, WATCHER
from tests.deaths.traffic import Sent, arrived
from tests.servers.ports import wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]

#: What fails on a disk, as strace says it: the calls and the fault.
SYNC = "fsync,fdatasync:error=EIO"
WRITE = "pwrite64:error=EIO"
READ_ONLY = "pwrite64,ftruncate,fsync,fdatasync:error=EROFS"
#: Of the calls of one mail's way every so many-th fails in CI: all of the few syncs, some of two writes for each page.
STRIDES = {"fsync,fdatasync": 1, "pwrite64": 15}
#: So many calls are more than any mail needs: a test that gets there measures nothing.
MOST_CALLS = 400


@dataclass(slots=True)
class Desk:
    """A desk whose writing can be made to fail."""

    deaths: Deaths
    alarms: Sink
    running: Running = field(init=False)
    _writer: int = field(init=False)

    def __post_init__(self) -> None:
        require_tracing()
        settings = self.deaths.config / "helpdesk.toml"
        settings.write_text(settings.read_text() + ALARM.format(port=self.alarms.port, to=WATCHER))
        self.running = self.deaths.start()
        self._writer = self.deaths.ready()["writer"]

    @contextmanager
    def failing(self, faults: str) -> Iterator[Path]:
        """While within, these calls of the writer fail; the file is what was hit, complete at the end."""
        log = self.deaths.work / "faults"
        traced = ["-e", f"trace={faults.partition(':')[0]}", "-e", "signal=none", "-e", f"inject={faults}"]
        tracer = subprocess.Popen(
            ["strace", "-p", str(self._writer), "-o", str(log), *traced], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        assert "attached" in (said := tracer.stderr.readline()), said
        try:
            yield log
        finally:
            tracer.terminate()
            tracer.wait(10)
            tracer.stderr.close()

    def offer(self, mail: Sent) -> int:
        """The door's answer to a mail."""
        mail.attempts += 1
        with smtplib.SMTP("127.0.0.1", self.deaths.port, timeout=PATIENCE) as client:
            try:
                client.sendmail(desk.customer(mail.number), [desk.DESK], mail.data)
            except smtplib.SMTPResponseException as refusal:
                return refusal.smtp_code
        mail.acknowledged_at = 1.0
        return 250

    def through(self, mail: Sent) -> bool:
        """Nothing waits, and customer and agent were written to."""
        came = [one for one in list(self.deaths.sink.deliveries)[-6:] if mail.number in arrived(one).marks]
        return len(came) >= 2 and self.deaths.at_rest()

    def is_known(self, mail: Sent) -> bool:
        """Whether the database has it."""
        with closing(sqlite3.connect(self.deaths.database, timeout=PATIENCE)) as connection:
            found = connection.execute("SELECT data FROM raw").fetchall()
        return any(desk.mark(mail.number).encode() in data for (data,) in found)

    def told(self) -> str:
        """All alarms, each line break a space."""
        return " ".join(" ".join(arrived(one).text for one in self.alarms.to(WATCHER)).split())

    def end(self) -> list[str]:
        """Stop in peace; what is wrong with the ledgers."""
        assert self.running.stop() == 0, self.deaths.last_words()
        return checker.problems(self.deaths, troubled=True)


@pytest.fixture
def alarms() -> Iterator[Sink]:
    """Whoever is told."""
    told = Sink()
    yield told
    told.stop()


@pytest.mark.parametrize("faults", [SYNC, READ_ONLY], ids=["F7 no sync", "F8 read-only"])
def test_a_disk_that_takes_nothing_is_told_and_ends_by_itself(
    tmp_path: Path, sink: Sink, alarms: Sink, faults: str
) -> None:
    """Put off, told over a second channel, and taken and handled as soon as the disk works again."""
    failing = Desk(Deaths(tmp_path / "desk", sink), alarms)
    mail = failing.deaths.traffic.new_request()
    with failing.failing(faults):
        assert [failing.offer(mail) for _ in range(3)] == [451] * 3
        wait_for(lambda: "the database takes nothing: disk I/O error" in failing.told(), PATIENCE)
        assert ADVICE in failing.told()
        assert failing.offer(mail) == 451
    assert sink.deliveries == []
    assert not failing.is_known(mail)

    assert failing.offer(mail) == 250
    wait_for(lambda: failing.through(mail), RECOVERY_SECONDS)
    wait_for(lambda: "all is well again" in failing.told(), PATIENCE)
    assert failing.end() == []


@pytest.mark.parametrize("mutant", ["no-fsync", "250-whatever-happens"])
def test_f7_a_daemon_that_says_250_without_a_sync_is_caught(
    tmp_path: Path, sink: Sink, alarms: Sink, mutant: str
) -> None:
    """It acknowledges what no disk has taken."""
    failing = Desk(Deaths(tmp_path / "desk", sink, mutant=mutant), alarms)

    with failing.failing(SYNC):
        assert failing.offer(failing.deaths.traffic.new_request()) == 250


@pytest.mark.parametrize("call", STRIDES)
def test_f7_one_call_of_a_mails_way_fails(
    tmp_path: Path, sink: Sink, alarms: Sink, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Some of the calls by which one mail is written."""
    _fail_each(Desk(Deaths(tmp_path / "desk", sink, options=("--again=0.05",)), alarms), call, STRIDES[call], capsys)


@pytest.mark.long
@pytest.mark.parametrize("call", STRIDES)
def test_f7_each_call_of_a_mails_way_fails(
    tmp_path: Path, sink: Sink, alarms: Sink, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of them."""
    _fail_each(Desk(Deaths(tmp_path / "desk", sink, options=("--again=0.05",)), alarms), call, 1, capsys)


def _fail_each(failing: Desk, call: str, stride: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The first call fails, then one further on, until a mail goes through before that one comes."""
    codes: list[int] = []
    for number in range(1, MOST_CALLS, stride):
        mail = failing.deaths.traffic.new_request()
        with failing.failing(f"{call}:error=EIO:when={number}") as log:
            codes.append(failing.offer(mail))
            if codes[-1] != 250:
                assert not failing.is_known(mail), "it was refused, and is kept all the same"
                assert failing.offer(mail) == 250
            wait_for(lambda mail=mail: failing.through(mail), RECOVERY_SECONDS)  # type: ignore[misc]
        if not re.search("INJECTED", log.read_text()):
            break
    else:
        raise AssertionError("every mail met the fault")

    problems = failing.end()
    with capsys.disabled():
        print(f"\n{call} failed at {len(codes) - 1} places of one mail's way: {codes}")
    assert problems == []
    assert codes[0] == 451, "the first call is for keeping the mail"
    assert set(codes) == {250, 451}
    assert len(codes) > 3


def test_f8_a_start_on_a_read_only_disk_is_refused(tmp_path: Path, sink: Sink) -> None:
    """With a word why; when the disk can be written again a plain start is enough."""
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.start()
    deaths.ready()
    mail = deaths.traffic.new_request()
    deaths.traffic.send(mail)
    running.kill()  # so that a log is left

    with mounts.read_only(deaths.work):
        refused = desk.helpdesk(deaths.config, "serve")
        opened = engine.connect(f"sqlite:///{deaths.database}")
        with pytest.raises(sa.exc.OperationalError, match="readonly"), opened.begin() as connection:
            engine.prove_writable(connection)

    assert refused.returncode == os.EX_TEMPFAIL
    assert "cannot be written: Read-only file system; see that the folder's disk" in refused.stderr
    assert "Traceback" not in refused.stderr
    with opened.begin() as connection:
        engine.prove_writable(connection)  # a connection that began on the read-only disk is not used again
    opened.dispose()
    running = deaths.start()
    wait_for(deaths.at_rest, PATIENCE)
    assert running.stop() == 0, deaths.last_words()
    assert checker.problems(deaths) == []
