"""Each effect and what it writes."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from helpdesk.domain.decision import (
    AddEntry,
    Assign,
    Audience,
    Confirm,
    Decision,
    Drop,
    JoinTicket,
    OpenTicket,
    Record,
    Relay,
    Say,
    SetAside,
    SetStatus,
    Step,
    Suppress,
    UseContract,
)
from helpdesk.domain.event import EventKind
from helpdesk.domain.ticket import Reason, Status
from helpdesk.pipeline import handle
from helpdesk.pipeline.apply import apply
from helpdesk.store import people, spool, tickets
from helpdesk.store.tables import message_id, participant, ticket

ENTRY = AddEntry(EventKind.CUSTOMER_ENTRY, "words")


def do(office, *effects, sender="bob@globex.example", proven=True, **mail):
    """Apply these effects, as if a rule had wanted them, for a mail of this sender."""
    user = sender if proven else ""
    taken = office.take(office.compose("words", f"Somebody <{sender}>", user=user, **mail))
    reading = office.read(taken)
    with office.engine.begin() as connection:
        considered = handle.consider(connection, office.world, taken, reading, office.now)
        decision = Decision((Step("test", "because", effects),))
        done = apply(
            connection, office.world, considered.desk, considered.facts, decision,
            at=taken.mail.received_at, taken=taken,
        )  # fmt: skip
        spool.finish(connection, taken, done.name, done.why, done.ticket_id, office.now)
    return done


def events(office, outcome):
    return [(one.kind, dict(one.data)) for one in office.history(outcome)]


def test_opens_a_ticket_with_both_threads_and_its_entry(office):
    outcome = do(office, OpenTicket("Printer"), ENTRY, cc="Eve <eve@globex.example>", message_id="<first@x>")

    found = office.ticket(outcome)
    assert (found.subject, found.status, found.requester.name, found.proven) == ("Printer", "new", "Bob Miller", True)
    assert found.reference == "AC-1001"
    assert events(office, outcome) == [
        ("opened", {"status": "new"}),
        ("customer entry", {"proof": "auth"}),
    ]
    with office.engine.connect() as connection:
        assert len(tickets.thread(connection, found.id, "a")) == 1
        assert tickets.thread(connection, found.id, "c")[1:] == ["<first@x>"]
        assert tickets.was_named(connection, found.id, "eve@globex.example")
    assert outcome.name == "entry"


def test_an_unproven_mail_names_nobody_and_its_name_is_not_kept(office):
    outcome = do(
        office, OpenTicket("Printer"), ENTRY, sender="zoe@elsewhere.example", proven=False, cc="eve@globex.example"
    )

    found = office.ticket(outcome)
    assert (found.requester.name, found.requester.organisation, found.proven) == ("", None, False)
    with office.engine.connect() as connection:
        assert not tickets.was_named(connection, found.id, "eve@globex.example")


@pytest.mark.parametrize(("proven", "name", "group"), [(True, "Somebody", "Globex"), (False, "", None)])
def test_a_newcomer_of_a_known_domain_is_a_member_only_if_proven(office, proven, name, group):
    outcome = do(office, OpenTicket("x"), ENTRY, sender="new@globex.example", proven=proven)

    requester = office.ticket(outcome).requester
    assert (requester.name, requester.organisation.name if requester.organisation else None) == (name, group)


def test_joins_and_makes_participants(office):
    opened = office.customer()
    joined = do(office, JoinTicket(opened.ticket_id, "test", participant=True), ENTRY, sender="eve@globex.example",
                answers=office.last("customer").message_id)  # fmt: skip

    assert joined.ticket_id == opened.ticket_id
    assert [one.name for one in office.ticket(opened).participants] == ["Eve Short"]


def test_joining_alone_makes_no_participant(office):
    opened = office.customer()
    do(office, JoinTicket(opened.ticket_id, "test"), AddEntry(EventKind.THIRD_PARTY_ENTRY, "x"),
       sender="zoe@elsewhere.example", proven=False, answers=office.last("customer").message_id)  # fmt: skip

    with office.engine.connect() as connection:
        assert connection.execute(sa.select(participant)).all() == []


def test_changes_of_the_ticket_are_events(office):
    opened = office.customer()
    answers = office.last("agent").message_id
    with office.engine.connect() as connection:
        agreement = people.contracts_of(connection, office.ids["globex of acme"])[0].id
    before = len(events(office, opened))

    outcome = do(
        office,
        JoinTicket(opened.ticket_id, "test"),
        SetStatus(Status.HELD, Reason.CONTRACT, "why not"),
        Assign("leo"),
        UseContract(None),
        UseContract(agreement),
        Record(EventKind.REMINDED, {"step": "50%"}),
        Suppress(Audience.CUSTOMER),
        sender="ann@acme.example",
        answers=answers,
    )

    found = office.ticket(opened)
    assert (found.status, found.reason, found.agent, found.contract_id) == ("held", "contract", "leo", agreement)
    assert events(office, outcome)[before:] == [
        ("status", {"status": "held", "reason": "contract", "why": "why not"}),
        ("assigned", {"agent": "leo"}),
        ("contract", {"contract": None}),
        ("contract", {"contract": agreement}),
        ("reminded", {"step": "50%"}),
    ]
    assert {one.person for one in office.history(opened)[before:]} == {"Ann Berger"}


def test_confirms_who_the_requester_is(office):
    opened = office.mail("x", "zoe@elsewhere.example")
    assert office.ticket(opened).requester.organisation is None

    do(office, JoinTicket(opened.ticket_id, "test"), Confirm(office.ids["initech"]), sender="ann@acme.example",
       answers=office.last("agent").message_id)  # fmt: skip

    assert office.ticket(opened).requester.organisation.name == "Initech"
    with office.engine.connect() as connection:
        assert connection.execute(sa.select(ticket.c.organisation_id)).scalar_one() == office.ids["initech"]
        zoe = people.by_address(connection, "acme", "zoe@elsewhere.example", office.now.date())
    assert (zoe.organisation.name, zoe.role) == ("Initech", "contact")


def test_relays_an_answer_with_its_files(office):
    opened = office.customer()
    do(office, JoinTicket(opened.ticket_id, "test"), AddEntry(EventKind.ANSWER, "Off."), Relay("Off."),
       sender="ann@acme.example", answers=office.last("agent").message_id, file=b"\x00\xff\r\n")  # fmt: skip

    answer = office.last("customer")
    assert (answer.kind, answer.block) == ("human", "answer")
    assert "Off." in answer.text
    (file,) = answer.mail.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("log.bin", b"\x00\xff\r\n")


def test_drops_and_sets_aside(office):
    dropped = do(office, Drop("our own mail"))
    aside = do(office, SetAside("unproven"), Say(Audience.OPERATOR, "quarantined", {"cause": "unproven"}))

    assert (dropped.name, dropped.why, dropped.ticket_id) == ("dropped", "our own mail", None)
    assert (aside.name, aside.why) == ("quarantined", "unproven")
    with office.engine.connect() as connection:
        (waiting,) = spool.quarantined(connection)
    assert (waiting.id, waiting.cause) == (aside.quarantine_id, "unproven")
    assert f"quarantine show {waiting.id}" in office.last("operator").text


def test_a_mails_own_id_finds_its_ticket_in_the_thread_of_its_side(office):
    opened = office.customer(message_id="<customer@x>")
    office.agent("Off.", office.last("agent").mail["Reply-To"], message_id="<agent@x>")

    with office.engine.connect() as connection:
        found = dict(
            connection.execute(
                sa.select(message_id.c.message_id, message_id.c.audience).where(
                    message_id.c.message_id.in_(["<customer@x>", "<agent@x>"])
                )
            ).all()
        )
    assert found == {"<customer@x>": "c", "<agent@x>": "a"}
    assert opened.ticket_id


def test_nothing_decided_is_an_outcome_too(office):
    outcome = do(office)

    assert (outcome.name, outcome.why, outcome.ticket_id) == ("nothing to do", "because", None)
