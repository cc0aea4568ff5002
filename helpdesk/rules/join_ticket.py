"""Join the ticket that the mail belongs to, without letting strangers in (design section 5, "Joining")."""

from __future__ import annotations

from helpdesk.domain.decision import JoinTicket, Verdict
from helpdesk.domain.facts import WEAK_SIGNS, Candidate, Facts


def check(facts: Facts) -> Verdict | None:
    for candidate in sorted(facts.candidates, key=lambda found: not _includes(facts, found)):
        verdict = _join(facts, candidate)
        if verdict:
            return verdict
    return None


def _includes(facts: Facts, found: Candidate) -> bool:
    return facts.sender is not None and found.ticket.includes(facts.sender.id)


def _join(facts: Facts, found: Candidate) -> Verdict | None:
    """None where the sign is too weak for this sender: anybody may write what stands in a subject."""
    ticket = found.ticket
    if facts.agent is not None or (facts.sender and ticket.includes(facts.sender.id)):
        return Verdict((JoinTicket(ticket.id, found.how),), f"belongs to {ticket.reference} by {found.how}")
    if found.how in WEAK_SIGNS:
        return None
    if found.named or (facts.proof.proven and found.same_organisation):
        why = "an entry named the sender" if found.named else "the sender is proven and of the requester's organisation"
        return Verdict((JoinTicket(ticket.id, found.how, participant=True),), f"joins {ticket.reference}: {why}")
    return Verdict(
        (JoinTicket(ticket.id, found.how),),
        f"points to {ticket.reference} by {found.how}, but the sender is no part of it: a third party's entry",
    )
