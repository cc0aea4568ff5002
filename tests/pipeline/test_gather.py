"""What the rules get to know."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpdesk.domain import codec
from helpdesk.domain.decision import Decision
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import Proof, Role, TokenState
from helpdesk.domain.token import Keys, reply_address
from helpdesk.rules.engine import decide
from helpdesk.store import tickets
from tests.pipeline.office import KEYS
from tests.rules.policy import ON_MAIL


def test_candidates_come_in_order_of_strength(desk):
    """Four tickets, each by another sign."""
    by_address, by_our_id, by_seen_id, by_subject = (desk.customer(f"{number}") for number in range(4))
    ours = desk.sent("customer")[1].message_id
    with desk.engine.begin() as connection:
        tickets.note_message_id(connection, "acme", "<seen@x>", by_seen_id.ticket_id, None, "c")
    address = desk.sent("customer")[0].mail["Reply-To"]
    reference = desk.ticket(by_subject).reference

    raw = desk.compose(
        "x", "bob@globex.example", to=address, answers=f"<seen@x> {ours}", subject=f"Re: [{reference}] Printer"
    )

    found = desk.facts(raw).candidates
    assert [one.ticket.id for one in found] == [
        one.ticket_id for one in (by_address, by_our_id, by_seen_id, by_subject)
    ]
    assert found[-1].how == "the reference in the subject"


def test_our_own_ids_find_a_ticket_whatever_the_case(desk):
    opened = desk.customer()
    mangled = desk.last("customer").message_id.upper()

    (found,) = desk.facts(desk.compose("x", "eve@globex.example", answers=mangled)).candidates

    assert found.ticket.id == opened.ticket_id
    assert found.same_organisation


@pytest.mark.parametrize(
    ("sender", "state"),
    [
        ("bob@globex.example", TokenState.OWN),
        ("eve@globex.example", TokenState.SOMEBODY_ELSES),
        ("zoe@elsewhere.example", TokenState.SOMEBODY_ELSES),
        ("ann@acme.example", TokenState.SOMEBODY_ELSES),
    ],
)
def test_a_token_is_its_owners(desk, sender, state):
    desk.customer()

    facts = desk.facts(desk.compose("x", sender, to=desk.last("customer").mail["Reply-To"]))

    assert (facts.token, facts.purpose) == (state, "r")


def test_without_a_token_there_is_no_state(desk):
    assert desk.facts(desk.compose("x", "bob@globex.example")).token is TokenState.NONE
    assert desk.facts(desk.compose("x", "bob@globex.example", to="support+sales@acme.example")).token is TokenState.NONE


def test_a_token_that_we_did_not_sign_is_tampered(desk):
    opened = desk.customer()
    forged = reply_address(Keys(b"x" * 32), "support@acme.example", "r", opened.ticket_id, desk.ids["bob of acme"])

    facts = desk.facts(desk.compose("x", "bob@globex.example", to=forged))

    assert (facts.token, facts.candidates) == (TokenState.TAMPERED, ())


def test_a_token_of_a_ticket_that_is_not_found_is_another_tickets(desk):
    """Its ticket is another tenant's; the thread leads to one of ours."""
    opened = desk.customer()
    foreign = reply_address(KEYS, "support@acme.example", "r", 999, desk.ids["bob of acme"])
    answers = desk.last("customer").message_id

    facts = desk.facts(desk.compose("x", "bob@globex.example", to=foreign, answers=answers))

    assert facts.token is TokenState.OTHER_TICKETS
    assert [one.ticket.id for one in facts.candidates] == [opened.ticket_id]


@pytest.mark.parametrize(
    ("sender", "role", "name"),
    [
        ("bob@globex.example", Role.CONTACT, "Bob Miller"),
        ("ann@acme.example", Role.AGENT, "Ann Berger"),
        ("zoe@elsewhere.example", Role.STRANGER, None),
        ("uma@umbra.example", Role.STRANGER, None),
    ],
    ids=["customer", "agent", "stranger", "another tenant's agent"],
)
def test_who_the_sender_is_to_the_tenant(desk, sender, role, name):
    facts = desk.facts(desk.compose("x", sender))

    assert facts.role is role
    assert (facts.sender.name if facts.sender else None) == name
    assert (facts.agent is not None) is (role is Role.AGENT)
    assert facts.proof is Proof.NONE


def test_a_name_in_from_is_no_identity(desk):
    facts = desk.facts(desk.compose("x", '"ann@acme.example" <zoe@elsewhere.example>'))

    assert facts.sender is None


def test_the_day_is_the_desks_own(desk):
    """Half past midnight in Berlin is the next day, though not yet in UTC."""
    desk.now = datetime(2026, 11, 23, 23, 30, tzinfo=UTC)

    assert desk.facts(desk.compose("x", "bob@globex.example")).today == date(2026, 11, 24)


def test_a_strangers_words_propose_an_organisation(desk):
    named = desk.facts(desk.compose("We are Globex, contract no. c-77.", "zoe@elsewhere.example"))
    both = desk.facts(desk.compose("C-77 or C-66", "zoe@elsewhere.example"))
    known = desk.facts(desk.compose("C-66", "bob@globex.example"))

    assert (named.proposal.organisation.name, named.proposal.contract) == ("Globex", "C-77")
    assert both.proposal is None
    assert known.proposal is None
    assert named.contracts == ()


def test_only_an_agents_mail_looks_up_the_organisation_it_names(desk):
    text = "#confirm initech\n"

    assert [one.name for one in desk.facts(desk.compose(text, "ann@acme.example")).organisations] == ["Initech"]
    assert desk.facts(desk.compose(text, "bob@globex.example")).organisations == ()


def test_the_ration_counts_what_was_said_already(desk):
    for what in ("printer", "scanner"):
        desk.customer(f"The {what} is on fire.")

    ration = desk.facts(desk.compose("x", "BOB@globex.example")).ration
    assert (ration.last_day, ration.last_hour) == (2, 2)


SIGNS = st.fixed_dictionaries(
    {
        "sender": st.sampled_from(["bob@globex.example", "eve@globex.example", "uma@umbra.example", "zoe@x.example"]),
        "address": st.sampled_from(["own", "theirs", "none"]),
        "answers": st.sampled_from(["own", "theirs", "seen by both", "none"]),
        "subject": st.sampled_from(["AC-1001", "AC-1002", "AC-1003", "hello"]),
        "text": st.sampled_from(["C-77", "#confirm Globex", "x"]),
    }
)


@pytest.fixture
def two_tenants(desk):
    """A ticket AC-1001 of each tenant, and one more of umbra's."""
    desk.customer()
    for _ in range(2):
        desk.mail("x", "bob@globex.example", to="support@umbra.example")
    with desk.engine.begin() as connection:
        theirs = connection.execute(
            sa.select(tickets.ticket.c.id).where(tickets.ticket.c.tenant == "umbra").order_by(tickets.ticket.c.id)
        ).scalars()
        for number in theirs:
            tickets.note_message_id(connection, "umbra", "<both@x>", number, None, "c")
        tickets.note_message_id(connection, "acme", "<both@x>", 1, None, "c")
    return desk


@given(signs=SIGNS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nothing_of_a_tenant_reaches_another(two_tenants, signs):
    """Whatever the mail points to, acme's facts hold acme's rows alone, and what is decided stores and loads again."""
    desk = two_tenants
    mine, theirs = desk.sent("customer")[0], [one for one in desk.sent("customer") if "umbra" in one.mail["From"]][-1]
    to = {
        "own": mine.mail["Reply-To"],
        "theirs": theirs.mail["Reply-To"].replace("umbra.example", "acme.example"),
        "none": "support@acme.example",
    }[signs["address"]]
    answers = {"own": mine.message_id, "theirs": theirs.message_id, "seen by both": "<both@x>", "none": ""}
    raw = desk.compose(
        signs["text"], signs["sender"], to=to, answers=answers[signs["answers"]], subject=signs["subject"]
    )

    facts = desk.facts(raw)

    people_ = [facts.sender, *(one.ticket.requester for one in facts.candidates)]
    foreign = {desk.ids["bob of umbra"]}
    assert not foreign & {person.id for person in people_ if person}
    assert {one.ticket.desk for one in facts.candidates} <= {"acme"}
    groups = {one.organisation_id for one in facts.contracts} | {one.id for one in facts.organisations}
    groups |= {facts.proposal.organisation.id} if facts.proposal else set()
    assert desk.ids["globex of umbra"] not in groups
    assert facts.agent is None
    comes_back(facts)


def comes_back(facts: Facts) -> None:
    """Facts and the decision about them survive being stored as JSON; texts are kept elsewhere."""
    decision = decide(facts, ON_MAIL)
    for value, kind in ((facts, Facts), (decision, Decision)):
        stored = json.loads(json.dumps(codec.dump(value)))
        assert codec.dump(codec.load(kind, stored)) == stored
    assert "text" not in json.dumps(codec.dump(facts)["reading"]).replace("content_hash", "").replace("text/", "")
