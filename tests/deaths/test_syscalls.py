"""F2: killed at each system call on one mail's way, from the door to the relay: it arrives, once."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Literal

import pytest

from tests.deaths import checker, syscalls
from tests.deaths.harness import Deaths
from tests.deaths.power_loss import require_tracing
from tests.deaths.syscalls import OneMail, Point
from tests.servers.sink import Sink

pytestmark = pytest.mark.story

#: So many points of each door's path in CI, of about 220 that leave marks.
SAMPLE = {"smtp": 30, "imap": 15}
#: The path differs a little from run to run: a call is past its end where so many numbers in a row were not met.
PAST = 3


@pytest.fixture
def one_mail(request: pytest.FixtureRequest, tmp_path: Path, sink: Sink) -> OneMail:
    """A desk with one door, where strace is allowed to trace."""
    require_tracing()
    door: Literal["smtp", "imap"] = request.param
    mailbox = request.getfixturevalue("mailbox") if door == "imap" else None
    return OneMail(Deaths(tmp_path / "desk", sink, mailbox), door)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("one_mail", ["smtp", "imap"], indirect=True)
def test_f2_a_sample_of_the_system_calls(one_mail: OneMail, capsys: pytest.CaptureFixture[str]) -> None:
    """Some of each thread's each call that leaves a mark, spread over the path."""
    found = one_mail.survey()
    chosen = syscalls.sample(found, SAMPLE[one_mail.door])
    for point in chosen:
        one_mail.die_at(point)
    one_mail.end()

    _say(one_mail, found, capsys)
    assert checker.problems(one_mail.deaths) == []
    assert len(one_mail.hit) >= len(chosen) * 0.8, f"these were not met: {one_mail.missed}"


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("one_mail", ["smtp", "imap"], indirect=True)
def test_f2_every_system_call(one_mail: OneMail, capsys: pytest.CaptureFixture[str]) -> None:
    """Every call of every thread, reads and waits too: the first, the second ... until the mail goes through alive."""
    found = one_mail.survey()
    for thread, call in sorted({(point.thread, point.call) for point in found}):
        missed = 0
        for number in count(1):
            missed = 0 if one_mail.die_at(Point(thread, call, number)) else missed + 1
            if missed == PAST:
                break
    one_mail.end()

    _say(one_mail, found, capsys)
    assert checker.problems(one_mail.deaths) == []
    assert len(one_mail.hit) >= len(found) * 0.9


@pytest.mark.timeout(120)
def test_f2_a_daemon_that_says_250_early_is_caught(tmp_path: Path, sink: Sink) -> None:
    """Killed at the first write of a mail that it has acknowledged already, it has lost it."""
    require_tracing()
    one = OneMail(Deaths(tmp_path / "desk", sink, mutant="early-250"))
    one.begin()
    one.patience = 3

    with pytest.raises(AssertionError, match="not within"):
        one.die_at(Point("writer", "pwrite64", 1))

    assert any(problem.startswith("lost: ") for problem in checker.problems(one.deaths))


def _say(one: OneMail, found: list[Point], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(
            f"\n{one.door}: {len(found)} points on the path; killed at {len(one.hit)}: {syscalls.by_thread(one.hit)}; "
            f"not met {len(one.missed)}; mails {len(one.deaths.traffic.sent)}, "
            f"re-sent {checker.sent_again(one.deaths)}"
        )
