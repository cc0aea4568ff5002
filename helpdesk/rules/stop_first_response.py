"""Stop the first-response timer when the relay has taken a person's answer, not before."""

from __future__ import annotations

from helpdesk.domain.decision import Record, Value, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    delivery = facts.delivery
    if delivery is None or delivery.outcome != "sent" or not delivery.human:
        return None
    data: dict[str, Value] = {"recipient": delivery.recipient, "event": delivery.event_id}
    return Verdict((Record(EventKind.ANSWER_ACCEPTED, data),), f"the relay took the answer to {delivery.recipient}")
