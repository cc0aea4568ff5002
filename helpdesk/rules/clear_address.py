"""Believe in an address again whose mail came back, once its owner has proven that he writes from it."""

from __future__ import annotations

from helpdesk.domain.decision import ClearAddress, Verdict
from helpdesk.domain.facts import Facts


def check(facts: Facts) -> Verdict | None:
    sender = facts.sender
    if sender is None or sender.unreachable_since is None or not facts.proof.proven:
        return None
    return Verdict((ClearAddress(sender.address),), f"{sender.address} writes, so mail to it is tried again")
