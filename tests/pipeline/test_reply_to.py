"""Reply-To is a place to answer and never an identity (reliability T4)."""

from __future__ import annotations

import pytest

DESK = "it-desk@globex.example"


def asks(office, place: str, sender: str = "bob@globex.example", **more):
    return office.customer(sender=sender, headers={"Reply-To": place}, **more)


def answered(office, text: str = "Pour water.") -> list[str]:
    notice = office.sent("agent")[-1]
    office.agent(text, notice.mail["Reply-To"], answers=notice.message_id)
    return [one.to for one in office.sent("customer", "answer") if text in one.text]


@pytest.mark.parametrize("place", [DESK, "IT <it-desk@mail.globex.example>"])
def test_an_answer_goes_where_a_proven_customer_asks(office, place):
    opened = asks(office, place)
    bare = place.rpartition("<")[2].strip(">")
    assert office.ticket(opened).requester.address == "bob@globex.example"
    assert f"Your answer goes to {bare}" in office.last("agent", "new_ticket").text
    assert office.last("customer", "opened").to == "bob@globex.example", "a machine writes to the address on record"

    assert answered(office) == [bare]


def test_his_last_mail_decides(office):
    asks(office, DESK)
    told = office.last("customer", "opened")
    office.customer("Rather to me.", answers=told.message_id, subject="Re: Printer")

    assert answered(office) == ["bob@globex.example"]


@pytest.mark.parametrize(
    "place",
    ["eve@elsewhere.example", "ann@acme.example", "support@acme.example", f"{DESK}, eve@globex.example", "x:;", ""],
    ids=["another domain", "staff", "the desk itself", "two places", "a group", "nothing"],
)
def test_anywhere_else_is_not_asked(office, place):
    asks(office, place)

    assert "Your answer goes to" not in office.last("agent", "new_ticket").text
    assert answered(office) == ["bob@globex.example"]


def test_what_nothing_proves_leads_no_answer_away(office):
    """Mutant: whoever forges a customer reads the answers."""
    office.mail("The printer burns.", "bob@globex.example", headers={"Reply-To": DESK})

    assert answered(office) == ["bob@globex.example"]


def test_at_a_public_provider_everybody_is_somebody_else(office):
    asks(office, "eve@gmail.com", sender="zoe@gmail.com")

    notice = office.sent("agent")[-1]
    office.agent("Who are you?", notice.mail["Reply-To"], answers=notice.message_id)
    assert office.last("customer", "answer").to == "zoe@gmail.com"


def test_somebody_elses_reply_to_is_his_alone(office):
    """Eve, a colleague, takes part; her Reply-To moves none of Bob's mail."""
    office.customer()
    told = office.last("customer", "opened")
    asks(office, "eve-desk@globex.example", sender="eve@globex.example", answers=told.message_id, subject="Re: Printer")

    assert sorted(answered(office)) == ["bob@globex.example", "eve-desk@globex.example"]
