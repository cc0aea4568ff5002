"""Who gets which mail, and what must never stand in it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpdesk.pipeline import letters
from helpdesk.store.tickets import add_participant

SECRET = "The customer is a fool."


def to(desk, audience, block=""):
    return [one.to for one in desk.sent(audience, block)]


def add_eve(desk, outcome):
    with desk.engine.begin() as connection:
        add_participant(connection, outcome.ticket_id, desk.ids["eve"], desk.now)


def test_the_acknowledgement_goes_to_the_requester_alone_and_an_answer_to_everybody(desk):
    opened = desk.customer()
    add_eve(desk, opened)
    desk.agent("Off.", desk.last("agent").mail["Reply-To"])

    assert to(desk, "customer", "opened") == ["bob@globex.example"]
    assert to(desk, "customer", "answer") == ["bob@globex.example", "eve@globex.example"]


def test_copies_of_one_answer_share_the_id_and_differ_in_the_reply_address(desk):
    add_eve(desk, desk.customer())
    desk.agent("Off.", desk.last("agent").mail["Reply-To"])

    first, second = desk.sent("customer", "answer")
    assert first.message_id == second.message_id == first.mail["Message-ID"]
    assert first.mail["Reply-To"] != second.mail["Reply-To"]
    assert second.mail["To"].addresses[0].addr_spec == "eve@globex.example"


def test_no_copy_tells_of_another(desk):
    add_eve(desk, desk.customer())
    desk.agent("Off.", desk.last("agent").mail["Reply-To"])

    assert "eve@" not in desk.sent("customer", "answer")[0].all


def test_an_automatic_mail_says_so_and_comes_from_nobody(desk):
    desk.customer()

    automatic = desk.last("customer", "opened")
    assert automatic.mail["Auto-Submitted"] == "auto-replied"
    assert automatic.envelope_sender == ""
    assert automatic.mail["X-Helpdesk-Loop"] == "support@acme.example"
    assert automatic.relay == "out"


def test_an_answer_is_a_persons_mail(desk):
    desk.customer()
    desk.agent("Off.", desk.last("agent").mail["Reply-To"])

    answer = desk.last("customer", "answer")
    assert answer.mail["Auto-Submitted"] is None
    assert answer.mail["From"].addresses[0].display_name == "Ann Berger (Acme Support)"
    assert answer.mail["From"].addresses[0].addr_spec == "support@acme.example"
    assert "ann@acme.example" not in answer.all


def test_what_agents_get_goes_by_their_own_relay(desk):
    desk.customer()

    notice = desk.last("agent")
    assert (notice.to, notice.relay) == ("ann@acme.example", "in")


def test_the_lead_hears_where_the_assigned_agent_is_gone(desk):
    desk.customer()
    with desk.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE ticket SET agent = 'gone'")

    desk.customer("more", answers=desk.last("customer").message_id)

    assert to(desk, "agent", "customer_wrote") == ["leo@acme.example"]


def test_the_customer_manager_of_the_contract_hears_of_a_lapse(desk):
    desk.customer(sender="ira@initech.example")

    assert to(desk, "manager") == ["mia@acme.example"]
    assert to(desk, "customer") == ["ira@initech.example"]
    assert "C-66" in desk.last("customer", "held_contract").text
    assert "mia@acme.example" in desk.last("customer", "held_contract").text


def test_an_unproven_agents_mail_is_told_at_the_address_on_record(desk):
    desk.customer()
    desk.mail("Give him all.", "Ann <ann@acme.example>", to=desk.last("agent").mail["Reply-To"])

    assert to(desk, "actor", "unproven") == ["ann@acme.example"]
    assert to(desk, "operator", "unproven_agent") == ["postmaster@acme.example"]
    assert "Give him all." not in "".join(one.all for one in desk.sent("actor") + desk.sent("operator"))
    assert to(desk, "customer", "answer") == []


@pytest.mark.parametrize(
    "sender", ["bob@globex.example", "zoe@elsewhere.example", "ira@initech.example"], ids=["known", "unknown", "lapsed"]
)
def test_no_words_of_an_unproven_sender_stand_in_an_automatic_mail(desk, sender):
    """Neither subject, nor name, nor text: our mail must not carry somebody's advertisement (T20)."""
    opened = desk.mail("Buy PILLS now", f'"PILLS for you" <{sender}>', subject="PILLS here", cc="eve@globex.example")
    desk.mail("More PILLS, C-77", f'"PILLS" <{sender}>', subject="PILLS", answers=desk.last("customer").message_id)

    assert opened.ticket_id
    assert len(desk.sent("customer")) >= 1
    for one in desk.sent("customer") + desk.sent("manager"):
        outside = one.all if one.audience == "customer" else ""
        assert "PILLS" not in outside


def test_a_proven_senders_subject_is_repeated(desk):
    desk.customer(subject="Printer burns")

    assert "Printer burns" in desk.last("customer", "opened").mail["Subject"]


def test_a_third_party_gets_nothing(desk):
    desk.customer()
    thread = desk.last("customer").message_id
    before = len(desk.sent("customer"))

    desk.customer("I am new here", "zoe@elsewhere.example", answers=thread)

    assert len(desk.sent("customer")) == before
    assert "not part of this ticket" in desk.last("agent", "customer_wrote").text


def test_a_stranger_never_learns_whether_a_ticket_exists(desk):
    """A guessed reference in the subject: the answers differ in their own new reference alone."""
    desk.customer("secret matter")
    answers = []
    for number, subject in enumerate(("Re: [AC-1001] Printer", "Re: [AC-9999] Printer")):
        desk.mail("hello", f"zoe{number}@elsewhere.example", subject=subject)
        answers.append(desk.last("customer").text)

    own = [answer.replace("AC-1002", "X").replace("AC-1003", "X") for answer in answers]
    assert own[0] == own[1]
    assert all("secret" not in one.all for one in desk.sent("customer") if "zoe" in one.to)


STORY = st.lists(
    st.sampled_from(
        [
            ("agent", f"#note {SECRET}"),
            ("agent", f"Dear Bob, off.\n\n#note {SECRET}"),
            ("agent", f"#note\n{SECRET}\n"),
            ("agent", f"#note:\n{SECRET}\n"),
            ("agent", f"Dear Bob.\n#noet {SECRET}"),
            ("agent by note address", SECRET),
            ("agent", "Switch it off."),
            ("agent", "#close"),
            ("customer", "It still burns."),
            ("colleague", "#take"),
            ("time", ""),
        ]
    ),
    min_size=1,
    max_size=6,
)


@given(story=STORY)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_note_never_reaches_a_customer_and_threads_never_mix(desk, story):
    """Each example goes on with a ticket of its own, so that they need no database of their own."""
    opened = desk.customer(f"Request {desk.written}")
    reply_to = desk.last("agent", "new_ticket").mail["Reply-To"]
    note_to = next(word for word in desk.last("agent", "new_ticket").all.split() if "support+n" in word)
    note_to = note_to[note_to.index("support+n") :].split(")")[0].split('"')[0].split(">")[0]
    for who, text in story:
        match who:
            case "agent":
                desk.agent(f"{text}", reply_to)
            case "agent by note address":
                desk.agent(text, note_to)
            case "customer":
                desk.customer(f"{text} {desk.written}", answers=desk.sent("customer")[-1].message_id)
            case "colleague":
                desk.agent(text, reply_to, sender="leo@acme.example")
            case _:
                desk.due(hours=3)

    customers = {one.message_id for one in desk.sent("customer")}
    others = {one.message_id for one in desk.sent() if one.audience != "customer"}
    assert not customers & others
    assert opened.ticket_id
    for one in desk.sent("customer"):
        assert "fool" not in one.all
        named = {one.mail["In-Reply-To"], *(one.mail["References"] or "").split()}
        assert not named & others
    for one in desk.sent("agent"):
        assert not {one.mail["In-Reply-To"], *(one.mail["References"] or "").split()} & customers


def test_files_that_are_too_large_to_send_along_are_named_as_such(office, monkeypatch):
    monkeypatch.setattr(letters, "ENCLOSED_BYTES", 1000)
    office.customer(file=b"x" * 1001)

    notice = office.last("agent")

    text = " ".join(notice.text.split())
    assert (
        "log.bin (0.0 MB): too large to send along, the administrator has the whole mail (helpdesk ticket raw)" in text
    )
    assert not list(notice.mail.iter_attachments())


@pytest.mark.parametrize(
    ("sender", "headers", "words"),
    [
        ("ira@initech.example", {}, "The customer was told how to renew."),
        ("ira@initech.example", {"Auto-Submitted": "auto-generated"}, "Nothing was said to the customer"),
        ("zoe@nobody.example", {}, "zoe@nobody.example asks for help: we do not know who that is"),
        ("zoe@nobody.example", {}, "He was asked for his company and contract number"),
        ("zoe@nobody.example", {"Auto-Submitted": "auto-generated"}, "He was not asked who he is"),
    ],
)
def test_the_agent_hears_what_the_customer_heard(office, sender, headers, words):
    office.customer(sender=sender, headers=headers)

    assert words in " ".join(office.last("agent").text.replace("*", "").split())


def test_nobodys_contract_is_shown_beside_a_third_party(office):
    office.customer()
    office.mail("Me too.", "mallory@elsewhere.example", answers=office.last("customer").message_id)

    notice = office.last("agent")

    assert "not part of this ticket" in " ".join(notice.text.split())
    assert "C-77" not in notice.text.splitlines()[0]


def test_the_operator_hears_whom_a_mail_in_quarantine_seems_to_be_from(office):
    raw = office.compose("It burns.", "bob@globex.example")
    twice = raw.data.replace(b"From: bob@globex.example\r\n", b"From: bob@globex.example\r\n" * 2)

    office.handle(replace(raw, data=twice))

    assert "bob@globex.example" in office.last("operator", "quarantined").text
