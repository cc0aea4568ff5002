from __future__ import annotations

from helpdesk.domain.decision import Audience, Say
from helpdesk.rules.tell_lead import check
from tests.rules.facts import mail, timer_due


def test_the_lead_hears_of_a_broken_promise_only():
    verdict = check(timer_due("breach", breached=True, late=True))

    assert verdict.effects == (Say(Audience.LEAD, "breach", {"late": True}),)
    assert check(timer_due("80%")) is None
    assert check(mail()) is None
