"""Ask the rules in the order of the desk's policy; pure.

Each rule sees the facts as the verdicts before it left them. Flow control is two words: go on, or final.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from helpdesk.domain.decision import Decision, Step, Verdict
from helpdesk.domain.facts import Facts


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule bound to its options."""

    name: str
    check: Callable[[Facts], Verdict | None]


def decide(facts: Facts, rules: Sequence[Rule]) -> Decision:
    """Facts -> Decision."""
    steps: list[Step] = []
    for rule in rules:
        verdict = rule.check(facts)
        if verdict is None:
            continue
        steps.append(Step(rule.name, verdict.why, verdict.effects, verdict.final))
        if verdict.final:
            break
        facts = facts.after(verdict.effects)
    return Decision(tuple(steps))
