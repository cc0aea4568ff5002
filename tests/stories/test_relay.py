"""A relay that is away, refuses or hesitates loses nothing, and whoever must know is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from tests.servers.ports import wait_for
from tests.servers.sink import Sink
from tests.stories import letters, running
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
        wait_for(lambda: desk.json("outbox")[0]["last_error"], 15, 0.2)
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
            assert {row["attempts"] for row in waiting} == {0}, "it is the relay's trouble, not theirs"
            assert "Connection refused" in waiting[0]["last_error"]
            assert "Connection refused" in shown
            assert bob.address in shown
            assert ids == {bob.address: ack["Message-ID"], ALICE.address: notice["Message-ID"]}
            assert len(desk.inbox(bob)) == 1
            assert len(desk.about(ALICE, "Pump-1")) == 1
            assert "The outbox is empty." in desk.run("outbox")
        finally:
            desk.stop()
            second.stop()


def test_after_three_days_without_a_relay_the_queue_leaves_in_order_and_without_what_is_stale(
    tmp_path_factory: pytest.TempPathFactory,
):
    """F23. Mutants caught: rows that wait each for itself, automatic mail that never gets stale, answers that do."""
    first = Sink()
    port = first.port
    with running.started(tmp_path_factory.mktemp("desk"), Company(relay_port=port), InSink(first)) as desk:
        bob, cora, dora = desk.customer(), desk.customer(), desk.customer()
        desk.write(bob, "Pump-7", "It leaks.")
        notice = desk.wait(ALICE, "Pump-7")
        desk.wait(bob)
        desk.settle()
        first.stop()

        def queued(*recipients: str) -> list[dict[str, Any]]:
            rows = desk.json("outbox")
            return rows if {row["recipient"] for row in rows} >= set(recipients) else []

        desk.reply(ALICE, notice, "Close the valve.")
        wait_for(lambda: queued(bob.address), 15, 0.2)
        desk.write(cora, "Pump-8", "It leaks, too.")
        wait_for(lambda: queued(cora.address), 15, 0.2)
        desk.set_time(MONDAY + timedelta(days=2, hours=12))
        wait_for(lambda: not queued(cora.address), 15, 0.2)
        desk.reply(ALICE, notice, "Is it dry now?")
        desk.write(dora, "Pump-9", "Mine leaks as well.")
        waiting = wait_for(lambda: queued(bob.address, dora.address), 15, 0.2)
        assert [row["attempts"] for row in waiting] == [0] * len(waiting)
        assert [row["id"] for row in waiting] == sorted(row["id"] for row in waiting)

        second = Sink(port=port)
        try:
            desk.post = InSink(second)
            desk.set_time(MONDAY + timedelta(days=3))
            desk.wait(bob, "Is it dry now?")
            desk.settle()
            sent = {row["message_id"]: row["id"] for row in desk.json("outbox", "--all") if row["state"] == "sent"}
            left = [sent[str(letters.parsed(one.data)["Message-ID"])] for one in second.deliveries]

            assert left == sorted(left)
            assert len(left) == len(set(left)), "each once"
            assert [len(desk.about(bob, words)) for words in ("Close the valve.", "Is it dry now?")] == [1, 1]
            assert len(desk.about(dora, "Pump-9")) == 1, "half a day old is not stale"
            assert desk.inbox(cora) == [], "nobody wants to hear after three days that his mail came in"
            assert len(desk.about(ALICE, "Pump-8", "It leaks, too.")) >= 1
            assert desk.about(ALICE, "Not delivered") == [], "an automatic mail is nobody's to send again"
            (row,) = [row for row in desk.json("outbox", "--all") if row["recipient"] == cora.address]
            assert (row["state"], row["attempts"]) == ("expired", 0)
            assert "Connection refused" in row["last_error"]
            assert "Connection refused" in str(desk.ticket(reference(desk.about(ALICE, "Pump-8")[0]))["history"])
        finally:
            desk.stop()
            second.stop()


def test_an_answer_expires_while_the_relay_is_still_away(tmp_path_factory: pytest.TempPathFactory):
    first = Sink()
    port = first.port
    with running.started(tmp_path_factory.mktemp("desk"), Company(relay_port=port), InSink(first)) as desk:
        bob = desk.customer()
        desk.write(bob, "Pump-10", "It leaks.")
        notice = desk.wait(ALICE, "Pump-10")
        desk.settle()
        first.stop()
        desk.reply(ALICE, notice, "Close the valve.")
        wait_for(lambda: [row for row in desk.json("outbox") if row["kind"] == "human"], 15, 0.2)
        desk.set_time(MONDAY + timedelta(days=5, hours=1))
        wait_for(lambda: "delivery failed" in str(desk.ticket(reference(notice))["history"]), 15, 0.2)

        second = Sink(port=port)
        try:
            desk.post = InSink(second)
            desk.set_time(MONDAY + timedelta(days=5, hours=2))
            failed = desk.wait(ALICE, "Not delivered")
            desk.settle()

            assert "cannot be reached: Connection refused" in says(failed)
            assert "Close the valve." in says(failed)
            assert len(desk.about(ALICE, "Not delivered")) == 1
            assert desk.about(bob, "Close the valve.") == []
        finally:
            desk.stop()
            second.stop()


def test_an_administrator_tries_a_mail_at_once_or_cancels_it(desk: Running, relay: Sink):
    bob = desk.customer()
    desk.write(bob, "Pump-11", "It leaks.")
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-11")
    relay.refuse(bob.address, *["450 4.2.0 mailbox full"] * 2)
    desk.reply(ALICE, notice, "Close the valve.")
    (row,) = wait_for(lambda: [one for one in desk.json("outbox") if one["last_error"]], 15, 0.2)
    number = str(row["id"])

    assert f"Mail {number} is tried now." in desk.run("outbox", "retry", number)
    wait_for(lambda: [one for one in desk.json("outbox") if one["attempts"] == 2], 15, 0.2)
    said = wait_for(lambda: _unless_in_hand(desk, "outbox", "cancel", number), 15, 0.2)
    failed = desk.wait(ALICE, "Not delivered")
    desk.settle()

    assert said == f"Mail {number} to {bob.address} is cancelled.\n"
    assert reference(failed) == reference(ack)
    assert "cancelled with helpdesk outbox cancel" in says(failed)
    assert "cancelled with helpdesk outbox cancel" in str(desk.ticket(reference(ack))["history"])
    assert desk.about(bob, "Close the valve.") == []
    for wrong in (("cancel", number), ("cancel", "4711"), ("retry", number), ("retry", "4711")):
        desk.run("outbox", *wrong, code=65)
    for unclear in (["retry"], ["retry", number, "--all"], ["cancel"]):
        desk.run("outbox", *unclear, code=64)
    assert "0 mails are tried now." in desk.run("outbox", "retry", "--all")
    desk.settle()
    assert len(desk.about(ALICE, "Not delivered")) == 1


def _unless_in_hand(desk: Running, *arguments: str) -> str:
    """What a command prints; "" where the daemon has the mail in hand at this moment."""
    try:
        return desk.run(*arguments)
    except AssertionError as ended:
        if "ended with 75" not in str(ended):
            raise
        return ""


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
