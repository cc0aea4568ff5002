"""The standard policy as a whole: situations and what comes of them, and what must never come of any."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.decision import AddEntry, Assign, Audience, Confirm, JoinTicket, Relay, Say, SetStatus
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Candidate, Facts, Proposal, Ration, Trigger
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.people import Person
from helpdesk.domain.proof import Proof, Role, TokenState
from helpdesk.domain.reading import Attachment, Kind, Reading
from helpdesk.domain.ticket import Reason, Status, Ticket
from helpdesk.rules.engine import decide
from tests.rules import facts as known
from tests.rules.facts import (
    ANN,
    ANN_AS_PERSON,
    BOB,
    EVE,
    FUTURE,
    GLOBEX,
    INITECH,
    LAPSED,
    VALID,
    ZOE,
    agent_mail,
    changed,
    delivered,
    kinds,
    mail,
    reading,
    returned,
    stranger,
    ticket,
    timer_due,
)
from tests.rules.policy import ON_MAIL, RULES

SUBJECT, ADDRESS = "the reference in the subject", "the reply address"
ON_IT = (Candidate(ticket(), ADDRESS),)
OPENED = ["OpenTicket", "AddEntry customer entry", "Assign ann"]
JOINED = ["JoinTicket", "AddEntry customer entry"]
QUIET = "Suppress customer"


def by(kind: Kind) -> Reading:
    return reading(kind=kind, kind_why="its headers say so")


@pytest.mark.parametrize(
    ("facts", "effects"),
    [
        (mail(), [*OPENED, "UseContract", "SetStatus open", "Say customer opened", "Say agent new_ticket"]),
        (
            mail(contracts=(LAPSED,)),
            [*OPENED, "SetStatus held contract", "Say manager lapsed", "Say agent held_ticket",
             "Say customer held_contract"],
        ),
        (stranger(), [*OPENED, "SetStatus held details", "Say agent who_is_this", "Say customer who_are_you"]),
        (
            stranger(ration=Ration(last_day=1)),
            [QUIET, *OPENED, "SetStatus held details", "Say agent who_is_this"],
        ),
        (
            mail(reading=by(Kind.OUT_OF_OFFICE)),
            [QUIET, *OPENED, "UseContract", "SetStatus open", "Say agent new_ticket"],
        ),
        (
            stranger(reading=by(Kind.BULK)),
            [QUIET, *OPENED, "SetStatus held details", "Say agent who_is_this"],
        ),
        (mail(candidates=ON_IT), [*JOINED, "Say agent customer_wrote"]),
        (mail(candidates=ON_IT, reading=by(Kind.OUT_OF_OFFICE)), [QUIET, *JOINED]),
        (
            mail(candidates=(Candidate(ticket(Status.CLOSED), ADDRESS),)),
            [*JOINED, "SetStatus open", "Say agent customer_wrote"],
        ),
        (
            mail(candidates=ON_IT, sender=ZOE),
            ["JoinTicket", "AddEntry third party entry", "Say agent customer_wrote"],
        ),
        (
            mail(candidates=ON_IT, reading=reading(kind=Kind.BOUNCE, sender=None), sender=None, returned=returned()),
            [QUIET, "JoinTicket", "AddEntry report", "PassReport"],
        ),
        (mail(reading=reading(kind=Kind.BOUNCE, sender=None), sender=None), [QUIET, "Drop"]),
        (mail(reading=reading(sender=None)), ["SetAside", "Say operator quarantined"]),
        (mail(reading=reading(loop_marks=("support@acme.example",))), ["Drop"]),
        (
            agent_mail(ticket=None),
            ["JoinTicket", "AddEntry answer", "Relay", "SetStatus waiting customer"],
        ),
        (
            agent_mail(ticket=None, proof=Proof.NONE),
            ["JoinTicket", "SetAside", "Say actor unproven", "Say operator unproven_agent"],
        ),
        (agent_mail(ticket=None, candidates=()), ["Drop", "Say actor returned"]),
        (agent_mail(ticket=None, reading=by(Kind.OUT_OF_OFFICE)), [QUIET, "JoinTicket", "Drop"]),
        (timer_due(), ["Record reminded", "Say agent reminder"]),
        (timer_due("breach", breached=True), ["Record reminded", "Say agent reminder", "Say lead breach"]),
        (
            changed(Status.HELD, Reason.CONTRACT, VALID),
            ["UseContract", "SetStatus open", "Say customer released", "Say agent new_ticket"],
        ),
        (changed(Status.HELD, Reason.CONTRACT, LAPSED), []),
        (delivered("sent"), ["Record answer accepted"]),
        (delivered("failed"), ["Record delivery failed", "Say agent undeliverable", "SetStatus open"]),
        (
            delivered("bounced", status="5.1.1"),
            ["Record bounced", "Say agent undeliverable", "SetStatus open", "MarkAddress"],
        ),
        (mail(repeats=1), [QUIET, *OPENED, "UseContract", "SetStatus open", "Say agent new_ticket"]),
        (
            agent_mail(ticket=None, repeats=2),
            ["JoinTicket", "SetAside", "Say operator quarantined"],
        ),
    ],
    ids=[
        "covered", "lapsed", "stranger", "stranger again", "out of office without ticket", "a list without ticket",
        "reply", "out of office on a ticket", "reply to a closed one", "a third party", "bounce", "bounce of nothing",
        "no sender", "our own mail", "answer", "unproven answer", "agent without ticket", "agent's machine",
        "half the time", "breach", "renewed", "changed, still lapsed", "answer taken", "answer refused", "answer back",
        "the same words", "an agent's same words",
    ],
)  # fmt: skip
def test_situations(facts, effects):
    assert kinds(decide(facts, RULES[facts.trigger]).effects) == effects


def test_grace_of_the_policy_file_is_what_the_rule_uses():
    """As shipped there are no days of grace."""
    assert "SetStatus held contract" in kinds(decide(mail(contracts=(LAPSED,)), ON_MAIL).effects)


TEXTS = st.sampled_from(["Please help.", "#close", "#note secret", "#take", "#confirm Globex", "#admit x\nhello", ""])
PEOPLE = st.sampled_from([BOB, EVE, ZOE])
STATUSES = st.sampled_from([*((status, Reason.NONE) for status in Status), (Status.HELD, Reason.DETAILS)])


@st.composite
def tickets(draw: st.DrawFn) -> Ticket:
    status, reason = draw(STATUSES)
    return ticket(
        status,
        reason,
        id=draw(st.integers(1, 3)),
        requester=draw(PEOPLE),
        participants=tuple(draw(st.lists(PEOPLE, max_size=1))),
        agent=draw(st.sampled_from(["", "ann", "leo", "gone"])),
    )


CANDIDATES = st.lists(
    st.builds(
        Candidate, tickets(), st.sampled_from([SUBJECT, ADDRESS, "a mail of ours"]), st.booleans(), st.booleans()
    ),
    max_size=3,
).map(tuple)


@st.composite
def mails(draw: st.DrawFn) -> Facts:
    """Any mail of anybody in any situation."""
    text = draw(TEXTS)
    sender: Person | None = draw(st.none() | PEOPLE | st.just(ANN_AS_PERSON))
    proof = draw(st.sampled_from(Proof))
    read = reading(
        text,
        sender=Mailbox(sender.address if sender else "new@nowhere.example"),
        kind=draw(st.sampled_from(Kind)),
        return_path=draw(st.sampled_from(["", None, "x@globex.example"])),
        attachments=draw(st.sampled_from([(), (Attachment("a", "text/plain", 1, 0, 1),)])),
        proof=proof,
    )
    agent = ANN if sender is ANN_AS_PERSON else None
    return mail(
        reading=read,
        proof=proof,
        sender=sender,
        agent=agent,
        role=Role.AGENT if agent else Role.CONTACT if sender in (BOB, EVE) else Role.STRANGER,
        token=draw(st.sampled_from(TokenState)),
        purpose=draw(st.sampled_from(["", "r", "n"])),
        candidates=draw(CANDIDATES),
        contracts=tuple(draw(st.sets(st.sampled_from([VALID, LAPSED, FUTURE])))),
        proposal=draw(st.none() | st.just(Proposal(GLOBEX, "C-77"))),
        organisations=draw(st.sampled_from([(), (GLOBEX,), (GLOBEX, INITECH)])),
        agents=draw(st.sampled_from([(), (known.ANN, known.LEO)])),
        ration=draw(
            st.builds(
                Ration, st.integers(0, 30), st.integers(0, 30), st.integers(0, 30), st.none() | st.just(known.NOW)
            )
        ),
        returned=draw(st.none() | st.just(returned())),
        to_return_path=draw(st.booleans()),
        repeats=draw(st.integers(0, 4)),
    )


ANY = settings(max_examples=120, deadline=None)


@given(mails())
@ANY
def test_an_unproven_agent_changes_nothing(facts):
    facts = replace(facts, agent=ANN, sender=ANN_AS_PERSON, proof=Proof.NONE)

    effects = decide(facts, ON_MAIL).effects

    assert not [one for one in effects if isinstance(one, Relay | SetStatus | Assign | Confirm)]
    # A delivery report is filed as what it is, whoever its From names.
    assert all(one.kind is EventKind.REPORT for one in effects if isinstance(one, AddEntry))
    assert not [one for one in effects if isinstance(one, Say) and one.audience is Audience.CUSTOMER]


@given(mails())
@ANY
def test_a_machine_is_never_answered(facts):
    # What a proven agent orders is his word to the customer, though a list put its headers on his mail.
    reading = facts.reading
    machine = reading.kind.unattended or (
        facts.agent is None and (reading.kind.by_machine or reading.return_path == "")
    )
    effects = decide(facts, ON_MAIL).effects

    if machine:
        assert not [one for one in effects if isinstance(one, Say) and one.audience is Audience.CUSTOMER]


@given(mails())
@ANY
def test_an_unknown_sender_never_joins_by_subject(facts):
    facts = replace(facts, sender=None, agent=None, role=Role.STRANGER)

    joined = [one for one in decide(facts, ON_MAIL).effects if isinstance(one, JoinTicket)]

    assert [one for one in joined if one.how == SUBJECT] == []


@given(mails())
@ANY
def test_nobody_but_an_agent_is_relayed_or_changes_people(facts):
    effects = decide(replace(facts, agent=None), ON_MAIL).effects

    assert not [one for one in effects if isinstance(one, Relay | Confirm)]


@given(mails())
@ANY
def test_a_note_is_never_relayed(facts):
    effects = decide(facts, ON_MAIL).effects
    noted = facts.purpose == "n" or "#note" in facts.reading.text

    assert not (facts.agent and noted and [one for one in effects if isinstance(one, Relay)])


@given(mails())
@ANY
def test_every_mail_ends_somewhere(facts):
    """Promise 1: an entry on a ticket, a counted drop with a reason, or quarantine; exactly one of them."""
    decision = decide(facts, ON_MAIL)
    ends = [kind for kind in kinds(decision.effects) if kind.split()[0] in ("AddEntry", "Drop", "SetAside")]
    only_commands = facts.agent is not None and "#" in facts.reading.text

    assert len(ends) == 1 or (only_commands and not ends and len(decision.effects) > 0)
    assert all(step.why for step in decision.steps)


@given(mails())
@ANY
def test_an_effect_on_a_ticket_comes_after_the_ticket(facts):
    words = [kind.split()[0] for kind in kinds(decide(facts, ON_MAIL).effects)]
    on_ticket = {"AddEntry", "SetStatus", "Assign", "UseContract", "Confirm", "Relay"}
    found = next((number for number, word in enumerate(words) if word in ("OpenTicket", "JoinTicket")), len(words))

    assert not on_ticket & set(words[:found])


def test_each_kind_of_input_has_rules():
    assert all(RULES[trigger] for trigger in Trigger)
