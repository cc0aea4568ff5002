"""A ticket as rules see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from helpdesk.domain.people import Person


class Status(StrEnum):
    """Where a ticket is in its life; desks may rename these in their texts, not add any."""

    NEW = "new"
    OPEN = "open"
    WAITING = "waiting"
    HELD = "held"
    CLOSED = "closed"


class Reason(StrEnum):
    """Why a ticket is held or waits."""

    NONE = ""
    CONTRACT = "contract"
    DETAILS = "details"
    CUSTOMER = "customer"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A snapshot; ``agent`` is the key of the assigned agent, ``proven`` whether its first mail was."""

    id: int
    reference: str
    desk: str
    subject: str
    status: Status
    reason: Reason
    opened_at: datetime
    requester: Person
    participants: tuple[Person, ...] = ()
    agent: str = ""
    severity: str = ""
    contract_id: int | None = None
    proven: bool = False

    def includes(self, person_id: int) -> bool:
        """True for the requester and every participant."""
        return person_id == self.requester.id or any(person.id == person_id for person in self.participants)
