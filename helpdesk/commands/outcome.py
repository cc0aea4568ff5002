"""What a command says: done, with effects and a line for the agent; or refused, with a line that helps."""

from __future__ import annotations

from dataclasses import dataclass

from helpdesk.domain.decision import Effect


@dataclass(frozen=True, slots=True)
class Done:
    """``line`` says in the past tense what was done."""

    effects: tuple[Effect, ...]
    line: str


@dataclass(frozen=True, slots=True)
class Refused:
    """``line`` says why nothing was done and what to write instead."""

    line: str
