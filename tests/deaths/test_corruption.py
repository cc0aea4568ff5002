"""F11: octets of the database or of its write-ahead log are not what was written.

Nothing more is acknowledged, the alarm names it, no start goes on as if nothing had been, no mail is blamed; with a backup
put in place the desk takes up its work.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import smtplib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from helpdesk.store.damage import RESTORE
from tests.deaths import desk
from tests.deaths.harness import Deaths, Running
from tests.deaths.zygote import Zygote
from tests.servers.ports import greeting, wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]

#: Everything that the tests wait for comes within so many seconds, even on a busy machine.
PATIENCE = 60.0
#: So many mails are there before anything breaks.
MAILS = 3
PAGE = 16384
ALARM = """
[[alarm]]
command = ["/bin/sh", "-c", "cat >> '{file}'"]
[health]
alarm_after_seconds = 1
"""
#: Where the head of a page's b-tree stands, SQLite sees that it is none; the first page also holds the file's own head.
RUBBISH = b"\xa5" * 64


class Broken:
    """A desk with a few mails and a backup of them, whose daemon was ended or killed."""

    def __init__(self, work: Path, sink: Sink, mutant: str = "") -> None:
        self.sink = sink
        self.alarms = work / "alarms"
        self.deaths = Deaths(work / "desk", sink, mutant=mutant, options=("--look=0.5",))
        settings = self.deaths.config / "helpdesk.toml"
        settings.write_text(settings.read_text() + ALARM.format(file=self.alarms))
        self.backup = work / "backup.sqlite"
        self.database = self.deaths.database
        self.mark = self.database.with_name(f"{self.database.name}.damaged")
        self.wal = self.database.with_name(f"{self.database.name}-wal")

    def start(self) -> Running:
        running = self.deaths.start()
        greeting(self.deaths.port, PATIENCE)
        return running

    def send(self, number: int) -> int:
        """The door's answer to a customer's request."""
        with smtplib.SMTP("127.0.0.1", self.deaths.port, timeout=PATIENCE) as client:
            try:
                client.sendmail(desk.customer(number), [desk.DESK], desk.request(number))
            except smtplib.SMTPResponseException as refusal:
                return refusal.smtp_code
        return 250

    def fill(self) -> None:
        """A few mails are handled, a backup is made, one more is handled: only the log has that one for sure."""
        for number in range(1, MAILS + 1):
            assert self.send(number) == 250
        wait_for(self.deaths.at_rest, PATIENCE)
        with contextlib.closing(sqlite3.connect(self.database, timeout=PATIENCE)) as one:
            with contextlib.closing(sqlite3.connect(self.backup)) as other:
                one.backup(other)
            assert one.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        assert self.send(MAILS + 1) == 250
        wait_for(self.deaths.at_rest, PATIENCE)

    def run(self, *arguments: str) -> tuple[int, str]:
        """A command to its end: its exit code, and all that it says."""
        said = self.database.with_name("said")
        said.unlink(missing_ok=True)
        running = Running(Zygote.one().fork(["--config", str(self.deaths.config), *arguments], said, "helpdesk"))
        return running.wait(PATIENCE), said.read_text()

    def restore(self) -> None:
        """What the daemon tells a person to do."""
        away = self.database.parent / "away"
        away.mkdir()
        for file in self.database.parent.glob(f"{self.database.name}*"):
            file.rename(away / file.name)
        shutil.copy(self.backup, self.database)

    def works_again(self) -> None:
        """With the backup in place, what was acknowledged before it is there, and new mail is taken."""
        running = self.start()
        assert self.send(MAILS + 2) == 250
        wait_for(self.deaths.at_rest, PATIENCE)
        assert running.stop() == 0, self.deaths.last_words()
        _, listed = self.run("ticket", "list")
        assert [listed.count(desk.mark(number)) for number in range(1, MAILS + 3)] == [*[1] * MAILS, 0, 1]
        assert self.run("check")[0] == 0

    def rows(self, query: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(self.database, timeout=PATIENCE)) as connection:
            return connection.execute(query).fetchall()

    def roots(self, *names: str) -> list[int]:
        """The first pages of tables and indexes."""
        found = dict(self.rows("SELECT name, rootpage FROM sqlite_schema"))
        return [found[name] for name in names]

    def overwrite(self, page: int) -> None:
        """Write rubbish over the head of a page, in the file and where a log has the page too."""
        with self.database.open("r+b") as opened:
            opened.seek((page - 1) * PAGE)
            opened.write(RUBBISH)


def _refuses_and_says_so(broken: Broken, words: str) -> None:
    """``check`` and the start end with 78 and say what is wrong and what to do."""
    for command in ("check", "serve"):
        code, said = broken.run(command)
        assert code == os.EX_CONFIG, said
        assert words in said
        assert RESTORE in said
        assert "Traceback" not in said


@pytest.mark.parametrize("table", ["spool", "event"])
def test_f11_a_bad_page_ends_all_acknowledging(tmp_path: Path, sink: Sink, table: str) -> None:
    """Mail is put off, wherever the page; the alarm says that the database is damaged; no mail is blamed."""
    broken = Broken(tmp_path, sink)
    running = broken.start()
    broken.fill()
    assert running.stop() == 0
    (page,) = broken.roots(table)
    broken.overwrite(page)

    running = broken.start()
    # A page that only handling needs is met after the first 250; that mail is kept, and never blamed.
    answers = [broken.send(100 + number) for number in range(2)]
    wait_for(lambda: broken.send(200) == 451, PATIENCE, 0.2)
    wait_for(lambda: broken.alarms.exists() and RESTORE in broken.alarms.read_text(), PATIENCE)
    code, health = broken.run("health", "--json")
    assert set(answers) <= {250, 451}
    assert code == 1
    parts = {part["name"]: part for part in json.loads(health)["parts"]}
    assert "is damaged: database disk image is malformed" in parts["database"]["words"]
    assert "nothing is lost" not in broken.alarms.read_text()
    assert broken.send(201) == 451
    assert running.stop() == 0, broken.deaths.last_words()

    assert sink.to("postmaster@desk.example") == [], "a mail was set aside"
    _refuses_and_says_so(broken, "database disk image is malformed")
    broken.restore()
    broken.works_again()


def test_f11_a_bad_page_is_found_by_check_before_anybody_meets_it(tmp_path: Path, sink: Sink) -> None:
    """``helpdesk check`` reads every page."""
    broken = Broken(tmp_path, sink)
    (page,) = broken.roots("reminder")
    broken.overwrite(page)

    code, said = broken.run("check")

    assert code == os.EX_CONFIG
    assert "is damaged" in said
    assert RESTORE in said


def test_f11_a_file_that_is_no_database_is_named(tmp_path: Path, sink: Sink) -> None:
    """The head of the file itself is rubbish."""
    broken = Broken(tmp_path, sink)
    broken.overwrite(1)

    _refuses_and_says_so(broken, "file is not a database")


def _cut(log: Path) -> None:
    os.truncate(log, 32 + 24 + PAGE + 100)


def _spoil_a_page(log: Path) -> None:
    _write(log, 32 + 24 + PAGE // 2)


def _spoil_the_head(log: Path) -> None:
    _write(log, 16)


def _write(log: Path, place: int) -> None:
    with log.open("r+b") as opened:
        opened.seek(place)
        opened.write(RUBBISH[:8])


@pytest.mark.parametrize("spoil", [_cut, _spoil_a_page, _spoil_the_head, Path.unlink])
def test_f11_a_spoilt_log_is_no_silent_loss(tmp_path: Path, sink: Sink, spoil: Callable[[Path], None]) -> None:
    """SQLite would go on with what comes before the bad frame, and acknowledged mail would be gone without a word."""
    broken = Broken(tmp_path, sink)
    running = broken.start()
    broken.fill()
    running.kill()
    spoil(broken.wal)

    _refuses_and_says_so(broken, "of its write-ahead log cannot be read")
    broken.restore()
    broken.works_again()


def test_f11_a_sound_log_is_no_damage(tmp_path: Path, sink: Sink) -> None:
    """What a kill leaves behind is taken up without a word, also by a command while the daemon is down."""
    broken = Broken(tmp_path, sink)
    running = broken.start()
    broken.fill()
    running.kill()

    _, listed = broken.run("ticket", "list")
    assert listed.count("mark-") == MAILS + 1
    assert not broken.mark.exists()
    assert broken.start().stop() == 0


def test_f11_a_careless_daemon_is_caught(tmp_path: Path, sink: Sink) -> None:
    """The mutant starts without the last mail that it acknowledged, and takes mail that it can never handle."""
    broken = Broken(tmp_path, sink, mutant="careless")
    running = broken.start()
    broken.fill()
    running.kill()
    _spoil_a_page(broken.wal)
    assert broken.start().stop() == 0
    assert broken.rows("SELECT count(*) FROM spool") == [(MAILS,)]
    (page,) = broken.roots("event")
    broken.overwrite(page)
    broken.start()

    assert broken.send(100) == 250
    wait_for(lambda: "malformed" in broken.deaths.last_words(), PATIENCE)
    assert broken.send(101) == 250
    assert not broken.mark.exists()
