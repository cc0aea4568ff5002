"""Let a held ticket go on once a contract covers it, or its sender is known; its time starts now (SM2)."""

from __future__ import annotations

from helpdesk.domain.contract import entitlement
from helpdesk.domain.decision import Audience, Effect, Say, SetStatus, UseContract, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Reason, Status


def check(facts: Facts) -> Verdict | None:
    ticket = facts.ticket
    if facts.change is None or facts.change.kind != "contract" or ticket is None:
        return None
    if ticket.status is not Status.HELD or ticket.requester.organisation is None:
        return None
    found = entitlement(facts.requester_contracts(), facts.today, facts.grace_days)
    if found.covered and found.contract is not None:
        said = "released" if ticket.reason is Reason.CONTRACT else "opened"
        effects = (
            UseContract(found.contract.id),
            SetStatus(Status.OPEN),
            *_to_customer(facts, said),
            Say(Audience.AGENT, "new_ticket"),
        )
        return Verdict(effects, f"goes on: {found.why()}")
    if ticket.reason is Reason.DETAILS:
        held = (
            SetStatus(Status.HELD, Reason.CONTRACT),
            *_to_customer(facts, "held_contract"),
            Say(Audience.MANAGER, "lapsed"),
        )
        return Verdict(held, f"the sender is known now, but {found.why()}")
    return None


def _to_customer(facts: Facts, block: str) -> tuple[Effect, ...]:
    """Nothing to a machine, or to one of many forged mails: who never heard of the ticket need not hear that it goes on."""
    heard = facts.change is not None and facts.change.heard
    left = facts.ration.last_hour < facts.desk.automatic_per_hour
    return (Say(Audience.CUSTOMER, block),) if heard and left else ()
