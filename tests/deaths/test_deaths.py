"""kill -9 while mail flows in by SMTP and IMAP and out: nothing acknowledged is lost, nothing happens twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.deaths import checker
from tests.deaths.harness import Deaths
from tests.deaths.phases import PHASES
from tests.servers.dovecot import Mailbox
from tests.servers.sink import Sink

pytestmark = pytest.mark.story

KILLS = 50
MANY_KILLS = 10_000
#: A mutant must be caught within so many kills.
MUTANT_KILLS = 10


@pytest.mark.timeout(420)
def test_fifty_deaths(tmp_path: Path, mailbox: Mailbox, sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed in the spool, while reading, in a batch, in an IMAP move and at the relay, ten times each."""
    _die_and_check(Deaths(tmp_path / "desk", sink, mailbox), KILLS, capsys)


@pytest.mark.long
@pytest.mark.timeout(12 * 3600)
def test_ten_thousand_deaths(tmp_path: Path, mailbox: Mailbox, sink: Sink, capsys: pytest.CaptureFixture[str]) -> None:
    """The same for a night."""
    for night in range(MANY_KILLS // 500):
        deaths = Deaths(tmp_path / f"desk{night}", sink, mailbox.server.mailbox(), seed=night)
        _die_and_check(deaths, 500, capsys)
        sink.deliveries.clear()


def _die_and_check(deaths: Deaths, kills: int, capsys: pytest.CaptureFixture[str]) -> None:
    deaths.run(kills)
    with capsys.disabled():
        print(f"\n{deaths.summary()}, re-sent {checker.sent_again(deaths)}")

    assert checker.problems(deaths) == []
    # Now and then the phase ends between our look and the kill; what was hit is counted, so the spread is real.
    assert all(deaths.hit[phase] >= kills // len(PHASES) // 2 for phase in PHASES), deaths.hit


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
