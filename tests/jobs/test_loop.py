"""The thread of every job: whatever a turn does, it goes on, and tells how it goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.jobs.handle import FAST_SECONDS, longest_turn
from helpdesk.jobs.loop import Loop
from tests.servers.ports import wait_for


class Work:
    """A turn that can be told what to do next."""

    def __init__(self) -> None:
        self.turns = 0
        self.fault: Exception | None = None
        self.ending = False
        self.gate = threading.Event()
        self.gate.set()

    def turn(self) -> bool:
        self.turns += 1
        self.gate.wait(60)
        if self.ending:
            raise KeyboardInterrupt  # nothing that a loop catches
        if self.fault is not None:
            raise self.fault
        return False


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def loop(work: Work) -> Iterator[Loop]:
    one = Loop("lane", work.turn, patience=0.2)
    one.start()
    yield one
    work.gate.set()
    one.stop()


def test_is_well_while_it_turns_and_waits(loop: Loop, work: Work) -> None:
    wait_for(lambda: work.turns)

    assert (loop.condition(), loop.lost()) == ("", False)


def test_fault_is_named_without_its_text_and_work_goes_on(
    loop: Loop, work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    work.fault = ValueError("the customer's own words")
    loop.wake()

    words = wait_for(loop.condition)
    wait_for(lambda: work.turns >= 4)
    work.fault = None
    loop.wake()

    assert words == "meets ValueError at each turn; the log names the place"
    assert not loop.lost()
    wait_for(lambda: not loop.condition())
    (line,) = [one.getMessage() for one in caplog.records if "met ValueError" in one.getMessage()]
    assert "test_loop.py" in line
    assert "words" not in line


def test_our_own_words_are_told(loop: Loop, work: Work) -> None:
    work.fault = TemporaryFailure("the database did not take it")
    loop.wake()

    assert wait_for(loop.condition) == "cannot go on for now: the database did not take it"


def test_stuck_turn_is_told_until_it_goes_on(loop: Loop, work: Work) -> None:
    work.gate.clear()
    loop.wake()

    assert wait_for(loop.condition).startswith("has been at one piece of work for")
    assert loop.lost()
    work.gate.set()
    wait_for(lambda: not loop.condition())
    assert not loop.lost()


def test_turn_that_waits_between_its_pieces_is_not_stuck() -> None:
    """A deliverer that offers a mail's fate to a dead database each second must not be restarted for it."""
    ended = threading.Event()
    conditions: list[str] = []

    def turn() -> bool:
        for _ in range(8):
            one.wait(0.1)
            conditions.append(one.condition())
        ended.set()
        return False

    one = Loop("relay", turn, patience=0.5)
    one.start()
    assert ended.wait(20)
    one.stop()

    assert set(conditions) == {""}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_ended_thread_is_told(loop: Loop, work: Work) -> None:
    work.ending = True
    loop.wake()

    assert wait_for(loop.condition) == "its thread has ended"
    assert loop.lost()


def test_stopped_loop_is_no_trouble(loop: Loop) -> None:
    loop.stop()

    assert (loop.condition(), loop.lost()) == ("", False)


@pytest.mark.parametrize("seconds", [1, 20, 180])
def test_lane_full_of_mails_that_hang_is_not_stuck(seconds: int) -> None:
    """180 seconds for one mail is what the settings allow; a restart would only begin it anew."""
    assert longest_turn(1, seconds) > seconds
    assert longest_turn(50, FAST_SECONDS) > 50 * FAST_SECONDS
