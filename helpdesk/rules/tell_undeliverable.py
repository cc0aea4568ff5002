"""Tell the agent when his answer could not be delivered, with the reason in the relay's words."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Record, Say, SetStatus, Value, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Status


def check(facts: Facts) -> Verdict | None:
    delivery = facts.delivery
    if delivery is None or delivery.outcome == "sent":
        return None
    data = {"recipient": delivery.recipient, "reason": delivery.reason, "outcome": delivery.outcome}
    record = Record(EventKind.DELIVERY_FAILED, data)
    if not delivery.human:
        return Verdict((record,), f"an automatic mail to {delivery.recipient} was given up")
    values: dict[str, Value] = {"address": delivery.recipient, "reason": delivery.reason}
    agent = Say(Audience.AGENT, "undeliverable", values)
    say = Say(Audience.ACTOR, "undeliverable", values) if facts.agent else agent
    reopen = (SetStatus(Status.OPEN),) if facts.ticket and facts.ticket.status is Status.WAITING else ()
    return Verdict((record, say, *reopen), f"an answer to {delivery.recipient} was given up; the agent is told")
