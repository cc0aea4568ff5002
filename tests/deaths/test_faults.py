"""A full disk, a second daemon, an end in the midst of work, a client that hangs up: mail is kept, once."""

from __future__ import annotations

import os
import resource
import signal
import smtplib
import socket
import sqlite3
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deaths import checker, desk
from tests.deaths.harness import Deaths, Running
from tests.deaths.power_loss import require_tracing
from tests.deaths.test_disk_full import ALARM, WATCHER
from tests.deaths.traffic import arrived
from tests.servers.dovecot import Mailbox
from tests.servers.ports import greeting, wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]


def test_a_full_disk_is_a_4xx_and_ends_by_itself(small_disk: Path, mailbox: Mailbox, sink: Sink) -> None:
    """While the disk is full mail is put off, never refused; once there is room all goes on, nothing lost or doubled."""
    deaths = Deaths(small_disk / "desk", sink, mailbox)
    traffic = deaths.traffic
    traffic.size = 20_000
    sink.delay(0.1)  # so that mails are under way to the relay when the disk fills up
    running = deaths.start()
    greeting(deaths.port, 20)
    traffic.start()
    sink.wait(10, 20)

    ballast = small_disk / "ballast"
    _fill(ballast)
    wait_for(lambda: len(traffic.refusals) >= 5, 40)
    time.sleep(3)
    arrived_before = len(sink.deliveries)
    ballast.unlink()
    sink.delay(0)
    sink.wait(arrived_before + 10, 30)

    codes = {code for code, _ in traffic.refusals}
    assert codes <= {451, 452}
    assert not any("disk" in words or "/" in words for _, words in traffic.refusals), "details belong in the log"
    traffic.end()
    wait_for(deaths.at_rest, 60, 0.2)
    assert running.stop() == 0
    assert checker.problems(deaths, troubled=True) == []


def _fill(file: Path) -> None:
    """Leave no octet free."""
    with file.open("wb", buffering=0) as opened:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    opened.write(b"x" * size)
            except OSError:
                continue


def test_sigterm_amid_work_loses_nothing(tmp_path: Path, mailbox: Mailbox, sink: Sink) -> None:
    """It takes no more, finishes or hands back what it has, and exits with 0."""
    deaths = Deaths(tmp_path / "desk", sink, mailbox)
    deaths.traffic.smtp_pause = 0.02
    deaths.traffic.start()
    for _ in range(3):
        running = deaths.serve()
        greeting(deaths.port, 20)
        sink.wait(len(sink.deliveries) + 8, 20)
        assert running.stop(12) == 0, deaths.last_words()

    deaths.settle()
    assert checker.problems(deaths) == []
    assert checker.sent_again(deaths) == 0, "an orderly end leaves no mail half handed over"


def test_a_second_daemon_on_the_same_file_refuses(tmp_path: Path, sink: Sink) -> None:
    """It says who has the file and ends; the first goes on."""
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.serve()
    greeting(deaths.port, 20)

    second = desk.helpdesk(deaths.config, "serve")

    assert second.returncode == os.EX_TEMPFAIL
    assert str(running.process.pid) in second.stderr
    _send(deaths, 1)
    assert sink.wait(2, 20)
    assert running.stop() == 0


def test_a_client_that_hangs_up_after_the_dot_is_kept_once(tmp_path: Path, sink: Sink) -> None:
    """Whether it vanished before or after the commit, its retry is answered 250 and not doubled."""
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.start()
    greeting(deaths.port, 20)
    for number in range(1, 31):
        _vanish_after_the_dot(deaths.port, number, wait=number % 6 * 0.001)
        if number % 2:
            _send(deaths, number)

    wait_for(lambda: len({arrived(one).message_id for one in sink.deliveries}) >= 60, 30)
    wait_for(deaths.at_rest, 20)
    assert running.stop() == 0
    listed = desk.helpdesk(deaths.config, "ticket", "list").stdout
    assert [listed.count(desk.mark(number)) for number in range(1, 31)] == [1] * 30


def test_reading_processes_die_with_their_daemon(tmp_path: Path, sink: Sink) -> None:
    """kill -9 of the one process that a person sees leaves nothing behind."""
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.start()
    greeting(deaths.port, 20)
    _send(deaths, 1)
    sink.wait(2, 20)
    group = _group(running)
    assert len(group) > 1, "no reading process was started"

    running.process.kill()
    running.process.wait(5)

    wait_for(lambda: not _group(running), 10)


def test_f10_another_process_holds_the_database(tmp_path: Path, sink: Sink) -> None:
    """The client waits for its 250 as long as the lock is held, gets it then, and everything goes on."""
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.start()
    greeting(deaths.port, 20)
    lock = sqlite3.connect(deaths.database, isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as client:
        sent = client.submit(_send, deaths, 1, 60)
        with pytest.raises(TimeoutError):
            sent.result(3)
        lock.execute("ROLLBACK")
        sent.result(60)
    lock.close()

    assert sink.wait(2, 30)
    wait_for(deaths.at_rest, 20)
    assert running.stop() == 0
    assert desk.helpdesk(deaths.config, "ticket", "list").stdout.count(desk.mark(1)) == 1


def test_f8_no_file_can_be_opened_any_more(tmp_path: Path, sink: Sink) -> None:
    """New connections wait, and the alarm is raised, without a flood; with files to be had all goes on."""
    deaths = Deaths(tmp_path / "desk", sink)
    alarms = Sink()
    settings = deaths.config / "helpdesk.toml"
    settings.write_text(settings.read_text() + ALARM.format(port=alarms.port, to=WATCHER))
    running = deaths.start()
    greeting(deaths.port, 20)
    _send(deaths, 1)
    assert sink.wait(2, 30)
    process = running.process.pid
    usual = resource.prlimit(process, resource.RLIMIT_NOFILE)
    few = len(list(Path(f"/proc/{process}/fd").iterdir()))
    resource.prlimit(process, resource.RLIMIT_NOFILE, (few, usual[1]))
    spent = _processor_seconds(process)
    with pytest.raises((OSError, smtplib.SMTPException)):
        _send(deaths, 2, 3)
    impatient = [socket.create_connection(("127.0.0.1", deaths.port), 5) for _ in range(40)]
    time.sleep(2)
    assert _processor_seconds(process) - spent < 2.5, "it spins"
    wait_for(lambda: any("Too many open files" in arrived(one).text for one in alarms.to(WATCHER)), 60)
    for one in impatient:
        one.close()
    assert deaths.log.read_text().count("accepts no connections: Too many open files") == 1
    resource.prlimit(process, resource.RLIMIT_NOFILE, usual)

    wait_for(lambda: _sent(deaths, 2), 30, 0.5)
    assert sink.wait(4, 30)
    wait_for(deaths.at_rest, 20)
    assert running.stop() == 0
    alarms.stop()
    assert desk.helpdesk(deaths.config, "ticket", "list").stdout.count(desk.mark(2)) == 1


def _processor_seconds(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _sent(deaths: Deaths, number: int) -> bool:
    try:
        _send(deaths, number, 5)
    except (OSError, smtplib.SMTPException):
        return False
    return True


@pytest.mark.parametrize("call", ["openat", "write", "fsync", "link", "unlink"])
def test_a_death_while_the_keys_are_made_needs_no_repair(tmp_path: Path, call: str) -> None:
    """Killed at any step of making the file, the next start makes it whole; a half one would stop every start."""
    require_tracing()
    folder = tmp_path / "desk"
    desk.write(folder, port=1, relay_port=1, database=tmp_path / "helpdesk.sqlite")
    keys = folder / "helpdesk.keys"
    keys.unlink(missing_ok=True)
    start = [sys.executable, "-c", f"from pathlib import Path; from helpdesk.app import build; build(Path('{folder}'))"]
    # With -D the started program keeps the process id, which is in the name of the file in the making.
    fatal = ["-P", f"{folder}/.helpdesk.keys.$$", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when=1"]
    traced = f'exec strace -D -qq -o /dev/null {" ".join(fatal)} "$0" "$@"'

    killed = subprocess.run(["sh", "-c", traced, *start], env=desk.environment(), capture_output=True, check=False)
    again = subprocess.run(start, env=desk.environment(), capture_output=True, text=True, check=False)

    assert killed.returncode == -signal.SIGKILL, "the call was never made"
    assert again.returncode == 0, again.stderr
    assert len(keys.read_text().split()[0]) == 64


def _send(deaths: Deaths, number: int, seconds: float = 10) -> None:
    with smtplib.SMTP("127.0.0.1", deaths.port, timeout=seconds) as client:
        client.sendmail(desk.customer(number), [desk.DESK], desk.request(number))


def _vanish_after_the_dot(port: int, number: int, wait: float) -> None:
    """Say the whole mail, wait so many seconds for no answer, and cut the connection with a reset."""
    with socket.create_connection(("127.0.0.1", port), 10) as connection:
        answers = connection.makefile("rb")
        answers.readline()
        for line in ("HELO mua.example", f"MAIL FROM:<{desk.customer(number)}>", f"RCPT TO:<{desk.DESK}>", "DATA"):
            connection.sendall(line.encode() + b"\r\n")
            assert answers.readline()[:1] in b"23"
        connection.sendall(desk.request(number) + b".\r\n")
        time.sleep(wait)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        answers.close()


def _group(running: Running) -> list[int]:
    """The processes of the daemon's process group."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(group) == running.process.pid and state != "Z":
            found.append(int(folder.name))
    return found
