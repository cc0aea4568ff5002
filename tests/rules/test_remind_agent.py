from __future__ import annotations

from helpdesk.domain.decision import Audience, Record, Say
from helpdesk.domain.event import EventKind
from helpdesk.rules.remind_agent import check
from tests.rules.facts import mail, timer_due


def test_reminds_and_records():
    verdict = check(timer_due("80%", late=True))

    record, say = verdict.effects
    assert record == Record(EventKind.REMINDED, {"promise": "first_response", "step": "80%", "passed": ("80%",)})
    assert say == Say(Audience.AGENT, "reminder", {"step": "80%", "passed": ("80%",), "late": True})
    assert not verdict.final


def test_without_a_timer_there_is_nothing_to_remind_of():
    assert check(mail()) is None
