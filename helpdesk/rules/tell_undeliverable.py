"""Tell who must know that a mail was not delivered or came back: the agent of his answer, the operator of staff mail."""

from __future__ import annotations

from helpdesk.domain import bounce
from helpdesk.domain.decision import Audience, Effect, Record, Say, SetStatus, Value, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Delivery, Facts
from helpdesk.domain.ticket import Reason, Status

_STAFF = (Audience.AGENT, Audience.ACTOR, Audience.LEAD, Audience.MANAGER)


def check(facts: Facts) -> Verdict | None:
    delivery = facts.delivery
    if delivery is None or delivery.outcome == "sent":
        return None
    record = _record(delivery)
    what = "came back" if delivery.outcome == "bounced" else "was given up"
    if delivery.human:
        return Verdict(
            (record, _to_agent(facts, delivery), *_reopened(facts)),
            f"an answer to {delivery.recipient} {what}; the agent is told",
        )
    if delivery.audience in _STAFF and not delivery.told and delivery.outcome != "cancelled":
        values: dict[str, Value] = {"address": delivery.recipient, "reason": delivery.reason}
        return Verdict(
            (record, Say(Audience.OPERATOR, "staff_unreachable", values)),
            f"a mail to {delivery.recipient}, one of us, {what}; the operator is told",
        )
    return Verdict((record,), f"an automatic mail to {delivery.recipient} {what}")


def _record(delivery: Delivery) -> Record:
    data: dict[str, Value] = {"recipient": delivery.recipient, "reason": delivery.reason, "event": delivery.event_id}
    if delivery.outcome == "bounced":
        return Record(EventKind.BOUNCED, {**data, "status": delivery.status})
    return Record(EventKind.DELIVERY_FAILED, {**data, "outcome": delivery.outcome})


def _to_agent(facts: Facts, delivery: Delivery) -> Say:
    cause = bounce.cause(delivery.status or bounce.status_in(delivery.reason))
    values: dict[str, Value] = {
        "address": delivery.recipient,
        "reason": delivery.reason,
        "cause": cause.value,
        "came_back": delivery.outcome == "bounced",
    }
    if facts.agent:
        return Say(Audience.ACTOR, "undeliverable", values)
    return Say(Audience.AGENT, "undeliverable", values)


def _reopened(facts: Facts) -> tuple[Effect, ...]:
    """The customer has no answer, whoever waits for him and whoever thinks that it is done."""
    ticket = facts.ticket
    if ticket is None or ticket.status not in (Status.WAITING, Status.CLOSED):
        return ()
    if ticket.status is Status.CLOSED and ticket.reason in (Reason.CONTRACT, Reason.DETAILS):
        return (SetStatus(Status.HELD, ticket.reason),)
    return (SetStatus(Status.OPEN),)
