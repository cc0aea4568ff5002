"""A SQLite file whose octets are not what was written: noticed, remembered in a file beside it, not written to again.

Whoever restores a backup loses what was acknowledged since, so nothing more may be acknowledged, neither now nor after a
restart: ``FILE.damaged`` stands in the way of both until a person has put a backup in place and taken it away. PostgreSQL
has its own means; there only the fault itself is known for what it is.

A write-ahead log that lost its end, or has a bad frame, is no fault for SQLite: it goes on with what comes before, and
what was acknowledged since is gone without a word. But its index (``-shm``) outlives a killed daemon, and says how many
frames were committed and synced.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import sqlalchemy as sa

from helpdesk.domain.errors import ConfigError

log = logging.getLogger(__name__)

#: What to do, for people.
RESTORE = (
    "stop helpdesk, move the file and those whose names begin with its name away (mails since the last backup are only in "
    "there), and put a backup in its place"
)
_SQLITE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
#: data_corrupted and index_corrupted
_POSTGRESQL = ("XX001", "XX002")


def is_damage(problem: BaseException | None) -> bool:
    """Whether a database says by this fault that its file is damaged."""
    fault = getattr(problem, "orig", problem)
    primary = getattr(fault, "sqlite_errorcode", 0) & 0xFF
    return primary in _SQLITE or getattr(fault, "sqlstate", "") in _POSTGRESQL


def note(engine: sa.Engine, problem: BaseException | None) -> None:
    """Remember the damage that this fault tells of, if it does."""
    if is_damage(problem) and engine.dialect.name == "sqlite":
        _mark(Path(engine.url.database or ""), str(getattr(problem, "orig", problem)))


def noted(engine: sa.Engine) -> str:
    """The damage that was noticed, in words; "" while all is well."""
    if engine.dialect.name != "sqlite":
        return ""
    try:
        return _mark_of(Path(engine.url.database or "")).read_text(encoding="utf-8").strip() or "damaged"
    except OSError:
        return ""


def refuse(file: Path) -> None:
    """Raise ConfigError where the file is known to be damaged."""
    mark = _mark_of(file)
    if mark.exists():
        raise told(file, mark.read_text(encoding="utf-8").strip())


def told(file: Path, words: str) -> ConfigError:
    """What a person is told who has to act."""
    return ConfigError(str(file), "", f"is damaged ({words}): {RESTORE}")


def look(connection: sa.Connection) -> str:
    """Read the whole of a SQLite file; its first damage in words, "" for none. Takes seconds for each gigabyte."""
    if connection.dialect.name != "sqlite":
        return ""
    found = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
    return "" if found == "ok" else " ".join(found.split())


def _mark_of(file: Path) -> Path:
    return file.with_name(f"{file.name}.damaged")


def _mark(file: Path, words: str) -> None:
    mark = _mark_of(file)
    if mark.exists():
        return
    log.critical("%s is damaged: %s", file, words)
    with contextlib.suppress(OSError):  # the next fault tries again
        mark.write_text(f"{words}\n", encoding="utf-8")


# The write-ahead log

_HEADER = 32
_INDEX = 48
_MAGIC = 0x377F0682


@dataclass(frozen=True, slots=True)
class _Index:
    """The head of a log's index: which log, its committed frames, and those of them that are in the database too."""

    salts: bytes
    frames: int
    moved: int


class LogCheck:
    """Made before a process's first connection to a file, asked once it stands (and SQLite has read the log anew).

    The descriptor stays open with the process: closing it would drop the locks that SQLite holds on the same file.
    """

    _all: ClassVar[dict[Path, LogCheck]] = {}

    @classmethod
    def of(cls, file: Path) -> LogCheck:
        """The one of this process for a file."""
        place = file.resolve()
        if place not in cls._all:
            cls._all[place] = cls(file)
        return cls._all[place]

    def __init__(self, file: Path) -> None:
        self._file, self._log = file, file.with_name(f"{file.name}-wal")
        self._before: _Index | None = None
        self._sound = True
        try:
            self._descriptor = os.open(file.with_name(f"{file.name}-shm"), os.O_RDONLY)
        except OSError:
            return
        self._before = _index(self._descriptor)
        with contextlib.suppress(OSError), self._log.open("rb") as opened:
            self._sound = _is_sound(opened.read(_HEADER))

    def compare(self) -> None:
        """Raise ConfigError where SQLite found fewer frames than were committed."""
        before, self._before = self._before, None
        now = _index(self._descriptor) if before else None
        if before is None or now is None or now.frames >= before.frames:
            return
        if now.salts not in (before.salts, bytes(8)) and self._sound:
            return  # another log, begun meanwhile
        if now.frames == 0 and before.moved >= before.frames:
            return  # all of it is in the database
        words = f"{before.frames - now.frames} of {before.frames} pages of its write-ahead log cannot be read"
        with contextlib.suppress(OSError):  # SQLite removes the log when it is closed
            shutil.copyfile(self._log, self._file.with_name(f"{self._file.name}.damaged-wal"))
        _mark(self._file, words)
        raise told(self._file, words)


def _index(descriptor: int) -> _Index | None:
    """The head of the index (https://sqlite.org/walformat.html section 2.1); None while it is being written."""
    octets = os.pread(descriptor, 2 * _INDEX + 4, 0)
    one, other = octets[:_INDEX], octets[_INDEX : 2 * _INDEX]
    if len(octets) < 2 * _INDEX + 4 or one != other or not one[12]:
        return None
    number = f"{'<' if sys.byteorder == 'little' else '>'}I"
    return _Index(one[32:40], struct.unpack_from(number, one, 16)[0], struct.unpack_from(number, octets, 2 * _INDEX)[0])


def _is_sound(header: bytes) -> bool:
    """Whether the checksum of a log's header is right (https://sqlite.org/fileformat2.html section 4.2)."""
    if len(header) < _HEADER or struct.unpack_from(">I", header)[0] & ~1 != _MAGIC:
        return False
    words = struct.unpack_from(f"{'>' if header[3] & 1 else '<'}6I", header)
    first = second = 0
    for left, right in zip(words[::2], words[1::2], strict=True):
        first = (first + left + second) & 0xFFFFFFFF
        second = (second + right + first) & 0xFFFFFFFF
    return struct.unpack_from(">2I", header, 24) == (first, second)
