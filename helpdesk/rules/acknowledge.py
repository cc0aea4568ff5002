"""Acknowledge a new ticket: reference, contract and until when, and when a person will answer."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Effect, Say, SetStatus, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Status


def check(facts: Facts) -> Verdict | None:
    ticket = facts.ticket
    if ticket is None or not facts.opened:
        return None
    effects: tuple[Effect, ...] = () if ticket.status is Status.OPEN else (SetStatus(Status.OPEN),)
    if not facts.may_say(Audience.CUSTOMER):
        return Verdict(effects, "the ticket is open; nothing is said to the customer") if effects else None
    return Verdict((*effects, Say(Audience.CUSTOMER, "opened")), "the customer is told that we have it")
