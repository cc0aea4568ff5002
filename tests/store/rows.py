"""Rows as the store tests need them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from typing import Any

import sqlalchemy as sa

from helpdesk.domain.mail import Door, Envelope, RawMail, Sighting
from helpdesk.domain.people import Person
from helpdesk.store import people, tickets
from helpdesk.store.outbox import Letter
from helpdesk.store.tables import contract, organisation

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
TODAY = date(2026, 11, 23)
_NUMBERS = count(1)


def raw_mail(data: bytes = b"Subject: a\r\n\r\nb\r\n", **changed: Any) -> RawMail:
    """A mail at the SMTP door, for the desk of acme."""
    values: dict[str, Any] = {
        "door": Door.SMTP,
        "envelope": Envelope("bob@globex.example", ("support@acme.example",), "192.0.2.1"),
        "received_at": NOW,
        "data": data,
    }
    return RawMail(**(values | changed))


def seen(uid: int, uidvalidity: int = 1, data: bytes = b"Subject: a\r\n\r\nb\r\n") -> RawMail:
    """A mail that an IMAP server shows."""
    return raw_mail(data, door=Door.IMAP, sighting=Sighting("support", uidvalidity, uid))


def letter(recipient: str = "bob@globex.example", **changed: Any) -> Letter:
    """An automatic mail to a customer, due at once."""
    values: dict[str, Any] = {
        "tenant": "acme",
        "ticket_id": None,
        "event_id": None,
        "relay": "main",
        "audience": "customer",
        "block": "opened",
        "kind": "automatic",
        "sender": "",
        "recipient": recipient,
        "message_id": "<1@acme.example>",
        "data": b"Subject: a\r\n\r\nb\r\n",
        "text": "b",
        "expires_at": NOW + timedelta(days=1),
        "not_before": NOW,
    }
    return Letter(**(values | changed))


def add_organisation(connection: sa.Connection, name: str, tenant: str = "acme") -> int:
    """An organisation; its id."""
    number: int = connection.execute(
        sa.insert(organisation).values(tenant=tenant, name=name, folded=name.casefold()).returning(organisation.c.id)
    ).scalar_one()
    return number


def add_contract(
    connection: sa.Connection,
    group: int,
    number: str,
    ends: date = date(2027, 6, 30),
    tenant: str = "acme",
    starts: date = date(2026, 1, 1),
    **more: Any,
) -> int:
    """A contract of an organisation; its id."""
    found: int = connection.execute(
        sa.insert(contract)
        .values(
            tenant=tenant,
            organisation_id=group,
            kind="contract",
            number=number,
            folded=number.casefold(),
            products=["Widget"],
            starts=starts,
            ends=ends,
            **more,
        )
        .returning(contract.c.id)
    ).scalar_one()
    return found


def add_ticket(connection: sa.Connection, requester: Person | None = None, tenant: str = "acme", **changed: Any) -> int:
    """A ticket of a new person; its id."""
    person = requester or people.add(connection, tenant, f"p{next(_NUMBERS)}@globex.example", "")
    values: dict[str, Any] = {
        "tenant": tenant,
        "desk": tenant,
        "prefix": "AC",
        "subject": "Printer",
        "requester": person,
        "proven": True,
        "at": NOW,
    }
    return tickets.open_ticket(connection, **(values | changed))[0]
