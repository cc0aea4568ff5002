"""Take who writes the same words again and again for a machine: customers get no answer to them, agents are not relayed."""

from __future__ import annotations

from dataclasses import dataclass

from helpdesk.domain.decision import Audience, Say, SetAside, Suppress, Verdict
from helpdesk.domain.facts import Facts


@dataclass(frozen=True, slots=True)
class Options:
    from_agents: int = 2


def check(facts: Facts, options: Options) -> Verdict | None:
    if facts.agent is not None:
        return _from_agent(facts, options)
    if facts.repeats < facts.desk.same_words_per_day:
        return None
    why = f"the same words came from this sender {facts.repeats + 1} times within a day: no automatic answer"
    return Verdict((Suppress(Audience.CUSTOMER),), why)


def _from_agent(facts: Facts, options: Options) -> Verdict | None:
    """Two machines that answer each other by way of an agent's address would look like a conversation of people."""
    if not facts.proof.proven or facts.reading.kind.unattended or facts.repeats < options.from_agents:
        return None
    cause = f"{facts.repeats + 1} times the same words from an agent on one ticket within a day: perhaps a machine"
    effects = (SetAside(cause), Say(Audience.OPERATOR, "quarantined", {"cause": cause}))
    return Verdict(effects, cause, final=True)
