"""File a machine's mail, and mail to postmaster or abuse, like any other, but never answer it (RFC 3834 section 2)."""

from __future__ import annotations

import re

from helpdesk.domain.address import fold
from helpdesk.domain.decision import Audience, Suppress, Verdict
from helpdesk.domain.facts import Facts

#: Mailboxes that nobody reads, or that belong to a mail system (RFC 2142 names postmaster).
_NOBODY = re.compile(r"(?:mailer-?daemon|postmaster|(?:no|do[._-]?not|dont)[._-]?(?:reply|answer|respond)\S*)@")


def check(facts: Facts) -> Verdict | None:
    reading = facts.reading
    if reading.kind.by_machine:
        return Verdict((Suppress(Audience.CUSTOMER),), f"{reading.kind}: {reading.kind_why}; no automatic answer")
    if reading.sender_problem:  # let in by a person; whom it seems to be from may be somebody else
        return Verdict((Suppress(Audience.CUSTOMER),), f"{reading.sender_problem}; no automatic answer")
    if reading.return_path == "":
        return Verdict((Suppress(Audience.CUSTOMER),), "it has an empty return path; no automatic answer")
    if reading.sender is not None and _NOBODY.match(reading.sender.address.lower()):
        return Verdict((Suppress(Audience.CUSTOMER),), "nobody reads at the sender's address; no automatic answer")
    if reading.sender is not None and fold(reading.sender.address) in facts.desk.web_forms:
        return Verdict((Suppress(Audience.CUSTOMER),), "a web form that names no writer; no automatic answer")
    if facts.to_role:
        return Verdict((Suppress(Audience.CUSTOMER),), "it is for postmaster or abuse; no automatic answer")
    return None
