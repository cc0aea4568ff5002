"""What the processes of a daemon cost, by Linux's own accounts: processor time and memory."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
#: The names that the table uses: the daemon itself, its reading processes, and the resource tracker of Python's own.
DAEMON, READING, OTHERS = "daemon", "reading", "others"


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    own: float
    reaped: float


def processor_seconds(root: int) -> Mapping[str, float]:
    """User and system time so far of a daemon and everything below it, by kind of process.

    A reading process that has ended is counted with those that live, by what the daemon reaped.
    """
    spent: dict[str, float] = defaultdict(float)
    for process in family(root):
        if (stat := _stat(process)) is None:
            continue
        spent[_kind(process, root)] += stat.own
        spent[READING] += stat.reaped
    return spent


def megabytes(root: int) -> Mapping[str, float]:
    """Proportional set size now (shared pages divided among those who share them), by kind of process."""
    used: dict[str, float] = defaultdict(float)
    for process in family(root):
        try:
            lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        used[_kind(process, root)] += kilobytes / 1024
    return used


def family(root: int) -> list[int]:
    """A process and everything that it started, directly or not."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))) is not None:
            children.setdefault(stat.parent, []).append(int(entry.name))
    found, left = [], [root]
    while left:
        process = left.pop()
        found.append(process)
        left += children.get(process, [])
    return found


def _kind(process: int, root: int) -> str:
    if process == root:
        return DAEMON
    try:
        command = (_PROC / str(process) / "cmdline").read_bytes()
    except OSError:
        return OTHERS
    return READING if b"reading_process" in command else OTHERS


def _stat(process: int) -> _Stat | None:
    """proc(5): after the name in parentheses state, parent, ..., utime, stime, cutime, cstime."""
    try:
        fields = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    user, system, reaped_user, reaped_system = (int(value) / _TICK for value in fields[11:15])
    return _Stat(int(fields[1]), user + system, reaped_user + reaped_system)
