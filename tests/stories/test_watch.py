"""What stops is noticed, over a way that needs neither the relays nor the database (promise 7)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.servers.certificate import Certificate
from tests.servers.dovecot import PASSWORD, Dovecot
from tests.servers.found import require
from tests.servers.ports import free_port, wait_for
from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import ALICE, OPERATOR, Company
from tests.stories.letters import says
from tests.stories.posts import InSink
from tests.stories.running import Running, environment

pytestmark = pytest.mark.story

#: The shortest patience that the settings allow; the promise is five minutes, the default one.
PAGER = """
[[alarm]]
command = ["/bin/sh", "-c", "cat >> pager"]
[health]
alarm_after_seconds = 1
port = {port}
"""


class Pager:
    """Somebody's pager: what the alarm's command wrote into a file of the daemon's folder."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pager"

    def wait(self, *signs: str, seconds: float = 60) -> str:
        """What it shows, as soon as it shows all of this."""
        try:
            return wait_for(lambda: self._with(signs), seconds, 0.1)
        except AssertionError:
            raise AssertionError(f"no alarm with {signs}; the pager shows: {self._shown()}") from None

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)

    def _shown(self) -> str:
        return self.file.read_text() if self.file.exists() else ""

    def _with(self, signs: tuple[str, ...]) -> str:
        shown = self._shown()
        return shown if all(sign in shown for sign in signs) else ""


@contextlib.contextmanager
def watched(folder: Path, relay: Sink, more: str = "", **company: Any) -> Iterator[tuple[Running, Pager, int]]:
    """A started daemon, the pager, and the port of its health."""
    port = free_port()
    told = Company(relay_port=relay.port, more=PAGER.format(port=port) + more, **company)
    with running.started(folder, told, InSink(relay)) as desk:
        yield desk, Pager(folder), port


def ask(port: int, path: str) -> tuple[int, str]:
    """What the daemon answers over HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.read().decode()


def settled(desk: Running, code: int) -> str:
    """``helpdesk health`` as soon as it ends with this code."""
    from helpdesk.cli import main as command_line

    wait_for(lambda: command_line.run(["--config", str(desk.folder), "health"]) == code, 30, 0.3)
    return desk.run("health", code=code)


def test_relay_that_is_away_is_told_and_told_again_when_it_is_back(tmp_path: Path) -> None:
    first = Sink()
    with watched(tmp_path / "desk", first) as (desk, pager, port):
        bob = desk.customer()
        desk.write(bob, "Pump-1", "It leaks.")
        desk.wait(bob, "Pump-1")
        assert "trouble" not in settled(desk, 0)
        first.stop()
        desk.write(desk.customer(), "Pump-2", "It leaks.")

        shown = pager.wait("relay main", "what to do: ")
        assert "does not work" in shown.splitlines()[0]
        assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", shown)
        assert "Pump-2" not in shown, "nothing of a mail goes to the pager"
        assert "relay main" in settled(desk, 1)
        # Mail still comes in, and no restart would help: neither a load balancer nor a supervisor should act.
        assert ask(port, "/readyz")[0] == 200
        assert "relay main: " in ask(port, "/readyz")[1]
        assert ask(port, "/livez") == (200, "ok\n")

        second = Sink(port=first.port)
        try:
            pager.wait("all is well again", "relay main: did not work from", seconds=100)
            settled(desk, 0)
        finally:
            second.stop()


def test_database_that_takes_nothing_is_told_while_it_does(tmp_path: Path, relay: Sink) -> None:
    """Another program holds the write lock: our own wait for it is thirty seconds, then the writer says so."""
    with watched(tmp_path / "desk", relay) as (desk, pager, port):
        settled(desk, 0)
        with contextlib.closing(
            sqlite3.connect(tmp_path / "desk" / "helpdesk.sqlite", isolation_level=None, timeout=20)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            shown = pager.wait("writer", "the database takes nothing: database is locked", seconds=100)
            code, words = ask(port, "/readyz")

            assert "comes again" in shown
            assert "Mail may be refused or wait" in shown
            assert code == 503
            assert "writer: the database takes nothing: database is locked" in words
            assert ask(port, "/livez")[0] == 200, "a restart cures no lock"
            assert "writer" in settled(desk, 1)
        desk.write(ALICE, "After the lock", "Hello.")
        pager.wait("all is well again", seconds=60)
        assert ask(port, "/readyz") == (200, "ok\n")


@pytest.fixture
def imap(certificate: Certificate) -> Iterator[Dovecot]:
    """An IMAP server that may be stopped."""
    require("dovecot")
    server = Dovecot(certificate)
    yield server
    server.stop()


def test_mailbox_whose_server_is_away_is_told(tmp_path: Path, relay: Sink, imap: Dovecot) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "password").chmod(0o600)
    mailbox = f"""
[[mailbox]]
name = "support"
host = "127.0.0.1"
port = {imap.imap_port}
tls = "none"
user = "support@mail.example"
password_file = "{tmp_path / "password"}"
desk_address = "support@acme.example"
"""
    with watched(tmp_path / "desk", relay, mailbox) as (desk, pager, port):
        settled(desk, 0)
        assert not pager.file.exists()
        imap.stop(keep=True)

        shown = pager.wait("mailbox support", "what to do: ")
        assert PASSWORD not in shown
        assert ask(port, "/readyz")[0] == 200, "our own doors are open"


def test_without_a_second_channel_the_operator_is_written_to(tmp_path: Path, relay: Sink) -> None:
    """By the relay itself, not by the outbox: the mail is there while the database is locked."""
    relay.deliveries.clear()
    told = Company(relay_port=relay.port, more="[health]\nalarm_after_seconds = 1\n")
    with running.started(tmp_path / "desk", told, InSink(relay)) as desk:
        settled(desk, 0)
        with contextlib.closing(
            sqlite3.connect(tmp_path / "desk" / "helpdesk.sqlite", isolation_level=None, timeout=20)
        ) as other:
            other.execute("BEGIN IMMEDIATE")
            mail = desk.wait(OPERATOR, "the database takes nothing", seconds=100)
        assert mail["Auto-Submitted"] == "auto-generated"
        assert "does not work" in mail["Subject"]
        assert "what to do: " in says(mail)
    assert [one.sender for one in relay.to(OPERATOR)][:1] == [""]


def test_template_that_breaks_at_a_reload_is_told(tmp_path: Path, relay: Sink) -> None:
    with watched(tmp_path / "desk", relay) as (desk, pager, port):
        template = desk.folder / "templates" / "en" / "customer" / "opened.md"
        template.parent.mkdir(parents=True)
        template.write_text("Subject: hello\n\n{{ nonsense }}\n")
        assert desk.process is not None
        desk.process.send_signal(signal.SIGHUP)

        pager.wait("templates", "opened.md: line 3", "the last good version stays in use")
        assert ask(port, "/readyz")[0] == 200
        template.unlink()
        desk.process.send_signal(signal.SIGHUP)
        pager.wait("all is well again")


def test_daemon_that_was_killed_is_not_taken_for_well(tmp_path: Path, relay: Sink) -> None:
    with watched(tmp_path / "desk", relay) as (desk, _pager, _port):
        settled(desk, 0)
        assert desk.process is not None
        desk.process.send_signal(signal.SIGKILL)
        desk.process.wait(20)
        report = desk.folder / "health.json"
        # Half a minute later, without waiting for it.
        found = json.loads(report.read_text())
        report.write_text(json.dumps({**found, "at": "2026-03-02T10:00:00Z"}))

        assert "the daemon hangs or was killed: its last word is of 2026-03-02T10:00:00Z" in desk.run("health", code=69)
        desk.start()
        settled(desk, 0)
        desk.stop()
        assert "the daemon does not run" in desk.run("health", code=69)


# systemd

#: ``helpdesk serve`` whose fast lane loses its thread as soon as a file named ``break`` is there.
BREAKABLE = """
import sys
from pathlib import Path
from helpdesk.jobs.handle import Lane

usual = Lane.turn

def turn(self):
    if Path("break").exists():
        raise SystemExit
    return usual(self)

Lane.turn = turn
from helpdesk.cli.main import main
sys.argv[1:] = ["--config", ".", "serve"]
main()
"""


class Systemd:
    """The socket that systemd listens on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(self.path))
        self._channel.settimeout(0.1)
        self.heard: list[tuple[float, str]] = []

    def listen(self) -> list[str]:
        """Everything that was said so far."""
        with contextlib.suppress(TimeoutError):
            while True:
                self.heard.append((time.monotonic(), self._channel.recv(4096).decode()))
        return [words for _, words in self.heard]

    def wait(self, what: Callable[[list[str]], Any], seconds: float = 40) -> Any:
        return wait_for(lambda: what(self.listen()), seconds, 0.05)

    def close(self) -> None:
        self._channel.close()


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    one = Systemd(tmp_path)
    yield one
    one.close()


def test_systemd_hears_signs_of_life_until_only_a_restart_helps(tmp_path: Path, relay: Sink, systemd: Systemd) -> None:
    folder = tmp_path / "desk"
    folder.mkdir()
    Company(relay_port=relay.port, more='[[alarm]]\ncommand = ["/bin/true"]\n').write(folder)
    (folder / "offset").write_text("0")
    with (tmp_path / "log").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", BREAKABLE],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment() | {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "6000000"},
        )
    try:
        systemd.wait(lambda heard: "READY=1" in heard)
        systemd.wait(lambda heard: heard.count("WATCHDOG=1") >= 3)
        assert "STATUS=all is well" in systemd.listen()
        times = [at for at, words in systemd.heard if words == "WATCHDOG=1"]
        assert max(later - earlier for earlier, later in pairwise(times)) < 6, "systemd would kill us"
        process.send_signal(signal.SIGHUP)
        systemd.wait(lambda heard: heard.count("READY=1") == 2)
        assert any(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", words) for words in systemd.listen())

        (folder / "break").touch()
        systemd.wait(lambda heard: any("fast lane: its thread has ended" in words for words in heard))
        before = systemd.listen().count("WATCHDOG=1")
        # Longer than the time after which systemd would have killed and restarted it.
        end = time.monotonic() + 7
        while time.monotonic() < end:
            systemd.listen()
        assert systemd.listen().count("WATCHDOG=1") == before

        process.send_signal(signal.SIGTERM)
        systemd.wait(lambda heard: "STOPPING=1" in heard)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(20)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log


def test_watchdog_that_is_meant_for_another_process_is_not_fed(tmp_path: Path, relay: Sink, systemd: Systemd) -> None:
    """sd_watchdog_enabled(3): WATCHDOG_PID names whom it is meant for."""
    folder = tmp_path / "desk"
    folder.mkdir()
    Company(relay_port=relay.port).write(folder)
    (folder / "offset").write_text("0")
    variables = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": str(os.getpid())}
    process = subprocess.Popen(
        [sys.executable, "-m", "helpdesk", "--config", str(folder), "serve"],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment() | variables,
    )
    try:
        systemd.wait(lambda heard: "READY=1" in heard)
        systemd.wait(lambda heard: any(words.startswith("STATUS=") for words in heard))
        process.send_signal(signal.SIGTERM)
        systemd.wait(lambda heard: "STOPPING=1" in heard)
        assert "WATCHDOG=1" not in systemd.listen()
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(20)
