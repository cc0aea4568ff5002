"""Open a ticket for every request that belongs to none."""

from __future__ import annotations

from helpdesk.domain.decision import AddEntry, OpenTicket, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    if facts.ticket is not None:
        return None
    effects = (OpenTicket(facts.reading.subject), AddEntry(EventKind.CUSTOMER_ENTRY, facts.reading.text))
    return Verdict(effects, "a new request")
