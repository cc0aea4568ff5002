"""A signal is never slept through, whichever thread the kernel hands it to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

#: A main thread that waits for signals among others that are busy, as in the daemon.
WAITING = """
import threading, time, signal
from helpdesk.cli.serve import Signals

signals = Signals()
for _ in range(30):
    threading.Thread(target=lambda: [time.sleep(0.001) for _ in range(10**6)], daemon=True).start()
print("waiting", flush=True)
heard = []
while not heard or heard[-1] == signal.SIGHUP:
    heard.append(signals.next())
print(*[signal.Signals(number).name for number in heard], flush=True)
{then}
"""


def started(then: str = "") -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING.format(then=then)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "waiting\n"
    return process


def test_stop_right_after_a_reload_is_heard() -> None:
    """The mutant is a handler that puts into the queue itself: it missed the second signal in one of five cases."""
    for _ in range(20):
        with started() as process:
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)

            said, _ = process.communicate(timeout=30)

            assert "SIGTERM" in said
            assert process.returncode == 0


def test_second_stop_ends_a_process_that_hangs() -> None:
    """While the main thread waits for a lock, so that no handler of Python's could run."""
    with started("threading.Lock().acquire(); threading.Event().wait()") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "SIGTERM\n"
        process.send_signal(signal.SIGTERM)

        assert process.wait(30) == 128 + signal.SIGTERM
