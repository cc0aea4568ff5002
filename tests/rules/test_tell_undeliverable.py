from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.decision import Audience, Record, Say, SetStatus
from helpdesk.domain.event import EventKind
from helpdesk.domain.ticket import Reason, Status
from helpdesk.rules.tell_undeliverable import check
from tests.rules.facts import ANN, delivered, kinds, mail, ticket

REASON = "550 5.1.1 no such user"


@pytest.mark.parametrize(
    ("outcome", "event"), [("failed", "delivery failed"), ("expired", "delivery failed"), ("bounced", "bounced")]
)
def test_the_agent_hears_why_his_answer_did_not_arrive(outcome, event):
    verdict = check(delivered(outcome, reason=REASON))

    assert kinds(verdict.effects) == [f"Record {event}", "Say agent undeliverable", "SetStatus open"]
    values = {"address": "bob@globex.example", "reason": REASON, "cause": "no mailbox"}
    assert verdict.effects[1] == Say(Audience.AGENT, "undeliverable", {**values, "came_back": outcome == "bounced"})


def test_who_wrote_it_hears_of_it():
    assert "Say actor undeliverable" in kinds(check(replace(delivered("bounced"), agent=ANN)).effects)


def test_what_came_back_names_the_answer_that_counts_no_more():
    record = check(delivered("bounced", reason=REASON, status="5.1.1")).effects[0]

    data = {"recipient": "bob@globex.example", "reason": REASON, "event": 31, "status": "5.1.1"}
    assert record == Record(EventKind.BOUNCED, data)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ticket(Status.WAITING, Reason.CUSTOMER), [SetStatus(Status.OPEN)]),
        (ticket(Status.CLOSED), [SetStatus(Status.OPEN)]),
        (ticket(Status.CLOSED, Reason.CONTRACT), [SetStatus(Status.HELD, Reason.CONTRACT)]),
        (ticket(Status.OPEN), []),
        (ticket(Status.HELD, Reason.CONTRACT), []),
    ],
)
def test_the_ticket_is_to_do_again(before, after):
    assert [one for one in check(delivered("bounced", ticket=before)).effects if isinstance(one, SetStatus)] == after


@pytest.mark.parametrize("outcome", ["failed", "bounced"])
def test_an_automatic_mail_to_a_customer_that_failed_is_only_recorded(outcome):
    assert len(check(delivered(outcome, human=False)).effects) == 1


@pytest.mark.parametrize(
    ("audience", "told", "said"),
    [
        (Audience.AGENT, False, True),
        (Audience.LEAD, False, True),
        (Audience.AGENT, True, False),
        (Audience.CUSTOMER, False, False),
        (Audience.OPERATOR, False, False),
    ],
)
def test_the_operator_hears_of_staff_mail_that_fails_but_not_of_his_own(audience, told, said):
    facts = delivered("failed", human=False, audience=audience.value, recipient="ann@acme.example", told=told)

    assert ("Say operator staff_unreachable" in kinds(check(facts).effects)) is said


def test_what_arrived_needs_no_words():
    assert check(delivered("sent")) is None
    assert check(mail()) is None
