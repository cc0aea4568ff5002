"""The thread that every job runs in: it takes turns while there is work, waits to be woken, and can be watched."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from time import monotonic

log = logging.getLogger(__name__)

#: Without being woken a loop looks for work so often, in seconds.
LOOK_SECONDS = 5.0
#: After a turn that failed the next one waits so long, in seconds.
PAUSE_SECONDS = 1.0
#: A turn that takes longer than this is stuck, in seconds; any single step in one is bounded by less.
STUCK_SECONDS = 150.0
#: Somebody who stops a loop waits so long for the turn in hand, in seconds.
PATIENCE_SECONDS = 15.0


class Loop:
    """Calls ``turn`` again and again: at once while it says True, else when woken or after a few seconds.

    Whatever ``turn`` raises is logged and tried again, for work never stops. ``condition`` tells how it goes.
    """

    def __init__(self, name: str, turn: Callable[[], bool]) -> None:
        self.name = name
        self._turn = turn
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._began: float | None = None
        self._fault = ""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There may be work; may be called from any thread."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the turn in hand."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=PATIENCE_SECONDS)

    @property
    def stopping(self) -> bool:
        """True once a turn should come to its end."""
        return self._stopping.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait within a turn; True where the loop is to stop."""
        return self._stopping.wait(seconds)

    def condition(self) -> str:
        """What is wrong, in words; "" while all is well."""
        if self._stopping.is_set() or self._thread.ident is None:
            return ""
        if not self._thread.is_alive():
            return "its thread has ended"
        began = self._began
        if began is not None and monotonic() - began > STUCK_SECONDS:
            return f"has been at one piece of work for {monotonic() - began:.0f} seconds"
        return self._fault

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self._began = monotonic()
            try:
                busy = self._turn()
            except Exception as fault:  # noqa: BLE001 (the outermost loop of a thread: work never stops)
                self._failed(fault)
                self._began = None
                self._stopping.wait(PAUSE_SECONDS)
                continue
            self._began, self._fault = None, ""
            if not busy:
                self._wake.wait(LOOK_SECONDS)

    def _failed(self, fault: Exception) -> None:
        """Log kind and place of a fault, once while it stays the same; its text may hold a customer's words."""
        frames = traceback.extract_tb(fault.__traceback__)[-4:]
        place = " < ".join(
            f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames)
        )
        words = f"meets {type(fault).__name__} at each turn; the log names the place"
        if words != self._fault:
            log.error("%s met %s at %s", self.name, type(fault).__name__, place)
        self._fault = words
