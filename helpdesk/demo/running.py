"""Where the running demonstration of this user is, so that ``helpdesk say`` finds it."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """A demonstration that waits for visitors: its process, the port of its post office, its folder."""

    process: int
    port: int
    folder: str


def announce(running: Running) -> None:
    """Leave a note in the temporary folder; a newer demonstration takes the place of an older one."""
    descriptor, draft = tempfile.mkstemp(prefix="helpdesk-demo-", suffix=".new")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(running), file)
    Path(draft).replace(_note())


def withdraw(running: Running) -> None:
    """Take the note away, unless another demonstration has written it since."""
    if find() == running:
        _note().unlink(missing_ok=True)


def find() -> Running | None:
    """The demonstration that runs now; a note that is not ours, or of a process that is gone, counts for nothing."""
    try:
        if _note().lstat().st_uid != os.getuid():
            return None
        running = Running(**json.loads(_note().read_text(encoding="utf-8")))
        os.kill(running.process, 0)
    except (OSError, ValueError, TypeError):
        return None
    return running


def _note() -> Path:
    return Path(tempfile.gettempdir()) / f"helpdesk-demo-{os.getuid()}.json"
