"""Open a ticket for the customer whose mail a proven agent forwards, with the agent's own words as a note."""

from __future__ import annotations

from helpdesk.domain.decision import AddEntry, Audience, Effect, OpenTicket, Say, Suppress, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts
from helpdesk.domain.proof import CommandClass, Role, allowed
from helpdesk.rules.hear_agent import shows_notice


def check(facts: Facts) -> Verdict | None:
    found, customer = facts.reading.forwarded, facts.customer
    if facts.agent is None or facts.ticket is not None or found is None or customer is None:
        return None
    if facts.reading.kind.unattended or not allowed(facts.proof, Role.AGENT, facts.token, CommandClass.PEOPLE):
        return None
    if not found.text.strip() or shows_notice(facts, found.text):
        return None
    note = (AddEntry(EventKind.NOTE, found.note),) if found.note.strip() else ()
    effects: tuple[Effect, ...] = (
        OpenTicket(found.subject, forwarded=True),
        *note,
        AddEntry(EventKind.CUSTOMER_ENTRY, found.text, forwarded=True),
        *_silence(facts),
        Say(Audience.ACTOR, "done", {"lines": (f"The ticket is opened for {customer.address}.",)}),
    )
    return Verdict(effects, f"{facts.agent.name} ({facts.proof}) forwards a mail of {customer.address}")


def _silence(facts: Facts) -> tuple[Suppress, ...]:
    """Nothing automatic goes to an address that only a forwarded text names, nor more than an unproven one may get."""
    assert facts.customer is not None
    known = facts.customer.organisation is not None
    spent = facts.customer_ration.last_day >= facts.desk.unproven_per_day
    return () if known and not spent else (Suppress(Audience.CUSTOMER),)
