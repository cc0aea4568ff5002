"""winmail.dat: what Outlook makes of a mail for others of its kind (MS-OXTNEF), opened for its text and its files.

Total and linear: whatever the bytes are, what could be read comes out.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from helpdesk.inbound.charset import clean, decode
from helpdesk.inbound.html import to_text

#: By these types and names such a part is known.
TYPES = ("application/ms-tnef", "application/vnd.ms-tnef", "application/x-ms-tnef")
NAMES = ("winmail.dat", "win.dat")
SIGNATURE = _SIGNATURE = b"\x78\x9f\x3e\x22"
_MAX_FILES, _MAX_PROPERTIES, _MAX_DEPTH = 100, 2000, 3
_MAX_RTF = 1024 * 1024
_MAX_TOKENS = 200_000

_BODY, _PROPERTIES, _NEW_FILE, _TITLE, _DATA, _FILE_PROPERTIES = 0x800C, 0x9003, 0x9002, 0x8010, 0x800F, 0x9005
_CODE_PAGE, _PR_CODE_PAGE = 0x9007, 0x3FDE
_PR_BODY, _PR_HTML, _PR_RTF = 0x1000, 0x1013, 0x1009
_PR_DATA, _PR_NAME, _PR_LONG_NAME, _PR_TYPE, _PR_DISPLAY = 0x3701, 0x3704, 0x3707, 0x370E, 0x3001
_STRING8, _UNICODE, _BINARY, _OBJECT = 0x1E, 0x1F, 0x102, 0x0D
_FIXED = {0x02: 4, 0x03: 4, 0x04: 4, 0x05: 8, 0x06: 8, 0x07: 8, 0x0A: 4, 0x0B: 4, 0x14: 8, 0x40: 8, 0x48: 16}


@dataclass(frozen=True, slots=True)
class File:
    """A file inside; ``type`` is "" where nothing tells it."""

    name: str
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Opened:
    """What is inside; ``text`` is "" where there is none."""

    text: str = ""
    files: tuple[File, ...] = ()


def open_(data: bytes, depth: int = 0) -> Opened:
    """Text and files; nothing where the bytes are no such thing. Never raises."""
    if not data.startswith(_SIGNATURE) or depth >= _MAX_DEPTH:
        return Opened()
    body, charset, properties = "", "", dict[int, bytes]()
    files: list[dict[int, bytes]] = []
    for kind, value in _attributes(data):
        if kind == _CODE_PAGE:
            charset = _page(value)
        elif kind == _BODY and not body:
            body = clean(decode(value.rstrip(b"\0"), charset))
        elif kind == _PROPERTIES:
            properties |= _properties(value, charset)
        elif kind == _NEW_FILE and len(files) < _MAX_FILES:
            files.append({})
        elif files and kind == _TITLE:
            files[-1].setdefault(_PR_NAME, _as_utf8(value, _STRING8, charset))
        elif files and kind == _DATA:
            files[-1].setdefault(_PR_DATA, value)
        elif files and kind == _FILE_PROPERTIES:
            files[-1] |= _properties(value, charset)
    return Opened((body.strip() and body) or _text(properties), tuple(_files(files, depth)))


def _page(value: bytes) -> str:
    """A code page as the label of a charset."""
    return f"cp{int.from_bytes(value[:4], 'little')}"


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 6
    while position + 9 <= len(data):
        kind, length = struct.unpack_from("<HxxI", data, position + 1)
        begin = position + 9
        if length > len(data) - begin:
            return
        yield kind, data[begin : begin + length]
        position = begin + length + 2


def _properties(data: bytes, charset: str = "") -> dict[int, bytes]:
    """MAPI properties by their number, the first value of each; texts as UTF-8."""
    found: dict[int, bytes] = {}
    try:
        (count,) = struct.unpack_from("<I", data)
        position = 4
        for _ in range(min(count, _MAX_PROPERTIES)):
            kind, number = struct.unpack_from("<HH", data, position)
            position += 4
            if number >= 0x8000:
                position = _behind_name(data, position)
            values, position = _values(data, position, kind, charset)
            if values:
                found.setdefault(number, values[0])
    except (struct.error, _Unknown):
        pass
    return found


class _Unknown(Exception):
    """A type of property whose length nobody knows: nothing behind it can be read."""


def _behind_name(data: bytes, position: int) -> int:
    (how,) = struct.unpack_from("<I", data, position + 16)
    position += 20
    (length,) = struct.unpack_from("<I", data, position)
    return position + 4 + (_padded(length) if how else 0)


def _values(data: bytes, position: int, kind: int, charset: str) -> tuple[list[bytes], int]:
    many, kind = bool(kind & 0x1000), kind & ~0x1000
    if kind in _FIXED:
        count = 1
        if many:
            (count,) = struct.unpack_from("<I", data, position)
            position += 4
        return [data[position : position + _FIXED[kind]]], position + count * _FIXED[kind]
    if kind not in (_STRING8, _UNICODE, _BINARY, _OBJECT):
        raise _Unknown
    (count,) = struct.unpack_from("<I", data, position)
    position += 4
    values: list[bytes] = []
    for _ in range(min(count, _MAX_PROPERTIES)):
        (length,) = struct.unpack_from("<I", data, position)
        value = data[position + 4 : position + 4 + length]
        if len(value) < length:
            raise _Unknown
        values.append(_as_utf8(value, kind, charset))
        position += 4 + _padded(length)
    return values, position


def _padded(length: int) -> int:
    return (length + 3) // 4 * 4


def _as_utf8(value: bytes, kind: int, charset: str) -> bytes:
    if kind == _UNICODE:
        return value.decode("utf-16-le", "replace").rstrip("\0").encode("utf-8", "replace")
    if kind == _STRING8:
        return decode(value.rstrip(b"\0"), charset).encode("utf-8", "replace")
    return value


def _files(found: list[dict[int, bytes]], depth: int) -> Iterator[File]:
    for one in found:
        name = next((one[key] for key in (_PR_LONG_NAME, _PR_NAME, _PR_DISPLAY) if one.get(key)), b"")
        data = one.get(_PR_DATA, b"")
        if data[16:20] == _SIGNATURE:
            # An attached Outlook item: its own files, and its text under its own name.
            inner = open_(data[16:], depth + 1)
            if inner.text.strip():
                yield File(f"{decode(name) or 'item'}.txt", "text/plain", inner.text.encode())
            yield from inner.files
        else:
            yield File(decode(name), decode(one.get(_PR_TYPE, b"")).strip("\0 ").lower(), data)


def _text(properties: dict[int, bytes]) -> str:
    if body := properties.get(_PR_BODY, b"").strip():
        return clean(decode(body))
    if html := properties.get(_PR_HTML, b""):
        return clean(to_text(decode(html, _page(properties.get(_PR_CODE_PAGE, b"")))))
    return clean(rtf_text(_uncompressed(properties.get(_PR_RTF, b""))))


#: The dictionary that compressed RTF begins with (MS-OXRTFCP section 2.1.3.1).
_DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor "
    b"MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n"
    b"\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def _uncompressed(data: bytes) -> bytes:
    """RTF out of its compression (MS-OXRTFCP): references into a ring of 4,096 octets."""
    if len(data) < 16:
        return b""
    if data[8:12] == b"MELA":
        return data[16 : 16 + _MAX_RTF]
    ring = bytearray(_DICTIONARY.ljust(4096, b"\0"))
    at, out, position = len(_DICTIONARY), bytearray(), 16
    while position < len(data) and len(out) < _MAX_RTF:
        control = data[position]
        position += 1
        for bit in range(8):
            if control >> bit & 1:
                word = int.from_bytes(data[position : position + 2], "big")
                offset, length = word >> 4, (word & 15) + 2
                position += 2
                if offset == at or position > len(data):
                    return bytes(out)
                piece = bytearray()
                for step in range(length):
                    piece.append(ring[(offset + step) % 4096])
                    ring[at] = piece[-1]
                    at = (at + 1) % 4096
                out += piece
            elif position < len(data):
                out.append(data[position])
                ring[at] = data[position]
                at = (at + 1) % 4096
                position += 1
    return bytes(out)


_RTF = re.compile(rb"\\'([0-9a-fA-F]{2})|\\([a-zA-Z]{1,32})(-?\d{1,10})? ?|\\([^a-zA-Z])|([{}])|[\r\n]+|([^\\{}\r\n]+)")
_NO_TEXT = (b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"themedata", b"datastore", b"listtable")
_SIGNS = {b"~": " ", b"_": "-", b"\n": "\n", b"\r": "\n"}
_AS = {b"sect": "\n", b"page": "\n",
       b"par": "\n", b"line": "\n", b"tab": "\t", b"row": "\n", b"cell": "\t", b"emdash": "—", b"endash": "–", b"bullet": "•",
       b"lquote": "‘", b"rquote": "’", b"ldblquote": "“", b"rdblquote": "”"}  # fmt: skip


def rtf_text(rtf: bytes) -> str:
    """The words of an RTF document."""
    codepage = re.search(rb"\\ansicpg(\d{3,5})", rtf[:2000])
    charset = f"cp{codepage[1].decode()}" if codepage else "cp1252"
    out: list[str] = []
    raw = bytearray()
    hidden: list[bool] = [False]
    skip, after_unicode, first, only_rtf = 0, 1, False, False
    for match in itertools.islice(_RTF.finditer(rtf), _MAX_TOKENS):
        coded, word, number, sign, brace, plain = match.groups()
        if not coded and raw:
            out.append(decode(bytes(raw), charset))
            raw.clear()
        if brace == b"{":
            hidden.append(hidden[-1])
            first = True
            continue
        if brace == b"}":
            if len(hidden) > 1:
                hidden.pop()
        elif (word and first and word in _NO_TEXT) or sign == b"*":
            hidden[-1] = True
        elif word == b"v":
            hidden[-1] = number != b"0"
        elif word == b"htmlrtf":
            only_rtf = number != b"0"
        elif word == b"uc" and number:
            after_unicode = min(abs(int(number)), 4)
        elif word == b"u" and number and not hidden[-1]:
            out.append(chr(int(number) % 65536))
            skip = after_unicode
        elif hidden[-1] or (only_rtf and not word):
            pass
        elif coded and skip:
            skip -= 1
        elif coded:
            raw += bytes.fromhex(coded.decode())
        elif word in _AS:
            out.append(_AS[word])
        elif sign in (b"\\", b"{", b"}"):
            out.append(sign.decode())
        elif sign in _SIGNS:
            out.append(_SIGNS[sign])
        elif plain:
            out.append(decode(plain[skip:], charset))
            skip = 0
        first = False
    return "".join(out).encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
