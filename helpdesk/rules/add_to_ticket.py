"""Add a reply to its ticket and tell the agent; a person's reply reopens a closed ticket and ends waiting for it."""

from __future__ import annotations

from helpdesk.domain.decision import AddEntry, Audience, Effect, Say, SetStatus, Verdict
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Facts
from helpdesk.domain.reading import Kind
from helpdesk.domain.ticket import Reason, Status, Ticket


def check(facts: Facts) -> Verdict | None:
    ticket = facts.ticket
    if ticket is None or facts.opened:
        return None
    if facts.third_party:
        effects: tuple[Effect, ...] = (
            AddEntry(EventKind.THIRD_PARTY_ENTRY, facts.reading.new_text or facts.reading.text),
            Say(Audience.AGENT, "customer_wrote", {"third_party": True}),
        )
        return Verdict(effects, "a third party's entry: the agent sees it, the ticket does not change", final=True)
    reopened = ticket.status is Status.CLOSED and not facts.reading.kind.unattended
    effects = (AddEntry(EventKind.CUSTOMER_ENTRY, facts.reading.new_text or facts.reading.text),)
    if reopened or (ticket.status is Status.WAITING and not facts.reading.kind.unattended):
        effects = (*effects, SetStatus(Status.HELD, ticket.reason) if _was_held(ticket) else SetStatus(Status.OPEN))
    if facts.reading.kind is Kind.CHALLENGE:
        # A machine of the customer's keeps our mail from him: somebody has to know.
        effects = (*effects, Say(Audience.AGENT, "customer_wrote", {"reopened": False}))
        return Verdict(effects, "a challenge: the agent hears that mail to the customer is held back", final=True)
    if facts.reading.kind.unattended:
        return Verdict(effects, "a machine's reply is filed and changes nothing", final=True)
    if facts.proposal is not None and ticket.requester.organisation is None and _asked(ticket):
        effects = (
            *effects,
            Say(
                Audience.AGENT,
                "who_is_this",
                {"organisation": facts.proposal.organisation.name, "contract": facts.proposal.contract},
            ),
        )
        effects = (*effects, *_thanks(facts))
        return Verdict(
            effects, f"names a contract of {facts.proposal.organisation.name}: proposed to the agent", final=True
        )
    if ticket.requester.organisation is None and _asked(ticket):
        effects = (*effects, Say(Audience.AGENT, "who_is_this"), *_thanks(facts))
        return Verdict(effects, "an unknown sender answered: an agent confirms who he is", final=True)
    effects = (*effects, Say(Audience.AGENT, "customer_wrote", {"reopened": reopened}))
    return Verdict(effects, "reopened by the reply" if reopened else "added to the ticket", final=True)


def _asked(ticket: Ticket) -> bool:
    """True while the ticket waits for who he is; later a match or none must not be told apart by a mail."""
    return ticket.reason is Reason.DETAILS and ticket.status in (Status.HELD, Status.CLOSED)


def _was_held(ticket: Ticket) -> bool:
    """True for a ticket that was closed while something held it."""
    return ticket.status is Status.CLOSED and ticket.reason in (Reason.CONTRACT, Reason.DETAILS)


def _thanks(facts: Facts) -> tuple[Effect, ...]:
    """Once for each ticket: who writes ten times what may help is not thanked ten times."""
    return (Say(Audience.CUSTOMER, "thanks_details"),) if facts.may_say(Audience.CUSTOMER) and not facts.thanked else ()
