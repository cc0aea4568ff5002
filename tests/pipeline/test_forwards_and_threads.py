"""An agent's forward, and mails whose ids were lost, through the whole pipeline."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest

from helpdesk.inbound.thread import index_of

INDEX = base64.b64encode(bytes(range(1, 23))).decode()
ANSWERED_INDEX = base64.b64encode(bytes(range(1, 23)) + b"later").decode()


def forwarded(author: str = "Bob Miller <bob@globex.example>", words: str = "The scanner hums.") -> str:
    header = f"From: {author}\nDate: Mon, 23 Nov 2026 08:00\nSubject: Scanner\nTo: <ann@acme.example>"
    return f"He called me, too.\n\n---------- Forwarded message ---------\n{header}\n\n{words}\n"


def forward(office, text: str = "", subject: str = "Fwd: Scanner", **more):
    return office.agent(text or forwarded(), "support@acme.example", subject=subject, **more)


def test_an_agent_forwards_a_customers_mail(office):
    """The customer is the requester, hears of it in fixed words, gets the answer, and his reply comes to the ticket."""
    opened = forward(office)
    ticket = office.ticket(opened)
    assert (ticket.requester.address, ticket.subject, ticket.proven) == ("bob@globex.example", "Scanner", False)
    entries = {event.kind: event.text for event in office.history(opened) if event.text}
    assert entries == {"note": "He called me, too.", "customer entry": "The scanner hums."}

    told = office.last("customer", "opened")
    assert told.to == "bob@globex.example"
    assert not any(word in told.all for word in ("hums", "called", "Scanner"))
    notice = office.last("agent", "new_ticket")
    assert "The scanner hums." in notice.text
    assert "Bob Miller" in notice.text
    assert "bob@globex.example" in office.last("actor").text

    office.now += timedelta(minutes=5)
    office.agent("Clean the roller.", notice.mail["Reply-To"], answers=notice.message_id)
    answer = office.last("customer")
    assert (answer.kind, answer.to) == ("human", "bob@globex.example")
    assert "called" not in answer.all
    office.now += timedelta(minutes=5)
    again = office.customer("Still hums.", to=answer.mail["Reply-To"], answers=answer.message_id, subject="Re: Scanner")
    assert again.ticket_id == opened.ticket_id
    assert not any("He called me" in sent.all for sent in office.sent("customer"))


def test_a_forward_that_nothing_proves_is_kept_and_opens_nothing(office):
    """Mutant: From alone makes an agent."""
    outcome = office.mail(forwarded(), "ann@acme.example", subject="Fwd: Scanner")
    assert (outcome.name, outcome.ticket_id) == ("quarantined", None)
    assert not office.sent("customer")


def test_a_customers_forward_stays_the_customers(office):
    opened = office.customer(forwarded("Zoe <zoe@elsewhere.example>"), subject="Fwd: Scanner")
    assert office.ticket(opened).requester.address == "bob@globex.example"
    assert all(sent.to != "zoe@elsewhere.example" for sent in office.sent())


def test_an_unknown_author_is_held_and_hears_nothing(office):
    """Mutant: whoever gets an agent to forward a mail makes the desk write to any address."""
    opened = forward(office, forwarded("Zoe <zoe@elsewhere.example>"))
    ticket = office.ticket(opened)
    assert (ticket.requester.address, ticket.status) == ("zoe@elsewhere.example", "held")
    assert not office.sent("customer")
    assert office.sent("agent", "who_is_this")


@pytest.mark.parametrize(
    "author", ["Leo <leo@acme.example>", "support@acme.example", "support+rabc@acme.example", "Bob Miller"]
)
def test_what_is_no_customers_mail_comes_back_to_the_agent(office, author):
    outcome = forward(office, forwarded(author))
    assert (outcome.name, outcome.ticket_id) == ("dropped", None)
    assert office.last("actor", "returned").to == "ann@acme.example"
    assert not office.sent("customer")


def test_a_forward_of_a_tickets_mail_opens_a_ticket_of_its_own(office):
    first = office.customer(message_id="<first@globex.example>", headers={"Thread-Index": INDEX})
    reference = office.ticket(first).reference
    office.now += timedelta(hours=1)
    again = office.customer(
        forwarded("Eve <eve@globex.example>"),
        subject=f"Fwd: [{reference}] Printer",
        answers="<first@globex.example>",
        headers={"Thread-Index": ANSWERED_INDEX},
    )
    assert again.ticket_id not in (None, first.ticket_id)
    agents = forward(office, answers="<first@globex.example>", subject=f"Fwd: [{reference}] Printer")
    assert agents.ticket_id not in (None, first.ticket_id, again.ticket_id)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"message_id": "<new@server.example>", "headers": {"X-Microsoft-Original-Message-ID": "<old@globex.example>"}},
         {"answers": "<old@globex.example>", "subject": "Something else"}),
        ({"headers": {"Thread-Index": INDEX}}, {"headers": {"Thread-Index": ANSWERED_INDEX}}),
        ({}, {"subject": "AW: Printer"}),
        ({}, {"subject": "RE: Printer", "answers": "<rewritten@server.example>"}),
    ],
    ids=["the old id is kept aside", "only Outlook's index", "only the subject", "the ids were rewritten"],
)  # fmt: skip
def test_the_requesters_mail_finds_its_ticket_without_the_ids(office, first, second):
    opened = office.customer(**first)
    office.now += timedelta(hours=1)
    assert office.customer("It still burns.", **second).ticket_id == opened.ticket_id


@pytest.mark.parametrize("headers", [{"Thread-Index": INDEX}, {}], ids=["the customer's conversation", "one of ours"])
def test_our_mails_stay_in_outlooks_conversation_and_answers_by_it_alone_come_back(office, headers):
    """Outlook falls back on Thread-Index where a server rewrote the ids (FreeScout #4922)."""
    opened = office.customer(headers=headers)
    told = office.last("customer", "opened").mail
    notice = office.last("agent", "new_ticket").mail
    assert told["Thread-Topic"] == "Printer"
    if headers:
        assert index_of({"thread-index": [told["Thread-Index"]]}) == index_of({"thread-index": [INDEX]})
    assert index_of({"thread-index": [told["Thread-Index"]]}) != index_of({"thread-index": [notice["Thread-Index"]]})

    office.now += timedelta(hours=1)
    answered = base64.b64encode(base64.b64decode(told["Thread-Index"]) + b"later").decode()
    more = {"subject": f"AW: {told['Subject']}", "headers": {"Thread-Index": answered}}
    again = office.mail("It still burns.", "bob@globex.example", **more)
    assert again.ticket_id == opened.ticket_id

    office.now += timedelta(hours=1)
    office.agent("Pour water.", notice["Reply-To"], answers=notice["Message-ID"])
    assert index_of({"thread-index": [office.last("customer").mail["Thread-Index"]]}) == index_of(
        {"thread-index": [told["Thread-Index"]]}
    )


def test_a_conversation_of_ours_leads_no_stranger_into_the_ticket(office):
    """Mutant: whoever saw a Thread-Index of ours is believed; the subject is no secret either."""
    opened = office.customer()
    told = office.last("customer", "opened").mail
    more = {"subject": told["Subject"].partition("] ")[2], "headers": {"Thread-Index": told["Thread-Index"]}}
    other = office.customer("Me too.", sender="zoe@elsewhere.example", **more)
    assert other.ticket_id != opened.ticket_id


def test_an_unproven_customers_subject_is_no_topic_either(office):
    office.mail("The printer burns.", "bob@globex.example", subject="Buy now at evil.example")
    assert "evil" not in office.last("customer").all
    assert office.last("customer").mail["Thread-Topic"] is None


@pytest.mark.parametrize(
    "second",
    [
        {"sender": "ira@initech.example", "subject": "Re: Printer"},
        {"sender": "ira@initech.example", "headers": {"Thread-Index": ANSWERED_INDEX}},
        {"sender": "eve@globex.example", "subject": "Re: Printer"},
        {"sender": "zoe@elsewhere.example", "subject": "Re: Printer", "headers": {"Thread-Index": INDEX}},
        {"subject": "Printer"},
        {"subject": "Invoice", "headers": {"Thread-Index": ANSWERED_INDEX}},
    ],
    ids=["another company", "another company, the index", "a colleague", "a stranger", "no reply", "another subject"],
)
def test_weak_signs_lead_nobody_into_a_ticket_that_is_not_his(office, second):
    """Mutant: a subject or an index alone joins."""
    opened = office.customer(headers={"Thread-Index": INDEX})
    office.now += timedelta(hours=1)
    other = office.customer("Me too.", **second)
    assert other.ticket_id not in (None, opened.ticket_id)


def test_an_unproven_reply_is_not_led_by_its_subject(office):
    opened = office.customer()
    office.now += timedelta(hours=1)
    assert office.mail("It burns.", "bob@globex.example", subject="Re: Printer").ticket_id != opened.ticket_id


def test_a_subject_leads_to_no_ticket_of_long_ago(office):
    opened = office.customer()
    office.now += timedelta(days=31)
    assert office.customer("It burns.", subject="Re: Printer").ticket_id != opened.ticket_id


def test_an_agents_mail_is_led_by_no_weak_sign_to_a_customer(office):
    """Mutant: a colleague's Outlook index makes an answer to the customer out of an agent's mail."""
    office.customer(headers={"Thread-Index": INDEX})
    before = len(office.sent("customer"))
    headers = {"Thread-Index": ANSWERED_INDEX}
    outcome = office.agent("Internal.", "support@acme.example", subject="Re: Printer", headers=headers)
    assert outcome.ticket_id is None
    assert len(office.sent("customer")) == before
