"""What a disk surely holds when the power fails: the files as they began, and every write before a later completed sync.

kill -9 leaves the kernel's memory whole, so it cannot show a missing fsync. Here strace writes down what the daemon
asked of the kernel; a cut at any moment then takes away what was not synced by then: all of it, or any part of it in any
order, as disks do.

Not modelled: sectors torn in half, and folders that forget a new file (SQLite syncs the folder when it makes its WAL).
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from tests.servers.found import require

#: Longer than any single write of SQLite: pages have 16,384 octets.
LONGEST_WRITE = 1 << 20
#: Everything that changes or syncs a file; what is not understood below must not pass unseen.
CALLS = (
    "pwrite64,write,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,sendfile,fsync,fdatasync,"
    "sync_file_range,unlink,unlinkat,rename,renameat,renameat2"
)
SYNCS = ("fsync", "fdatasync")
_LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
_CALL = re.compile(r'^(\w+)\((?:\d+<([^>]*)>|"([^"]*)")(?:, )?(.*)$', re.DOTALL)
_RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(.*)$", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+)[^=]*<(\d+\.\d+)>$")
_PWRITE = re.compile(r'^"((?:\\x[0-9a-f]{2})*)", (\d+), (\d+)')


def require_tracing() -> None:
    """Skip the calling test where strace is missing or may not trace; fail it where HELPDESK_REQUIRE demands strace."""
    require("strace")
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        demanded = "strace" in os.environ.get("HELPDESK_REQUIRE", "").split(",")
        (pytest.fail if demanded else pytest.skip)(f"strace may not trace here: {tried.stderr.strip()}")


def command(log: Path, *files: Path) -> tuple[str, ...]:
    """What to put before a daemon's command so that what it does to these files is written to ``log``.

    The tracer leaves the daemon's process group, so that it outlives the kill and ends the log in peace.
    """
    paths = [part for file in files for part in ("-P", str(file))]
    return ("strace", "-DD", "-f", "-y", "-xx", "-ttt", "-T", "-s", str(LONGEST_WRITE), "-qq", "-e", f"trace={CALLS}",
            "-e", "signal=none", *paths, "-o", str(log))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """A call; ``at`` is the wall clock at which it was completed. A sync that failed is the call "lose"."""

    at: float
    file: str
    call: str
    offset: int = 0
    data: bytes = b""


def steps(log: Path) -> list[Step]:
    """The calls of a log in the order of their completion; those that the kill cut off are left out."""
    begun: dict[str, tuple[float, str]] = {}
    found: list[Step] = []
    for line in log.read_text(encoding="latin-1").splitlines():
        parts = _LINE.match(line)
        if not parts or parts[3].startswith(("+++", "---")):
            continue
        process, at, text = parts[1], float(parts[2]), parts[3]
        if text.endswith("<unfinished ...>"):
            begun[process] = at, text.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := _RESUMED.match(text):
            at, beginning = begun.pop(process)
            text = beginning + resumed[1]
        found += _understood(at, text)
    return found


def _understood(at: float, text: str) -> Iterator[Step]:
    call, result = _CALL.match(text), _RESULT.search(text)
    assert call, f"strace wrote a line that is not understood: {text[:200]}"
    if not result:
        return  # the process was killed in it
    at += float(result[2])
    name, file, rest = call[1], _plain(call[2] or call[3]), call[4]
    if int(result[1]) < 0:
        if name in SYNCS:
            yield Step(at, file, "lose")
    elif name == "pwrite64":
        written = _PWRITE.match(rest)
        assert written, f"a write that is not understood: {rest[:100]} ... {rest[-100:]}"
        data = bytes.fromhex(written[1].replace("\\x", ""))
        assert len(data) == int(written[2]) == int(result[1]), "a write was cut short in the log, or by the kernel"
        yield Step(at, file, "write", int(written[3]), data)
    elif name in SYNCS:
        yield Step(at, file, "sync")
    elif name == "ftruncate":
        yield Step(at, file, "truncate", int(rest.partition(")")[0]))
    elif name in ("unlink", "unlinkat"):
        yield Step(at, file, "unlink")
    else:
        raise AssertionError(f"{name} on {file} is not modelled")


def _plain(path: str) -> str:
    """A path that -xx wrote in hexadecimal."""
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def survivors(began: dict[str, bytes], done: Sequence[Step], chance: Random | None = None) -> dict[str, bytes]:
    """The files after a power cut that comes right after the last of ``done``.

    Without ``chance`` everything that was not synced is lost; with it, each such write is lost or kept by lot. What a
    failed sync did not write, no later one will: the kernel takes it for written (https://lwn.net/Articles/752063/).
    """
    files = {name: bytearray(data) for name, data in began.items()}
    fates: dict[str, str] = {}
    sure = [False] * len(done)
    for number in reversed(range(len(done))):
        step = done[number]
        if step.call in ("sync", "lose"):
            fates[step.file] = step.call
        sure[number] = fates.get(step.file) == "sync"
    for step, kept in zip(done, sure, strict=True):
        if kept or (chance is not None and chance.random() < 0.5):
            _apply(files, step)
    return {name: bytes(data) for name, data in files.items()}


def _apply(files: dict[str, bytearray], step: Step) -> None:
    if step.call == "unlink":
        files.pop(step.file, None)
        return
    file = files.setdefault(step.file, bytearray())
    if step.call == "write":
        end = step.offset + len(step.data)
        file.extend(bytes(max(0, end - len(file))))
        file[step.offset : end] = step.data
    elif step.call == "truncate":
        del file[step.offset :]
        file.extend(bytes(step.offset - len(file)))
