"""Header values into text: encoded words (RFC 2047) decoded once, tolerant of what mailers really write."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping, Sequence

from helpdesk.inbound.charset import clean_line, decode

#: A part's header fields: lower-case name to the values in order, unfolded, encoded words not decoded.
Fields = Mapping[str, Sequence[str]]

MAX_WORDS = 2000
#: Mailers leave spaces and question marks as they are; what is cut off at the end of the value is a word, too.
_WORD = re.compile(r"=\?\s?([^?\s]{1,80})\s?\?([bBqQ])\?((?:[^?=]++|\?(?!=)|=(?!\?[^=]))*+)(?:\?=|\Z)")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=]+")


def first(fields: Fields, name: str) -> str:
    """The first value of this field, "" where there is none."""
    values = fields.get(name)
    return values[0] if values else ""


def line(value: str, limit: int = 1000) -> str:
    """A header value as one clean line of text for people."""
    return clean_line(decode_words(value), limit)


def decode_words(value: str) -> str:
    """The value with its encoded words decoded, exactly once; at most MAX_WORDS of them, linear.

    Words that follow each other in one charset are decoded as one, since mailers split inside a character.

    >>> decode_words("=?utf-8?q?f=C3?= =?utf-8?q?=BCr?= uns")
    'für uns'
    """
    if "=?" not in value:
        return value
    out: list[str] = []
    run: list[tuple[str, str]] = []
    charset = ""
    position = 0
    for count, match in enumerate(_WORD.finditer(value)):
        if count >= MAX_WORDS:
            break
        between = value[position : match.start()]
        label = match[1].partition("*")[0].lower()
        if run and (label != charset or between.strip()):
            out.append(_decode_run(run, charset))
            run = []
        elif run:
            between = ""
        # White space between two encoded words is not shown, whatever their charsets (RFC 2047 section 6.2).
        out.append(between if between.strip() or not position else "")
        run.append((match[2].lower(), match[3] if match[0].endswith("?=") else match[3].rstrip("?=")))
        charset = label
        position = match.end()
    if run:
        out.append(_decode_run(run, charset))
    out.append(value[position:])
    return "".join(out)


def _decode_run(run: list[tuple[str, str]], charset: str) -> str:
    if all(encoding == "b" for encoding, _ in run) and any(len(text) % 4 for _, text in run[:-1]):
        return decode(_b("".join(text for _, text in run)), charset)
    return decode(b"".join(_b(text) if encoding == "b" else _q(text) for encoding, text in run), charset)


def _b(text: str) -> bytes:
    """Out of base64; behind padding another piece may begin, as where programs join what they have encoded apart."""
    pieces = [piece[: len(piece) - (len(piece) % 4 == 1)] for piece in _NOT_BASE64.sub("", text).split("=")]
    return b"".join(binascii.a2b_base64(piece + "=" * (-len(piece) % 4)) for piece in pieces if piece)


def _q(text: str) -> bytes:
    return binascii.a2b_qp(text.encode("utf-8", "replace"), header=True)
