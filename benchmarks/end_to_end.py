"""Mails in, acknowledgements out: a started daemon measured from outside.

    python -m benchmarks.end_to_end --quick
    python -m benchmarks.end_to_end --filled FOLDER --write docs/benchmarks.md

Ends with one line of JSON, and with exit code 1 where an acknowledgement is missing or a mail did not become an entry.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import company, filled, machine, processes, running
from benchmarks.figures import EMPTY, Figures, Load, summary, table
from benchmarks.report import put_between_markers
from benchmarks.running import Daemon, Sink
from benchmarks.tools import ROOT, VARIABLE, perf_folder, shared_folder

#: The fixed rate at which latency is measured, in mails a second.
RATE = 4.0
#: A daemon is warm after so many mails.
WARM_MAILS = 60
#: Without a further acknowledgement for so long the rest is missing, in seconds.
PATIENCE_SECONDS = 60
#: So many lines of a daemon's complaints are shown.
COMPLAINTS = 10
#: What py-spy calls the format of a profile, by the ending of its file; all others are for speedscope.app.
PROFILE_FORMATS = {".svg": "flamegraph", ".txt": "raw"}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    mails: int
    concurrencies: Sequence[int]
    timed_mails: int
    repetitions: int
    limit_mails: int


FULL = Plan(mails=1000, concurrencies=(1, 10, 50), timed_mails=150, repetitions=3, limit_mails=1000)
QUICK = Plan(mails=300, concurrencies=(1, 10, 50), timed_mails=100, repetitions=1, limit_mails=300)


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts that every load needs."""

    perf: Path
    customers: Sink
    staff: Sink
    patience_seconds: int = PATIENCE_SECONDS

    def relays(self) -> company.Relays:
        return company.Relays(self.customers.port, self.staff.port)

    def load(self, daemon: Daemon, store: str, mails: int, concurrency: int, rate: float = 0.0) -> Load:
        """Send mails and wait until everything that they cause has happened."""
        before, spent = running.counts(daemon.folder), processes.processor_seconds(daemon.process_id)
        self.staff.ask("reset")
        said = self._generate(daemon, before.handled, mails, concurrency, rate)
        daemon.settle()
        after, now_spent = running.counts(daemon.folder), processes.processor_seconds(daemon.process_id)
        times = said.get("ack_ms") or {}
        return Load(
            store=store,
            concurrency=concurrency,
            rate=rate,
            mails=mails,
            new=said["new"],
            mails_per_second=said["e2e_msgs_s"],
            p50=times.get("p50") or 0.0,
            p99=times.get("p99") or 0.0,
            missing=said["missing_acks"],
            processor={kind: 1000 * (now_spent[kind] - spent.get(kind, 0.0)) / mails for kind in now_spent},
            entries=after.entries - before.entries,
            tickets=after.tickets - before.tickets,
            quarantined=after.quarantined - before.quarantined,
        )

    def _generate(self, daemon: Daemon, handled: int, mails: int, concurrency: int, rate: float) -> dict[str, Any]:
        command = [sys.executable, "-m", "benchmarks.load", str(self.perf)]
        older = filled.opened_file(daemon.folder)
        command += ["--older", str(older)] if older.exists() else []
        command += ["--smtp", f"127.0.0.1:{daemon.port}", "--sink", f"127.0.0.1:{self.customers.control}"]
        command += ["--messages", str(mails), "--concurrency", str(concurrency), "--rate", str(rate)]
        # Mails of the same seed are the same mails: a store must never see a seed twice.
        command += ["--seed", str(filled.FIRST_SEED_OF_LOADS + handled), "--timeout", str(self.patience_seconds)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        lines = done.stdout.splitlines()
        if not lines:
            raise RuntimeError(
                f"the load generator ended with {done.returncode}; the daemon says {daemon.complaints()}"
            )
        said = json.loads(lines[-1])
        assert isinstance(said, dict)
        return said


def measure(plan: Plan, perf: Path, full: Path | None, profile: Path | None, limits: bool) -> Figures:
    """All loads, the stores taking turns; the folder of a filled store was made by ``benchmarks.fill``."""
    figures = Figures(machine=machine.words())
    with running.sinks(perf) as (customers, staff), tempfile.TemporaryDirectory(prefix="bench") as temporary:
        bench = Bench(perf, customers, staff)
        for repetition in range(plan.repetitions):
            empty = Path(temporary) / f"store{repetition}"
            running.prepare(empty, bench.relays())
            stores = [(EMPTY, empty)]
            if full is not None:
                company.write(full, bench.relays())
                stores.append((filled.name(full), full))
            for store, folder in stores:
                _measure_store(bench, plan, figures, store, folder, profile)
            if limits:
                _measure_machine(plan, perf, Path(temporary) / "limits", figures)
            figures.help_seconds.append(running.helpdesk(empty, "--help"))
    return figures


def _measure_store(bench: Bench, plan: Plan, figures: Figures, store: str, folder: Path, profile: Path | None) -> None:
    with running.started(folder) as daemon:
        bench.load(daemon, store, WARM_MAILS, 1)
        with _profiled(daemon, profile):
            for concurrency in plan.concurrencies:
                figures.loads.append(_told(bench.load(daemon, store, plan.mails, concurrency)))
        figures.memory.setdefault(store, []).append(processes.megabytes(daemon.process_id))
        if plan.timed_mails:
            figures.loads.append(_told(bench.load(daemon, store, plan.timed_mails, 10, RATE)))
        for line in daemon.complaints()[:COMPLAINTS]:
            print(line, file=sys.stderr)


def _measure_machine(plan: Plan, perf: Path, folder: Path, figures: Figures) -> None:
    found, absent = machine.measure(perf, folder, plan.limit_mails)
    figures.absent = absent
    for name, value in found.items():
        figures.limits.setdefault(name, []).append(value)
        print(f"{name}: {value:,.0f}", file=sys.stderr)


def _told(load: Load) -> Load:
    how = f"{load.rate:g} mails/s" if load.rate else f"concurrency {load.concurrency}"
    split = ", ".join(f"{kind} {value:.2f}" for kind, value in load.processor.items())
    print(
        f"{load.store}, {how}: {load.mails_per_second:.0f} mails/s, p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms, "
        f"CPU {load.processor_per_mail:.2f} ms/mail ({split}), {load.missing} missing, {100 * load.joined:.1f} % joined",
        file=sys.stderr,
    )
    return load


@contextmanager
def _profiled(daemon: Daemon, file: Path | None) -> Iterator[None]:
    """Let py-spy watch the daemon and its reading process from the first measured load to the last."""
    if file is None:
        yield
        return
    command = ["py-spy", "record", "--pid", str(daemon.process_id), "--subprocesses", "--threads"]
    command += ["--gil", "--nonblocking", "--rate", "100"]  # only who runs Python; never stop who is measured
    watcher = subprocess.Popen(
        [*command, "--format", PROFILE_FORMATS.get(file.suffix, "speedscope"), "--output", str(file)]
    )
    try:
        yield
    finally:
        watcher.send_signal(signal.SIGINT)
        watcher.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and one line of JSON; 1 where mail was lost."""
    options = _options(arguments)
    try:
        perf = perf_folder(options.shared)
    except FileNotFoundError as problem:
        print(problem, file=sys.stderr)
        return 2
    plan = _plan(options)
    if options.filled and not filled.is_done(options.filled) and _fill(options):
        return 2
    figures = measure(plan, perf, options.filled, options.profile, options.limits)
    written = table(figures)
    print(written)
    if options.write:
        put_between_markers(options.write, written)
    print(json.dumps(summary(figures)))
    for line in figures.failures():
        print(f"FAILED: {line}", file=sys.stderr)
    return 1 if figures.failures() else 0


def _fill(options: argparse.Namespace) -> int:
    """Let the other command fill the folder; its exit code."""
    command = [sys.executable, "-m", "benchmarks.fill", "--tickets", str(options.tickets)]
    command += ["--shared", str(options.shared.resolve()), str(options.filled.resolve())]
    return subprocess.run(command, cwd=ROOT).returncode


def _plan(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else FULL
    changes = {
        "mails": options.mails,
        "repetitions": options.repetitions,
        "concurrencies": options.concurrency,
        "timed_mails": options.timed_mails,
    }
    return replace(plan, **{name: value for name, value in changes.items() if value is not None})


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="one repetition with few mails, under a minute")
    add(
        "--filled",
        type=_folder,
        metavar="FOLDER",
        help="measure a filled store too; it is filled if it is not there yet",
    )
    add("--tickets", type=int, default=50_000, help="so many tickets in the filled store (%(default)s)")
    add("--write", type=Path, metavar="FILE", help="put the table between the markers of this file")
    add("--mails", type=int, help=f"in each load ({FULL.mails})")
    add("--timed-mails", type=int, help=f"at {RATE:g} a second, for latency; 0 for none ({FULL.timed_mails})")
    add("--concurrency", type=int, nargs="+", help="connections of the load generator (1 10 50)")
    add("--repetitions", type=int, help=f"how often, the stores taking turns ({FULL.repetitions})")
    add("--no-limits", dest="limits", action="store_false", help="leave out what the machine can do")
    add("--profile", type=Path, metavar="FILE", help="let py-spy write where time goes: .svg, .txt or .json")
    add("--shared", type=Path, default=shared_folder(), help=f"the folder with perf/ ({VARIABLE}, else ../shared)")
    return parser.parse_args(arguments)


def _folder(text: str) -> Path:
    """Absolute, for a daemon runs in its own folder."""
    return Path(text).absolute()


if __name__ == "__main__":
    sys.exit(main())
