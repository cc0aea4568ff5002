"""What a person lets out of quarantine goes on; nothing is believed or answered for it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from helpdesk.pipeline import handle, letters
from helpdesk.store import spool


def release(office, outcome):
    with office.engine.begin() as connection:
        assert spool.release(connection, outcome.quarantine_id, "by command line", office.now)
        (taken,) = spool.claim(connection, 50)
    found = office.read(taken)
    with office.engine.begin() as connection:
        return handle.handle_mail(connection, office.world, taken, found, office.now)


def test_spam_that_a_person_lets_in_is_a_strangers_request(office):
    """Mutant: the verdict is heard again, and the mail goes round in circles."""
    aside = office.mail("Sell me toner.", "zoe@elsewhere.example", headers={"X-Spam-Flag": "YES"})
    assert aside.name == "quarantined"
    assert not office.sent("customer")

    outcome = release(office, aside)

    assert office.ticket(outcome).requester.address == "zoe@elsewhere.example"
    assert office.last("agent", "who_is_this")
    assert [one.block for one in office.sent("customer")] == ["who_are_you"]


@pytest.mark.parametrize("sender", ["bob@globex.example, eve@globex.example", "Friends: bob@globex.example;"])
def test_a_mail_of_nobody_for_sure_is_from_whom_it_seems_to_be_and_no_machine_answers_it(office, sender):
    """Mutant: released and set aside again, for ever; or answered, though From proves less than nothing (S31)."""
    aside = office.mail("The printer burns.", sender)
    assert aside.name == "quarantined"

    outcome = release(office, aside)

    assert office.ticket(outcome).requester.address == "bob@globex.example"
    assert not office.ticket(outcome).proven
    assert office.last("agent", "new_ticket")
    assert not office.sent("customer")


def test_what_seems_to_be_an_agents_is_nobodys_order(office):
    opened = office.customer()
    notice = office.last("agent", "new_ticket")
    aside = office.mail(
        "#close\n\nDone.", "ann@acme.example, bob@globex.example", to=notice.mail["Reply-To"], answers=notice.message_id
    )
    before = len(office.sent("customer"))

    release(office, aside)

    assert office.ticket(opened).status != "closed"
    assert len(office.sent("customer")) == before


def morning(office):
    """The mail that says what waits, on the next morning."""
    with office.engine.begin() as connection:
        assert handle.tell_of_quarantine(connection, office.world, office.now + timedelta(hours=24))
    return office.last("operator", "quarantine_waits")


def attached(sent):
    return [part.get_payload(decode=True) for part in sent.mail.iter_attachments()]


def test_the_operator_lists_sees_and_releases_by_mail_alone(office):
    """Mutants: spam is counted only, and there is nothing to reply to; anybody who knows the address sees it."""
    raw = office.compose("Sell me toner.", "zoe@elsewhere.example", headers={"X-Spam-Flag": "YES"})
    office.handle(raw)
    told = morning(office)
    assert "from zoe@elsewhere.example: a spam filter condemned it" in " ".join(told.text.split())
    (address,) = re.findall(r"mailto:(support\+q[a-z2-7]+@acme\.example)", told.text)

    office.mail("#show", "postmaster@acme.example", to=address)
    assert attached(office.sent()[-1]) == []

    operator = {"sender": "postmaster@acme.example", "to": address}
    office.agent("#show", **operator)
    shown = office.last("operator", "whole_mail")
    assert attached(shown) == [raw.data]

    office.agent("#release", sender="postmaster@acme.example", to=shown.mail["Reply-To"])
    with office.engine.begin() as connection:
        (taken,) = spool.claim(connection, 50)
    found = office.read(taken)
    with office.engine.begin() as connection:
        outcome = handle.handle_mail(connection, office.world, taken, found, office.now)
    assert office.ticket(outcome).requester.address == "zoe@elsewhere.example"


def test_a_lead_sees_it_and_another_agent_does_not(office):
    office.mail("Sell me toner.", "zoe@elsewhere.example", headers={"X-Spam-Flag": "YES"})
    (address,) = re.findall(r"mailto:(support\+q[a-z2-7]+@acme\.example)", morning(office).text)

    office.agent("#show", address, sender="leo@acme.example")
    assert attached(office.last("actor"))
    assert office.last("actor").to == "leo@acme.example"
    before = len(office.sent())

    office.agent("#show", address, sender="ann@acme.example")
    assert len(office.sent()) == before


def test_no_more_than_twenty_are_listed_and_all_are_counted(office):
    for number in range(25):
        office.mail(f"Toner {'x' * number}", f"zoe{number}@elsewhere.example", headers={"X-Spam-Flag": "YES"})

    told = morning(office)

    assert "25 mails wait" in told.text
    assert len(re.findall(r"mailto:support\+q", told.text)) == letters.WAITING_LISTED
