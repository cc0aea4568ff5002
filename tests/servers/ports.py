"""Free ports of the loopback interface, and waiting for what must happen soon."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: Callable[[], T], seconds: float = 30, every: float = 0.02) -> T:
    """The first true result of ``what``; AssertionError with the last one after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not (result := what()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what!r} still gives {result!r}"
        time.sleep(every)
    return result


def greeting(port: int, seconds: float = 10) -> bytes:
    """What a server on this machine says first, tried until it answers."""

    def ask() -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as connection:
                return connection.recv(512)
        except OSError:
            return b""

    return wait_for(ask, seconds)
