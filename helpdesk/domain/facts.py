"""Everything a rule may know, gathered before it is asked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from helpdesk.domain.bounce import Fate
from helpdesk.domain.contract import Contract
from helpdesk.domain.decision import (
    Assign,
    Audience,
    ClearAddress,
    Confirm,
    Effect,
    JoinTicket,
    OpenTicket,
    Say,
    SetStatus,
    Suppress,
    UseContract,
)
from helpdesk.domain.people import Agent, Organisation, Person
from helpdesk.domain.proof import Proof, Role, TokenState
from helpdesk.domain.reading import Reading
from helpdesk.domain.ticket import Reason, Status, Ticket

#: Signs that many may know or guess: they lead only those to a ticket who are part of it.
BY_REFERENCE = "the reference in the subject"
BY_THREAD_INDEX = "the conversation that Outlook names"
BY_SUBJECT = "the subject of a reply"
WEAK_SIGNS = (BY_REFERENCE, BY_THREAD_INDEX, BY_SUBJECT)

#: An agent may say so long that a mail which nothing proves is his.
CONFIRM_WITHIN = timedelta(hours=24)

#: Raised when the stored form changes so that older readers would misread it.
VERSION = 1


class Trigger(StrEnum):
    """The four kinds of input."""

    MAIL = "mail"
    TIMER = "timer"
    CHANGE = "change"
    DELIVERY = "delivery"


@dataclass(frozen=True, slots=True)
class Desk:
    """The desk that handles the input; ``addresses`` are folded, the first is the one it writes from.

    ``web_forms`` are the folded addresses that forms of web sites write from.
    """

    key: str
    tenant: str
    name: str
    addresses: tuple[str, ...]
    zone: str
    language: str = "en"
    first_agent: str = ""
    grace_days: int = 0
    unproven_per_day: int = 1
    automatic_per_hour: int = 20
    same_words_per_day: int = 1
    rapid_per_hour: int = 2
    web_forms: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ticket that the mail may belong to, strongest sign first.

    ``named`` is true where an entry of the ticket named the sender in To or Cc, ``same_organisation`` where the
    sender's organisation is the requester's, ``thanked`` where a held ticket's requester was thanked for his details.
    """

    ticket: Ticket
    how: str
    named: bool = False
    same_organisation: bool = False
    thanked: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a stranger's own words point to: an organisation by its contract number; proposed, never believed."""

    organisation: Organisation
    contract: str


@dataclass(frozen=True, slots=True)
class Ration:
    """Automatic mails already decided for the sender's address; ``warned`` are those of the last hour that told an
    agent that a mail of his, or in his name, was not accepted; ``last_at`` is when the last one was decided."""

    last_day: int = 0
    last_hour: int = 0
    warned: int = 0
    last_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Returned:
    """The mail of ours that a report is about, and ``fate``, what the report says of it.

    ``how`` is what shows that it is ours; ``known`` is true where a report of its end was acted on before.
    """

    mail_id: int
    human: bool
    recipient: str
    how: str
    fate: Fate
    known: bool = False


@dataclass(frozen=True, slots=True)
class TimerDue:
    """A reminder of a promise that is due: the latest step and those it stands for."""

    promise: str
    step: str
    passed: tuple[str, ...]
    due_at: datetime
    round: int = 0
    breached: bool = False
    late: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Something an administrator changed: ``kind`` is what, for example "contract".

    ``heard`` is true where the customer was written to about the ticket before.
    """

    kind: str
    heard: bool = True


@dataclass(frozen=True, slots=True)
class Waiting:
    """A mail in quarantine, by its number; ``waits`` is false once it was released or dropped.

    ``since`` is when it was set aside (UTC).
    """

    id: int
    waits: bool
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of an outbox row that was written at ``since``; ``words`` is what a person says in it.

    Where that person is an agent, he is the facts' ``agent``. ``at`` is when it happened: the relay took it, refused
    it, or it came back. ``event_id`` is the entry that it carries, ``status`` an enhanced status code, "" for none.
    ``told`` is true where the operator heard of this address within a day.
    """

    outcome: str
    human: bool
    recipient: str
    reason: str = ""
    at: datetime | None = None
    since: datetime | None = None
    words: str = ""
    event_id: int | None = None
    audience: str = Audience.CUSTOMER.value
    status: str = ""
    told: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """One input and what is known about it at ``now`` (UTC); ``today`` is the desk's local date of receipt.

    ``sender`` is whom From names, believed only as far as ``proof`` goes; ``agent`` is set where he is one of ours.
    ``employer`` is the organisation that a proven newcomer's domain tells.
    ``ticket`` is the ticket the input belongs to, once a rule joined or opened one; ``opened`` says that it is new.
    ``contracts`` are those of the requester's organisation and of the ``organisations`` that the mail names.
    ``returned`` is set where the mail is a report about a mail of ours, ``to_return_path`` where it came to an address
    that only mail systems answer to, ``to_role`` where it came to postmaster or abuse (RFC 2142). ``ours`` says that
    the mail bears a Message-ID that we gave out.
    ``repeats`` counts the mails of a day from the same sender with the same words, an agent's on the same ticket alone.
    ``customer`` is whom the mail that an agent forwards is from, with id 0 where we do not know him; None for staff and
    for our own addresses. ``customer_ration`` counts the automatic mails to him.
    ``quarantine`` is the mail that is spoken of, where this one came to the address of its notice; ``by_operator`` is true
    where From names the operator's address. ``confirming`` is the agent's own mail that waits for his word, where this one
    came to the address that he alone was told. ``released`` says that a person let the mail out of quarantine.
    """

    trigger: Trigger
    now: datetime
    today: date
    desk: Desk
    reading: Reading = field(default_factory=Reading)
    proof: Proof = Proof.NONE
    role: Role = Role.STRANGER
    sender: Person | None = None
    agent: Agent | None = None
    employer: Organisation | None = None
    token: TokenState = TokenState.NONE
    purpose: str = ""
    candidates: tuple[Candidate, ...] = ()
    ticket: Ticket | None = None
    opened: bool = False
    third_party: bool = False
    contracts: tuple[Contract, ...] = ()
    proposal: Proposal | None = None
    organisations: tuple[Organisation, ...] = ()
    agents: tuple[Agent, ...] = ()
    ration: Ration = Ration()
    suppressed: tuple[Audience, ...] = ()
    said: tuple[Audience, ...] = ()
    timer: TimerDue | None = None
    change: Change | None = None
    delivery: Delivery | None = None
    returned: Returned | None = None
    to_return_path: bool = False
    to_role: bool = False
    ours: bool = False
    repeats: int = 0
    customer: Person | None = None
    customer_ration: Ration = Ration()
    quarantine: Waiting | None = None
    confirming: Waiting | None = None
    released: bool = False
    by_operator: bool = False
    version: int = VERSION

    @property
    def grace_days(self) -> int:
        """Days after its end that a contract still counts, by the desk's policy."""
        return self.desk.grace_days

    def may_say(self, audience: Audience) -> bool:
        """False where an earlier rule suppressed this audience."""
        return audience not in self.suppressed

    @property
    def thanked(self) -> bool:
        """Whether the requester of the ticket was thanked for his details already."""
        return any(found.thanked for found in self.candidates if self.ticket and found.ticket.id == self.ticket.id)

    def contracts_of(self, organisation_id: int) -> tuple[Contract, ...]:
        """The known contracts of one organisation."""
        return tuple(one for one in self.contracts if one.organisation_id == organisation_id)

    def requester_contracts(self) -> tuple[Contract, ...]:
        """The contracts of the organisation that the ticket, or else the sender, belongs to."""
        person = self.ticket.requester if self.ticket else self.sender
        return self.contracts_of(person.organisation.id) if person and person.organisation else ()

    def assigned(self) -> Agent | None:
        """The agent the ticket is assigned to, if he still is one."""
        key = self.ticket.agent if self.ticket else ""
        return next((agent for agent in self.agents if agent.key == key), None)

    def after(self, effects: Iterable[Effect]) -> Facts:
        """The facts that the next rule sees."""
        facts = self
        for effect in effects:
            facts = facts._after_one(effect)
        return facts

    def _after_one(self, effect: Effect) -> Facts:
        match effect:
            case OpenTicket():
                return replace(self, ticket=self._new_ticket(effect), opened=True)
            case JoinTicket():
                chosen = next(found.ticket for found in self.candidates if found.ticket.id == effect.ticket_id)
                outsider = self.agent is None and not effect.participant and not self._part_of(chosen)
                return replace(self, ticket=chosen, third_party=outsider)
            case SetStatus():
                return self._with_ticket(status=effect.status, reason=effect.reason)
            case Assign():
                return self._with_ticket(agent=effect.agent)
            case UseContract():
                return self._with_ticket(contract_id=effect.contract_id)
            case Confirm():
                return self._with_organisation(effect.organisation_id)
            case Suppress():
                return replace(self, suppressed=(*self.suppressed, effect.audience))
            case ClearAddress() if self.sender is not None and self.sender.address == effect.address:
                return replace(self, sender=replace(self.sender, unreachable_since=None, unreachable_why=""))
            case Say():
                return replace(self, said=(*self.said, effect.audience))
            case _:
                return self

    def _part_of(self, ticket: Ticket) -> bool:
        return self.sender is not None and ticket.includes(self.sender.id)

    def _with_ticket(self, **changed: object) -> Facts:
        if self.ticket is None:
            return self
        return replace(self, ticket=replace(self.ticket, **changed))  # type: ignore[arg-type]

    def _with_organisation(self, organisation_id: int) -> Facts:
        if self.ticket is None:
            return self
        found = next((one for one in self.organisations if one.id == organisation_id), None)
        return self._with_ticket(requester=replace(self.ticket.requester, organisation=found))

    def _new_ticket(self, effect: OpenTicket) -> Ticket:
        requester = self.sender or Person(0, "", self.reading.sender.address if self.reading.sender else "")
        if effect.forwarded and self.customer is not None:
            requester = self.customer
        elif self.employer is not None:
            requester = replace(requester, organisation=self.employer)
        return Ticket(
            id=0,
            reference="",
            desk=self.desk.key,
            subject=effect.subject,
            status=Status.NEW,
            reason=Reason.NONE,
            opened_at=self.now,
            requester=requester,
            proven=self.proof.proven and not effect.forwarded,
        )
