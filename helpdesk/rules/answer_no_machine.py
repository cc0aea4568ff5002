"""File a machine's mail like any other, but never answer it (RFC 3834 section 2)."""

from __future__ import annotations

from helpdesk.domain.decision import Audience, Suppress, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    reading = facts.reading
    if reading.kind.by_machine:
        return Verdict((Suppress(Audience.CUSTOMER),), f"{reading.kind}: {reading.kind_why}; no automatic answer")
    if reading.return_path == "":
        return Verdict((Suppress(Audience.CUSTOMER),), "it has an empty return path; no automatic answer")
    return None
