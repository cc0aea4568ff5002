"""Let a held ticket go on once a contract covers it again; its time starts now (SM2)."""

from __future__ import annotations

from helpdesk.domain.contract import entitlement
from helpdesk.domain.decision import Audience, Say, SetStatus, UseContract, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Reason, Status


def check(facts: Facts) -> Verdict | None:
    ticket = facts.ticket
    if facts.change is None or facts.change.kind != "contract" or ticket is None:
        return None
    if ticket.status is not Status.HELD or ticket.reason is not Reason.CONTRACT:
        return None
    found = entitlement(facts.requester_contracts(), facts.today, facts.grace_days)
    if not found.covered or found.contract is None:
        return None
    effects = (
        UseContract(found.contract.id),
        SetStatus(Status.OPEN),
        Say(Audience.CUSTOMER, "released"),
        Say(Audience.AGENT, "new_ticket"),
    )
    return Verdict(effects, f"goes on: {found.why()}")
