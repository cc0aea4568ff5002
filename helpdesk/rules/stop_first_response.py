"""Stop the first-response timer when the relay has taken a person's answer to the requester, not before."""

from __future__ import annotations

from helpdesk.domain.address import fold
from helpdesk.domain.decision import Record, Value, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Ticket


def check(facts: Facts) -> Verdict | None:
    delivery = facts.delivery
    if delivery is None or delivery.outcome != "sent" or not delivery.human:
        return None
    if facts.ticket is not None and _is_another(facts.ticket, delivery.recipient):
        return None
    data: dict[str, Value] = {"recipient": delivery.recipient, "event": delivery.event_id}
    return Verdict((Record(EventKind.ANSWER_ACCEPTED, data),), f"the relay took the answer to {delivery.recipient}")


def _is_another(ticket: Ticket, recipient: str) -> bool:
    """True for a participant's copy: whoever asked may still be without an answer."""
    if fold(recipient) == fold(ticket.requester.address):
        return False
    return fold(recipient) in {fold(one.address) for one in ticket.participants}
