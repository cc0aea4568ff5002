"""A mail as it came: bytes, envelope and the door it came through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Door(StrEnum):
    """How a mail reached us."""

    SMTP = "smtp"
    SUBMISSION = "submission"
    LMTP = "lmtp"
    IMAP = "imap"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """An address with the name written beside it (RFC 5322 section 3.4); the name is never an identity."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where an IMAP server showed a mail: mailbox name of our settings, UIDVALIDITY and UID."""

    mailbox: str
    uidvalidity: int
    uid: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who handed the mail over and for whom.

    ``sender`` is the reverse path, "" for ``<>`` and None where the door does not tell it (IMAP without Return-Path).
    ``user`` is the login of an authenticated submission under TLS, else "".
    """

    sender: str | None
    recipients: tuple[str, ...]
    peer: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class RawMail:
    """The bytes of one mail and what the door knows about it.

    ``received_at`` is when it reached us or our mailbox (UTC), never the Date header.
    """

    door: Door
    envelope: Envelope
    received_at: datetime
    data: bytes
    sighting: Sighting | None = None
