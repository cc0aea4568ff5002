"""Read delivery reports and receipts: their fields by recipient (RFC 3464, RFC 6522, RFC 8098), else their prose.

Whether a mail is a report at all is told before (``classify``), and whether it speaks of a mail of ours is proven
afterwards by the ids that it returns: what is read here may be anything that somebody wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from helpdesk.domain.bounce import Fate, Report, status_in
from helpdesk.inbound import bounce_prose, mime
from helpdesk.inbound.header import Fields, first, line

STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
RECEIPT_TYPES = ("message/disposition-notification", "message/global-disposition-notification")
RETURNED_TYPES = ("message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
#: Parts of a report that are looked at, its recipients, and the octets of its fields.
PARTS = 20
_FATES = 50
_MOST_OCTETS = 64 * 1024
_WORDS = 300
#: Fields of a report that lost the form of one, because its borders are broken.
_LOOSE_FIELD = re.compile(
    r"^[ \t>]*(final-recipient|original-recipient|action|status|diagnostic-code)[ \t]*:[ \t]*(.{1,500})$", re.I | re.M
)
#: How the words begin that mean: it has arrived, or is still under way. Some write their own, most of them for a failure.
_ARRIVED, _UNDER_WAY = ("deliver", "relay", "expand", "success"), ("delay", "defer")
_MAY_PASS = re.compile(r"4[0-5]\d\b")
_RECIPIENT = re.compile(rb"\r?\n(?=(?:original|final)-recipient[ \t]*:)", re.I)
_FINAL = re.compile(rb"^final-recipient[ \t]*:", re.I | re.M)
_ID = re.compile(r"<[^<>\s]{1,248}>")


def read(data: bytes, tree: mime.Tree, text: str = "", *, delayed: bool = False, nested: bool = False) -> Report | None:
    """What a report says, None where nothing in the mail would make it one; ``text`` is the mail's own. Total.

    ``delayed`` is True where the mail is known to speak of a delay, so that its prose need not say so.
    A report that a gateway wrapped into a mail of its own is read inside of that.
    """
    fates: list[Fate] = []
    returned: list[str] = []
    to = ""
    found = False
    for number, part in enumerate(tree.parts[:PARTS]):
        if part.type not in (*STATUS_TYPES, *RECEIPT_TYPES, *RETURNED_TYPES):
            continue
        body = mime.decode_body(data[part.start : min(part.end, part.start + _MOST_OCTETS)], part.encoding)
        if part.type in STATUS_TYPES:
            found = True
            fates += [_fate(fields) for fields in _blocks(body)[1:]]
        elif part.type in RECEIPT_TYPES:
            found = True
            fields = _fields(body)
            fates.append(_receipt(fields))
            returned += _ids(fields, "original-message-id")
        elif part.type in RETURNED_TYPES and number:
            fields = mime.read_fields(body, 0)[0]
            returned += _ids(fields, "message-id")
            to = to or ", ".join(fields.get("to", ())[:5])
    if not fates and not nested:
        for part in tree.parts[1:PARTS]:
            if part.type == "message/rfc822":
                wrapped = mime.decode_body(data[part.start : part.end], part.encoding)
                inner = mime.split(wrapped)
                if inner.parts[0].type == "multipart/report" and (report := read(wrapped, inner, nested=True)):
                    return report
    if not any("@" in (fate.original or fate.recipient) for fate in fates):
        root = tree.parts[0].fields
        said, ids = bounce_prose.read(text, first(root, "from"), first(root, "to"))
        said = _loose(text) or _named(root, said) or said
        if not any(fate.recipient for fate in said) and (addressed := bounce_prose.addressed(text, to)):
            said = addressed
        said = [replace(fate, action="delayed") if delayed else fate for fate in said]
        fates, returned = said or fates, returned or ids
        found = found or bool(said)
    return Report(tuple(fates[:_FATES]), tuple(dict.fromkeys(returned))) if found or returned else None


def _named(root: Fields, said: Sequence[Fate]) -> list[Fate]:
    """Whom Exim's header names, with what its text says of each: its reports in no standard form are for people."""
    values = (name.strip() for value in root.get("x-failed-recipients", ())[:_FATES] for name in value.split(","))
    about = {fate.recipient.lower(): fate for fate in said}
    one = said[0] if len(said) == 1 and not said[0].recipient else Fate(action="failed")
    return [about.get(name.lower(), replace(one, recipient=name)) for name in values if name][:_FATES]


def actions(body: bytes) -> set[str]:
    """What a delivery-status part says of its recipients, in lower case."""
    values = (first(fields, "action") for fields in _blocks(body[:_MOST_OCTETS]))
    return {_action(value) for value in values if value.strip()}


def _action(value: str) -> str:
    said = line(value, 40).strip().lower().partition(" ")[0]
    if not said or said.startswith(_ARRIVED):
        return said
    return "delayed" if said.startswith(_UNDER_WAY) else "failed"


def _blocks(body: bytes) -> list[Fields]:
    """The fields of the report, then those of each recipient (RFC 3464 section 2.1: an empty line between them)."""
    texts = re.split(rb"\r?\n(?:[ \t]*\r?\n)+", body.strip(b"\r\n"))
    texts = [one for text in texts for one in _apart(text)]
    blocks = [_fields(text) for text in texts[: _FATES + 1] if text.strip()]
    # Some reports leave out what is not about a recipient, though it must be there.
    return blocks if not blocks or "final-recipient" not in blocks[0] else [{}, *blocks]


def _apart(text: bytes) -> list[bytes]:
    """The fields of several recipients between whom the empty line is missing."""
    if len(_FINAL.findall(text)) < 2:
        return [text]
    apart: list[bytes] = []
    names: set[bytes] = set()
    for one in _RECIPIENT.split(text):
        name = one[:5].lower()
        if apart and name not in names:
            apart[-1] += b"\n" + one
        else:
            apart.append(one)
            names = set()
        names.add(name)
    return apart


_FIELD = re.compile(rb"[A-Za-z][A-Za-z0-9-]{1,60}[ \t]*:")


def _fields(text: bytes) -> Fields:
    """Fields whose folded lines may not be indented, as some systems write the words of another server."""
    lines = text.strip(b"\r\n").splitlines()
    folded = b"\r\n".join(line if _FIELD.match(line) else b" " + line.lstrip() for line in lines)
    return mime.read_fields(folded + b"\r\n\r\n", 0)[0]


def _fate(fields: Fields) -> Fate:
    words = line(first(fields, "diagnostic-code"), _WORDS).partition(";")
    said = (words[2] or words[0]).strip()
    original = _address(first(fields, "original-recipient"))
    return Fate(
        recipient=_address(first(fields, "final-recipient")),
        original=original if "@" in original else "",
        action=_action(first(fields, "action")),
        status=status_in(first(fields, "status")[:40]) or status_in(said) or ("4.0.0" if _MAY_PASS.match(said) else ""),
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
    address = (address if semicolon else kind).strip().strip("<>'\"")
    return address if '"' in address else address.partition(" ")[0].strip("<>")


def _ids(fields: Fields, name: str) -> Sequence[str]:
    return [found for value in fields.get(name, ())[:5] for found in _ID.findall(value[:2000]) if found.isprintable()]


def _loose(text: str) -> list[Fate]:
    """Fields that stand in the text itself."""
    found: list[dict[str, list[str]]] = []
    for name, value in _LOOSE_FIELD.findall(text[: bounce_prose.PROSE]):
        key = name.lower()
        if not found or key in found[-1]:
            found.append({})
        found[-1][key] = [value]
    return [fate for fate in map(_fate, found) if "@" in (fate.recipient or fate.original)]
