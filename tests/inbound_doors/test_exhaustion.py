"""T32: a thousand slow clients, an endless line and a mail of nothing but line ends, all at once."""

from __future__ import annotations

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from helpdesk.inbound import listener as listeners
from tests.inbound_doors.doors import ENVELOPE, MAIL, OPTIONS, Shelf, Wire, listening
from tests.servers.ports import wait_for

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = 1000
ADDRESSES = 100  # with ten connections each, as many as one address may have
MEGABYTE = 1024 * 1024


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    """The listener's process; its first line is the port."""
    command = [sys.executable, "-m", "tests.inbound_doors.door_process"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    ) as started:
        yield started
        assert started.stdin is not None
        started.stdin.close()


class SlowClients(threading.Thread):
    """Connect, say half a command or half a mail, and then an octet now and then; whoever is dropped comes again."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.ending = threading.Event()
        self.connected = threading.Event()
        self.came_again = 0
        self._sockets: dict[int, socket.socket] = {}

    def run(self) -> None:
        for number in range(CLIENTS):
            self._connect(number)
        self.connected.set()
        while not self.ending.is_set():
            for number in range(CLIENTS):
                self._trickle(number)
                if self.ending.wait(0.005):
                    break
        for one in self._sockets.values():
            one.close()

    def _connect(self, number: int) -> None:
        source = f"127.1.0.{1 + number % ADDRESSES}"
        one = socket.create_connection(("127.0.0.1", self.port), 20, source_address=(source, 0))
        self._sockets[number] = one
        one.setblocking(False)
        half_a_mail = b"EHLO client.example\r\n" + ENVELOPE + b"DATA\r\nSubject: s"
        with contextlib.suppress(OSError):
            one.send(half_a_mail if number % 2 else b"EHLO clie")

    def _trickle(self, number: int) -> None:
        one = self._sockets.pop(number)
        try:
            one.send(b"l")
            while said := one.recv(1000):
                if said.startswith(b"421"):
                    break
        except BlockingIOError:
            self._sockets[number] = one
            return
        except OSError:
            pass
        one.close()
        self.came_again += 1
        self._connect(number)


def _begun(port: int, source: str = "127.0.0.1") -> Wire:
    """A client that may send its mail; it comes again until it is let in, as mail servers do."""
    deadline = time.monotonic() + 30
    while True:
        wire = Wire(port, source)
        try:
            return wire.begin_data()
        except (OSError, AssertionError):
            wire.__exit__()
            assert time.monotonic() < deadline, "not let in"
            time.sleep(0.01)


def _empty_lines(port: int, answers: list[str]) -> None:
    with _begun(port) as wire:
        for _ in range(33):
            wire.say(b"\r\n" * (MEGABYTE // 2))
        wire.say(b".\r\n")
        answers.append(wire.reply())


def _endless_line(port: int, sent: list[int]) -> None:
    with _begun(port) as wire, contextlib.suppress(OSError):
        for number in range(1, 500):
            wire.say(b"x" * MEGABYTE)
            sent[:] = [number]


def _honest_mail(port: int, tries: list[int]) -> float:
    """Seconds until a mail was taken, coming again as mail servers do."""
    began = time.monotonic()
    while time.monotonic() < began + 30:
        tries.append(1)
        with contextlib.suppress(OSError, AssertionError), Wire(port, "127.0.0.2") as wire:
            wire.begin_data().say(MAIL + b".\r\n")
            if wire.reply().startswith("250 2.0.0 kept"):
                return time.monotonic() - began
    raise AssertionError(f"not taken in {len(tries)} tries")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have one loopback address only")
def test_a_thousand_slow_clients_do_not_shut_out_an_honest_one(process: subprocess.Popen[str]) -> None:
    """Mutants: no _make_room (the honest one is refused), no bound in _read_data (memory)."""
    assert process.stdout is not None
    port = int(process.stdout.readline())
    slow = SlowClients(port)
    slow.start()
    assert slow.connected.wait(30)
    time.sleep(listeners.PATIENCE_WHEN_FULL)
    answers: list[str] = []
    sent: list[int] = []
    heavy = [
        threading.Thread(target=_empty_lines, args=(port, answers)),
        threading.Thread(target=_endless_line, args=(port, sent)),
    ]
    for one in heavy:
        one.daemon = True
        one.start()
    tries: list[int] = []
    seconds: list[float] = []
    deadline = time.monotonic() + 60
    while (slow.came_again < CLIENTS or any(one.is_alive() for one in heavy)) and time.monotonic() < deadline:
        seconds.append(_honest_mail(port, tries))
        time.sleep(0.02)
    slow.ending.set()
    slow.join(30)

    assert slow.came_again >= CLIENTS, "the attack went on all the time"
    assert answers
    assert answers[0].startswith("250 ")
    assert sent[0] < 100, "the endless line was cut off"
    assert statistics.median(seconds) < 2
    assert len(tries) < 1.2 * len(seconds), "hardly ever refused"
    assert _peak(process.pid) < 300 * MEGABYTE


def _peak(pid: int) -> int:
    """The most memory a process had at any time, in octets (proc(5), VmHWM)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def test_the_slowest_makes_room_and_is_told(shelf: Shelf) -> None:
    options = replace(OPTIONS, connections=2, minimum_rate=1000)
    with listening(shelf.keep, options) as door, Wire(door) as idle, Wire(door) as trickling:
        idle.greet()
        trickling.begin_data()
        time.sleep(listeners.PATIENCE_WHEN_FULL + 0.1)
        with Wire(door) as third:
            third.greet()
            assert idle.reply().startswith("421 4.3.2 too busy")
            assert idle.reply() == ""
            with Wire(door) as fourth:
                fourth.greet()
                assert trickling.reply().startswith("421 4.3.2 too busy")


def test_who_sends_fast_enough_keeps_his_place(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, connections=1)) as door, Wire(door) as steady:
        steady.begin_data().say(b"1234567\r\n" * 20_000)  # six minutes' worth at 500 octets a second
        wait_for(lambda: door.octets_held)
        time.sleep(listeners.PATIENCE_WHEN_FULL + 0.1)
        with Wire(door) as other:
            assert other.reply().startswith("421 4.3.2")
        steady.say(b".\r\n")
        assert steady.reply().startswith("250 ")


def test_who_waits_for_us_keeps_his_place() -> None:
    """A mail that is being made durable is not the client's fault."""
    done = threading.Event()

    def keep(raw: object) -> None:
        assert done.wait(20)

    with listening(keep, replace(OPTIONS, connections=1)) as door, Wire(door) as waiting:
        waiting.begin_data().say(MAIL + b".\r\n")
        time.sleep(listeners.PATIENCE_WHEN_FULL + 0.1)
        with Wire(door) as other:
            assert other.reply().startswith("421 4.3.2")
        done.set()
        assert waiting.reply().startswith("250 ")
