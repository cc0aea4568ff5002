"""Tell the agent when his answer could not be delivered, with the reason in the relay's words."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Record, Say, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    delivery = facts.delivery
    if delivery is None or delivery.outcome == "sent":
        return None
    data = {"recipient": delivery.recipient, "reason": delivery.reason, "outcome": delivery.outcome}
    record = Record(EventKind.DELIVERY_FAILED, data)
    if not delivery.human:
        return Verdict((record,), f"an automatic mail to {delivery.recipient} was given up")
    whom = Audience.ACTOR if facts.agent else Audience.AGENT
    say = Say(whom, "undeliverable", {"address": delivery.recipient, "reason": delivery.reason})
    return Verdict((record, say), f"an answer to {delivery.recipient} was given up; the agent is told")
