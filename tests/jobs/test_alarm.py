"""An alarm reaches somebody as long as one way works, in the end and once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from helpdesk.domain.alarm import Message
from helpdesk.domain.errors import TemporaryFailure
from helpdesk.jobs.alarm import Alarm
from tests.servers.ports import wait_for

ALARM = Message("a door does not work", "door\n")
CLEAR = Message("all is well again", "door worked again\n")


class Way:
    """A channel that works or not."""

    def __init__(self, name: str, fault: Exception | None = None) -> None:
        self.name, self.fault = name, fault
        self.took: list[Message] = []
        self.tries = 0

    def send(self, message: Message) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        self.took.append(message)


@pytest.fixture
def alarms() -> Iterator[list[Alarm]]:
    made: list[Alarm] = []
    yield made
    for one in made:
        one.stop()


def started(alarms: list[Alarm], *ways: Way) -> Alarm:
    alarm = Alarm(ways, again_seconds=0.1)
    alarms.append(alarm)
    alarm.start()
    return alarm


def test_every_channel_gets_it_and_one_that_fails_keeps_no_other_from_it(
    alarms: list[Alarm], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Way("first", TemporaryFailure("is away")), Way("second", RuntimeError("a secret"))
    third, fourth = Way("third"), Way("fourth")
    alarm = started(alarms, first, second, third, fourth)

    alarm.tell(ALARM)

    wait_for(lambda: fourth.took, 20)
    assert third.took == fourth.took == [ALARM]
    wait_for(lambda: "alarm sent" in caplog.text or caplog.records, 20)
    assert alarm.condition() == ""
    assert "a secret" not in caplog.text


def test_nobody_reached_means_trying_again_until_one_takes_it(alarms: list[Alarm]) -> None:
    way = Way("only", TemporaryFailure("is away"))
    alarm = started(alarms, way)
    alarm.tell(ALARM)
    wait_for(lambda: way.tries >= 3, 20)

    assert alarm.condition() == "nobody could be told: only: is away"
    way.fault = None
    wait_for(lambda: way.took, 20)
    wait_for(lambda: not alarm.condition(), 20)
    tries = way.tries
    threading.Event().wait(0.4)
    assert way.took == [ALARM]
    assert way.tries == tries


def test_what_could_not_be_told_in_time_goes_out_in_one_message(alarms: list[Alarm]) -> None:
    way = Way("only", TemporaryFailure("is away"))
    alarm = started(alarms, way)
    alarm.tell(ALARM)
    wait_for(lambda: way.tries, 20)
    alarm.tell(CLEAR)
    wait_for(lambda: way.tries >= 3, 20)
    way.fault = None

    wait_for(lambda: way.took, 20)
    assert way.took == [Message(CLEAR.subject, f"{ALARM.text}\n{CLEAR.text}")]


def test_telling_never_waits_for_a_channel_that_hangs(alarms: list[Alarm]) -> None:
    gate = threading.Event()

    class Hanging(Way):
        def send(self, message: Message) -> None:
            gate.wait(60)
            super().send(message)

    way = Hanging("hangs")
    alarm = started(alarms, way)
    for number in range(100):
        alarm.tell(Message(str(number), ""))
    gate.set()

    wait_for(lambda: way.took and way.took[-1].subject == "99", 20)
