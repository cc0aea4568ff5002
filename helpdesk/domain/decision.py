"""What a rule says (Verdict), what it wants done (effects), and what the desk decided (Decision).

Effects are data; ``pipeline/apply.py`` is the one module that turns them into rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from helpdesk.domain.event import EventKind
from helpdesk.domain.reading import NOT_STORED
from helpdesk.domain.ticket import Reason, Status

#: Raised when the stored form changes so that older readers would misread it.
VERSION = 1

Value = str | int | bool | None | tuple[str, ...]


class Audience(StrEnum):
    """For whom something is said; one mail is composed for each from all that was said to it."""

    CUSTOMER = "customer"
    AGENT = "agent"
    ACTOR = "actor"
    LEAD = "lead"
    MANAGER = "manager"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class OpenTicket:
    """A new ticket of the sender, counted in his organisation's history; or of him whose mail he forwarded."""

    subject: str
    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class JoinTicket:
    """The mail belongs to this ticket; ``participant`` makes its sender one of those who may read and write in it."""

    ticket_id: int
    how: str
    participant: bool = False


@dataclass(frozen=True, slots=True)
class AddEntry:
    """The mail becomes an entry of the ticket; the text is kept with the event alone.

    ``forwarded`` makes it the requester's words, though somebody else's mail brought them.
    """

    kind: EventKind
    text: str = field(default="", metadata=NOT_STORED)
    forwarded: bool = False


@dataclass(frozen=True, slots=True)
class SetStatus:
    """``why`` is the reason in words that a person gave, "" where a rule decided."""

    status: Status
    reason: Reason = Reason.NONE
    why: str = ""


@dataclass(frozen=True, slots=True)
class Assign:
    """The ticket goes to this agent, by key."""

    agent: str


@dataclass(frozen=True, slots=True)
class UseContract:
    """The ticket is worked under this contract; None where a person let it in without one."""

    contract_id: int | None


@dataclass(frozen=True, slots=True)
class Confirm:
    """The ticket's requester belongs to this organisation from now on."""

    organisation_id: int


@dataclass(frozen=True, slots=True)
class Say:
    """A block of text for an audience: ``templates/<language>/<audience>/<block>.md`` with these values."""

    audience: Audience
    block: str
    values: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Relay:
    """An agent's words go to the customer from the support address, with the attachments of his mail."""

    text: str = field(default="", metadata=NOT_STORED)


@dataclass(frozen=True, slots=True)
class Suppress:
    """Nothing automatic is said to this audience because of this mail."""

    audience: Audience


@dataclass(frozen=True, slots=True)
class Record:
    """An event of the ticket that is no entry, with its data."""

    kind: EventKind
    data: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PassReport:
    """A mail of ours came back, by the id of its outbox row: an input of its own, handled like a failed delivery."""

    mail_id: int
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class MarkAddress:
    """Mail to this address came back for good; from now on it gets no automatic mail."""

    address: str
    why: str


@dataclass(frozen=True, slots=True)
class ClearAddress:
    """This address takes mail again."""

    address: str


@dataclass(frozen=True, slots=True)
class Drop:
    """The mail ends here, counted under this reason; its bytes stay in the spool."""

    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """The mail goes to quarantine with a cause that people understand."""

    cause: str


@dataclass(frozen=True, slots=True)
class EndQuarantine:
    """A mail that waits in quarantine is read anew, or dropped; ``confirmed`` where its own writer said that it is his."""

    number: int
    release: bool
    confirmed: bool = False


Effect = (
    OpenTicket
    | JoinTicket
    | AddEntry
    | SetStatus
    | Assign
    | UseContract
    | Confirm
    | Say
    | Relay
    | Suppress
    | Record
    | PassReport
    | MarkAddress
    | ClearAddress
    | Drop
    | SetAside
    | EndQuarantine
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says: effects and why; ``final`` ends the list."""

    effects: tuple[Effect, ...]
    why: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A rule that fired."""

    rule: str
    why: str
    effects: tuple[Effect, ...]
    final: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """All rules that fired, in order."""

    steps: tuple[Step, ...]
    version: int = VERSION

    @property
    def effects(self) -> tuple[Effect, ...]:
        return tuple(effect for step in self.steps for effect in step.effects)
