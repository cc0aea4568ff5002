"""``helpdesk serve``: run the desk until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import time
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

import click

from helpdesk.cli.opened import database_faults
from helpdesk.cli.terminal import Stopped, one_line

if TYPE_CHECKING:
    from types import FrameType

    from helpdesk.app import App, Daemon

log = logging.getLogger(__name__)


class OneLine(logging.Formatter):
    """``time level logger message`` on one line, tracebacks too: a mail's subject cannot forge a line (T45)."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


@click.command()
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.option("--notify-socket", envvar="NOTIFY_SOCKET", default="", hidden=True)
@click.pass_obj
def serve(folder: Path, log_level: str, notify_socket: str) -> None:
    """Run the desk: doors, handler, timers and relays.

    SIGTERM or Ctrl-C finishes what is in hand; a second one ends at once. SIGHUP takes up changed templates.
    """
    # Before the slow imports, so that whoever starts us may stop us from the first moment on.
    signals = _Signals()
    start_logging(log_level)
    from helpdesk.app import Daemon, build

    with database_faults():
        app = build(folder)
        daemon = Daemon(app)
        try:
            daemon.start()
        except OSError as problem:
            raise Stopped(f"a door cannot be opened: {problem}", os.EX_UNAVAILABLE) from None
    click.echo(_ready(daemon), err=True)
    notify(notify_socket, "READY=1")
    while signals.next() == signal.SIGHUP:
        _reload(app)
    notify(notify_socket, "STOPPING=1")
    log.info("stopping")
    daemon.stop()
    log.info("stopped")


class _Signals:
    """Signals in order of arrival; while stopping, another SIGTERM or SIGINT ends the process at once."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[int] = SimpleQueue()
        self._stopping = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._arrived)

    def next(self) -> int:
        """Wait for the next signal."""
        return self._queue.get()

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGHUP:
            if self._stopping:
                os._exit(128 + number)
            self._stopping = True
        self._queue.put(number)


def start_logging(level: str) -> None:
    """Log to stderr, one line for each message, times in UTC."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    # The ticker tells at level INFO of each of its ticks, one a second.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)


def notify(address: str, state: str) -> None:
    """Tell systemd how we are (sd_notify(3)); nothing where it did not ask."""
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        try:
            channel.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as problem:
            log.warning("systemd could not be told %s: %s", state, problem)


def _ready(daemon: Daemon) -> str:
    doors = [
        f"{one.options.kind}={f'[{one.options.host}]' if ':' in one.options.host else one.options.host}:{one.port}"
        for one in daemon.listeners
    ]
    return " ".join(["helpdesk is ready", *doors])


def _reload(app: App) -> None:
    problems = app.templates.reload()
    for problem in problems:
        log.error("template %s; the last good version stays in use", problem)
    log.info("templates were read again, %d problems", len(problems))
