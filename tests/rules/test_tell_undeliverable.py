from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience, Say
from helpdesk.domain.ticket import Status
from helpdesk.rules.tell_undeliverable import check
from tests.rules.facts import delivered, kinds, mail

REASON = "550 5.1.1 no such user"


@pytest.mark.parametrize("outcome", ["failed", "expired"])
def test_the_agent_hears_why_his_answer_did_not_arrive(outcome):
    facts = delivered(outcome, reason=REASON)
    reopened = ["SetStatus open"] if facts.ticket.status is Status.WAITING else []

    verdict = check(facts)

    assert kinds(verdict.effects) == ["Record delivery failed", "Say agent undeliverable", *reopened]
    assert verdict.effects[1] == Say(
        Audience.AGENT, "undeliverable", {"address": "bob@globex.example", "reason": REASON}
    )


def test_an_automatic_mail_that_failed_is_only_recorded():
    assert kinds(check(delivered("failed", human=False)).effects) == ["Record delivery failed"]


def test_what_arrived_needs_no_words():
    assert check(delivered("sent")) is None
    assert check(mail()) is None
