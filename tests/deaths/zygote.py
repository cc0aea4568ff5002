"""A process that has imported everything and compiled the templates, and forks daemons: a start costs 0.05 s, not 1.2 s.

What it forks is the same launcher, the same product, the same sockets and files; only the imports are inherited. Some
daemons of every run are started cold all the same, since a plain start is what administrators do.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from tests.deaths import desk

#: What a fork runs: the launcher of ``launch.py``, or the command line as an administrator types it.
Program = Literal["launch", "helpdesk"]
_LOOK_SECONDS = 0.002


class Forked:
    """A process forked by the zygote; as much of ``subprocess.Popen`` as the tests use."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self._zygote, self.pid = zygote, pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            self.returncode = self._zygote.ask({"poll": self.pid})["code"]
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait so many seconds for its end; the exit code, or subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired("daemon", timeout)
            time.sleep(_LOOK_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Zygote:
    """Starts the process; ``fork`` may be called from any thread."""

    _one: Zygote | None = None

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.deaths.zygote", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=desk.environment(),
                start_new_session=True,
            )
        self._lock = threading.Lock()
        self._channel = ours.makefile("rwb")
        ours.close()

    @classmethod
    def one(cls) -> Zygote:
        """The zygote of this test process; it ends with it."""
        if cls._one is None or cls._one._process.poll() is not None:
            cls._one = cls()
        return cls._one

    def fork(self, arguments: Sequence[str], log: Path, program: Program = "launch") -> Forked:
        """Run a program in a session of its own; its output is added to ``log``."""
        return Forked(self, self.ask({"run": program, "arguments": list(arguments), "log": str(log)})["pid"])

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """One line there, one line back."""
        with self._lock:
            self._channel.write(json.dumps(question).encode() + b"\n")
            self._channel.flush()
            answer = self._channel.readline()
        assert answer, "the zygote has ended"
        found = json.loads(answer)
        assert isinstance(found, dict)
        return found

    @classmethod
    def end_all(cls) -> None:
        """Close the channel of the one that runs, if any: it ends by itself."""
        if cls._one is not None:
            cls._one._channel.close()
            cls._one._process.wait(10)
            cls._one = None


def _serve(channel: socket.socket) -> None:
    lines = channel.makefile("rb")
    while line := lines.readline():
        question = json.loads(line)
        if "poll" in question:
            _say(channel, {"code": _exit_code(question["poll"])})
        elif os.fork() == 0:
            _become(channel, question)


def _exit_code(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _say(channel: socket.socket, answer: dict[str, Any]) -> None:
    channel.sendall(json.dumps(answer).encode() + b"\n")


def _become(channel: socket.socket, question: dict[str, Any]) -> None:
    """In the fork: lead a session, answer, and run the program; never comes back."""
    code = 70
    try:
        os.setsid()
        with open(question["log"], "ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        _say(channel, {"pid": os.getpid()})
        channel.detach()
        # Nobody but us may hold the channel open; its number is free again for the daemon.
        os.close(int(sys.argv[1]))
        if question["run"] == "launch":
            from tests.deaths.launch import main

            code = main(question["arguments"])
        else:
            from helpdesk.cli.main import run

            code = run(question["arguments"])
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 (the outermost edge: it must end here, not go on as a second zygote)
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _warm_up() -> None:
    """Import what a daemon imports, and compile the shipped templates once for all."""
    for name in ("helpdesk.app", "helpdesk.cli.main", "sqlalchemy.dialects.sqlite", "tests.deaths.launch"):
        importlib.import_module(name)
    from helpdesk.outbound import templates

    for name in ("_compile", "_try_samples"):
        setattr(templates, name, functools.cache(getattr(templates, name)))
    templates.Templates([])
    gc.freeze()


if __name__ == "__main__":
    _warm_up()
    _serve(socket.socket(fileno=int(sys.argv[1])))
