"""The promise of a first answer: reminders on business time, once each, until the relay has a person's answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import ALICE, BRUNO, CAROL, MONDAY, Company
from tests.stories.letters import reference, says
from tests.stories.posts import InSink
from tests.stories.running import Running, pause

pytestmark = pytest.mark.story

#: The daemon looks at its timers every second.
_TICKS = 2


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory, relay: Sink) -> Iterator[Running]:
    """A daemon for each story, since each moves the clock."""
    relay.deliveries.clear()
    folder = tmp_path_factory.mktemp("desk")
    with running.started(folder, Company(relay_port=relay.port), InSink(relay)) as desk:
        yield desk


def test_reminders_and_breach_come_once_each(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-1", "It leaks.")
    ack = desk.wait(bob)
    desk.wait(ALICE, "Pump-1")

    # Eight business hours from Monday 10:00 are Tuesday 10:00; half of them Monday 14:00, four fifths 16:24.
    desk.set_time(MONDAY + timedelta(hours=3, minutes=55))
    pause(_TICKS)
    assert len(desk.about(ALICE, "Pump-1")) == 1, "not yet"

    desk.set_time(MONDAY + timedelta(hours=4, minutes=1))
    desk.wait(ALICE, "Pump-1", "50% of the time is over")
    desk.set_time(MONDAY + timedelta(hours=6, minutes=20))
    pause(_TICKS)
    assert len(desk.about(ALICE, "Pump-1")) == 2

    desk.set_time(MONDAY + timedelta(hours=6, minutes=25))
    desk.wait(ALICE, "Pump-1", "80% of the time is over")
    # The night is no business time.
    desk.set_time(MONDAY + timedelta(hours=23))
    pause(_TICKS)
    assert len(desk.about(ALICE, "Pump-1")) == 3
    assert desk.about(CAROL, "Pump-1") == []

    desk.set_time(MONDAY + timedelta(hours=24, minutes=1))
    broken = desk.wait(CAROL, "Pump-1", "Promise broken")
    desk.wait(ALICE, "Pump-1", "The promised time is over")
    desk.set_time(MONDAY + timedelta(hours=30))
    pause(_TICKS)

    assert bob.name in says(broken)
    assert len(desk.about(ALICE, "Pump-1")) == 4
    assert len(desk.about(CAROL, "Pump-1")) == 1
    assert desk.about(BRUNO, "Pump-1") == []
    assert len(desk.inbox(bob)) == 1, "the customer is not told of our clock"
    assert "late, because the desk was not running" not in " ".join(says(one) for one in desk.inbox(ALICE))
    (timer,) = desk.ticket(reference(ack))["timers"]
    assert timer["state"] == "running", "the acknowledgement is no answer, and a broken promise is still owed"


def test_the_relays_acceptance_of_an_answer_stops_the_clock_and_the_decision_does_not(desk: Running, relay: Sink):
    bob = desk.customer()
    desk.write(bob, "Pump-2", "It leaks.")
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-2")
    relay.refuse(bob.address, "451 4.3.0 come back later")
    desk.reply(ALICE, notice, "Close the valve.")
    desk.settle()

    (timer,) = desk.ticket(reference(ack))["timers"]
    assert timer["state"] == "running"
    assert desk.about(bob, "Close the valve.") == []

    desk.set_time(MONDAY + timedelta(hours=1))
    desk.wait(bob, "Close the valve.")
    desk.settle()
    assert desk.ticket(reference(ack))["timers"][0]["state"] == "met"

    desk.set_time(MONDAY + timedelta(hours=30))
    pause(_TICKS)
    assert len(desk.about(ALICE, "Pump-2")) == 1
    assert desk.about(CAROL, "Pump-2") == []


def test_a_note_does_not_stop_the_clock(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-3", "It leaks.")
    notice = desk.wait(ALICE, "Pump-3")
    desk.reply(ALICE, notice, "#note I will look at it.")
    desk.wait(ALICE, "Kept as an internal note")
    desk.set_time(MONDAY + timedelta(hours=4, minutes=1))
    desk.wait(ALICE, "Pump-3", "50% of the time is over")

    assert len(desk.inbox(bob)) == 1


def test_after_a_weekend_down_there_is_one_late_reminder_for_each_ticket(desk: Running):
    first, second, third = desk.customer(), desk.customer(), desk.customer()
    desk.write(first, "Pump-4", "It leaks.")
    desk.write(second, "Pump-5", "It leaks, too.")
    desk.write(third, "Pump-6", "It leaks, too, but was answered.")
    for mark in ("Pump-4", "Pump-5", "Pump-6"):
        desk.wait(ALICE, mark)
    desk.reply(ALICE, desk.wait(ALICE, "Pump-6"), "Close the valve.")
    desk.wait(third, "Close the valve.")
    desk.settle()
    desk.stop()
    before = len(desk.inbox(ALICE))

    desk.set_time(MONDAY + timedelta(days=7))
    desk.start()
    for mark in ("Pump-4", "Pump-5"):
        reminder = desk.wait(ALICE, mark, "This reminder is late")
        assert "50%, 80%, breach" in says(reminder)
        desk.wait(CAROL, mark, "This mail is late")
    pause(_TICKS)
    desk.settle()

    sentinels = [one for one in desk.inbox(ALICE)[before:] if "sentinel" in str(one["Subject"])]
    assert len(desk.about(ALICE, "Pump-4")) == 2, "the notice and one reminder"
    assert len(desk.about(ALICE, "Pump-5")) == 2
    assert len(desk.about(CAROL, "Pump-4")) == len(desk.about(CAROL, "Pump-5")) == 1
    assert len(desk.about(ALICE, "Pump-6")) == 1
    assert desk.about(CAROL, "Pump-6") == []
    # The two sentinels from before the weekend were never answered: notice now, reminder for the older ones.
    assert len(sentinels) == 4
    assert len(desk.inbox(first)) == len(desk.inbox(second)) == 1
