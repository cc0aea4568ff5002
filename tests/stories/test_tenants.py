"""Several desks and two tenants in one daemon: each handles what is its own, once."""

from __future__ import annotations

import pytest

from tests.stories.company import ACME, ALICE, BRUNO, STAFF, SUPPORT, Agent, Company, Desk, Person
from tests.stories.letters import author, everything, letter, reference
from tests.stories.running import Running

pytestmark = pytest.mark.story

_REPAIRS = Desk("repairs", "Acme Repairs", "repairs@acme.example", "RE", "bruno")
_UMBRA = Desk("umbra", "Umbra Help", "help@umbra.example", "UM", "ursula", tenant="umbra")
_URSULA = Person("Ursula Umbra", "ursula@umbra.example")


@pytest.fixture(scope="module")
def company() -> Company:
    return Company(desks=(ACME, _REPAIRS, _UMBRA), staff=(*STAFF, Agent("ursula", _URSULA, lead=True, tenant="umbra")))


def test_a_mail_to_two_desks_of_one_tenant_is_handled_at_the_first_addressed(desk: Running):
    bob = desk.customer()
    both = f"{_REPAIRS.address}, {SUPPORT}"
    desk.write(bob, "Pump-1", "It leaks.", to=both, recipients=(_REPAIRS.address, SUPPORT))
    ack = desk.wait(bob)
    desk.wait(BRUNO, "Pump-1")
    desk.settle()

    assert author(ack) == "Acme Repairs <repairs@acme.example>"
    assert reference(ack).startswith("RE-")
    assert len(desk.inbox(bob)) == 1
    assert len(desk.about(BRUNO, "Pump-1")) == 1
    assert desk.about(ALICE, "Pump-1") == []
    assert desk.about(_URSULA, "Pump-1") == []


def test_the_same_mail_by_two_ways_is_one_ticket(desk: Running):
    bob = desk.customer()
    data = letter(bob, "Pump-2", "It leaks.", to=f"{SUPPORT}, {_REPAIRS.address}")
    # His mail server hands it in once for each recipient.
    desk.deliver(data, bob.address, SUPPORT)
    desk.deliver(data, bob.address, _REPAIRS.address)
    desk.wait(bob)
    desk.settle()

    assert len(desk.inbox(bob)) == 1
    assert len(desk.about(ALICE, "Pump-2")) + len(desk.about(BRUNO, "Pump-2")) == 1


def test_a_mail_to_two_tenants_is_a_ticket_at_each_and_neither_sees_the_other(desk: Running):
    bob = desk.customer()
    both = f"{SUPPORT}, {_UMBRA.address}"
    desk.write(bob, "Pump-3", "It leaks.", to=both, recipients=(SUPPORT, _UMBRA.address))
    desk.wait(bob, count=2)
    notice, hers = desk.wait(ALICE, "Pump-3"), desk.wait(_URSULA, "Pump-3")
    desk.settle()
    by_desk = {author(mail): mail for mail in desk.inbox(bob)}

    assert set(by_desk) == {"Acme Support <support@acme.example>", "Umbra Help <help@umbra.example>"}
    assert len(desk.inbox(bob)) == 2
    assert len(desk.about(ALICE, "Pump-3")) == len(desk.about(_URSULA, "Pump-3")) == 1
    assert "Umbra" not in everything(by_desk["Acme Support <support@acme.example>"])
    assert "Acme" not in everything(by_desk["Umbra Help <help@umbra.example>"]).replace("support@acme.example", "")
    assert reference(notice).startswith("AC-")
    assert reference(hers).startswith("UM-")

    desk.reply(ALICE, notice, "Close the valve, and tell nobody at the other company.")
    desk.wait(bob, "Close the valve")
    desk.settle()

    assert desk.about(_URSULA, "Close the valve") == []
    assert "Close the valve" not in str(desk.ticket(reference(hers))["history"])
    assert desk.ticket(reference(hers))["timers"][0]["state"] == "running"


def test_an_agent_of_one_tenant_is_nobody_at_the_other(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-4", "It leaks.")
    ack, notice = desk.wait(bob), desk.wait(ALICE, "Pump-4")
    desk.reply(_URSULA, notice, "Pay to umbra-4.\n\n#close")
    desk.settle()

    assert desk.about(bob, "umbra-4") == []
    assert len(desk.inbox(bob)) == 1
    ticket = desk.ticket(reference(ack))
    assert ticket["status"] == "open"


def test_a_reply_to_one_tenants_ticket_sent_to_the_others_desk_opens_its_own(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-5", "It leaks.")
    ack = desk.wait(bob)
    desk.wait(ALICE, "Pump-5")
    desk.reply(bob, ack, "Secret-5, to the wrong company.", to=_UMBRA.address, subject="Strayed-5")
    hers = desk.wait(_URSULA, "Secret-5")
    desk.settle()

    assert reference(hers).startswith("UM-")
    assert desk.about(ALICE, "Secret-5") == []
    assert "Secret-5" not in str(desk.ticket(reference(ack))["history"])


def test_a_renewal_at_one_tenant_renews_nothing_at_the_other(desk: Running):
    lena = desk.lapsed()
    desk.write(lena, "Pump-6", "It leaks.")
    desk.write(lena, "Pump-7", "It leaks.", to=_UMBRA.address)
    desk.wait(lena, count=2)
    file = desk.folder / "renewal.csv"
    file.write_text(
        "organisation,kind,number,products,start,end,manager\n"
        f"{lena.organisation},contract,U-1,Router,2020-01-01,2027-12-31,\n"
    )
    desk.run("import", str(file), "--tenant", "umbra")
    goes_on = desk.wait(lena, "U-1")
    desk.settle()

    assert reference(goes_on).startswith("UM-")
    assert len(desk.inbox(lena)) == 3
    (held,) = [one for one in desk.json("ticket", "list") if one["subject"] == "Pump-6"]
    assert held["status"] == "held"
