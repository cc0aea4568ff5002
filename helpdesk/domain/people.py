"""People and organisations as rules see them: snapshots, never rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Organisation:
    """A customer; ``manager`` is the address of the customer manager who looks after it, "" for none."""

    id: int
    name: str
    manager: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """A contact, a partner or a stranger; ``address`` is the one on record, language and zone already defaulted.

    ``unreachable_since`` is when mail to the address came back for good, and ``unreachable_why`` what was said then.
    """

    id: int
    name: str
    address: str
    organisation: Organisation | None = None
    role: str = ""
    language: str = ""
    zone: str = ""
    agent: str = ""
    unreachable_since: datetime | None = None
    unreachable_why: str = ""

    @property
    def called(self) -> str:
        """The name to greet by, or the address where we know none."""
        return self.name or self.address


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who answers; ``key`` is the name of the section in agents.toml; a lead is told of broken promises."""

    id: int
    key: str
    name: str
    address: str
    lead: bool = False
    language: str = ""
    zone: str = ""
    desks: tuple[str, ...] = ()
