"""A relay that is away, refuses or hesitates loses nothing, and whoever must know is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from tests.servers.ports import wait_for
from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import ALICE, CAROL, MONDAY, OPERATOR, Company
from tests.stories.letters import reference, says
from tests.stories.posts import InSink
from tests.stories.running import Running

pytestmark = pytest.mark.story


@pytest.fixture
def desk(tmp_path_factory: pytest.TempPathFactory, relay: Sink) -> Iterator[Running]:
    """A daemon for each story, since each moves the clock or stops the relay."""
    relay.deliveries.clear()
    folder = tmp_path_factory.mktemp("desk")
    with running.started(folder, Company(relay_port=relay.port), InSink(relay)) as desk:
        yield desk


def test_mail_waits_visibly_while_the_relay_is_away_and_goes_out_when_it_is_back(
    tmp_path_factory: pytest.TempPathFactory,
):
    first = Sink()
    port = first.port
    first.stop()
    folder = tmp_path_factory.mktemp("desk")
    with running.started(folder, Company(relay_port=port), InSink(first)) as desk:
        bob = desk.customer()
        desk.write(bob, "Pump-1", "It leaks.")
        wait_for(lambda: len(desk.json("outbox")) == 2, 15, 0.2)
        wait_for(lambda: all(row["attempts"] for row in desk.json("outbox")), 15, 0.2)
        waiting = desk.json("outbox")
        shown = desk.run("outbox")
        desk.stop()
        desk.start()
        second = Sink(port=port)
        try:
            desk.post = InSink(second)
            desk.set_time(MONDAY + timedelta(minutes=10))
            ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-1")
            desk.settle()
            ids = {row["recipient"]: row["message_id"] for row in waiting}

            assert set(ids) == {bob.address, ALICE.address}
            assert {row["state"] for row in waiting} == {"waiting"}
            assert all(row["last_error"] for row in waiting)
            assert bob.address in shown
            assert ids == {bob.address: ack["Message-ID"], ALICE.address: notice["Message-ID"]}
            assert len(desk.inbox(bob)) == 1
            assert len(desk.about(ALICE, "Pump-1")) == 1
            assert "The outbox is empty." in desk.run("outbox")
        finally:
            desk.stop()
            second.stop()


def test_a_hesitating_relay_gets_the_same_mail_again(desk: Running, relay: Sink):
    bob = desk.customer()
    relay.refuse(bob.address, "451 4.3.0 come back later", "450 4.2.0 greylisted")
    desk.write(bob, "Pump-2", "It leaks.")
    desk.wait(ALICE, "Pump-2")
    (row,) = wait_for(lambda: [one for one in desk.json("outbox") if one["last_error"]], 15, 0.2)
    assert row["recipient"] == bob.address
    assert "come back later" in row["last_error"]
    desk.set_time(MONDAY + timedelta(minutes=1))
    (row,) = wait_for(lambda: [one for one in desk.json("outbox") if "greylisted" in one["last_error"]], 15, 0.2)
    desk.set_time(MONDAY + timedelta(minutes=10))
    ack = desk.wait(bob)
    desk.settle()

    assert ack["Message-ID"] == row["message_id"]
    assert len(desk.inbox(bob)) == 1
    assert len(desk.about(ALICE, "Pump-2")) == 1, "others did not wait for him, nor hear of it"
    assert desk.inbox(OPERATOR) == []


def test_a_relay_that_hangs_up_after_the_mail_gets_it_again_with_the_same_id(desk: Running, relay: Sink):
    bob = desk.customer()
    relay.after_data("hang up", "hang up")
    desk.write(bob, "Pump-3", "It leaks.")
    desk.wait(bob)
    desk.set_time(MONDAY + timedelta(minutes=10))
    desk.wait(bob, count=2)
    desk.settle()

    assert len({mail["Message-ID"] for mail in desk.inbox(bob)}) == 1, "his mailbox can tell that it is one mail"
    assert len({str(mail) for mail in desk.inbox(bob)}) == 1
    assert len(desk.inbox(bob)) == 2


def test_the_agent_hears_when_the_relay_refuses_his_answer(desk: Running, relay: Sink):
    bob = desk.customer()
    desk.write(bob, "Pump-4", "It leaks.")
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-4")
    relay.refuse(bob.address, "550 5.1.1 no such user here")
    desk.reply(ALICE, notice, "Close the valve.")
    failed = desk.wait(ALICE, "Not delivered")
    desk.settle()

    assert reference(failed) == reference(ack)
    assert bob.address in says(failed)
    assert "no such user here" in says(failed)
    assert "Close the valve." in says(failed)
    assert desk.about(bob, "Close the valve.") == []
    assert len(desk.inbox(bob)) == 1
    assert len(desk.about(ALICE, "Not delivered")) == 1
    assert desk.ticket(reference(ack))["timers"][0]["state"] == "running", "the promise is still owed"
    assert desk.about(CAROL, "Pump-4") == []


def test_an_automatic_mail_that_is_refused_bothers_nobody(desk: Running, relay: Sink):
    bob = desk.customer()
    relay.refuse(bob.address, "550 5.1.1 no such user here")
    desk.write(bob, "Pump-5", "It leaks.")
    notice = desk.wait(ALICE, "Pump-5")
    desk.settle()

    assert len(desk.about(ALICE, "Pump-5")) == 1
    assert desk.inbox(bob) == []
    assert "no such user here" in str(desk.ticket(reference(notice))["history"])


def test_after_five_days_the_agent_is_told(desk: Running, relay: Sink):
    bob = desk.customer()
    desk.write(bob, "Pump-6", "It leaks.")
    notice = desk.wait(ALICE, "Pump-6")
    relay.refuse(bob.address, *["450 4.2.0 mailbox full"] * 50)
    desk.reply(ALICE, notice, "Close the valve.")
    wait_for(lambda: [one for one in desk.json("outbox") if one["last_error"]], 15, 0.2)
    desk.set_time(MONDAY + timedelta(days=4, hours=22))
    wait_for(lambda: [one for one in desk.json("outbox") if one["attempts"] > 1], 15, 0.2)
    desk.settle()
    assert desk.about(ALICE, "Not delivered") == []

    desk.set_time(MONDAY + timedelta(days=5, hours=1))
    failed = desk.wait(ALICE, "Not delivered")
    desk.settle()

    assert "mailbox full" in says(failed)
    assert "Close the valve." in says(failed), "he can send it in another way"
    assert "2 March 2026" in says(failed), "when it was first tried"
    assert desk.about(bob, "Close the valve.") == []
    assert len(desk.about(ALICE, "Not delivered")) == 1
