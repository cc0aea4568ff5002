"""Drop a mail of our own that came back, and anything that has travelled in circles."""

from __future__ import annotations

from dataclasses import dataclass

from helpdesk.domain.address import untagged
from helpdesk.domain.decision import Audience, Drop, Say, SetAside, Verdict
from helpdesk.domain.facts import Facts
from helpdesk.domain.reading import Kind


@dataclass(frozen=True, slots=True)
class Options:
    max_hops: int = 50


def check(facts: Facts, options: Options) -> Verdict | None:
    reading = facts.reading
    if any(mark in facts.desk.addresses for mark in reading.loop_marks) or (facts.ours and not reading.kind.is_report):
        return _drop("our own mail came back to us")
    if reading.sender and untagged(reading.sender.address)[0] in facts.desk.addresses:
        if reading.list_address and reading.kind is Kind.HUMAN:
            cause = "a list put this desk's own address into From and names no writer"
            if facts.released:
                cause += "; it was let in, but names nobody to whom a ticket could belong"
            return Verdict(
                (SetAside(cause), Say(Audience.OPERATOR, "quarantined", {"cause": cause})), cause, final=True
            )
        return _drop("it claims to be from this desk itself")
    if reading.hops > options.max_hops:
        return _drop(f"it went through more than {options.max_hops} servers")
    return None


def _drop(why: str) -> Verdict:
    return Verdict((Drop(why),), why, final=True)
