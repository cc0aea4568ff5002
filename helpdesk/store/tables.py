"""The tables. Every table of customers carries its tenant; every instant is UTC; text has no NUL.

``event`` is the only history and is append-only. ``timer`` is an index over it, computed anew by the transaction that
changed its cause. ``spool``, ``input`` and ``timer`` hold the four kinds of input as durable rows.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator


class Instant(TypeDecorator[datetime]):
    """An aware datetime, kept as UTC; SQLite keeps it as text without a zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs a zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Clean(TypeDecorator[str]):
    """Text without NUL and lone surrogates, which PostgreSQL and UTF-8 refuse."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        if value is None:
            return None
        if "\x00" in value:
            value = value.replace("\x00", "")
        if not value.isascii():
            value = value.encode("utf-8", "replace").decode("utf-8")
        return value


Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id() -> sa.Column[int]:
    return sa.Column("id", Id, primary_key=True, autoincrement=True)


def _tenant() -> sa.Column[str]:
    return sa.Column("tenant", Clean, nullable=False)


def _refers(name: str, target: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, Id, sa.ForeignKey(f"{target}.id"), nullable=nullable)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, Clean, nullable=False, server_default="")


organisation = sa.Table(
    "organisation",
    metadata,
    _id(),
    _tenant(),
    sa.Column("name", Clean, nullable=False),
    _text("folded"),
    _text("manager"),
    sa.UniqueConstraint("tenant", "folded"),
)

domain = sa.Table(
    "domain",
    metadata,
    _id(),
    _tenant(),
    sa.Column("domain", Clean, nullable=False),
    _refers("organisation_id", "organisation"),
    sa.UniqueConstraint("tenant", "domain"),
)

person = sa.Table(
    "person",
    metadata,
    _id(),
    _tenant(),
    _text("name"),
    _text("language"),
    _text("zone"),
    sa.Column("agent", Clean, nullable=False, server_default=""),
    sa.Column("ended_at", Instant),
)

address = sa.Table(
    "address",
    metadata,
    _id(),
    _tenant(),
    sa.Column("address", Clean, nullable=False),
    sa.Column("written", Clean, nullable=False),
    _refers("person_id", "person"),
    sa.Column("position", sa.Integer, nullable=False, server_default="0"),
    sa.Column("ended_at", Instant),
    sa.Column("unreachable_since", Instant),
    _text("unreachable_why"),
    sa.UniqueConstraint("tenant", "address"),
    sa.Index("ix_address_person_id", "person_id"),
)

membership = sa.Table(
    "membership",
    metadata,
    _id(),
    _tenant(),
    _refers("person_id", "person"),
    _refers("organisation_id", "organisation"),
    sa.Column("role", Clean, nullable=False),
    sa.Column("starts", sa.Date),
    sa.Column("ends", sa.Date),
    sa.UniqueConstraint("person_id", "organisation_id"),
)

contract = sa.Table(
    "contract",
    metadata,
    _id(),
    _tenant(),
    _refers("organisation_id", "organisation"),
    sa.Column("kind", Clean, nullable=False),
    sa.Column("number", Clean, nullable=False),
    sa.Column("folded", Clean, nullable=False),
    sa.Column("products", sa.JSON, nullable=False),
    sa.Column("starts", sa.Date, nullable=False),
    sa.Column("ends", sa.Date, nullable=False),
    _text("manager"),
    sa.UniqueConstraint("tenant", "folded", "starts"),
    sa.Index("ix_contract_organisation_id", "organisation_id"),
)

raw = sa.Table(
    "raw",
    metadata,
    sa.Column("hash", sa.String(64), primary_key=True),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

spool = sa.Table(
    "spool",
    metadata,
    _id(),
    _tenant(),
    sa.Column("door", Clean, nullable=False),
    sa.Column("sender", Clean),
    sa.Column("recipients", sa.JSON, nullable=False),
    _text("peer"),
    _text("user"),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("raw_hash", sa.String(64), sa.ForeignKey("raw.hash"), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_until", sa.Float),
    sa.Column("lease_no", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", sa.Float),
    _text("outcome"),
    _text("outcome_why"),
    sa.Column("done_at", Instant),
    _refers("ticket_id", "ticket", nullable=True),
)
sa.Index(
    "ix_spool_waiting", spool.c.id, sqlite_where=spool.c.done_at.is_(None), postgresql_where=spool.c.done_at.is_(None)
)
sa.Index("ix_spool_raw_hash", spool.c.raw_hash)

sighting = sa.Table(
    "sighting",
    metadata,
    _id(),
    _refers("spool_id", "spool"),
    sa.Column("mailbox", Clean, nullable=False),
    sa.Column("uidvalidity", sa.BigInteger, nullable=False),
    sa.Column("uid", sa.BigInteger, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.UniqueConstraint("mailbox", "uidvalidity", "uid", "spool_id"),
)

mail = sa.Table(
    "mail",
    metadata,
    _id(),
    _tenant(),
    sa.Column("message_id", Clean, nullable=False),
    sa.Column("content_hash", sa.String(64), nullable=False),
    sa.Column("likeness", sa.String(64), nullable=False, server_default=""),
    _refers("spool_id", "spool"),
    sa.UniqueConstraint("tenant", "message_id", "content_hash"),
    sa.Index("ix_mail_likeness", "tenant", "likeness"),
)

counter = sa.Table(
    "counter",
    metadata,
    sa.Column("name", Clean, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)

ticket = sa.Table(
    "ticket",
    metadata,
    _id(),
    _tenant(),
    sa.Column("desk", Clean, nullable=False),
    sa.Column("reference", Clean, nullable=False),
    sa.Column("subject", Clean, nullable=False),
    sa.Column("status", Clean, nullable=False),
    _text("reason"),
    _refers("requester_id", "person"),
    _refers("organisation_id", "organisation", nullable=True),
    _refers("contract_id", "contract", nullable=True),
    sa.Column("agent", Clean, nullable=False, server_default=""),
    _text("severity"),
    sa.Column("proven", sa.Boolean, nullable=False),
    sa.Column("opened_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.UniqueConstraint("tenant", "reference"),
    sa.Index("ix_ticket_organisation_status", "organisation_id", "status"),
    sa.Index("ix_ticket_requester_id", "requester_id"),
)

participant = sa.Table(
    "participant",
    metadata,
    _id(),
    _refers("ticket_id", "ticket"),
    _refers("person_id", "person"),
    sa.Column("since", Instant, nullable=False),
    sa.UniqueConstraint("ticket_id", "person_id"),
)

event = sa.Table(
    "event",
    metadata,
    _id(),
    _tenant(),
    _refers("ticket_id", "ticket"),
    sa.Column("at", Instant, nullable=False),
    sa.Column("kind", Clean, nullable=False),
    _refers("person_id", "person", nullable=True),
    _text("text"),
    sa.Column("data", sa.JSON, nullable=False),
    _refers("spool_id", "spool", nullable=True),
    sa.Index("ix_event_ticket_id", "ticket_id", "id"),
)

message_id = sa.Table(
    "message_id",
    metadata,
    _id(),
    _tenant(),
    sa.Column("message_id", Clean, nullable=False),
    _refers("ticket_id", "ticket"),
    _refers("event_id", "event", nullable=True),
    sa.Column("audience", Clean, nullable=False),
    sa.UniqueConstraint("tenant", "message_id", "ticket_id"),
    sa.Index("ix_message_id_ticket_id", "ticket_id", "id"),
)

named = sa.Table(
    "named",
    metadata,
    _id(),
    _refers("ticket_id", "ticket"),
    sa.Column("address", Clean, nullable=False),
    sa.UniqueConstraint("ticket_id", "address"),
)

timer = sa.Table(
    "timer",
    metadata,
    _id(),
    _tenant(),
    _refers("ticket_id", "ticket"),
    sa.Column("promise", Clean, nullable=False),
    sa.Column("state", Clean, nullable=False),
    sa.Column("due_at", Instant),
    sa.Column("wake_at", Instant),
    sa.Column("round", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("ticket_id", "promise"),
    sa.Index("ix_timer_wake_at", "wake_at"),
)

reminder = sa.Table(
    "reminder",
    metadata,
    _id(),
    _refers("ticket_id", "ticket"),
    sa.Column("promise", Clean, nullable=False),
    sa.Column("step", Clean, nullable=False),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.UniqueConstraint("ticket_id", "promise", "step", "round"),
)

input_ = sa.Table(
    "input",
    metadata,
    _id(),
    _tenant(),
    sa.Column("trigger", Clean, nullable=False),
    _refers("ticket_id", "ticket"),
    sa.Column("data", sa.JSON, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("not_before", Instant),
    sa.Column("done_at", Instant),
    _text("outcome"),
)
sa.Index(
    "ix_input_waiting",
    input_.c.id,
    sqlite_where=input_.c.done_at.is_(None),
    postgresql_where=input_.c.done_at.is_(None),
)

outbox = sa.Table(
    "outbox",
    metadata,
    _id(),
    _tenant(),
    _refers("ticket_id", "ticket", nullable=True),
    _refers("event_id", "event", nullable=True),
    sa.Column("relay", Clean, nullable=False),
    sa.Column("audience", Clean, nullable=False),
    sa.Column("block", Clean, nullable=False),
    sa.Column("kind", Clean, nullable=False),
    sa.Column("sender", Clean, nullable=False),
    sa.Column("recipient", Clean, nullable=False),
    sa.Column("folded", Clean, nullable=False),
    sa.Column("message_id", Clean, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("not_before", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("state", Clean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("lease_until", sa.Float),
    sa.Column("lease_no", sa.Integer, nullable=False, server_default="0"),
    _text("last_error"),
    sa.Column("ended_at", Instant),
    sa.Index("ix_outbox_folded", "tenant", "folded", "created_at"),
    sa.Index("ix_outbox_ticket_id", "ticket_id"),
    sa.Index("ix_outbox_message_id", "tenant", "message_id"),
)
sa.Index(
    "ix_outbox_waiting",
    outbox.c.relay,
    outbox.c.not_before,
    sqlite_where=outbox.c.state == sa.text("'waiting'"),
    postgresql_where=outbox.c.state == sa.text("'waiting'"),
)

#: Apart from its row, which changes with each claim and fate: a changed row is written anew as a whole.
outbox_mail = sa.Table(
    "outbox_mail",
    metadata,
    sa.Column("outbox_id", Id, sa.ForeignKey("outbox.id"), primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
    sa.Column("text", Clean, nullable=False),
)

decision = sa.Table(
    "decision",
    metadata,
    _id(),
    _tenant(),
    sa.Column("trigger", Clean, nullable=False),
    _refers("spool_id", "spool", nullable=True),
    _refers("input_id", "input", nullable=True),
    _refers("ticket_id", "ticket", nullable=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("facts", sa.JSON, nullable=False),
    sa.Column("decision", sa.JSON, nullable=False),
    sa.Index("ix_decision_ticket_id", "ticket_id"),
    sa.Index("ix_decision_spool_id", "spool_id"),
)

quarantine = sa.Table(
    "quarantine",
    metadata,
    _id(),
    _tenant(),
    _refers("spool_id", "spool"),
    sa.Column("cause", Clean, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("released_at", Instant),
    _text("released_how"),
    sa.Index("ix_quarantine_spool_id", "spool_id"),
)
