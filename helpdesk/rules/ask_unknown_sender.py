"""Hold the request of somebody we do not know, and ask him for company and contract number (SM5)."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Effect, Say, SetStatus, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.ticket import Reason, Status


def check(facts: Facts) -> Verdict | None:
    ticket = facts.ticket
    if ticket is None or not facts.opened or ticket.requester.organisation is not None:
        return None
    if facts.to_role:  # anybody may report abuse, and a person reads it
        return None
    told = facts.may_say(Audience.CUSTOMER)
    effects: tuple[Effect, ...] = (
        SetStatus(Status.HELD, Reason.DETAILS),
        Say(Audience.AGENT, "who_is_this", {"opened": True, "told": told, **_proposed(facts)}),
    )
    if told:
        effects = (*effects, Say(Audience.CUSTOMER, "who_are_you"))
    return Verdict(effects, "nobody we know: held until an agent confirms who he is", final=True)


def _proposed(facts: Facts) -> dict[str, str | int | bool | tuple[str, ...] | None]:
    if facts.proposal is None:
        return {}
    return {"organisation": facts.proposal.organisation.name, "contract": facts.proposal.contract}
