"""The log of the daemon: one line for each message, on stderr, and never in the way of mail.

A line is written by a thread of its own. Where stderr is closed or nobody reads it, lines are dropped and counted; what
the daemon does goes on (F39). Tracebacks become kinds and places: the text of an exception may hold a password or a
customer's words (T45, T46).
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from types import TracebackType

from helpdesk.cli.terminal import one_line
from helpdesk.domain.errors import place_of

#: So many lines wait for a reader of stderr; what comes then is dropped.
LINES = 10_000
#: At its end the process waits so long for its last lines to be taken, in seconds.
FLUSH_SECONDS = 2.0

_Fault = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)  # what logging hands over


class OneLine(logging.Formatter):
    """``time level logger message`` on one line, tracebacks too: a mail's subject cannot forge a line (T45)."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))

    def formatException(self, ei: _Fault) -> str:
        fault: BaseException | None = ei[1]
        told: list[str] = []
        while fault is not None and len(told) < 4:
            told.append(f"{type(fault).__name__} at {place_of(fault)}")
            fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
        return " because of ".join(told)


class Outlet(logging.Handler):
    """Takes lines at once and writes them to a file descriptor when it takes them."""

    def __init__(self, descriptor: int, lines: int = LINES) -> None:
        super().__init__()
        self._descriptor, self._lines = descriptor, lines
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._writing = False
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.say(self.format(record))
        except Exception:  # noqa: BLE001 (a message that cannot be written must not stop what it tells of)
            self.say(f"a message of {record.name} could not be written")

    def say(self, line: str) -> None:
        """Write a line as it is."""
        with self._changed:
            if len(self._waiting) >= self._lines:
                self._dropped += 1
                return
            self._waiting.append(line)
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all lines are taken, but not long."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._writing, FLUSH_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting))
                lines = list(self._waiting)
                self._waiting.clear()
                if self._dropped:
                    lines.append(f"{self._dropped} lines were dropped: nobody read the log")
                    self._dropped = 0
                self._writing = True
            self._write("".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace"))
            with self._changed:
                self._writing = False
                self._changed.notify_all()

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                return


def start_logging(level: str) -> Outlet:
    """Log to stderr, times in UTC; faults of threads too."""
    outlet = Outlet(2)
    outlet.setFormatter(OneLine("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[outlet], force=True)
    logging.captureWarnings(True)
    # The ticker tells at level INFO of each of its ticks, one a second.
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    threading.excepthook = _thread_ended
    sys.unraisablehook = _unraisable
    return outlet


def _thread_ended(fault: threading.ExceptHookArgs) -> None:
    if fault.exc_value is not None:
        name = fault.thread.name if fault.thread else "?"
        logging.getLogger("helpdesk").error(
            "thread %s ended by %s at %s", name, type(fault.exc_value).__name__, place_of(fault.exc_value)
        )


def _unraisable(fault: sys.UnraisableHookArgs) -> None:
    if fault.exc_value is not None:
        logging.getLogger("helpdesk").error(
            "%s at %s could not be handed on", type(fault.exc_value).__name__, place_of(fault.exc_value)
        )
