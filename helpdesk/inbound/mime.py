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

from helpdesk.inbound import plain
from helpdesk.inbound.charset import clean_line, decode_raw, is_utf8, raw_codec
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
MAX_NAME = 250

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
        value = first(self.fields, "content-transfer-encoding").lower()[:100]
        if "base64" in (bare := _NOT_A_LETTER.sub("", value)):
            return "base64"
        if bare.startswith("quoted") or bare in ("qp", "q"):
            return "quoted-printable"
        words = value.replace(";", " ").split(maxsplit=1)
        return words[0].strip("\"'") if words else ""

    @property
    def disposition(self) -> tuple[str, Mapping[str, str]]:
        """Content-Disposition in lower case ("" where there is none) and its parameters."""
        return value_and_params(first(self.fields, "content-disposition"))

    @property
    def name(self) -> str:
        """The cleaned file name, "" where the part gives none."""
        found = [value_and_params(one)[1] for one in self.fields.get("content-disposition", ())[:5]]
        found += [value_and_params(one)[1] for one in self.fields.get("content-type", ())[:5]]
        named = next((params["filename"] for params in found if params.get("filename")), "")
        return clean_name(named or next((params["name"] for params in found if params.get("name")), ""))


_NOT_A_LETTER = re.compile(r"[^a-z0-9]+")


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


def with_line_ends(data: bytes) -> bytes:
    """The mail with each bare CR made a line feed where its header has such line ends, so that offsets stay the same."""
    if not _CR_IN_HEADER.match(data):
        return data
    # A character that no octet is stands for the CR of CRLF and CRCRLF; a regular expression takes seconds for them.
    text = data.decode("latin-1").replace("\r\n", "\u0100\n").replace("\r\u0100", "\u0100\u0100")
    return text.replace("\r", "\n").replace("\u0100", "\r").encode("latin-1")


def split(data: bytes, into_messages: bool = False) -> Tree:
    """Split a mail into its parts. An attached mail stays one part unless ``into_messages``."""
    return _Splitter(data, into_messages).run()


class _Splitter:
    def __init__(self, data: bytes, into_messages: bool) -> None:
        self.data = with_line_ends(data)
        self.into_messages = into_messages
        self.heads: list[tuple[Fields, str, Mapping[str, str], int, int, bool]] = []
        self.ends: list[int] = []
        self.open: list[_Open] = []
        self.known: set[bytes] = set()
        #: Multiparts whose last border has come: another part of theirs may follow all the same.
        self.closed: dict[bytes, tuple[int, int]] = {}
        self.charset = ""
        self.header_bytes = 0
        self.problem = ""

    def run(self) -> Tree:
        position = self._start_part(0)
        looked = 0
        while self.known or self.closed:
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
        text = self.data[at + 3 : at + 3 + _MAX_BORDER + 50].partition(b"\n")[0].rstrip()
        if text in self.closed and self.closed[text][1] == (self.open[-1].number if self.open else -1):
            self.open.append(_Open(self.closed.pop(text)[0], text))
            self.known.add(text)
        last = text not in self.known
        border = text[:-2] if last and text.endswith(b"--") else text
        if border not in self.known:
            return at + 3
        level = max(i for i, part in enumerate(self.open) if part.border == border)
        self._close(level + 1, at - 1 if self.data[at - 1 : at] == b"\r" else at)
        line_end = self.data.find(b"\n", at + 1)
        line_end = len(self.data) if line_end < 0 else line_end
        if last:
            self.closed[border] = self.open[level].number, self.open[level - 1].number if level else -1
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
            fields, position, problem = read_fields(self.data, begin, self.charset)
            self.header_bytes += position - begin
            self.problem = self.problem or problem or (HEADER_TOO_LONG if self.header_bytes > MAX_HEADER_TOTAL else "")
            parent = self.open[-1].number if self.open else -1
            default = "text/plain"
            if parent >= 0 and self.heads[parent][1] == "multipart/digest":
                default = "message/rfc822"
            kind, params = content_type(fields.get("content-type", ("",))[-1], default)
            self.charset = self.charset or params.get("charset", "")
            border = self._boundary(position, params) if kind.startswith("multipart/") else b""
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

    def _boundary(self, position: int, params: Mapping[str, str]) -> bytes:
        """The boundary of a multipart: as declared, or what its first border shows where the declared one never comes."""
        declared = params.get("boundary", "").strip("'\" \t").encode("utf-8", "replace")[:_MAX_BORDER].rstrip()
        if declared and self.data.find(b"--" + declared, position, position + _FAR) >= 0:
            return declared
        found = _BORDER.search(self.data, max(position - 1, 0), position + _NEAR)
        if found and found[1] not in self.known:
            return found[1]
        body = self.data[position : position + _NEAR]
        return declared or (body[2:].partition(b"\n")[0].strip()[:250] if body.startswith(b"--") else b"")

    def _close(self, level: int, end: int) -> None:
        for part in self.open[level:]:
            self.ends[part.number] = end
        del self.open[level:]
        self.known = {part.border for part in self.open if part.border}


#: A border within so many octets is the declared one; within so many, an undeclared one is looked for.
_FAR, _NEAR = 100_000, 2000
_MAX_BORDER = 1000
_BORDER = re.compile(rb"(?:^|\n)--([^\r\n]{1,250}?)[ \t]{0,9}\r{0,2}\n(?=content-[a-z-]{3,40}[ \t]?:)", re.I)
_CR_IN_HEADER = re.compile(rb"[^\r\n]{0,2000}\r(?:[^\r\n]|\r(?!\n))")
#: A mark or white space above a header, where what follows is one beyond doubt.
_BLANK_START = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:[ \t]{0,500}\r?\n){0,20}"
    rb"(?=(?:return-path|received|delivered-to|from|to|subject|date|mime-version|message-id):)",
    re.I,
)
_BLANK_LINE = re.compile(rb"\n\r?\n")
#: Behind a line that is no field a header goes on only where its most needed ones are still to come.
_MAX_STRAYS = 20
_FROM_AHEAD = re.compile(
    rb"\n(?:from:|(?:to|subject|date|received|message-id|return-path):[^\n]*\n(?:[^\n]*\n){0,30}?from:)", re.I
)
_TYPE_AHEAD = re.compile(
    rb"\n(?:(?:[!-9;-~]{1,60}:|[ \t])[^\n]*\n){0,20}?content-type:[ \t]?(?:text|multipart|application)/", re.I
)
#: What mbox files write above a mail; a colon behind the word makes it a field (RFC 5322 section 4.5.8).
_MBOX_LINE = re.compile(r">?From (?![ \t]*:)")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,200}")


def read_fields(data: bytes, start: int, charset: str = "") -> tuple[dict[str, list[str]], int, str]:
    """The header fields from ``start``, where the body begins, and the bound that was hit or "".

    The header ends at the blank line, or before the first line that is no header field: mails without a blank line
    exist, and their words must not be lost. ``charset`` is a guess for raw bytes that are not UTF-8.
    """
    fields: dict[str, list[list[str]]] = {}
    body, problem = _read_fields(data, start, charset, fields)
    return {name: ["".join(pieces) for pieces in values] for name, values in fields.items()}, body, problem


def _read_fields(data: bytes, start: int, charset: str, fields: dict[str, list[list[str]]]) -> tuple[int, str]:
    if start == 0 and (blank := _BLANK_START.match(data)):
        start = blank.end()
    if data.startswith((b"\n", b"\r\n"), start):
        return data.find(b"\n", start) + 1, ""
    limit = start + MAX_HEADER_BYTES
    blank = _BLANK_LINE.search(data, start, limit + 3)
    problem = "" if blank or len(data) <= limit else HEADER_TOO_LONG
    end = blank.start() if blank else limit
    lines = data[start:end].split(b"\n")
    position, count, strays = start, 0, 0
    values: list[list[str]] | None = None
    codec = ""
    #: Where a From stands further down, the end where none does.
    ahead = start - 1
    for number, line in enumerate(lines):
        codec = codec or ("" if is_utf8(line) else raw_codec(lines[number:], charset))
        text = decode_raw(line, codec)
        if text.startswith((" ", "\t")) and values:
            values[-1].append(text.rstrip("\r"))
        elif _MBOX_LINE.match(text):
            values = None
        else:
            name, colon, value = text.partition(":")
            name = name.rstrip(" \t")
            if not colon or not _FIELD_NAME.fullmatch(name):
                strays += 1
                begin = position + len(line)
                if strays <= _MAX_STRAYS and blank:
                    if ahead < begin and "from" not in fields:
                        found = _FROM_AHEAD.search(data, begin, end + 1)
                        ahead = found.start() if found else end + 1
                    goes_on = "from" not in fields and ahead <= end
                    if goes_on or ("content-type" not in fields and _TYPE_AHEAD.match(data, begin, end + 1)):
                        position += len(line) + 1
                        continue
                # Only a header that runs into the bound is a bomb; text without a blank line before it is a body.
                return min(position, len(data)), ""
            count += 1
            if count > MAX_HEADERS:
                return blank.end() if blank else position, TOO_MANY_HEADERS
            values = fields.setdefault(name.lower(), [])
            values.append([value.strip(" \r")])
        position += len(line) + 1
    return blank.end() if blank else min(limit, len(data)), problem


_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+*-]+")
#: The run of separators is taken even where no parameter follows it, so that it is looked at once.
_PARAMETER = re.compile(
    r';[\s;]*+(?:([^=;\s"]++)\s*+=\s*+(?:"((?:[^"\\]++|\\.)*+)"?|([^;]*+(?:;(?![^;=]*+=)[^;]*+)*+)))?', re.S
)
#: No semicolon behind the value, or no value at all before the first parameter.
_NO_SEMICOLON = re.compile(r"\s*+(?:[a-z0-9/_.+-]{1,100}(?:\s*+,\s*+|\s++))?(?=[a-z0-9*-]{1,40}\s?=)", re.I)
#: RFC 2231 without the star that says so.
_NO_STAR = re.compile(r"[a-z0-9-]{3,20}'[a-z-]{0,10}'.*%[0-9a-f]{2}", re.I)
_SECTION = re.compile(r"(.+?)\*(\d{1,3})?(\*)?")
_MAX_PARAMS = 100
_MAX_VALUE = 16 * 1024


def content_type(value: str, default: str = "text/plain") -> tuple[str, Mapping[str, str]]:
    """Type and parameters of a Content-Type; what cannot be understood is text/plain (RFC 2045 section 5.2)."""
    kind, params = value_and_params(value)
    if not kind:
        return default, params
    if _TYPE.fullmatch(kind):
        return kind, params
    return ("text/html" if "html" in kind and "plain" not in kind else "text/plain"), params


def value_and_params(value: str) -> tuple[str, Mapping[str, str]]:
    """A structured value in lower case and its parameters decoded (RFC 2231, and RFC 2047 as mailers misuse it).

    >>> value_and_params("attachment; filename*0*=utf-8''na%C3%AFve; filename*1=.txt")
    ('attachment', {'filename': 'naïve.txt'})
    """
    value = value[:_MAX_VALUE]
    if early := _NO_SEMICOLON.match(value):
        value = f"{early[0].rstrip(' ,')};{value[early.end() :]}"
    main = value.partition(";")[0].split(maxsplit=1)
    simple: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for count, match in enumerate(_PARAMETER.finditer(value)):
        if count >= _MAX_PARAMS:
            break
        if match[1] is None:
            continue
        name = match[1].lower()
        text = match[2].replace('\\"', '"').replace("\\\\", "\\") if match[2] is not None else match[3]
        # An unquoted name may hold semicolons.
        text = (
            text.strip(" \t\r\n;")
            if match[2] is not None or name in ("name", "filename")
            else text.partition(";")[0].strip()
        )
        section = _SECTION.fullmatch(name) if "*" in name else None
        if section:
            extended = bool(section[3]) or section[2] is None
            sections.setdefault(section[1], {})[int(section[2] or 0)] = (text, extended)
        elif _NO_STAR.match(text):
            sections.setdefault(name, {})[0] = (text, True)
        elif text:
            simple.setdefault(name, text)
    params = {name: decode_words(text) for name, text in simple.items()}
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


_PATH = re.compile(r"/|~|\.{1,2}/|[a-z]{1,10}:/|(?:[^/]*/){1,20}\.\./", re.I)


def clean_name(name: str) -> str:
    r"""A file name as a label: no path, no control or bidi characters, at most MAX_NAME characters.

    >>> clean_name("../../etc/passwd"), clean_name("C:\\Temp\\a\u202egnp.exe")
    ('passwd', 'agnp.exe')
    """
    line = clean_line(name, _MAX_VALUE)
    label = line.replace("\\", "/").strip('" ').rstrip("/ ")
    if label.startswith("'") and label.endswith("'"):
        label = label.strip("'")
    # A path ends in the name; a slash in what is no path ("Invoice 7/2026.pdf") is one of its characters.
    label = label.rpartition("/")[2] if _PATH.match(label) else label.replace("/", "-")
    label = label.strip().lstrip(".-~ ")
    if len(label) <= MAX_NAME:
        return label
    stem, dot, ending = label.rpartition(".")
    if dot and len(ending) <= 20:
        return stem[: MAX_NAME - len(ending) - 2] + "…." + ending
    return label[: MAX_NAME - 1] + "…"


#: White space behind the mark of a soft break, as servers add it.
_SOFT_BREAK = re.compile(rb"=[ \t]++(\r?\n)")
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64))


def decode_body(body: bytes, encoding: str) -> bytes:
    """A part's body out of its transfer encoding; garbage in it is skipped, an unknown encoding is none."""
    if encoding == "base64":
        return _base64(body)
    if encoding == "quoted-printable":
        return binascii.a2b_qp(_SOFT_BREAK.sub(rb"=\1", body))
    if encoding in ("x-uuencode", "uuencode", "uue", "x-uue"):
        return _uu(body)
    return body


_CODED_LINE = re.compile(rb"[A-Za-z0-9+/]{4,}+={0,2}[ \t\r]{0,9}(?:\n|$)")


def _base64(body: bytes) -> bytes:
    """Out of base64; behind padding more of it may come. What lists put below it is left out, plain text stays plain."""
    if not body.translate(None, _BASE64 + b" \t\r\n"):
        return _pieces(body)
    lines = body.split(b"\n")
    last = len(lines)
    while last and not _CODED_LINE.match(lines[last - 1]):
        last -= 1
    if not last:
        spaces = body.count(b" ")
        odd = spaces + len(body.translate(None, _BASE64 + b" \t\r\n"))
        return body if spaces and 20 * odd > len(body) else _pieces(body)
    return _pieces(b"".join(lines[:last]) if b" " in b"".join(lines[last:]).strip() else body)


_MAX_PIECES = 2000


def _pieces(coded: bytes) -> bytes:
    bare = coded.translate(None, _NOT_BASE64)
    if bare.count(b"=") > _MAX_PIECES:
        bare = bare.replace(b"=", b"")
    pieces = [piece for piece in bare.split(b"=") if piece]
    pieces = [piece[: len(piece) - (len(piece) % 4 == 1)] for piece in pieces]
    return b"".join(binascii.a2b_base64(piece + b"=" * (-len(piece) % 4)) for piece in pieces)


_UU_BEGIN = re.compile(rb"^begin [^\n]*\n", re.M)
_UU_END = re.compile(rb"^end[ \t\r]*$", re.M)


def _uu(body: bytes) -> bytes:
    begin = _UU_BEGIN.search(body)
    if begin is None:
        return b""
    end = _UU_END.search(body, begin.end())
    return plain.uu_bytes(body[begin.end() : end.start() if end else len(body)])
