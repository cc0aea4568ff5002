"""Take an address that answers our automatic mails within minutes, time after time, for a machine, and fall silent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from helpdesk.domain.decision import Audience, Suppress, Verdict
from helpdesk.domain.facts import Facts


@dataclass(frozen=True, slots=True)
class Options:
    minutes: int = 5


def check(facts: Facts, options: Options) -> Verdict | None:
    last = facts.ration.last_at
    if facts.agent is not None or last is None or facts.ration.last_hour < facts.desk.rapid_per_hour:
        return None
    if facts.now - last > timedelta(minutes=options.minutes):
        return None
    why = (
        f"{facts.ration.last_hour} automatic mails to this address within an hour, "
        f"and it wrote again within {options.minutes} minutes of the last: no automatic answer"
    )
    return Verdict((Suppress(Audience.CUSTOMER),), why)
