"""The log: one line each, no secret, and never in the way of mail."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from helpdesk.cli import log
from helpdesk.cli.log import OneLine, Outlet
from tests.servers.ports import wait_for

SECRET = "Tr0ub4dor-marker"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for one in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(one)


def logger(outlet: Outlet) -> logging.Logger:
    one = logging.Logger("helpdesk.test")
    outlet.setFormatter(OneLine("%(levelname)s %(message)s"))
    one.addHandler(outlet)
    return one


def test_message_is_one_line_whatever_is_in_it(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    logger(outlet).warning("subject %s", "a\nERROR forged\r\x1b[31mred\u2028\x85next\tcell")
    outlet.flush()

    said = os.read(pipe[0], 1000)
    assert said == rb"WARNING subject a\nERROR forged\r\x1b[31mred\u2028\x85next\tcell" + b"\n"


def test_traceback_is_kind_and_place_and_no_text(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as fault:
            raise ValueError(f"password {SECRET}") from fault
    except ValueError:
        logger(outlet).exception("mail 17 could not be handled")
    outlet.flush()

    (line,) = os.read(pipe[0], 5000).decode().splitlines()
    assert SECRET not in line
    assert "mail 17 could not be handled\\nValueError at test_log.py:" in line
    assert " because of KeyError at test_log.py:" in line


def test_message_that_cannot_be_formatted_stops_nobody(pipe: tuple[int, int]) -> None:
    class Bad:
        def __str__(self) -> str:
            raise RuntimeError(SECRET)

    outlet = Outlet(pipe[1])
    logger(outlet).warning("%s", Bad())
    outlet.flush()

    assert os.read(pipe[0], 1000) == b"a message of helpdesk.test could not be written\n"


def test_reader_who_does_not_read_holds_nobody_up(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant that writes where it logs hangs here as soon as the pipe is full, after 64 kB."""
    monkeypatch.setattr(log, "FLUSH_SECONDS", 0.2)
    outlet = Outlet(pipe[1], lines=100)
    one = logger(outlet)
    began = monotonic()
    for number in range(5000):
        one.info("line %d %s", number, "x" * 100)
    outlet.flush()
    assert monotonic() - began < 20

    seen: list[bytes] = []
    threading.Thread(target=lambda: seen.extend(iter(lambda: os.read(pipe[0], 65_536), b"")), daemon=True).start()
    wait_for(lambda: b"lines were dropped: nobody read the log" in b"".join(seen), 20)
    one.info("and on it goes")
    wait_for(lambda: b"and on it goes" in b"".join(seen), 20)
    assert b"line 0 " in b"".join(seen)


def test_closed_pipe_holds_nobody_up(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    os.close(pipe[0])
    one = logger(outlet)
    for number in range(1000):
        one.info("line %d", number)
    began = monotonic()
    outlet.flush()

    assert monotonic() - began < 10
