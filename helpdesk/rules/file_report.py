"""File a delivery report or a receipt with the ticket that it is about; it never opens one (RFC 3464)."""

from __future__ import annotations

from helpdesk.domain.decision import AddEntry, Audience, Drop, Say, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts
from helpdesk.domain.reading import Kind


def check(facts: Facts) -> Verdict | None:
    reading = facts.reading
    if reading.kind not in (Kind.BOUNCE, Kind.DELAYED, Kind.RECEIPT):
        return None
    if facts.ticket is None:
        why = f"a {reading.kind} that names none of our mails"
        return Verdict((Drop(why),), why, final=True)
    entry = AddEntry(EventKind.THIRD_PARTY_ENTRY, reading.text)
    if reading.kind is Kind.BOUNCE:
        return Verdict((entry, Say(Audience.AGENT, "customer_wrote")), "a mail of this ticket came back", final=True)
    return Verdict((entry,), f"a {reading.kind}: filed, nobody needs to act", final=True)
