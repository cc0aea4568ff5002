"""Draft -> bytes: one mail as it goes over the wire, CRLF and ASCII throughout.

Text and HTML are alternatives, enclosures lie beside them (RFC 2046 sections 5.1.3 and 5.1.4). Every mail passes the
guard before anybody gets its bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Literal

from helpdesk.domain.errors import PermanentFailure
from helpdesk.domain.mail import Mailbox
from helpdesk.outbound import guard, headers

#: Types that reach a reader as they are; everything else may be active content and becomes application/octet-stream.
HARMLESS_TYPES = frozenset(
    {
        "application/gzip",
        "application/json",
        "application/msword",
        "application/pdf",
        "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/zip",
        "audio/mpeg",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "text/csv",
        "text/plain",
        "video/mp4",
    }
)

_ASCII = bytes(range(128))


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file that goes along: name and type as the first sender gave them, and its decoded bytes."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A mail as it is meant.

    ``message_id``, ``in_reply_to`` and ``references`` (oldest first) carry their angle brackets; ``html`` may be "".
    ``auto`` is the Auto-Submitted value (RFC 3834 section 5), "" for a mail that a person wrote; ``loop_mark`` is
    written as X-Helpdesk-Loop. ``thread_index`` (base64) and ``thread_topic`` name the conversation to Outlook, which
    sees no other sign where a server has rewritten the ids. ``date`` is aware. ``smtputf8`` allows local parts beyond
    ASCII (RFC 6531).
    """

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    text: str
    message_id: str
    date: datetime
    html: str = ""
    cc: tuple[Mailbox, ...] = ()
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    reply_to: str = ""
    thread_index: str = ""
    thread_topic: str = ""
    auto: Literal["", "auto-replied", "auto-generated"] = ""
    loop_mark: str = ""
    enclosures: tuple[Enclosure, ...] = ()
    language: str = ""
    smtputf8: bool = False


def compose(draft: Draft) -> bytes:
    """The mail in bytes.

    Raises PermanentFailure for an address that cannot be written or a mail without recipient or Message-ID, and its
    subclass HeaderMismatch where the guard finds anything in the bytes that the draft does not say.
    """
    if not draft.to:
        raise PermanentFailure("a mail without a recipient")
    if not headers.message_id(draft.message_id):
        raise PermanentFailure(f"no Message-ID: {draft.message_id!r}")
    data = _head(draft) + _entity(draft)
    guard.check(data, draft)
    return data


def _head(draft: Draft) -> bytes:
    fields: list[tuple[str, list[str]]] = [
        ("Date", [format_datetime(draft.date)]),
        ("From", headers.mailboxes([draft.sender], draft.smtputf8)),
        ("To", headers.mailboxes(draft.to, draft.smtputf8)),
        ("Cc", headers.mailboxes(draft.cc, draft.smtputf8)),
        ("Subject", headers.unstructured(draft.subject)),
        ("Message-ID", [draft.message_id]),
        ("In-Reply-To", [one for one in [headers.message_id(draft.in_reply_to)] if one]),
        ("References", headers.references(draft.references)),
        ("Reply-To", headers.mailboxes([Mailbox(draft.reply_to)], draft.smtputf8) if draft.reply_to else []),
        ("Thread-Index", [draft.thread_index] if draft.thread_index else []),
        ("Thread-Topic", headers.unstructured(draft.thread_topic) if draft.thread_topic else []),
        ("Auto-Submitted", [draft.auto] if draft.auto else []),
        ("X-Auto-Response-Suppress", ["All"] if draft.auto else []),
        ("X-Helpdesk-Loop", headers.unstructured(draft.loop_mark, 200) if draft.loop_mark else []),
        ("Content-Language", headers.unstructured(draft.language, 40) if draft.language else []),
        ("MIME-Version", ["1.0"]),
    ]
    return b"".join(headers.write(name, units) for name, units in fields if units)


def _entity(draft: Draft) -> bytes:
    """From Content-Type on, of the whole mail or of a part."""
    body = _text_part("plain", draft.text)
    if draft.html:
        body = _multipart("alternative", [body, _text_part("html", draft.html)], draft.message_id)
    if draft.enclosures:
        body = _multipart("mixed", [body, *map(_enclosed, draft.enclosures)], draft.message_id)
    return body


def _text_part(kind: str, text: str) -> bytes:
    raw = text.encode("utf-8", "replace")
    raw = raw.replace(b"\0", b"").replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n") + b"\n"
    foreign = 0 if raw.isascii() else len(raw.translate(None, _ASCII))
    encoding = "base64" if foreign * 3 > len(raw) else "quoted-printable"
    head = headers.write("Content-Type", [f"text/{kind}; charset=utf-8"])
    head += headers.write("Content-Transfer-Encoding", [encoding]) + b"\r\n"
    raw = raw.replace(b"\n", b"\r\n")
    return head + (_base64(raw) if encoding == "base64" else binascii.b2a_qp(raw, istext=True))


def _enclosed(enclosure: Enclosure) -> bytes:
    name = headers.label(enclosure.name)
    known = enclosure.type.lower() if enclosure.type.lower() in HARMLESS_TYPES else "application/octet-stream"
    if known.startswith("text/"):
        known = f"{known}; charset=utf-8" if _is_utf8(enclosure.data) else "application/octet-stream"
    head = headers.write("Content-Type", [f"{known};", *headers.parameter("name", name)])
    head += headers.write("Content-Transfer-Encoding", ["base64"])
    head += headers.write("Content-Disposition", ["attachment;", *headers.parameter("filename", name)])
    return head + b"\r\n" + _base64(enclosure.data)


def _multipart(kind: str, parts: list[bytes], seed: str) -> bytes:
    # "=_" occurs in neither quoted-printable nor base64, so no part can hold the boundary (RFC 2045 section 6.7).
    boundary = "=_" + hashlib.sha256(f"{kind} {seed}".encode()).hexdigest()[:32]
    delimiter = f"\r\n--{boundary}".encode()
    head = headers.write("Content-Type", [f"multipart/{kind};", f'boundary="{boundary}"']) + b"\r\n"
    body = b"".join(delimiter + b"\r\n" + part for part in parts) + delimiter + b"--\r\n"
    return head + body.removeprefix(b"\r\n")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")
