"""Remind the agent of a promise before it runs out, and when it has; steps missed while down become one mail."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Record, Say, Value, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    timer = facts.timer
    if timer is None:
        return None
    values: dict[str, Value] = {"step": timer.step, "passed": timer.passed, "late": timer.late}
    record = Record(EventKind.REMINDED, {"promise": timer.promise, "step": timer.step, "passed": timer.passed})
    return Verdict((record, Say(Audience.AGENT, "reminder", values)), f"{timer.step} of {timer.promise} is reached")
