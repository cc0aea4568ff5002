"""``helpdesk serve``: run the desk until it is told to stop."""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import threading
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

import click

from helpdesk.cli.log import start_logging
from helpdesk.cli.opened import database_faults
from helpdesk.cli.terminal import Stopped

if TYPE_CHECKING:
    from helpdesk.app import Daemon
    from helpdesk.domain.health import Report

log = logging.getLogger(__name__)

#: More open files than this no daemon needs.
DESCRIPTORS = 65536


@click.command()
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--notify-socket", envvar="NOTIFY_SOCKET", default="", hidden=True)
@click.option("--watchdog-usec", envvar="WATCHDOG_USEC", type=int, default=0, hidden=True)
@click.option("--watchdog-pid", envvar="WATCHDOG_PID", type=int, default=0, hidden=True)
@click.pass_obj
def serve(folder: Path, log_level: str, notify_socket: str, watchdog_usec: int, watchdog_pid: int) -> None:
    """Run the desk: doors, handler, timers and relays.

    SIGTERM or Ctrl-C finishes what is in hand; a second one ends at once. SIGHUP takes up changed templates.
    """
    _want_descriptors()
    # Before the slow imports, so that whoever starts us may stop us from the first moment on.
    signals = Signals()
    outlet = start_logging(log_level)
    systemd = Systemd(notify_socket, watchdog_usec if watchdog_pid in (0, os.getpid()) else 0)
    from helpdesk.app import Daemon, build

    with database_faults():
        app = build(folder)
        daemon = Daemon(app, systemd.looked)
        try:
            daemon.start()
        except OSError as problem:
            raise Stopped(str(problem.strerror or problem), os.EX_UNAVAILABLE) from None
    outlet.say(_ready(daemon))
    systemd.tell("READY=1")
    while signals.next() == signal.SIGHUP:
        systemd.tell(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic() * 1_000_000)}")
        _reload(daemon)
        systemd.tell("READY=1")
    systemd.tell("STOPPING=1")
    log.info("stopping")
    daemon.stop()
    log.info("stopped")


def _want_descriptors() -> None:
    """As many open files as we may have: 1,024, what most systems give at first, are three full doors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class Signals:
    """Signals in order of arrival; while stopping, another SIGTERM or SIGINT ends the process at once.

    The kernel hands a signal to any thread, and one that arrives at another than the main thread does not wake that
    from waiting for a lock: a SIGTERM right after a SIGHUP was slept through. So Python's own handler writes each number
    into a socket, and a thread reads them there.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[int] = SimpleQueue()
        self._arriving, self._handler = socket.socketpair()
        self._handler.setblocking(False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._handler.fileno())
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def next(self) -> int:
        """Wait for the next signal."""
        return self._queue.get()

    def _listen(self) -> None:
        stopping = False
        while True:
            for number in self._arriving.recv(64):
                if number != signal.SIGHUP:
                    if stopping:
                        os._exit(128 + number)
                    stopping = True
                self._queue.put(number)


class Systemd:
    """Tells systemd how we are (sd_notify(3)); nothing where it did not ask, so ``address`` is "".

    The watchdog is fed by each look of the watch, at half of ``watchdog_usec``, and not while only a restart helps.
    """

    def __init__(self, address: str, watchdog_usec: int) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._every = watchdog_usec / 2 / 1_000_000
        self._fed = float("-inf")
        self._status = ""

    def tell(self, state: str) -> None:
        """Send lines such as ``READY=1``."""
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as channel:
            try:
                channel.sendto(state.encode(), self._address)
            except OSError as problem:
                log.warning("systemd could not be told %s: %s", state, problem)

    def looked(self, report: Report) -> None:
        """After each look: the status where it changed, and a sign of life."""
        troubles = "; ".join(f"{one.name}: {one.words}" for one in report.troubles)
        status = f"trouble: {troubles}" if troubles else "all is well"
        if status != self._status:
            self._status = status
            self.tell(f"STATUS={status}")
        # A look may come a little late: half the time must still be enough for it.
        if self._every and not report.lost and monotonic() - self._fed >= self._every - 1:
            self._fed = monotonic()
            self.tell("WATCHDOG=1")


def _ready(daemon: Daemon) -> str:
    return " ".join(["helpdesk is ready", *(f"{one.options.kind}={one.address}" for one in daemon.listeners)])


def _reload(daemon: Daemon) -> None:
    problems = daemon.reload()
    for problem in problems:
        log.error("%s; the last good version stays in use", problem)
    log.info("templates and certificates were read again, %d problems", len(problems))
