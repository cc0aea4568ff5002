"""What the daemon is doing at this moment, in a few bytes of a mapped file that survive its death.

The daemon's launcher writes, the harness reads: before a kill to choose the moment, after it to see what was hit.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Hashable
from pathlib import Path

#: spool: an SMTP mail between its row and the 250. reading: a batch is claimed and being read. batch: it is handled, up
#: to the commit. imap-move: an IMAP mail is durable and not yet moved. relay: a mail between the first byte to the
#: relay and the commit that says "sent".
PHASES = ("spool", "reading", "batch", "imap-move", "relay")


class Board:
    """One byte a phase: 1 while somebody is in it."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(bytes(len(PHASES)))
        with file.open("r+b") as opened:
            self._bytes = mmap.mmap(opened.fileno(), len(PHASES))
        self._inside: dict[str, set[Hashable]] = {phase: set() for phase in PHASES}
        self._lock = threading.Lock()

    def enter(self, phase: str, who: Hashable) -> None:
        """``who`` is in this phase from now on."""
        with self._lock:
            self._inside[phase].add(who)
            self._show(phase)

    def leave(self, phase: str, who: Hashable) -> None:
        """``who`` is no longer in this phase, if it ever was."""
        with self._lock:
            self._inside[phase].discard(who)
            self._show(phase)

    def clear(self) -> None:
        """Nobody is in any phase."""
        self._bytes[:] = bytes(len(PHASES))

    def active(self, phase: str) -> bool:
        """Whether somebody is in this phase."""
        return self._bytes[PHASES.index(phase)] == 1

    def all_active(self) -> list[str]:
        """Every phase that somebody is in."""
        return [phase for phase in PHASES if self.active(phase)]

    def _show(self, phase: str) -> None:
        self._bytes[PHASES.index(phase)] = bool(self._inside[phase])
