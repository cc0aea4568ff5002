"""The thread that every job runs in: it takes turns while there is work, waits to be woken, and can be watched."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from helpdesk.domain.errors import TemporaryFailure, place_of

log = logging.getLogger(__name__)

#: Without being woken a loop looks for work so often, in seconds.
LOOK_SECONDS = 5.0
#: After a turn that failed the next one waits so long, in seconds.
PAUSE_SECONDS = 1.0
#: A turn that shows no sign of life for longer than this is stuck, in seconds; any single step in one takes less.
STUCK_SECONDS = 150.0
#: Somebody who stops a loop waits so long for the turn in hand, in seconds.
PATIENCE_SECONDS = 15.0


class Loop:
    """Calls ``turn`` again and again: at once while it says True, else when woken or after a few seconds.

    Whatever ``turn`` raises is logged and tried again, for work never stops. ``condition`` tells how it goes. A turn
    of many pieces shows life by ``wait`` or ``progress`` between them; one that does not for ``patience`` seconds is
    stuck.
    """

    def __init__(self, name: str, turn: Callable[[], bool], patience: float = STUCK_SECONDS) -> None:
        self.name = name
        self.patience = patience
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

    @property
    def woken(self) -> bool:
        """True where somebody said since this turn began that there may be more work."""
        return self._wake.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait within a turn; True where the loop is to stop."""
        stopping = self._stopping.wait(seconds)
        self.progress()
        return stopping

    def progress(self) -> None:
        """The turn is at its next piece of work; only the loop's own thread may say so."""
        if self._began is not None:
            self._began = monotonic()

    def condition(self) -> str:
        """What is wrong, in words; "" while all is well."""
        if self._stopping.is_set() or self._thread.ident is None:
            return ""
        if not self._thread.is_alive():
            return "its thread has ended"
        seconds = self._at_work()
        if seconds > self.patience:
            return f"has been at one piece of work for {seconds:.0f} seconds"
        return self._fault

    def lost(self) -> bool:
        """True where only a restart helps: the thread has ended, or is stuck for good."""
        if self._stopping.is_set() or self._thread.ident is None:
            return False
        return not self._thread.is_alive() or self._at_work() > self.patience

    def _at_work(self) -> float:
        began = self._began
        return 0.0 if began is None else monotonic() - began

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
        if isinstance(fault, TemporaryFailure):
            words = f"cannot go on for now: {fault}"
        else:
            words = f"meets {type(fault).__name__} at each turn; the log names the place"
        if words != self._fault:
            log.error("%s met %s at %s", self.name, type(fault).__name__, place_of(fault))
        self._fault = words
