"""What can go wrong, sorted by what the caller must do about it.

HelpdeskError
├── ConfigError        a person must edit a file; the daemon refuses to start (exit 78)
├── TemporaryFailure   try again later        (SMTP 451; the outbox row waits)
└── PermanentFailure   never try this again   (the outbox row is given up)
"""

from __future__ import annotations

import traceback

#: So many places of a traceback are named, the innermost first.
PLACES = 4


class HelpdeskError(Exception):
    """Any fault that helpdesk itself names; its text is fit for the person who has to act."""


class ConfigError(HelpdeskError):
    """A setting that a person must mend, named by file and key path."""

    def __init__(self, file: str, key: str, problem: str, legal: str = "") -> None:
        self.file, self.key, self.problem, self.legal = file, key, problem, legal
        where = f"{file}: {key}" if key else file
        super().__init__(f"{where}: {problem}" + (f"; legal: {legal}" if legal else ""))


class TemporaryFailure(HelpdeskError):
    """It may work later: the same call may be made again."""


class PermanentFailure(HelpdeskError):
    """It will not work later either."""


def place_of(fault: BaseException) -> str:
    """Where a fault arose, for the log: ``file.py:12 name < ...``; never its text, which may hold a customer's words."""
    frames = traceback.extract_tb(fault.__traceback__)[-PLACES:]
    return " < ".join(f"{one.filename.rpartition('/')[2]}:{one.lineno} {one.name}" for one in reversed(frames)) or "?"
