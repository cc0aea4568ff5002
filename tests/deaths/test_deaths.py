"""F1: kill -9 while mail flows in by SMTP and IMAP and out: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deaths import checker
from tests.deaths.harness import Deaths
from tests.deaths.phases import PHASES
from tests.servers.dovecot import Dovecot, Mailbox
from tests.servers.sink import Sink

pytestmark = pytest.mark.story

KILLS = 300
MANY_KILLS = 10_000
#: A night is cut into rounds, so that each begins with an empty store.
ROUND = 500
#: So many desks die at once, each in a folder of its own: one for each core that a small machine has.
DESKS = 2
#: A mutant must be caught within so many kills.
MUTANT_KILLS = 10


@pytest.mark.timeout(600)
def test_f1_three_hundred_deaths(tmp_path: Path, dovecot: Dovecot, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed in the spool, while reading, in a batch, in an IMAP move and at the relay, sixty times each."""
    _die_and_check(tmp_path, dovecot, KILLS, capsys)


@pytest.mark.long
@pytest.mark.timeout(12 * 3600)
def test_f1_ten_thousand_deaths(tmp_path: Path, dovecot: Dovecot, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for an hour or two."""
    for number in range(MANY_KILLS // ROUND):
        _die_and_check(tmp_path / f"round{number}", dovecot, ROUND, capsys, seed=number)


def _die_and_check(work: Path, dovecot: Dovecot, kills: int, capsys: pytest.CaptureFixture[str], seed: int = 0) -> None:
    work.mkdir(exist_ok=True)
    with _desks(work, dovecot, seed) as desks, ThreadPoolExecutor() as pool:
        list(pool.map(lambda desk: desk.run(kills // DESKS), desks))
        with capsys.disabled():
            for desk in desks:
                print(f"\n{desk.summary()}, re-sent {checker.sent_again(desk)}")
        for desk in desks:
            assert checker.problems(desk) == []
            # Now and then the phase ends between our look and the kill; what was hit is counted, so the spread is real.
            assert all(desk.hit[phase] >= desk.kills // len(PHASES) // 2 for phase in PHASES), desk.hit


@contextmanager
def _desks(work: Path, dovecot: Dovecot, seed: int) -> Iterator[list[Deaths]]:
    sinks = [Sink() for _ in range(DESKS)]
    try:
        yield [
            Deaths(work / f"desk{number}", sink, dovecot.mailbox(), seed=DESKS * seed + number)
            for number, sink in enumerate(sinks)
        ]
    finally:
        for sink in sinks:
            sink.stop()


@pytest.mark.timeout(180)
def test_a_daemon_that_says_250_early_is_caught(tmp_path: Path, mailbox: Mailbox, sink: Sink) -> None:
    """The checker finds the loss where a mail is acknowledged before it is durable."""
    deaths = Deaths(tmp_path / "desk", sink, mailbox, mutant="early-250")
    deaths.run(MUTANT_KILLS, ("spool",))

    assert any(problem.startswith("lost: ") for problem in checker.problems(deaths))


@pytest.mark.timeout(180)
def test_a_daemon_that_forgets_what_it_saw_is_caught(tmp_path: Path, mailbox: Mailbox, sink: Sink) -> None:
    """The checker finds what happened twice where a mail that comes again is taken for a new one."""
    deaths = Deaths(tmp_path / "desk", sink, mailbox, mutant="forgetful")
    deaths.run(MUTANT_KILLS, ("imap-move", "spool"))

    assert any("entries" in problem for problem in checker.problems(deaths))
