"""Facts as a table of cases needs them: a known customer's proven mail, and what differs from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from helpdesk.domain.bounce import Fate
from helpdesk.domain.contract import Contract
from helpdesk.domain.decision import Effect
from helpdesk.domain.facts import Candidate, Change, Delivery, Desk, Facts, Returned, TimerDue, Trigger
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.people import Agent, Organisation, Person
from helpdesk.domain.proof import Proof, Role, TokenState
from helpdesk.domain.reading import Reading
from helpdesk.domain.ticket import Reason, Status, Ticket

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TODAY = date(2026, 11, 23)

GLOBEX = Organisation(1, "Globex", "mia@acme.example")
INITECH = Organisation(2, "Initech")
BOB = Person(11, "Bob Miller", "bob@globex.example", GLOBEX, "contact")
EVE = Person(12, "Eve Short", "eve@globex.example", GLOBEX, "contact")
ZOE = Person(13, "", "zoe@elsewhere.example")

ANN = Agent(1, "ann", "Ann Berger", "ann@acme.example")
LEO = Agent(2, "leo", "Leo Novak", "leo@acme.example", lead=True)
ANN_AS_PERSON = Person(1, "Ann Berger", "ann@acme.example", agent="ann")

DESK = Desk("acme", "acme", "Acme Support", ("support@acme.example", "help@acme.example"), "Europe/Berlin")

VALID = Contract(101, "contract", "C-77", date(2026, 1, 1), TODAY, ("Widget",), organisation_id=GLOBEX.id)
LAPSED = Contract(102, "contract", "C-66", date(2025, 1, 1), TODAY - timedelta(days=1), organisation_id=GLOBEX.id)
FUTURE = Contract(103, "subscription", "S-88", TODAY + timedelta(days=1), date(2027, 12, 31), organisation_id=GLOBEX.id)


def reading(text: str = "The printer is on fire.", **changed: Any) -> Reading:
    """A person's mail with this text, all of it new."""
    values = {
        "text": text,
        "new_text": text,
        "lead_text": text,
        "subject": "Printer",
        "return_path": "bob@globex.example",
    }
    return Reading(**({"sender": Mailbox("bob@globex.example", "Bob Miller"), **values} | changed))


def ticket(status: Status = Status.OPEN, reason: Reason = Reason.NONE, **changed: Any) -> Ticket:
    """Bob's ticket AC-1001, assigned to Ann."""
    base = Ticket(7, "AC-1001", "acme", "Printer", status, reason, NOW, BOB, agent="ann", proven=True)
    return replace(base, **changed)


def mail(**changed: Any) -> Facts:
    """Bob's proven mail, not joined to any ticket yet; his organisation has a valid contract."""
    base = Facts(
        Trigger.MAIL,
        NOW,
        TODAY,
        DESK,
        reading=reading(),
        proof=Proof.BORDER,
        role=Role.CONTACT,
        sender=BOB,
        contracts=(VALID,),
        agents=(ANN, LEO),
    )
    return replace(base, **changed)


def opened(**changed: Any) -> Facts:
    """Bob's mail after a ticket was opened for it."""
    return mail(**({"ticket": ticket(Status.NEW, id=0, reference="", agent=""), "opened": True} | changed))


def stranger(**changed: Any) -> Facts:
    """A mail of somebody nobody knows and nothing proves."""
    written = reading(sender=Mailbox("zoe@elsewhere.example", "Your bank"), return_path="zoe@elsewhere.example")
    values = {"reading": written, "sender": None, "role": Role.STRANGER, "proof": Proof.NONE, "contracts": ()}
    return mail(**(values | changed))


def agent_mail(text: str = "Please switch it off.", **changed: Any) -> Facts:
    """Ann's proven reply on Bob's open ticket, already joined."""
    return mail(
        **(
            {
                "reading": reading(text, sender=Mailbox("ann@acme.example", "Ann"), return_path="ann@acme.example"),
                "proof": Proof.AUTH,
                "role": Role.AGENT,
                "sender": ANN_AS_PERSON,
                "agent": ANN,
                "token": TokenState.OWN,
                "purpose": "r",
                "candidates": (Candidate(ticket(), "the reply address"),),
                "ticket": ticket(),
            }
            | changed
        )
    )


def timer_due(step: str = "50%", *, breached: bool = False, late: bool = False) -> Facts:
    """A reminder that is due on Bob's ticket."""
    due = TimerDue("first_response", step, (step,), NOW, 0, breached, late)
    return Facts(Trigger.TIMER, NOW, TODAY, DESK, ticket=ticket(), agents=(ANN, LEO), timer=due)


def changed(status: Status, reason: Reason, *contracts: Contract, kind: str = "contract") -> Facts:
    """An administrator changed something about the organisation of Bob's ticket."""
    held = ticket(status, reason)
    return Facts(Trigger.CHANGE, NOW, TODAY, DESK, ticket=held, contracts=contracts, change=Change(kind))


def delivered(outcome: str, *, human: bool = True, reason: str = "", **more: Any) -> Facts:
    """The relay's last word on a mail to Bob, or his server's."""
    of_ticket = more.pop("ticket", ticket(Status.WAITING, Reason.CUSTOMER))
    what = Delivery(outcome, human, more.pop("recipient", BOB.address), reason, NOW, event_id=31, **more)
    return Facts(Trigger.DELIVERY, NOW, TODAY, DESK, ticket=of_ticket, delivery=what)


def returned(action: str = "failed", status: str = "5.1.1", *, known: bool = False) -> Returned:
    """What a report says of an answer to Bob."""
    fate = Fate(BOB.address, "", action, status, "550 5.1.1 no such user")
    return Returned(55, True, BOB.address, "the return path", fate, known)


def kinds(effects: tuple[Effect, ...]) -> list[str]:
    """What is wanted, in short: ``Say agent new_ticket``, ``SetStatus held contract``, ``Relay``."""
    return [_kind(effect) for effect in effects]


def _kind(effect: Any) -> str:
    words = [type(effect).__name__]
    for name in ("audience", "block", "status", "reason", "kind", "agent"):
        value = getattr(effect, name, "")
        if value and not (name in ("reason", "status") and words[0] in ("Drop", "PassReport")):
            words.append(str(value))
    return " ".join(words)
