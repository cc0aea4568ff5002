"""What this machine can do at all, measured in the same run: figures of different machines cannot be compared."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from benchmarks.tools import ROOT
from tests.servers.found import found_once
from tests.servers.ports import free_port, greeting
from tests.servers.postfix import Postfix

SQLITE_COMMITS = "SQLite commits/s (WAL, FULL, 1 KB row)"
SQLITE_TICKETS = "SQLite ticket writes/s with the raw mail, 10 a commit"
AIOSMTPD = "aiosmtpd with a null handler, mails/s, concurrency 10"
POSTFIX = "Postfix durable accept, mails/s, concurrency 10"
_CONCURRENCY = 10
_SQLITE_SECONDS = 1.0


def words() -> str:
    """The machine in one line."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return (
        f"{os.cpu_count()} cores, {gigabytes:.0f} GB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; everything, load generator and sinks too, shares them."
    )


def measure(perf: Path, folder: Path, mails: int) -> tuple[dict[str, float], dict[str, str]]:
    """One value for each limit, and for those that cannot be had why not."""
    limits = _limits(perf, folder)
    found: dict[str, float] = {
        SQLITE_COMMITS: limits.sqlite_small(1, _SQLITE_SECONDS),
        SQLITE_TICKETS: limits.sqlite_ticket(limits.load_corpus(mails), 10),
        AIOSMTPD: _null_server(perf, mails),
    }
    postfix = found_once("postfix")
    if not postfix.version:
        return found, {POSTFIX: f"not measured: {postfix.hint}"}
    found[POSTFIX] = _postfix(perf, mails)
    return found, {}


def _limits(perf: Path, folder: Path) -> ModuleType:
    sys.path.insert(0, str(perf))
    try:
        limits = importlib.import_module("limits")
    finally:
        sys.path.remove(str(perf))
    folder.mkdir(parents=True, exist_ok=True)
    limits.O = argparse.Namespace(dir=str(folder), runs=1)  # type: ignore[attr-defined]
    return limits


def _null_server(perf: Path, mails: int) -> float:
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.null_server", str(port)], cwd=ROOT)
    try:
        greeting(port)
        return _accepted(perf, port, mails)
    finally:
        server.terminate()
        server.wait()


def _postfix(perf: Path, mails: int) -> float:
    # What is held is durable in the queue and goes nowhere.
    server = Postfix("discard:", "smtpd_client_restrictions = static:hold\nsmtpd_client_connection_count_limit = 0")
    try:
        return _accepted(perf, server.port, mails)
    finally:
        server.stop()


def _accepted(perf: Path, port: int, mails: int) -> float:
    command = [sys.executable, str(perf / "loadgen.py"), "--smtp", f"127.0.0.1:{port}", "--messages", str(mails)]
    command += ["--concurrency", str(_CONCURRENCY)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(said)
    if result["codes"] != {"250": mails}:
        raise RuntimeError(f"a server that should take everything did not: {result['codes']}")
    return float(result["accept_msgs_s"])
