"""Hold a request that no contract covers on the day it came, say what was found and how to renew (SM2)."""

from __future__ import annotations

from dataclasses import dataclass

from helpdesk.domain.contract import entitlement
from helpdesk.domain.decision import Audience, Effect, Say, SetStatus, UseContract, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Reason, Status


@dataclass(frozen=True, slots=True)
class Options:
    grace_days: int = 0


def check(facts: Facts, options: Options) -> Verdict | None:
    if facts.ticket is None or not facts.opened or facts.ticket.status is not Status.NEW or facts.to_role:
        return None
    found = entitlement(facts.requester_contracts(), facts.today, options.grace_days)
    if found.covered and found.contract:
        return Verdict((UseContract(found.contract.id), SetStatus(Status.OPEN)), found.why())
    told = facts.may_say(Audience.CUSTOMER)
    effects: tuple[Effect, ...] = (
        SetStatus(Status.HELD, Reason.CONTRACT),
        Say(Audience.MANAGER, "lapsed"),
        Say(Audience.AGENT, "held_ticket", {"told": told and facts.ticket.requester.unreachable_since is None}),
    )
    if told:
        effects = (*effects, Say(Audience.CUSTOMER, "held_contract"))
    return Verdict(effects, f"held: {found.why()}", final=True)
