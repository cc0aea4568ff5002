"""Read delivery reports and receipts: multipart/report with its fields by recipient (RFC 3464, RFC 6522, RFC 8098)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from helpdesk.domain.bounce import Fate, Report, status_in
from helpdesk.inbound import mime
from helpdesk.inbound.header import Fields, first, line

STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
RECEIPT_TYPES = ("message/disposition-notification", "message/global-disposition-notification")
RETURNED_TYPES = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
#: Parts of a report that are looked at, its recipients, and the octets of its fields.
PARTS = 20
_FATES = 50
_MOST_OCTETS = 64 * 1024
_WORDS = 300
_ID = re.compile(r"<[^<>\s]{1,248}>")


def read(data: bytes, tree: mime.Tree) -> Report | None:
    """What a report says, None where the mail has no part that would make it one. Total."""
    fates: list[Fate] = []
    returned: list[str] = []
    found = False
    for number, part in enumerate(tree.parts[:PARTS]):
        if part.type not in (*STATUS_TYPES, *RECEIPT_TYPES, *RETURNED_TYPES):
            continue
        body = mime.decode_body(data[part.start : min(part.end, part.start + _MOST_OCTETS)], part.encoding)
        if part.type in STATUS_TYPES and _in_report(tree, number):
            found = True
            fates += [_fate(fields) for fields in _blocks(body)[1:]]
        elif part.type in RECEIPT_TYPES:
            found = True
            fields = _fields(body)
            fates.append(_receipt(fields))
            returned += _ids(fields, "original-message-id")
        elif part.type in RETURNED_TYPES and number:
            returned += _ids(mime.read_fields(body, 0)[0], "message-id")
    failed = [name for value in tree.parts[0].fields.get("x-failed-recipients", ()) for name in value.split(",")]
    if failed and not fates:
        # Exim before it wrote standard reports; the report itself is for people.
        found, fates = True, [Fate(name.strip(), action="failed") for name in failed[:_FATES]]
    return Report(tuple(fates[:_FATES]), tuple(dict.fromkeys(returned))) if found or returned else None


def actions(body: bytes) -> set[str]:
    """What a delivery-status part says of its recipients, in lower case."""
    values = (first(fields, "action") for fields in _blocks(body[:_MOST_OCTETS]))
    return {value.strip().lower().partition(" ")[0] for value in values if value.strip()}


def _in_report(tree: mime.Tree, number: int) -> bool:
    return not number or tree.parts[tree.parts[number].parent].type == "multipart/report"


def _blocks(body: bytes) -> list[Fields]:
    """The fields of the report, then those of each recipient (RFC 3464 section 2.1: an empty line between them)."""
    texts = re.split(rb"\r?\n(?:[ \t]*\r?\n)+", body.strip(b"\r\n"))
    blocks = [_fields(text) for text in texts[: _FATES + 1] if text.strip()]
    # Some reports leave out what is not about a recipient, though it must be there.
    return blocks if not blocks or "final-recipient" not in blocks[0] else [{}, *blocks]


def _fields(text: bytes) -> Fields:
    return mime.read_fields(text.strip(b"\r\n") + b"\r\n\r\n", 0)[0]


def _fate(fields: Fields) -> Fate:
    words = line(first(fields, "diagnostic-code"), _WORDS).partition(";")
    said = (words[2] or words[0]).strip()
    return Fate(
        recipient=_address(first(fields, "final-recipient")),
        original=_address(first(fields, "original-recipient")),
        action=line(first(fields, "action"), 40).strip().lower().partition(" ")[0],
        status=status_in(first(fields, "status")[:40]) or status_in(said),
        words=said,
    )


def _receipt(fields: Fields) -> Fate:
    disposition = line(first(fields, "disposition"), 100).rpartition(";")[2].strip().lower()
    return Fate(
        recipient=_address(first(fields, "final-recipient")),
        original=_address(first(fields, "original-recipient")),
        action=disposition.partition("/")[0],
    )


def _address(value: str) -> str:
    """``rfc822; bob@acme.example`` -> the address; the type may be missing."""
    kind, semicolon, address = line(value, 400).partition(";")
    return (address if semicolon else kind).strip().strip("<>")


def _ids(fields: Fields, name: str) -> Sequence[str]:
    return [found for value in fields.get(name, ())[:5] for found in _ID.findall(value[:2000]) if found.isprintable()]
