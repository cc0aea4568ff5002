"""Machines get no automatic answer, nobody gets too many, and nothing goes round in circles."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.stories.company import ALICE, MONDAY, OPERATOR, SUPPORT, Person
from tests.stories.letters import everything, reference, says
from tests.stories.running import Running

pytestmark = pytest.mark.story


@pytest.mark.parametrize(
    ("mark", "headers", "envelope"),
    [
        ("vacation-1", {"Auto-Submitted": "auto-replied"}, None),
        ("cron-2", {"Auto-Submitted": "auto-generated"}, None),
        ("list-3", {"List-Id": "<pumps.lists.example>", "Precedence": "list"}, None),
        ("bulk-4", {"Precedence": "bulk"}, None),
        ("null-5", {}, ""),
    ],
)
def test_a_machines_mail_is_filed_and_not_answered(
    desk: Running, mark: str, headers: dict[str, str], envelope: str | None
):
    bob = desk.customer()
    desk.write(bob, mark, "I am away.", headers=headers, envelope=envelope)
    notice = desk.wait(ALICE, mark)
    desk.settle()

    assert desk.inbox(bob) == []
    assert "I am away." in says(notice), "it is a ticket like any other"
    assert desk.ticket(reference(notice))["requester"]["address"] == bob.address


def test_an_out_of_office_reply_to_an_answer_is_filed_and_changes_nothing(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-6", "It leaks.")
    notice = desk.wait(ALICE, "Pump-6")
    desk.reply(ALICE, notice, "Close the valve.")
    answer = desk.wait(bob, "Close the valve.")
    desk.reply(
        bob, answer, "I am away-6.", subject="Automatic reply: Pump-6", headers={"Auto-Submitted": "auto-replied"}
    )
    desk.settle()

    ticket = desk.ticket(reference(answer))
    assert ticket["status"] == "waiting"
    assert "I am away-6." in str(ticket["history"])
    assert len(desk.inbox(bob)) == 2
    assert desk.about(ALICE, "I am away-6.") == []


def test_a_bounce_of_an_answer_reaches_the_agent_and_nobody_else(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-7", "It leaks.")
    notice = desk.wait(ALICE, "Pump-7")
    desk.reply(ALICE, notice, "Close the valve.")
    answer = desk.wait(bob, "Close the valve.")
    bounce = (
        "From: MAILER-DAEMON@mx.mine.example\r\nTo: support@acme.example\r\nSubject: Undelivered Mail\r\n"
        "Message-ID: <bounce-7@mx.mine.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nThe mailbox is full.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.mine.example\r\n\r\n"
        f"Final-Recipient: rfc822; {bob.address}\r\nAction: failed\r\nStatus: 5.2.2\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {answer['Message-ID']}\r\n--b--\r\n"
    )
    desk.deliver(bounce.encode(), "", SUPPORT)
    heard = desk.wait(ALICE, "The mailbox is full.")
    desk.settle()

    assert reference(heard) == reference(answer)
    assert desk.inbox("MAILER-DAEMON@mx.mine.example") == []
    assert len(desk.inbox(bob)) == 2


def test_a_bounce_of_nothing_of_ours_opens_no_ticket(desk: Running):
    before = len(desk.json("ticket", "list", "--all"))
    bounce = (
        "From: MAILER-DAEMON@other.example\r\nTo: support@acme.example\r\nSubject: Undelivered Mail\r\n"
        "Message-ID: <bounce-8@other.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nspam-8\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.other.example\r\n\r\n"
        "Final-Recipient: rfc822; x@other.example\r\nAction: failed\r\nStatus: 5.1.1\r\n--b--\r\n"
    )
    desk.deliver(bounce.encode(), "", SUPPORT)
    desk.settle()

    sentinels = 2
    assert len(desk.json("ticket", "list", "--all")) == before + sentinels
    assert desk.about(ALICE, "spam-8") == []
    assert desk.inbox("MAILER-DAEMON@other.example") == []


def test_an_unproven_sender_gets_one_automatic_mail_a_day_without_his_words(desk: Running):
    bob = desk.customer()
    loud = Person("BUY-GOLD-9 cheap", bob.address)
    desk.write(loud, "buy-gold-9 at gold.example", "buy-gold-9 now", proven=False)
    first = desk.wait(bob)
    desk.write(loud, "second-9", "buy-gold-9 again", proven=False)
    desk.wait(ALICE, "second-9")
    desk.settle()

    assert "gold" not in everything(first).lower()
    assert len(desk.inbox(bob)) == 1
    assert desk.about(ALICE, "buy-gold-9 again"), "nothing of it is lost"

    desk.set_time(MONDAY + timedelta(hours=25))
    try:
        desk.write(loud, "third-9", "buy-gold-9 tomorrow", proven=False)
        desk.wait(bob, count=2)
        desk.settle()
    finally:
        desk.set_time(MONDAY)

    assert len(desk.inbox(bob)) == 2
    assert all("gold" not in everything(mail).lower() for mail in desk.inbox(bob))


def test_an_unknown_unproven_senders_words_are_not_sent_to_whom_he_names(desk: Running):
    victim = Person("BUY-GOLD-10", "victim@elsewhere.example")
    desk.write(victim, "buy-gold-10", "buy-gold-10", proven=False)
    asked = desk.wait(victim)
    desk.write(victim, "buy-gold-10 again", "buy-gold-10", proven=False)
    desk.settle()

    assert "gold" not in everything(asked).lower()
    assert len(desk.inbox(victim)) == 1


def test_mail_from_the_desks_own_address_is_dropped(desk: Running):
    us = Person("Acme Support", SUPPORT)
    before = len(desk.inbox(SUPPORT))
    tickets = len(desk.json("ticket", "list", "--all"))
    desk.write(us, "Echo-11", "Hello me.")
    desk.settle()

    assert len(desk.inbox(SUPPORT)) == before
    assert desk.about(ALICE, "Echo-11") == []
    assert len(desk.json("ticket", "list", "--all")) == tickets + 2


def test_our_own_mail_that_comes_back_from_elsewhere_is_dropped(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-12", "It leaks.")
    ack = desk.wait(bob)
    desk.wait(ALICE, "Pump-12")
    # A forwarding rule of the customer's sends everything back in his own name.
    returned = {"X-Helpdesk-Loop": str(ack["X-Helpdesk-Loop"]), "In-Reply-To": str(ack["Message-ID"])}
    desk.write(bob, f"Fwd: {ack['Subject']}", "Returned-12", headers=returned)
    desk.settle()

    assert len(desk.inbox(bob)) == 1
    assert desk.about(ALICE, "Returned-12") == []
    assert ack["X-Helpdesk-Loop"]


def test_two_desks_that_answer_each_other_stop(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Ping-13", "Hello.")
    ack = desk.wait(bob)
    for _ in range(3):
        mark = {"Auto-Submitted": "auto-replied"}
        desk.reply(bob, ack, "We have received your mail. Pong-13", headers=mark)
    desk.settle()

    assert len(desk.inbox(bob)) == 1
    assert desk.about(ALICE, "Pong-13") == []
    assert desk.about(OPERATOR, "Ping-13") == []
