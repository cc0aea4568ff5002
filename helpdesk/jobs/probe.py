"""Questions that may take long or never be answered, each asked again and again in a thread of its own.

Whoever wants the answer gets the last one at once, or hears that there has been none for too long.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from helpdesk.domain.errors import place_of

log = logging.getLogger(__name__)

#: After an answer that was no good the question is asked again so soon, in seconds.
AGAIN_SECONDS = 5.0
#: At the stop a question in hand has so long to end, in seconds.
LAST_SECONDS = 2.0
#: A door greets within so many seconds.
GREETING_SECONDS = 10.0
#: What is said of a door that answers, but to nobody more.
FULL = "takes no more connections"
#: A database's disk should have so many octets free, and room for so many times its log.
FREE_OCTETS = 100 * 1000 * 1000
FREE_LOGS = 2


class Probe:
    """Calls ``ask`` every so many seconds; it gives "" where all is well, else what is wrong, in words."""

    def __init__(self, name: str, ask: Callable[[], str], every: float, patience: float = 30.0) -> None:
        self.name, self.every, self.patience = name, every, patience
        self.ask = ask
        self._words = ""
        self._began: float | None = None
        self._well = monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"probe {name}", daemon=True)

    def start(self) -> None:
        self._well = monotonic()
        self._thread.start()

    def stop(self) -> None:
        """Ask no more; a question that hangs is left alone, its thread ends with the process."""
        self._stopping.set()

    def wait(self) -> None:
        """After ``stop``: let the question in hand end, but not for long."""
        if self._thread.ident is not None:
            self._thread.join(timeout=LAST_SECONDS)

    def condition(self) -> str:
        """The last answer. Never waits."""
        began = self._began
        if began is not None and monotonic() - began > self.patience:
            return f"has not answered for {monotonic() - began:.0f} seconds"
        return self._words

    def failing_seconds(self) -> float:
        """For how long there has been no good answer; 0 where the last one was good."""
        return monotonic() - self._well if self.condition() else 0.0

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._began = monotonic()
            try:
                self._words = self.ask()
            except Exception as fault:  # noqa: BLE001 (the outermost loop of a thread: looking never stops)
                self._words = f"cannot be asked: {type(fault).__name__}"
                log.error("asking %s met %s at %s", self.name, type(fault).__name__, place_of(fault))
            self._began = None
            if not self._words:
                self._well = monotonic()
            self._stopping.wait(min(self.every, AGAIN_SECONDS) if self._words else self.every)


def door(host: str, port: int, path: Path | None = None, *, tls_at_once: bool = False) -> str:
    """Connect to a listener of ours as a client would and hear its greeting; what is wrong, or ""."""
    try:
        plain = _connected(host, port, path)
        with plain, _unverified().wrap_socket(plain) if tls_at_once else plain as connection:
            greeting = connection.recv(512)
            with contextlib.suppress(OSError):  # who has no room says so and hangs up
                connection.sendall(b"QUIT\r\n")
                connection.recv(512)
    except OSError as problem:
        return f"does not answer: {problem.strerror or type(problem).__name__}"
    if greeting.startswith(b"220"):
        return ""
    return FULL if greeting.startswith(b"421") else "does not greet"


def _connected(host: str, port: int, path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_connection((_reachable(host), port), GREETING_SECONDS)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(GREETING_SECONDS)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)


def _unverified() -> ssl.SSLContext:
    """It is our own certificate, and its name is not that of the loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def disk(database: Path) -> str:
    """Whether a SQLite file has room to grow; what is wrong, or ""."""
    found = os.statvfs(database.parent)
    free = found.f_bavail * found.f_frsize
    journal = Path(f"{database}-wal")
    needed = max(FREE_OCTETS, FREE_LOGS * (journal.stat().st_size if journal.exists() else 0))
    if free >= needed:
        return ""
    return f"{free // 1_000_000} MB are free in {database.parent}, {needed // 1_000_000} MB should be"
