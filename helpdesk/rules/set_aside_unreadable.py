"""Set a mail aside whose sender cannot be told: nobody could be answered."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Say, SetAside, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.reading import Kind


def check(facts: Facts) -> Verdict | None:
    reading = facts.reading
    if reading.sender is not None or reading.kind in (Kind.BOUNCE, Kind.DELAYED, Kind.RECEIPT):
        return None
    cause = reading.sender_problem or "the mail does not say whom it is from"
    if facts.released:
        cause += "; it was let in, but names nobody to whom a ticket could belong"
    effects = (SetAside(cause), Say(Audience.OPERATOR, "quarantined", {"cause": cause}))
    return Verdict(effects, cause, final=True)
