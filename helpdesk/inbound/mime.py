"""A mail's bytes split into its parts (RFC 2045, 2046), with byte offsets and without copies.

One pass over the lines that begin with ``--``. Total, linear, bounded in depth and number of parts; what is beyond a
bound stays in the part before it, so nothing is lost. Python's own parser raises on some mails of a dozen bytes, needs
seconds for others of one megabyte, and keeps no offsets.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from helpdesk.inbound.charset import clean_line, decode_raw
from helpdesk.inbound.charset import decode as decode_text
from helpdesk.inbound.header import Fields, decode_words, first

MAX_DEPTH = 50
MAX_PARTS = 1000
MAX_HEADERS = 1000
MAX_HEADER_BYTES = 256 * 1024
#: The headers of all parts together.
MAX_HEADER_TOTAL = 2 * 1024 * 1024
#: Lines that begin with ``--`` and are looked at; a mail with more of them is read only up to there.
MAX_BORDER_LINES = 40_000
MAX_NAME = 150

TOO_DEEP = f"parts nested more than {MAX_DEPTH} deep"
TOO_MANY_PARTS = f"more than {MAX_PARTS:,} parts"
TOO_MANY_BORDERS = f"more than {MAX_BORDER_LINES:,} lines that look like borders of parts"
TOO_MANY_HEADERS = f"more than {MAX_HEADERS:,} header lines"
HEADER_TOO_LONG = f"a header of more than {MAX_HEADER_BYTES // 1024} KB"


@dataclass(frozen=True, slots=True)
class Part:
    """One part; its body is ``data[start:end]``, still encoded. ``parent`` numbers the part around it, -1 for none."""

    fields: Fields
    type: str
    params: Mapping[str, str]
    start: int
    end: int
    parent: int
    is_multipart: bool

    @property
    def encoding(self) -> str:
        """The transfer encoding in lower case, "" where none is named."""
        words = first(self.fields, "content-transfer-encoding").lower().replace(";", " ").split(maxsplit=1)
        return words[0].strip("\"'") if words else ""

    @property
    def disposition(self) -> tuple[str, Mapping[str, str]]:
        """Content-Disposition in lower case ("" where there is none) and its parameters."""
        return value_and_params(first(self.fields, "content-disposition"))

    @property
    def name(self) -> str:
        """The cleaned file name, "" where the part gives none."""
        return clean_name(self.disposition[1].get("filename") or self.params.get("name", ""))


@dataclass(frozen=True, slots=True)
class Tree:
    """The parts in the order of the mail, the whole mail first; ``problem`` names the bound that was hit, or is ""."""

    parts: tuple[Part, ...]
    problem: str = ""

    def children(self, number: int) -> tuple[int, ...]:
        """The numbers of the parts directly inside this one."""
        return tuple(i for i, part in enumerate(self.parts) if part.parent == number)


@dataclass(slots=True)
class _Open:
    """A part whose end is not known yet; ``border`` is the boundary of a multipart, else empty."""

    number: int
    border: bytes


def split(data: bytes, into_messages: bool = False) -> Tree:
    """Split a mail into its parts. An attached mail stays one part unless ``into_messages``."""
    return _Splitter(data, into_messages).run()


class _Splitter:
    def __init__(self, data: bytes, into_messages: bool) -> None:
        # Mails whose only line end is a bare CR exist; the offsets stay the same.
        self.data = data if b"\n" in data or b"\r" not in data else data.replace(b"\r", b"\n")
        self.into_messages = into_messages
        self.heads: list[tuple[Fields, str, Mapping[str, str], int, int, bool]] = []
        self.ends: list[int] = []
        self.open: list[_Open] = []
        self.known: set[bytes] = set()
        self.header_bytes = 0
        self.problem = ""

    def run(self) -> Tree:
        position = self._start_part(0)
        looked = 0
        while self.known:
            # A border may stand at the very start of a body, so its line break is the byte before the position.
            at = self.data.find(b"\n--", max(position - 1, 0))
            if at < 0:
                break
            looked += 1
            if looked > MAX_BORDER_LINES:
                self.problem = self.problem or TOO_MANY_BORDERS
                break
            position = self._border(at)
            if self.problem in (TOO_MANY_PARTS, HEADER_TOO_LONG):
                break
        self._close(0, len(self.data))
        parts = tuple(
            Part(fields, kind, params, start, max(start, end), parent, multi)
            for (fields, kind, params, start, parent, multi), end in zip(self.heads, self.ends, strict=True)
        )
        return Tree(parts, self.problem)

    def _border(self, at: int) -> int:
        """Act on the line behind the line break at ``at``; the position from which to search on."""
        text = self.data[at + 3 : at + 3 + 300].partition(b"\n")[0].rstrip()
        last = text not in self.known
        border = text[:-2] if last and text.endswith(b"--") else text
        if border not in self.known:
            return at + 3
        level = max(i for i, part in enumerate(self.open) if part.border == border)
        self._close(level + 1, at - 1 if self.data[at - 1 : at] == b"\r" else at)
        line_end = self.data.find(b"\n", at + 1)
        line_end = len(self.data) if line_end < 0 else line_end
        if last:
            self._close(level, line_end)
            return line_end
        if len(self.heads) >= MAX_PARTS:
            self.problem = TOO_MANY_PARTS
            return line_end
        return self._start_part(min(line_end + 1, len(self.data)))

    def _start_part(self, position: int) -> int:
        """Read a part's header; the position where its body begins."""
        while True:
            begin = position
            fields, position, problem = read_fields(self.data, begin)
            self.header_bytes += position - begin
            self.problem = self.problem or problem or (HEADER_TOO_LONG if self.header_bytes > MAX_HEADER_TOTAL else "")
            parent = self.open[-1].number if self.open else -1
            default = "text/plain"
            if parent >= 0 and self.heads[parent][1] == "multipart/digest":
                default = "message/rfc822"
            kind, params = content_type(fields.get("content-type", ("",))[-1], default)
            border = _boundary(self.data, position, params) if kind.startswith("multipart/") else b""
            message = self.into_messages and kind == "message/rfc822"
            if (border or message) and len(self.open) >= MAX_DEPTH:
                self.problem = self.problem or TOO_DEEP
                border, message = b"", False
            number = len(self.heads)
            self.heads.append((fields, kind, params, position, parent, bool(border)))
            self.ends.append(len(self.data))
            self.open.append(_Open(number, border))
            if border:
                self.known.add(border)
            if not message or len(self.heads) >= MAX_PARTS:
                return position

    def _close(self, level: int, end: int) -> None:
        for part in self.open[level:]:
            self.ends[part.number] = end
        del self.open[level:]
        self.known = {part.border for part in self.open if part.border}


#: White space above a header, where what follows is one beyond doubt.
_BLANK_START = re.compile(
    rb"(?:[ \t]{0,500}\r?\n){1,20}(?=(?:return-path|received|delivered-to|from|to|subject|date|mime-version|message-id):)",
    re.I,
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
#: Behind a line that is no field a header goes on only where its most needed one is still to come.
_MAX_STRAYS = 20
_GOES_ON = re.compile(rb"\n(?:to|subject|date|received|message-id):[^\n]*\n(?:[^\n]*\n){0,30}?from:", re.I)
_FIELD_NAME = re.compile(r"[!-9;-~]{1,200}")


def read_fields(data: bytes, start: int, charset: str = "") -> tuple[dict[str, list[str]], int, str]:
    """The header fields from ``start``, where the body begins, and the bound that was hit or "".

    The header ends at the blank line, or before the first line that is no header field: mails without a blank line
    exist, and their words must not be lost. ``charset`` is a guess for raw bytes that are not UTF-8.
    """
    fields: dict[str, list[str]] = {}
    if start == 0 and (blank := _BLANK_START.match(data)):
        start = blank.end()
    if data.startswith((b"\n", b"\r\n"), start):
        return fields, data.find(b"\n", start) + 1, ""
    limit = start + MAX_HEADER_BYTES
    blank = _BLANK_LINE.search(data, start, limit + 3)
    problem = "" if blank or len(data) <= limit else HEADER_TOO_LONG
    lines = data[start : blank.start() if blank else limit].split(b"\n")
    position, count, strays = start, 0, 0
    values: list[str] | None = None
    for line in lines:
        text = decode_raw(line, charset)
        if text.startswith((" ", "\t")) and values:
            values[-1] += text.rstrip("\r")
        elif text.startswith(("From ", ">From ")):
            values = None
        else:
            name, colon, value = text.partition(":")
            name = name.rstrip(" \t")
            if not colon or not _FIELD_NAME.fullmatch(name):
                strays += 1
                if (
                    strays <= _MAX_STRAYS
                    and "from" not in fields
                    and _GOES_ON.search(data, position + len(line), blank.start() if blank else position)
                ):
                    position += len(line) + 1
                    continue
                # Only a header that runs into the bound is a bomb; text without a blank line before it is a body.
                return fields, min(position, len(data)), ""
            count += 1
            if count > MAX_HEADERS:
                return fields, blank.end() if blank else position, TOO_MANY_HEADERS
            values = fields.setdefault(name.lower(), [])
            values.append(value.strip(" \r"))
        position += len(line) + 1
    return fields, blank.end() if blank else min(limit, len(data)), problem


def _boundary(data: bytes, position: int, params: Mapping[str, str]) -> bytes:
    """The boundary of a multipart: as declared, or what its first border line shows where none is declared."""
    declared = params.get("boundary", "").strip()
    if declared:
        return declared.encode("utf-8", "replace")[:250]
    body = data[position : position + 2000]
    return body[2:].partition(b"\n")[0].strip()[:250] if body.startswith(b"--") else b""


_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+*-]+")
_PARAMETER = re.compile(r';[\s;]*+([^=;\s"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?|([^;]*+))', re.S)
_SECTION = re.compile(r"(.+?)\*(\d{1,3})?(\*)?")
_MAX_PARAMS = 100
_MAX_VALUE = 16 * 1024


def content_type(value: str, default: str = "text/plain") -> tuple[str, Mapping[str, str]]:
    """Type and parameters of a Content-Type; what cannot be understood is text/plain (RFC 2045 section 5.2)."""
    kind, params = value_and_params(value)
    if not kind:
        return default, params
    return (kind if _TYPE.fullmatch(kind) else "text/plain"), params


def value_and_params(value: str) -> tuple[str, Mapping[str, str]]:
    """A structured value in lower case and its parameters decoded (RFC 2231, and RFC 2047 as mailers misuse it).

    >>> value_and_params("attachment; filename*0*=utf-8''na%C3%AFve; filename*1=.txt")
    ('attachment', {'filename': 'naïve.txt'})
    """
    value = value[:_MAX_VALUE]
    main = value.partition(";")[0].split(maxsplit=1)
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(value)):
        if count >= _MAX_PARAMS:
            break
        name = match[1].lower()
        text = match[2].replace('\\"', '"').replace("\\\\", "\\") if match[2] is not None else match[3].strip()
        section = _SECTION.fullmatch(name) if "*" in name else None
        if section:
            extended = bool(section[3]) or section[2] is None
            sections.setdefault(section[1], {})[int(section[2] or 0)] = (text, extended)
        else:
            plain.setdefault(name, text)
    params = {name: decode_words(text) for name, text in plain.items()}
    params |= {name: _joined(found) for name, found in sections.items()}
    return (main[0].lower() if main else ""), params


def _joined(sections: Mapping[int, tuple[str, bool]]) -> str:
    """The sections of one RFC 2231 parameter as text."""
    charset, out = "utf-8", bytearray()
    for position, number in enumerate(sorted(sections)):
        text, extended = sections[number]
        if extended and position == 0 and text.count("'") >= 2:
            charset, _, rest = text.partition("'")
            text = rest.partition("'")[2]
        out += unquote_to_bytes(text) if extended else text.encode("utf-8", "replace")
    return decode_words(decode_text(bytes(out), charset or "utf-8"))


def clean_name(name: str) -> str:
    r"""A file name as a label: no path, no control or bidi characters, at most MAX_NAME characters.

    >>> clean_name("../../etc/passwd"), clean_name("C:\\Temp\\a\u202egnp.exe")
    ('passwd', 'agnp.exe')
    """
    line = clean_line(name, _MAX_VALUE)
    label = line.replace("\\", "/").rstrip("/ ").rpartition("/")[2].strip().lstrip(".-~ ")
    if len(label) <= MAX_NAME:
        return label
    stem, dot, ending = label.rpartition(".")
    if dot and len(ending) <= 20:
        return stem[: MAX_NAME - len(ending) - 2] + "…." + ending
    return label[: MAX_NAME - 1] + "…"


_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))


def decode_body(body: bytes, encoding: str) -> bytes:
    """A part's body out of its transfer encoding; garbage in it is skipped, an unknown encoding is none."""
    if encoding == "base64":
        return _base64(body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(body)
    if encoding in ("x-uuencode", "uuencode", "uue", "x-uue"):
        return _uu(body)
    return body


def _base64(body: bytes) -> bytes:
    try:
        return binascii.a2b_base64(body)
    except binascii.Error:
        kept = body.translate(None, _NOT_BASE64)
        kept = kept[: len(kept) - (len(kept) % 4 == 1)]
        return binascii.a2b_base64(kept + b"=" * (-len(kept) % 4))


def _uu(body: bytes) -> bytes:
    out = bytearray()
    inside = False
    for line in body.splitlines():
        if not inside:
            inside = line.startswith(b"begin ")
        elif line.strip() in (b"end", b"`"):
            if line.strip() == b"end":
                break
        else:
            out += _uu_line(line)
    return bytes(out)


def _uu_line(line: bytes) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        pass
    # Some encoders pad lines wrongly: the first byte says how many bytes the line holds.
    wanted = ((((line[0] - 32) & 63) * 4 + 5) // 3) if line else 0
    try:
        return binascii.a2b_uu(line[:wanted])
    except binascii.Error:
        return b""
