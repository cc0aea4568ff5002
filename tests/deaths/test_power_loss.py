"""Power loss: whatever the disk had not surely written is gone, and every acknowledged mail is there all the same."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.deaths import power_loss
from tests.deaths.harness import Deaths
from tests.deaths.traffic import MARK, Sent
from tests.servers.ports import wait_for
from tests.servers.sink import Sink

#: So many mails of so many octets write the WAL (100 pages of 16,384 octets here) full more than once.
MAILS, SIZE = 50, 60_000
#: Lots drawn for each cut, besides the cut that loses all that may be lost.
LOTS = 2
#: Where syncs fail, so many mails tell as much.
FEWER = 8
#: Of the syncs of a thread these fail: every so many-th, or all beyond the first few.
NOW_AND_THEN, AT_LAST = "5+3", "7+"

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]


@pytest.fixture
def traceable() -> None:
    """strace, where it is allowed to trace."""
    power_loss.require_tracing()


def test_no_acknowledged_mail_needs_what_was_not_synced(tmp_path: Path, sink: Sink, traceable: None) -> None:
    """At whatever moment the power fails, every mail that was acknowledged before it is in the database."""
    run = _Run(tmp_path, sink)

    lost = [problem for cut in run.cuts() for problem in run.lost(cut)]

    print(f"power cuts: {len(run.cuts())} moments, {1 + LOTS} disks each; syncs {run.syncs()}; lost {len(lost)}")
    assert lost == []
    assert any(step.call == "sync" and step.file == str(run.deaths.database) for step in run.steps), "no checkpoint"


@pytest.mark.parametrize("mutant", ["no-fsync", "fsync-at-checkpoints-only"])
def test_a_daemon_that_does_not_sync_is_caught(tmp_path: Path, sink: Sink, traceable: None, mutant: str) -> None:
    """The same test fails where the fsync before the acknowledgement was left out."""
    run = _Run(tmp_path, sink, mutant)

    assert any(run.lost(cut) for cut in run.cuts())


def test_f7_what_follows_a_failed_sync_is_as_safe(tmp_path: Path, sink: Sink, traceable: None) -> None:
    """The mail is refused and the daemon goes on; nothing that it acknowledges later needs what was not written."""
    run = _Run(tmp_path, sink, faults=NOW_AND_THEN, mails=FEWER)

    lost = [problem for cut in run.cuts() for problem in run.lost(cut)]

    print(f"failed syncs: {run.failed_syncs()}; power cuts: {len(run.cuts())} moments; lost {len(lost)}")
    assert lost == []
    assert run.failed_syncs() >= 1
    assert {code for code, _ in run.deaths.traffic.refusals} <= {451, 452}


def test_f7_a_death_after_a_failed_sync_is_as_safe(tmp_path: Path, sink: Sink, traceable: None) -> None:
    """The log shows to the next daemon what the disk does not have; it does not build on that."""
    run = _death_after_failed_syncs(tmp_path, sink)

    lost = [problem for cut in run.cuts() for problem in run.lost(cut)]

    assert lost == []


@pytest.mark.long
def test_f7_a_daemon_that_trusts_the_log_is_caught(tmp_path: Path, sink: Sink, traceable: None) -> None:
    """Mails are lost that were acknowledged by a daemon whose disk never failed."""
    run = _death_after_failed_syncs(tmp_path, sink, "trusting")

    assert any(run.lost(cut) for cut in run.cuts())


def _death_after_failed_syncs(work: Path, sink: Sink, mutant: str = "") -> _Run:
    run = _Run(work, sink, mutant, faults=AT_LAST, mails=0)
    assert run.failed_syncs() >= 1
    run.live(FEWER)
    return run


class _Run:
    """A daemon that was traced while mail came in, and killed at some moment.

    ``faults`` says which syncs of a thread fail, in the words of strace.
    """

    def __init__(self, work: Path, sink: Sink, mutant: str = "", *, faults: str = "", mails: int = MAILS) -> None:
        self.work = work
        self.deaths = Deaths(work / "desk", sink, mutant=mutant)
        database = self.deaths.database
        self._began = {str(database): database.read_bytes()}
        self.steps: list[power_loss.Step] = []
        assert not Path(f"{database}-wal").exists()
        self.live(mails, faults)

    def live(self, mails: int, faults: str = "") -> None:
        """Run until so many mails more are acknowledged and, with faults, one is refused; and die."""
        database = self.deaths.database
        log = self.work / f"strace{len(self.steps)}.log"
        traffic = self.deaths.traffic
        wanted, refused = len(self._acknowledged()) + mails, len(traffic.refusals) + (1 if faults else 0)
        traced = power_loss.command(log, database, Path(f"{database}-wal"))
        if faults:
            traced = (*traced, "-e", f"inject={','.join(power_loss.SYNCS)}:error=EIO:when={faults}")
        running = self.deaths.start(traced=traced)

        def lived() -> bool:
            enough = len(self._acknowledged()) >= wanted and len(traffic.refusals) >= refused
            return enough or running.process.poll() is not None

        try:
            traffic.smtp_pause, traffic.size = 0.01, SIZE
            traffic.start()
            if not faults:
                # What was refused comes again, and may have been kept all the same.
                for one in [one for one in list(traffic.sent.values()) if one.attempts and not one.acknowledged_at]:
                    traffic.send(one)
            wait_for(lived, 90)
            if not mails:
                traffic.abandon()  # what failed last stands whole in the log
        finally:
            running.kill()
            traffic.abandon()
        _wait_for_end_of(log)
        self.steps += power_loss.steps(log)

    def failed_syncs(self) -> int:
        return sum(step.call == "lose" for step in self.steps)

    def _acknowledged(self, until: float = float("inf")) -> list[Sent]:
        return [one for one in list(self.deaths.traffic.sent.values()) if 0 < one.acknowledged_at <= until]

    def cuts(self) -> list[float]:
        """The moments that are tried: right after each acknowledgement, when the daemon has the least time left."""
        return sorted(one.acknowledged_at for one in self._acknowledged())

    def syncs(self) -> int:
        return sum(step.call == "sync" for step in self.steps)

    def lost(self, cut: float) -> Iterator[str]:
        """What is missing after a power cut at this moment."""
        done = [step for step in self.steps if step.at <= cut]
        wanted = {one.number for one in self._acknowledged(cut)}
        for lot in (None, *(Random(f"{cut} {number}") for number in range(LOTS))):
            kept = self._kept(power_loss.survivors(self._began, done, lot))
            if not wanted <= kept:
                yield f"after a cut at {cut}: {sorted(wanted - kept)} of {len(wanted)}"

    def _kept(self, files: dict[str, bytes]) -> set[int]:
        """The mails that a daemon started on these files would find in the spool."""
        database = self.work / "survived.sqlite"
        for ending in ("", "-wal", "-shm"):
            file = Path(f"{database}{ending}")
            file.unlink(missing_ok=True)
            if (data := files.get(f"{self.deaths.database}{ending}")) is not None:
                file.write_bytes(data)
        with contextlib.closing(sqlite3.connect(database)) as connection:
            if not self.deaths.mutant:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute("SELECT raw.data FROM spool JOIN raw ON raw.hash = spool.raw_hash").fetchall()
        return {int(MARK.findall(data[:2000].decode("ascii"))[0]) for (data,) in rows}


def _wait_for_end_of(log: Path) -> None:
    """The tracer outlives the daemon for a moment, and writes its last lines."""
    size = -1
    while size != (size := log.stat().st_size):
        time.sleep(0.5)
