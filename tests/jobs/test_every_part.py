"""Every part of a whole daemon is broken once; the alarm comes over the second channel, and names it.

Each case has its mutant beside it: a second watch over the same daemon that leaves the broken part out, and is silent
about it. A part that nobody wired into the daemon would be just as silent here.
"""

from __future__ import annotations

import contextlib
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpdesk.app import Daemon, build
from helpdesk.domain.alarm import News
from helpdesk.domain.health import Report
from helpdesk.jobs import parts, probe, watch
from helpdesk.jobs.loop import Loop
from helpdesk.jobs.watch import Watch
from helpdesk.store import engine as engines
from helpdesk.timesource import real
from tests.servers.ports import free_port, wait_for
from tests.servers.sink import Sink
from tests.stories.company import Company, write_customers

MAILBOX = """
[[mailbox]]
name = "support"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "support"
password_env = "HOME"
desk_address = "support@acme.example"
"""
SETTINGS = """
[[alarm]]
command = ["/bin/sh", "-c", "cat >> '{file}'"]
[health]
alarm_after_seconds = 1
"""


class Ended(BaseException):
    """Nothing that a loop catches."""


def end(loop: Loop) -> None:
    def turn() -> bool:
        raise Ended

    loop._turn = turn
    loop.wake()


def shut_the_door(daemon: Daemon, _folder: Path) -> None:
    listener = daemon.listeners[0]
    for accepting in listener._accepting:
        listener._loop.call_soon_threadsafe(accepting.cancel)
    for one in listener._sockets:
        one.shutdown(socket.SHUT_RDWR)


def stop_ticking(daemon: Daemon, _folder: Path) -> None:
    daemon._ticker.shutdown(wait=False)


def leave_a_mail(daemon: Daemon, folder: Path) -> None:
    for lane in daemon._lanes:
        lane.loop.stop()
    insert(
        folder,
        "INSERT INTO spool (tenant, door, recipients, received_at, raw_hash) VALUES ('main', 'smtp', '[]', ?, 'x')",
    )


def leave_a_stray(_daemon: Daemon, folder: Path) -> None:
    insert(
        folder,
        "INSERT INTO outbox (tenant, relay, audience, block, kind, sender, recipient, folded, message_id,"
        " created_at, not_before, expires_at, state) VALUES ('main', 'old', 'customer', 'x', 'automatic', '',"
        " 'a@b.example', 'a@b.example', '<1@x>', ?1, ?1, '2100-01-01 00:00:00', 'waiting')",
    )


def insert(folder: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(folder / "helpdesk.sqlite", timeout=20)) as connection, connection:
        connection.execute(statement, ("2026-03-02 10:00:00",))


def lock_the_database(_daemon: Daemon, folder: Path) -> None:
    other = sqlite3.connect(folder / "helpdesk.sqlite", isolation_level=None, timeout=20, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    LOCKS.append(other)


LOCKS: list[sqlite3.Connection] = []


def take_the_rows_away(_daemon: Daemon, folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "helpdesk.sqlite", timeout=20)) as connection, connection:
        connection.execute("ALTER TABLE timer RENAME TO timer_elsewhere")


def fill_the_disk(_daemon: Daemon, _folder: Path) -> None:
    probe.FREE_OCTETS = 1 << 62  # restored by the fixture


def break_a_template(daemon: Daemon, folder: Path) -> None:
    file = folder / "templates" / "en" / "customer" / "opened.md"
    file.parent.mkdir(parents=True)
    file.write_text("Subject: hello\n\n{{ nonsense }}\n")
    assert daemon.reload()


def block_the_report(_daemon: Daemon, folder: Path) -> None:
    (folder / "health.json").unlink(missing_ok=True)
    (folder / "health.json").mkdir()
    (folder / "health.json" / "x").touch()


BREAKS: dict[str, tuple[str, Callable[[Daemon, Path], None]]] = {
    "door": ("door smtp", shut_the_door),
    "mailbox": ("mailbox support", lambda _daemon, _folder: None),
    "fast lane": ("fast lane", lambda daemon, _folder: end(daemon._lanes[0].loop)),
    "slow lane": ("slow lane", lambda daemon, _folder: end(daemon._lanes[1].loop)),
    "timers": ("timers", lambda daemon, _folder: end(daemon._due.loop)),
    "relay": ("relay main", lambda daemon, _folder: end(daemon._deliverers[0].loop)),
    "database": ("database", take_the_rows_away),
    "writer": ("writer", lock_the_database),
    "mails": ("mails", leave_a_mail),
    "outbox": ("outbox", leave_a_stray),
    "disk": ("disk", fill_the_disk),
    "ticker": ("ticker", stop_ticking),
    "templates": ("templates", break_a_template),
    "health file": ("health file", block_the_report),
}


@pytest.fixture
def daemon(
    request: pytest.FixtureRequest, tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Daemon]:
    """A whole daemon in this process; patience is shortened where a part allows for minutes."""
    for module, name, value in (
        (parts, "DOOR_SECONDS", 0.5),
        (parts, "TICK_SECONDS", 1.5),
        (parts, "STANDING_SECONDS", 0.5),
        (parts, "DATABASE_SECONDS", 0.5),
        (parts, "DISK_SECONDS", 0.5),
        (probe, "FREE_OCTETS", 1),
        (watch, "LOOK_SECONDS", 0.2),
        (engines, "BUSY_SECONDS", 0.5),
    ):
        monkeypatch.setattr(module, name, value)
    more = SETTINGS.format(file=tmp_path / "alarms")
    if request.node.callspec.id == "mailbox":
        more += MAILBOX.format(port=free_port())
    company = replace(Company(), relay_port=sink.port, more=more, limits="attempts = 1\nreading_seconds = 1")
    company.write(tmp_path)
    write_customers(tmp_path / "customers")
    one = Daemon(build(tmp_path))
    one.start()
    yield one
    while LOCKS:
        LOCKS.pop().close()
    one.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("case", BREAKS)
def test_alarm_names_the_part_that_broke_and_only_because_it_is_watched(
    daemon: Daemon, tmp_path: Path, case: str
) -> None:
    name, break_it = BREAKS[case]
    blind: list[Report] = []
    told: list[News] = []
    watched = daemon.watch._parts
    assert [one for one in watched if one.name.startswith(name)]
    others = [one for one in watched if not one.name.startswith(name)]
    mutant = Watch(others, lambda news, _report, _clock: told.append(news), real, after_seconds=1, looked=blind.append)
    mutant.start()

    break_it(daemon, tmp_path)

    alarms = tmp_path / "alarms"
    wait_for(lambda: alarms.exists() and f"\n{name}" in alarms.read_text(), 30, 0.1)
    looks = len(blind)
    wait_for(lambda: len(blind) > looks + 5, 20)
    mutant.stop()
    assert [news for news in told if any(part.startswith(name) for part in news.parts)] == []
    text = alarms.read_text()
    assert text.startswith("helpdesk on ")
    assert "what to do: " in text
    assert "since 20" in text


def test_the_table_above_breaks_every_part_there_is(tmp_path: Path, sink: Sink) -> None:
    """A new part needs a line there; ``certificates`` is told by the door's own tests, ``alarm`` by the alarm's."""
    replace(Company(), relay_port=sink.port, more=MAILBOX.format(port=free_port())).write(tmp_path)
    one = Daemon(build(tmp_path))
    one.start()
    names = [part.name for part in one.watch._parts]
    one.stop()

    missing = [name for name in names if not any(name.startswith(broken) for broken, _ in BREAKS.values())]
    assert sorted(missing) == ["alarm", "certificates"]
