"""Text of kinds other than plain and HTML into what a person reads of it: armour of PGP, files in uuencode, enriched text.

Each function is total and linear, and gives back unchanged what is none of its kind.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass

ENCRYPTED = (
    "[The mail is encrypted with {how}: only the programs of its writer and reader can open it. It is kept whole.]"
)

_SIGNED = re.compile(r"^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\n(?:[A-Za-z-]{1,20}: [^\n]{0,200}\n){0,10}\n?", re.M)
_SIGNATURE = re.compile(
    r"^-----BEGIN PGP SIGNATURE-----[ \t]*\n(?:[^\n-][^\n]{0,200}\n|\n){0,200}?-----END PGP SIGNATURE-----[ \t]*\n?",
    re.M,
)
_SECRET = re.compile(
    r"^-----BEGIN PGP MESSAGE-----[ \t]*\n(?:[^\n-][^\n]*\n|[ \t]*\n)*+-----END PGP MESSAGE-----[ \t]*$", re.M
)


def without_armour(text: str) -> str:
    """Text signed with PGP without its marks; in place of a block that is encrypted, words that say so.

    >>> without_armour("-----BEGIN PGP SIGNED MESSAGE-----\\nHash: SHA256\\n\\nIt hums.\\n- -- \\nBob\\n")
    'It hums.\\n-- \\nBob\\n'
    """
    if "-----BEGIN PGP " not in text:
        return text
    out: list[str] = []
    position = 0
    for opening in _SIGNED.finditer(text):
        if opening.start() < position:
            continue
        end = text.find("\n-----BEGIN PGP SIGNATURE-----", opening.end() - 1)
        end = len(text) if end < 0 else end + 1
        out += [text[position : opening.start()], _DASHED.sub("", text[opening.end() : end])]
        position = end
    text = "".join([*out, text[position:]])
    return _SECRET.sub(ENCRYPTED.format(how="PGP"), _SIGNATURE.sub("", text))


#: Lines of signed text that begin with a dash are escaped (RFC 9580 section 7.2).
_DASHED = re.compile(r"^- (?=-|From )", re.M)


@dataclass(frozen=True, slots=True)
class Coded:
    """A file that lies within a text."""

    name: str
    data: bytes


_UU = re.compile(
    rb"^begin 0?[0-7]{3} ([^\r\n]{1,250})\r?\n((?:[!-`][ -`]{0,90}\r?\n)++)(?: ?\r?\n)?end[ \t]*\r?(?:\n|\Z)",
    re.M,
)
_MAX_FILES = 100


def uuencoded(data: bytes) -> tuple[bytes, tuple[Coded, ...]]:
    """The text around files in uuencode, and those files."""
    if b"begin " not in data:
        return data, ()
    files: list[Coded] = []
    out: list[bytes] = []
    position = 0
    for found in _UU.finditer(data):
        content = uu_bytes(found[2])
        if not content or len(files) >= _MAX_FILES:
            continue
        files.append(Coded(found[1].decode("utf-8", "replace").rstrip(" \t"), content))
        out.append(data[position : found.start()])
        position = found.end()
    return b"".join([*out, data[position:]]), tuple(files)


def uu_bytes(lines: bytes) -> bytes:
    """The bytes in the lines of a file in uuencode; a line that is none is skipped."""
    return b"".join(_uu_line(line) for line in lines.splitlines() if len(line) > 1)


def _uu_line(line: bytes) -> bytes:
    # The first byte says how many bytes the line holds; blanks at its end may be lost, but what lacks most of it is none.
    wanted = (((line[0] - 32) & 63) * 4 + 5) // 3
    if 2 * len(line) < wanted:
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        pass
    # Some encoders pad lines wrongly.
    try:
        return binascii.a2b_uu(line[:wanted])
    except binascii.Error:
        return b""


_PARAM = re.compile(r"<param>(?:[^<]|<(?!/?param>)){0,500}</param>", re.I)
_ENRICHED_TAG = re.compile(r"<<|</?[a-z0-9-]{1,60}>", re.I)
_NEWLINES = re.compile(r"\n+")
_RICH_TAG = re.compile(r"<(/?[a-z0-9-]{1,40})>", re.I)


def enriched(text: str) -> str:
    """The words of text/enriched (RFC 1896), or of text/richtext (RFC 1341), which it followed.

    >>> enriched("<bold>It</bold> hums <<loudly>.\\n\\nBob"), enriched("One<nl>two <lt>three>")
    ('It hums <loudly>.\\nBob', 'One\\ntwo <three>')
    """
    if re.search(r"<(?:nl|lt|np)>", text, re.I):
        marks = {"nl": "\n", "np": "\n", "/paragraph": "\n", "lt": "<"}
        return _RICH_TAG.sub(lambda tag: marks.get(tag[1].lower(), ""), text.replace("\n", " "))
    text = _NEWLINES.sub(lambda run: "\n" * (len(run[0]) - 1) or " ", _PARAM.sub("", text))
    return _ENRICHED_TAG.sub(lambda tag: "<" if tag[0] == "<<" else "", text)
