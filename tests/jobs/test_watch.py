"""The watch sees what is in trouble, whatever the parts do, and says so once."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import pytest
import sqlalchemy as sa

from helpdesk.domain.alarm import News
from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.health import Report
from helpdesk.inbound.listener import Listener, ListenerOptions
from helpdesk.jobs import parts, probe
from helpdesk.jobs.parts import Queues
from helpdesk.jobs.probe import Probe
from helpdesk.jobs.watch import Part, Standstill, Watch
from helpdesk.store import engine as engines
from helpdesk.store import migrate
from helpdesk.store import writer as writers
from helpdesk.store.engine import connect
from helpdesk.store.writer import Writer
from helpdesk.timesource import real
from tests.servers.certificate import Certificate
from tests.servers.ports import wait_for
from tests.servers.sink import Sink


class Sick:
    """A part that is as it is told."""

    def __init__(self) -> None:
        self.words = ""
        self.dead = False
        self.fault: Exception | None = None

    def condition(self) -> str:
        if self.fault is not None:
            raise self.fault
        return self.words

    def lost(self) -> bool:
        return self.dead


class Listening:
    """What a watch told."""

    def __init__(self, watched: list[Part], after: float = 0.2) -> None:
        self.news: list[tuple[News, Report]] = []
        self.reports: list[Report] = []
        self.watch = Watch(watched, self._tell, real, after_seconds=after, looked=self.reports.append)

    def _tell(self, news: News, report: Report, _clock: float) -> None:
        self.news.append((news, report))


@contextmanager
def watching(*watched: Part, after: float = 0.2) -> Iterator[Listening]:
    heard = Listening(list(watched), after)
    heard.watch.start()
    yield heard
    heard.watch.stop()


def test_trouble_is_told_with_its_words_and_since_when() -> None:
    sick, well = Sick(), Sick()
    with watching(Part("door", sick.condition, "open it", lost=sick.lost), Part("relay", well.condition, "")) as heard:
        before = datetime.now(UTC)
        sick.words = "is shut\nfor good"
        wait_for(lambda: heard.news, 20)

        news, report = heard.news[0]
        (trouble,) = report.troubles
        assert (news.kind, news.parts) == ("trouble", ("door",))
        assert (trouble.name, trouble.words, trouble.advice) == ("door", "is shut for good", "open it")
        assert trouble.since is not None
        assert before <= trouble.since <= datetime.now(UTC)
        sick.words = ""
        wait_for(lambda: heard.news[1:], 20)
        assert heard.news[1][0].kind == "well"


def test_part_that_is_left_out_is_never_told() -> None:
    """The mutant: what is not watched raises no alarm, so the tests that wait for one would fail."""
    sick, well = Sick(), Sick()
    with watching(Part("relay", well.condition, "")) as heard:
        sick.words = "is shut"
        looks = len(heard.reports)
        wait_for(lambda: len(heard.reports) > looks + 1, 20)

        assert heard.news == []


def test_part_that_raises_is_in_trouble_and_hides_no_other() -> None:
    broken, sick = Sick(), Sick()
    with watching(Part("first", broken.condition, ""), Part("second", sick.condition, "")) as heard:
        broken.fault, sick.words = RuntimeError("secret words"), "is shut"
        wait_for(lambda: heard.news, 20)

        assert [(one.name, one.words) for one in heard.news[0][1].troubles] == [
            ("first", "cannot be asked: RuntimeError"),
            ("second", "is shut"),
        ]


def test_only_a_restart_helps_where_a_part_says_so() -> None:
    sick = Sick()
    with watching(Part("lane", sick.condition, "", lost=sick.lost)) as heard:
        sick.words = "meets ValueError"
        wait_for(lambda: heard.watch.report().troubles, 20)
        assert heard.watch.report().lost == ()
        sick.dead = True

        assert wait_for(lambda: heard.watch.report().lost, 20)[0].name == "lane"


def test_fault_in_telling_does_not_end_the_watch() -> None:
    sick = Sick()
    looks: list[Report] = []

    def tell(_news: News, _report: Report, _clock: float) -> None:
        raise RuntimeError

    watch = Watch([Part("door", sick.condition, "")], tell, real, after_seconds=0.1, looked=looks.append)
    watch.start()
    sick.words = "is shut"
    wait_for(lambda: watch.report().troubles, 20)
    seen = len(looks)
    sick.words = ""

    assert wait_for(lambda: not watch.report().troubles, 20)
    wait_for(lambda: len(looks) > seen, 20)
    watch.stop()


def test_watch_that_hangs_shows_in_its_own_report(monkeypatch: pytest.MonkeyPatch) -> None:
    from helpdesk.jobs import watch as module

    monkeypatch.setattr(module, "STALE_SECONDS", 0.5)
    gate = threading.Event()

    def hang() -> str:
        gate.wait(60)
        return ""

    watch = Watch([], lambda *_: None, real, after_seconds=1)
    watch.start()
    watch._parts = (Part("hangs", hang, ""),)
    try:
        assert wait_for(lambda: watch.report().lost, 20)[0].words.startswith("has not looked for")
    finally:
        gate.set()
        watch.stop()


# Questions that may hang


def test_question_that_hangs_is_told_and_never_waited_for() -> None:
    gate = threading.Event()

    def ask() -> str:
        gate.wait(60)
        return ""

    asked = Probe("database", ask, every=0.1, patience=0.2)
    asked.start()
    began = monotonic()

    assert wait_for(asked.condition, 20).startswith("has not answered for")
    assert monotonic() - began < 15
    assert asked.failing_seconds() > 0
    gate.set()
    wait_for(lambda: not asked.condition(), 20)
    assert asked.failing_seconds() == 0
    asked.stop()


def test_question_that_fails_is_asked_again() -> None:
    answers: list[str | Exception] = [ValueError("secret"), "is shut", ""]

    def ask() -> str:
        answer = answers.pop(0) if answers else ""
        if isinstance(answer, Exception):
            raise answer
        return answer

    asked = Probe("door", ask, every=0.05)
    heard = []
    asked.start()
    wait_for(lambda: heard.append(asked.condition()) or not answers, 20, 0.005)  # type: ignore[func-returns-value]

    wait_for(lambda: not asked.condition(), 20)
    asked.stop()
    assert "cannot be asked: ValueError" in heard


def test_door_is_really_knocked_at() -> None:
    sink = Sink()
    assert probe.door("127.0.0.1", sink.port) == ""
    assert probe.door("0.0.0.0", sink.port) == ""
    sink.greet("421 4.3.2 busy")
    assert probe.door("127.0.0.1", sink.port) == "takes no more connections"
    sink.greet("hello")
    assert probe.door("127.0.0.1", sink.port) == "does not greet"
    sink.stop()
    assert probe.door("127.0.0.1", sink.port) == "does not answer: Connection refused"


def test_door_that_accepts_and_says_nothing_is_in_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "GREETING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert probe.door("127.0.0.1", mute.getsockname()[1]).startswith("does not answer")


@pytest.mark.parametrize("way", ["plain", "tls", "socket"])
def test_each_kind_of_listener_is_knocked_at(way: str, tmp_path: Path, certificate: Certificate) -> None:
    more: dict[str, object] = {"port": 0}
    if way == "tls":
        more |= {"tls": "implicit", "certificate": certificate.cert, "key": certificate.key}
    elif way == "socket":
        more = {"kind": "lmtp", "path": tmp_path / "lmtp"}
    listener = Listener(ListenerOptions(**more), lambda _raw: None, lambda _address: True, real)  # type: ignore[arg-type, return-value]
    listener.start()
    part, asked = parts.door(listener)

    assert (asked.ask(), part.condition(), part.lost(), part.takes_mail) == ("", "", False, True)
    listener.stop(0)
    assert asked.ask().startswith("does not answer: ")


def test_door_whose_thread_ended_needs_a_restart() -> None:
    listener = Listener(ListenerOptions(port=0), lambda _raw: None, lambda _address: True, real)  # type: ignore[arg-type,return-value]
    listener.start()
    part, _ = parts.door(listener)
    assert (part.condition(), part.lost()) == ("", False)

    listener._loop.call_soon_threadsafe(listener._loop.stop)

    assert wait_for(part.condition, 20) == "its thread has ended"
    assert part.lost()
    for task in listener._accepting:
        task.cancel()
    listener._sockets[0].close()
    listener._loop.close()


def test_full_door_is_told_but_needs_no_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits in it would be lost with the daemon, and the next one would be as full."""
    monkeypatch.setattr(parts, "DOOR_LOST_SECONDS", 0.0)
    options = ListenerOptions(port=0, per_peer=1, uncapped_peers=())
    listener = Listener(options, lambda _raw: None, lambda _address: True, real)  # type: ignore[arg-type,return-value]
    listener.start()
    part, asked = parts.door(listener)
    with socket.create_connection(("127.0.0.1", listener.port), 20) as client:
        assert client.recv(100).startswith(b"220")
        asked.start()
        assert wait_for(part.condition, 20) == "takes no more connections"
        assert wait_for(lambda: asked.failing_seconds() > 0, 20)
        assert not part.lost()
    asked.stop()
    asked.wait()
    listener.stop()


def test_disk_that_is_nearly_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "helpdesk.sqlite"
    monkeypatch.setattr(probe, "FREE_OCTETS", 1)
    assert probe.disk(database) == ""
    found = os.statvfs(tmp_path)
    monkeypatch.setattr(probe, "FREE_OCTETS", found.f_blocks * found.f_frsize + 1)

    assert "should be" in probe.disk(database)


def test_disk_without_room_for_the_journal_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "helpdesk.sqlite"
    monkeypatch.setattr(probe, "FREE_OCTETS", 1)
    with Path(f"{database}-wal").open("wb") as journal:
        os.truncate(journal.fileno(), os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize)

    assert "should be" in probe.disk(database)


# What waits


def test_standstill_is_a_head_that_stays() -> None:
    standing = Standstill(10)

    assert [standing.seconds(head, clock) for head, clock in ((1, 0), (1, 10), (1, 11), (2, 12), (2, 22), (2, 23))] == [
        0, 0, 11, 0, 0, 11,
    ]  # fmt: skip
    assert standing.seconds(None, 100) == 0
    assert standing.seconds(2, 101) == 0


@pytest.fixture
def engine(store_url: str) -> Iterator[sa.Engine]:
    made = connect(store_url)
    migrate.upgrade(made)
    yield made
    made.dispose()


ROWS: dict[str, tuple[str, Callable[[Queues], str]]] = {
    "mail": (
        "INSERT INTO spool (tenant, door, recipients, received_at, raw_hash) VALUES ('main', 'smtp', '[]', '{now}', 'x')",
        lambda queues: queues.mails,
    ),
    "timer": (
        "INSERT INTO timer (tenant, ticket_id, promise, state, wake_at)"
        " VALUES ('main', 1, 'first_response', 'running', '{now}')",
        lambda queues: queues.timers,
    ),
    "change": (
        """INSERT INTO input (tenant, "trigger", ticket_id, data, created_at) VALUES ('main', 'change', 1, '[]', '{now}')""",
        lambda queues: queues.timers,
    ),
    "outbox": (
        "INSERT INTO outbox (tenant, relay, audience, block, kind, sender, recipient, folded, message_id,"
        " created_at, not_before, expires_at, state) VALUES ('main', 'main', 'customer', 'x', 'automatic', '', 'a@b.example',"
        " 'a@b.example', '<1@x>', '{now}', '{now}', '{now}', 'waiting')",
        lambda queues: queues.outbox.get("main", ""),
    ),
    "stray": (
        "INSERT INTO outbox (tenant, relay, audience, block, kind, sender, recipient, folded, message_id,"
        " created_at, not_before, expires_at, state) VALUES ('main', 'old', 'customer', 'x', 'automatic', '', 'a@b.example',"
        " 'a@b.example', '<1@x>', '{now}', '{now}', '{now}', 'waiting')",
        lambda queues: queues.stray,
    ),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_row_that_nobody_takes_up_is_told(engine: sa.Engine, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two minutes are too long here, so the patience is shortened; the heads are read from a real database."""
    monkeypatch.setattr(parts, "STANDING_SECONDS", 0.2)
    monkeypatch.setattr(parts, "STANDING_RELAY_SECONDS", 0.2)
    queues = Queues(engine, real, ["main"], mail_patience=0.2)
    statement, words = ROWS[row]
    assert queues.ask() == ""
    assert (queues.mails, queues.timers, dict(queues.outbox), queues.stray) == ("", "", {}, "")

    with engine.connect() as connection:
        loosely(connection)
        connection.exec_driver_sql(statement.replace("{now}", "2026-03-02 10:00:00"))
        connection.commit()

    def told() -> str:
        assert queues.ask() == ""
        return words(queues)

    assert wait_for(told, 20)
    with engine.connect() as connection:
        loosely(connection)
        for table in ("spool", "timer", "input", "outbox"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.commit()
    assert not told()


def loosely(connection: sa.Connection) -> None:
    """Let a row stand without those it refers to."""
    if connection.dialect.name == "sqlite":
        connection.rollback()
        connection.exec_driver_sql("COMMIT")
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("SET session_replication_role = replica")


def test_database_that_is_gone_is_told(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'helpdesk.sqlite'}")
    queues = Queues(engine, real, ["main"], 60)

    assert queues.ask() == "cannot be read: no such table: timer"


# The writer


@pytest.fixture
def writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.1)
    engine = connect(f"sqlite:///{tmp_path / 'helpdesk.sqlite'}")
    migrate.upgrade(engine)
    one = Writer(engine)
    one.start()
    yield one
    one.stop()
    engine.dispose()


def test_writer_that_cannot_begin_says_why_and_recovers(writer: Writer, tmp_path: Path) -> None:
    assert (writer.condition(), writer.lost()) == ("", False)
    with contextlib.closing(sqlite3.connect(tmp_path / "helpdesk.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert isinstance(writer.submit(lambda _connection: None).exception(20), TemporaryFailure)

        assert (writer.condition(), writer.lost()) == ("the database takes nothing: database is locked", False)
    writer.run(lambda _connection: None)
    assert writer.condition() == ""


def test_database_that_is_damaged_is_the_databases_fault_and_no_mails(writer: Writer) -> None:
    def work(_connection: sa.Connection) -> None:
        raise sa.exc.DatabaseError("SELECT", None, sqlite3.DatabaseError("database disk image is malformed"))

    assert isinstance(writer.submit(work).exception(20), TemporaryFailure)
    assert writer.condition() == "the database takes nothing: database disk image is malformed"


def test_job_of_its_own_fault_is_no_trouble_of_the_writer(writer: Writer) -> None:
    def work(_connection: sa.Connection) -> None:
        raise ValueError

    assert isinstance(writer.submit(work).exception(20), ValueError)
    assert writer.condition() == ""


def test_writer_that_is_stuck_in_a_transaction_is_told(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "STUCK_SECONDS", 0.2)
    gate = threading.Event()
    held = writer.submit(lambda _connection: gate.wait(60))

    words = wait_for(writer.condition, 20)
    stuck = writer.lost()
    gate.set()
    held.result(20)

    assert words.startswith("has been at one transaction for")
    assert stuck
    wait_for(lambda: not writer.condition(), 20)
