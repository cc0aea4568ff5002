"""Mails that a list or a web form hands on: the ticket is the writer's, and nothing proves him."""

from __future__ import annotations

from dataclasses import replace

import pytest

FORM = "forms@website.example"
GROUP = {
    "List-Post": "<mailto:support@acme.example>",
    "List-Id": "<support.acme.example>",
    "Precedence": "list",
    "X-Original-From": "Bob Miller <bob@globex.example>",
}
MUNGED = "'Bob Miller' via Support <support@acme.example>"


@pytest.fixture
def with_form(office):
    desk = office.world.desks["acme"]
    desks = {**office.world.desks, "acme": replace(desk, facts=replace(desk.facts, web_forms=(FORM,)))}
    office.world = replace(office.world, desks=desks)
    return office


def test_the_desks_own_list_hands_on_a_customers_mail(office):
    """Mutants: From alone says that it is our own mail; or the list's marks that a machine wrote it."""
    opened = office.mail("The scanner hums.", MUNGED, headers=GROUP)
    ticket = office.ticket(opened)
    assert (ticket.requester.address, ticket.proven) == ("bob@globex.example", False)
    assert office.last("customer", "opened").to == "bob@globex.example"
    assert "hums" not in office.last("customer").all


@pytest.mark.parametrize(
    "marks",
    [
        {"Auto-Submitted": "auto-replied"},
        {"Feedback-ID": "1:spring"},
        {"X-Auto-Response-Suppress": "All"},
        {"X-ServiceNow-Generated": "true"},
        {"X-CampaignID": "7"},
        {"X-Precedence": "bulk"},
    ],
    ids=lambda marks: next(iter(marks)),
)
def test_a_machine_behind_the_list_is_not_answered(office, marks):
    """Mutant: what the list's marks hid is not looked at again."""
    office.mail("Your request has been received.", MUNGED, headers=GROUP | marks)
    assert not office.sent("customer")


def test_the_list_of_another_tenants_desk_is_just_a_list(office):
    other = {"List-Post": "<mailto:support@umbra.example>", "List-Id": "<support.umbra.example>"}
    office.customer("News of the week.", headers=other)
    assert not office.sent("customer")


def test_a_person_whom_the_list_does_not_name_waits_and_is_not_dropped(office):
    outcome = office.mail("It hums.", MUNGED, headers={**GROUP, "X-Original-From": "Support <support@acme.example>"})
    assert outcome.name == "quarantined"
    assert "names no writer" in " ".join(office.last("operator", "quarantined").text.split())


def test_a_form_that_names_nobody_is_not_written_to(with_form):
    opened = with_form.mail("It hums.", f"<{FORM}>")
    assert with_form.ticket(opened).requester.address == FORM
    assert not with_form.sent("customer")


def test_the_same_words_of_two_people_in_one_form_are_no_machine(with_form):
    for writer in ("zoe@else.example", "yan@other.example"):
        with_form.mail(f"E-mail: {writer}\n\nIt hums.", f"<{FORM}>")
    assert [sent.to for sent in with_form.sent("customer")] == ["zoe@else.example", "yan@other.example"]


def test_an_agents_name_behind_the_list_is_worth_nothing(office):
    vouched = {"Authentication-Results": "mx.acme.example; dmarc=pass header.from=acme.example"}
    opened = office.customer()
    to = office.last("agent").mail["Reply-To"]
    posed = GROUP | vouched | {"X-Original-From": "Ann <ann@acme.example>"}
    outcome = office.mail("All is well.", MUNGED, to=to, headers=posed)
    assert opened.ticket_id
    assert outcome.name == "quarantined"
    assert not [sent for sent in office.sent("customer") if sent.kind == "human"]


def test_our_own_mail_that_a_list_sends_back_is_dropped(office):
    office.customer()
    own = office.last("customer")
    loop = {"X-Helpdesk-Loop": own.mail["X-Helpdesk-Loop"]}
    assert office.mail("Your request has arrived.", MUNGED, headers=GROUP | loop).name == "dropped"


def test_another_list_is_still_not_answered(office):
    other = {"List-Post": "<mailto:users@lists.example>", "List-Id": "<users.lists.example>"}
    office.customer("Hello all.", headers=other)
    assert not office.sent("customer")


@pytest.mark.parametrize(
    ("text", "headers"),
    [("The scanner hums.", {"Reply-To": "Bob <bob@globex.example>"}), ("Name: Bob\nE-mail: bob@globex.example", {})],
    ids=["by Reply-To", "by its fields"],
)
def test_a_form_names_its_writer(with_form, text, headers):
    opened = with_form.mail(text, f"Web site <{FORM}>", headers=headers)
    ticket = with_form.ticket(opened)
    assert (ticket.requester.address, ticket.proven) == ("bob@globex.example", False)
    assert with_form.last("customer", "opened").to == "bob@globex.example"


def test_a_form_that_writes_as_the_desk_itself(office):
    opened = office.mail("It hums.", "Site <support@acme.example>", headers={"Reply-To": "bob@globex.example"})
    assert office.ticket(opened).requester.address == "bob@globex.example"


def test_a_forged_mail_of_the_desk_is_dropped(office):
    failed = {
        "Authentication-Results": "mx.acme.example; dmarc=fail header.from=acme.example",
        "Reply-To": "bob@globex.example",
    }
    assert office.mail("Click here.", "support@acme.example", headers=failed).name == "dropped"
    assert office.mail("E-mail: bob@globex.example", "support@acme.example").name == "dropped"


def test_nobody_else_is_believed_to_be_a_form(office):
    """Mutant: any Reply-To makes a requester."""
    opened = office.mail("E-mail: bob@globex.example", "zoe@else.example", headers={"Reply-To": "bob@globex.example"})
    assert office.ticket(opened).requester.address == "zoe@else.example"


def test_a_form_that_names_an_agent_speaks_not_for_him(with_form):
    outcome = with_form.mail("#close", f"<{FORM}>", headers={"Reply-To": "ann@acme.example"})
    assert outcome.name == "quarantined"
