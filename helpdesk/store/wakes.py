"""What a transaction leaves for others to do: noted where the row is written, told by the writer once it is durable."""

from __future__ import annotations

import sqlalchemy as sa

#: A mail to read, a mail to read again, an input to handle; for a relay's outbox see ``relay``.
MAIL, AGAIN, INPUT = "mail", "mail again", "input"
_KEY = "helpdesk wakes"


def relay(name: str) -> str:
    """A mail for this relay to hand over."""
    return f"relay {name}"


def note(connection: sa.Connection, what: str) -> None:
    """Somebody will have work once this transaction is committed."""
    connection.info.setdefault(_KEY, set()).add(what)


def take(connection: sa.Connection) -> frozenset[str]:
    """Everything noted since the last time."""
    return frozenset(connection.info.pop(_KEY, ()))
