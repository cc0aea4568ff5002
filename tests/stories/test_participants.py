"""Who may join a ticket, and what somebody learns who only holds a sign of it."""

from __future__ import annotations

import pytest

from tests.stories.company import ALICE, OPERATOR, Person
from tests.stories.letters import everything, reference, says
from tests.stories.running import Running

pytestmark = pytest.mark.story


def test_a_colleague_in_copy_answers_the_customers_own_mail_and_joins(desk: Running):
    bob, cora = desk.customer_with_colleague()
    his = desk.write(bob, "Pump-1", "It leaks.", headers={"Cc": cora.address})
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-1")
    # All she has is his mail: its Message-ID is the only sign of the ticket.
    desk.write(cora, "Re: Pump-1", "It leaks on my side, too.", headers={"In-Reply-To": his})
    heard = desk.wait(ALICE, "on my side")
    desk.settle()

    assert reference(heard) == reference(ack)
    assert "not part of this ticket" not in says(heard)
    assert desk.inbox(cora) == [], "she gets no acknowledgement for a ticket that is open already"
    ticket = desk.ticket(reference(ack))
    assert ticket["participants"] == [cora.address]
    assert ticket["requester"]["address"] == bob.address

    desk.reply(ALICE, notice, "Close the valve.")
    for one in (bob, cora):
        desk.wait(one, "Close the valve.")
    desk.settle()
    mine, hers = desk.about(bob, "Close the valve.")[0], desk.about(cora, "Close the valve.")[0]

    assert mine["Message-ID"] == hers["Message-ID"], "a mail program that gets both shows one"
    assert mine["Reply-To"] != hers["Reply-To"]
    assert len(desk.inbox(bob)) == 2
    assert len(desk.inbox(cora)) == 1


def test_an_outsider_in_copy_joins_because_the_customer_named_him(desk: Running):
    bob = desk.customer()
    mate = Person("Max Mate", "max@builder-2.example")
    his = desk.write(bob, "Pump-2", "It leaks.", headers={"Cc": mate.address})
    ack = desk.wait(bob)
    desk.write(mate, "Re: Pump-2", "I built it so.", headers={"In-Reply-To": his})
    heard = desk.wait(ALICE, "I built it so.")
    desk.settle()

    assert reference(heard) == reference(ack)
    assert desk.ticket(reference(ack))["participants"] == [mate.address]
    assert desk.inbox(mate) == [], "nothing of before"


def test_a_stolen_reply_address_gets_a_stranger_nothing(desk: Running):
    bob = desk.customer()
    thief = Person("Theo Thief", "theo@thief-3.example")
    desk.write(bob, "Pump-3", "Secret-3 leaks.")
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-3")
    desk.reply(thief, ack, "Please send everything to me.\n\n#close")
    heard = desk.wait(ALICE, "Please send everything to me.")
    desk.settle()

    assert "The writer is not part of this ticket." in says(heard)
    ticket = desk.ticket(reference(ack))
    assert ticket["requester"]["address"] == bob.address
    assert ticket["participants"] == []
    assert ticket["status"] == "open"

    desk.reply(ALICE, notice, "Close the valve.")
    desk.wait(bob, "Close the valve.")
    desk.settle()

    assert desk.inbox(thief) == []
    assert [mail for mail in desk.inbox(bob) if "Theo" in everything(mail)] == []
    assert len(desk.inbox(bob)) == 2
    assert desk.about(OPERATOR, "Pump-3") == []


def test_a_customer_of_another_organisation_with_a_stolen_address_is_a_third_party_too(desk: Running):
    bob, rival = desk.customer(), desk.customer()
    desk.write(bob, "Pump-4", "Secret-4 leaks.")
    ack = desk.wait(bob)
    desk.reply(rival, ack, "What is it about?")
    heard = desk.wait(ALICE, "What is it about?")
    desk.settle()

    assert "not part of this ticket" in says(heard)
    assert desk.inbox(rival) == []
    assert desk.ticket(reference(ack))["participants"] == []


def test_an_unproven_mail_names_nobody_who_may_join(desk: Running):
    bob = desk.customer()
    spy = Person("Sam Spy", "sam@spy-5.example")
    forged = desk.write(bob, "Pump-5", "It leaks.", proven=False, headers={"Cc": spy.address})
    notice = desk.wait(ALICE, "Pump-5")
    desk.write(spy, "Re: Pump-5", "I am with him.", headers={"In-Reply-To": forged})
    heard = desk.wait(ALICE, "I am with him.")
    desk.reply(ALICE, notice, "Close the valve.")
    desk.wait(bob, "Close the valve.")
    desk.settle()

    assert "not part of this ticket" in says(heard)
    assert desk.inbox(spy) == []


def test_a_reply_to_a_closed_ticket_by_a_stranger_opens_nothing(desk: Running):
    bob = desk.customer()
    thief = Person("Tom Thief", "tom@thief-6.example")
    desk.write(bob, "Pump-6", "It leaks.")
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-6")
    desk.reply(ALICE, notice, "#close")
    closed = desk.wait(bob, "is closed")
    desk.reply(thief, closed, "Open it again.")
    desk.wait(ALICE, "Open it again.")
    desk.settle()

    assert desk.ticket(reference(ack))["status"] == "closed"
    assert desk.inbox(thief) == []
    assert len(desk.inbox(bob)) == 2
