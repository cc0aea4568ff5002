"""Header fields as bytes on the wire, written here and nowhere else.

CPython's own serializer is not used: several of its versions in the field decode a value twice and write a second
header (CVE-2024-6923), others let a newline through (CVE-2026-1299).

STANDARDS: RFC 5322 (fields, folding), RFC 2047 (encoded words), RFC 2231 (parameters), RFC 6532 (only on request).
"""

from __future__ import annotations

import binascii
import re
import unicodedata
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from helpdesk.domain.address import fold_domain
from helpdesk.domain.errors import PermanentFailure
from helpdesk.domain.mail import Mailbox

#: Longest line that we write where a line can be folded at all (RFC 5322 section 2.1.1 recommends 78).
WIDTH = 76
#: Of the text of an encoded word, so that the first of them fits beside the name of its field.
ENCODED_WIDTH = 52
LONGEST_SUBJECT = 500
LONGEST_NAME = 100
LONGEST_LABEL = 150
#: References stay below what relays and clients are known to refuse; the root and the newest ancestors matter.
REFERENCES_KEPT = 20
REFERENCES_BYTES = 1500

# C0, DEL, C1, line and paragraph separator, lone surrogates.
_BREAKING = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
# Marks that reorder what a reader sees: "exe.pdf" for "fdp.exe".
_REORDERING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"\s+")
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LOCAL_UTF8 = re.compile(r"[^\s()<>\[\]:;@\\,\".\x00-\x20\x7f-\xa0]+(?:\.[^\s()<>\[\]:;@\\,\".\x00-\x20\x7f-\xa0]+)*")
_DOMAIN = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*")
_LITERAL = re.compile(r"\[[0-9A-Za-z:.]+\]")
_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,240}>")
_Q_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")


def clean(text: str, longest: int) -> str:
    """One line fit for a header: no control character, nothing that looks like an encoded word, cut to ``longest``.

    >>> clean("Re: x\\r\\nBcc: eve@example.net =?utf-8?q?=0A?=", 100)
    'Re: x Bcc: eve@example.net = ?utf-8?q?=0A?='
    """
    text = _REORDERING.sub("", _BREAKING.sub(" ", text))
    text = _SPACES.sub(" ", text.replace("=?", "= ?")).strip()
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def wire_address(address: str, smtputf8: bool = False) -> str:
    """The address as it is written, its domain in A-labels.

    Raises PermanentFailure for what cannot be written safely: no address, quoted local parts, an address that looks
    like an encoded word, and local parts beyond ASCII unless ``smtputf8``.
    """
    local, at, domain = address.strip().rpartition("@")
    if not (at and domain.startswith("[")):
        try:
            domain = fold_domain(domain)
        except UnicodeError as error:
            raise PermanentFailure(f"no mail can be sent to {address!r}: its domain cannot be written") from error
    if "=?" in address or len(address) > 320 or not (_DOMAIN.fullmatch(domain) or _LITERAL.fullmatch(domain)):
        raise PermanentFailure(f"no mail can be sent to {address!r}: this is no mail address")
    if not local.isascii() and not smtputf8:
        raise PermanentFailure(f"no mail can be sent to {address!r}: letters beyond ASCII need SMTPUTF8 (RFC 6531)")
    if not (_LOCAL if local.isascii() else _LOCAL_UTF8).fullmatch(local):
        raise PermanentFailure(f"no mail can be sent to {address!r}: this is no mail address")
    return f"{local}@{domain}"


def write(name: str, units: Sequence[str]) -> bytes:
    """One field: the units stay whole, with a space between them or a folded line (CRLF and a space)."""
    lines, line = [], f"{name}:"
    for unit in units:
        if len(line) + 1 + len(unit) > WIDTH and line.strip() and line != f"{name}:":
            lines.append(line)
            line = ""
        line += f" {unit}"
    return "\r\n".join([*lines, line]).encode() + b"\r\n"


def unstructured(text: str, longest: int = LONGEST_SUBJECT) -> list[str]:
    """The units of a free text such as a subject: plain words, or encoded words where a word needs it."""
    text = clean(text, longest)
    words = text.split(" ")
    if text.isascii() and all(len(word) < WIDTH - 12 for word in words):
        return words
    return encoded_words(text)


def mailboxes(people: Iterable[Mailbox], smtputf8: bool = False) -> list[str]:
    """The units of an address list."""
    units: list[str] = []
    for person in people:
        if units:
            units[-1] += ","
        address, name = wire_address(person.address, smtputf8), clean(person.name, LONGEST_NAME)
        units += [*_phrase(name), f"<{address}>"] if name else [address]
    return units


def message_id(value: str) -> str:
    """The id itself if it can be written, else ""."""
    return value if _MESSAGE_ID.fullmatch(value) and "=?" not in value else ""


def references(ids: Sequence[str]) -> list[str]:
    """The first and the newest ancestors, oldest first, that fit into REFERENCES_BYTES."""
    good = list(dict.fromkeys(one for one in ids if message_id(one)))
    if not good:
        return []
    newest, room = [], REFERENCES_BYTES - len("References: \r\n") - len(good[0])
    for one in reversed(good[1:][-REFERENCES_KEPT:]):
        # Each costs its folding too: CRLF and a space.
        room -= len(one) + 3
        if room < 0:
            break
        newest.append(one)
    return [good[0], *reversed(newest)]


def label(name: str) -> str:
    """A file name as people may see it: no folder, nothing that reorders or controls, at most LONGEST_LABEL long."""
    bare = re.split(r"[/\\]", name)[-1]
    bare = clean(bare, 1000).strip(". ")
    stem, dot, ending = bare.rpartition(".")
    if len(bare) > LONGEST_LABEL:
        ending = (dot + ending)[:20] if stem else ""
        bare = (stem or bare)[: LONGEST_LABEL - len(ending)] + ending
    return unicodedata.normalize("NFC", bare) or "attachment"


def parameter(name: str, value: str) -> list[str]:
    """The units of one parameter (RFC 2231): quoted where it is short ASCII, else in percent-encoded pieces."""
    if value.isascii() and len(value) <= 55:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'{name}="{escaped}"']
    pieces, piece = [], "utf-8''"
    for character in value:
        coded = quote(character, safe="")
        if len(piece) + len(coded) > 50:
            pieces.append(piece)
            piece = ""
        piece += coded
    pieces.append(piece)
    if len(pieces) == 1:
        return [f"{name}*={piece}"]
    last = len(pieces) - 1
    return [f"{name}*{number}*={piece}{';' * (number < last)}" for number, piece in enumerate(pieces)]


def encoded_words(text: str) -> list[str]:
    """The text as encoded words of at most 75 characters, never splitting a character (RFC 2047 sections 2 and 5)."""
    plain = sum(character.isascii() for character in text)
    encode = _q if plain * 3 >= len(text) * 2 else _b
    words, held, size = [], "", 0
    for character in text:
        # Base64 grows by threes of octets, so only the whole says how long it is; the other form adds up.
        more = len(encode(character)) if encode is _q else len(character.encode())
        longer = size + more if encode is _q else (size + more + 2) // 3 * 4
        if held and longer > ENCODED_WIDTH:
            words.append(held)
            held, size = "", 0
        held += character
        size += more
    words.append(held)
    letter = "q" if encode is _q else "b"
    return [f"=?utf-8?{letter}?{encode(word)}?=" for word in words]


def _phrase(name: str) -> list[str]:
    if name.isascii():
        if _PHRASE.fullmatch(name):
            return name.split(" ")
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return [f'"{escaped}"']
    return encoded_words(name)


def _q(text: str) -> str:
    return "".join(
        chr(byte) if byte in _Q_SAFE else "_" if byte == 0x20 else f"={byte:02X}" for byte in text.encode("utf-8")
    )


def _b(text: str) -> str:
    return binascii.b2a_base64(text.encode("utf-8"), newline=False).decode("ascii")
