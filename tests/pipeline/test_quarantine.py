"""What a person lets out of quarantine goes on; nothing is believed or answered for it."""

from __future__ import annotations

import pytest

from helpdesk.pipeline import handle
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
