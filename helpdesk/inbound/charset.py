"""Bytes into text by an allow-list of charsets, and text into text that may be stored and shown.

Labels mean what mailers mean by them (WHATWG Encoding Standard): ``gb2312`` is read as gb18030, ``iso-8859-1`` as
windows-1252, ``ks_c_5601-1987`` as cp949. A label that is not listed never reaches Python's codec registry, where
``punycode`` is quadratic and ``zlib_codec`` no charset at all.
"""

from __future__ import annotations

import re

_CODECS = {
    "utf8": "utf-8",
    "unicode11utf8": "utf-8",
    "utf7": "utf-7",
    "unicode11utf7": "utf-7",
    "utf16": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "utf32": "utf-32",
    "ascii": "cp1252",
    "usascii": "cp1252",
    "latin1": "cp1252",
    "iso88591": "cp1252",
    "ansix341968": "cp1252",
    "iso88599": "cp1254",
    "iso88598i": "iso8859-8",
    "iso88598e": "iso8859-8",
    "iso885911": "cp874",
    "tis620": "cp874",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "macintosh": "mac-roman",
    "macroman": "mac-roman",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "xgbk": "gb18030",
    "cp936": "gb18030",
    "gb18030": "gb18030",
    "hzgb2312": "hz",
    "big5": "cp950",
    "xxbig5": "cp950",
    "cp950": "cp950",
    "big5hkscs": "big5hkscs",
    "shiftjis": "cp932",
    "sjis": "cp932",
    "xsjis": "cp932",
    "windows31j": "cp932",
    "cp932": "cp932",
    "eucjp": "euc-jp",
    "xeucjp": "euc-jp",
    "iso2022jp": "iso2022-jp-ext",
    "iso2022jp1": "iso2022-jp-ext",
    "iso2022jp2": "iso2022-jp-2",
    "euckr": "cp949",
    "ksc5601": "cp949",
    "ksc56011987": "cp949",
    "ksc56011989": "cp949",
    "windows949": "cp949",
    "uhc": "cp949",
    "cp949": "cp949",
    "iso2022kr": "iso2022-kr",
}
_CODECS |= {f"iso8859{n}": f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
_CODECS |= {f"latin{n}": f"iso8859-{m}" for n, m in ((2, 2), (3, 3), (4, 4), (5, 9), (9, 15))}
_CODECS |= {f"{prefix}{n}": f"cp{n}" for prefix in ("windows", "cp", "xcp", "ibm") for n in range(1250, 1259)}
_CODECS |= {f"{prefix}{n}": f"cp{n}" for prefix in ("cp", "ibm") for n in (437, 850, 852, 855, 858, 866, 874)}

_NOISE = re.compile(r"[^a-z0-9]+")
_C1 = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}


def decode(data: bytes, label: str = "") -> str:
    """The text of ``data``: by its label, else as UTF-8, else as windows-1252. Never raises, linear.

    >>> decode(b"caf\\xe9", "x-unknown"), decode("café".encode(), "us-ascii")
    ('café', 'café')
    """
    codec = _CODECS.get(_NOISE.sub("", label[:60].lower()), "")
    if data.isascii() and codec in ("", "utf-8", "cp1252"):
        return data.decode("ascii")
    # A mail labelled ASCII or Latin-1 whose bytes happen to be good UTF-8 is UTF-8.
    for candidate in ("utf-8",) if codec in ("", "cp1252") else (codec, "utf-8"):
        # Escape sequences are ASCII: a charset of seven bits that fails must not pass for UTF-8.
        if candidate == codec or not data.isascii():
            try:
                return data.decode(candidate)
            except (UnicodeError, ValueError):
                continue
    if codec == "iso2022-jp-ext":
        return _japanese(data)
    if codec in ("", "cp1252"):
        return windows_1252(data)
    if codec == "utf-8":
        return _nearly_utf8(data)
    return data.decode(codec, "replace")


def is_utf8(data: bytes) -> bool:
    """Whether all of it is good UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def decode_raw(data: bytes, hint: str = "") -> str:
    """A header's raw bytes, which name no charset: UTF-8 (RFC 6532), else as the mail's text is where that can be."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    codec = _CODECS.get(_NOISE.sub("", hint[:60].lower()), "")
    codec = "cp932" if codec.startswith(("iso2022-jp", "euc-jp")) else codec
    try:
        return data.decode(codec) if codec and codec not in ("utf-8", "utf-7", "cp1252") else windows_1252(data)
    except (UnicodeError, ValueError):
        return windows_1252(data)


def windows_1252(data: bytes) -> str:
    """Every byte has a character; the five that the codec leaves open become C1 controls."""
    return data.decode("latin-1").translate(_C1)


def _nearly_utf8(data: bytes) -> str:
    """Declared as UTF-8 and not good: damaged where some of it is UTF-8, else simply mislabelled."""
    text = data.decode("utf-8", "replace")
    bad = text.count("\ufffd")
    good = len(text) - bad - sum(text.count(chr(c)) for c in range(128)) if bad < 1000 else 0
    return text if good >= bad else windows_1252(data)


def _japanese(data: bytes) -> str:
    """ISO-2022-JP with the NEC and IBM rows that Python's codec lacks: read by way of Shift JIS (cp932)."""
    pieces = data.split(b"\x1b")
    out = [pieces[0].decode("cp932", "replace")]
    for piece in pieces[1:]:
        if piece[:2] in (b"$B", b"$@"):
            out.append(_jis_to_sjis(piece[2:]).decode("cp932", "replace"))
        elif piece[:2] == b"(I":
            kana = bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in piece[2:])
            out.append(kana.decode("cp932", "replace"))
        else:
            out.append(piece[2:].decode("cp932", "replace"))
    return "".join(out)


def _jis_to_sjis(data: bytes) -> bytes:
    out = bytearray()
    i = 0
    while i < len(data):
        row = data[i] & 0x7F
        if not 0x21 <= row <= 0x7E or i + 1 == len(data):
            out.append(row)
            i += 1
            continue
        cell = data[i + 1] & 0x7F
        lead = (row + 1) // 2 + (0x70 if row < 0x5F else 0xB0)
        trail = cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E
        out += bytes((lead, trail & 0xFF))
        i += 2
    return bytes(out)


_UNSTORABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe\uffff]+")
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_NOT_IN_A_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029{_BIDI}\ufeff\ufffe\uffff ]+")
_INVISIBLE = re.compile(f"[\ud800-\udfff{_BIDI}\ufeff\ufffe\uffff]+")
_ENCODED_WORD = re.compile(r"=(?=\?[^?\s]{1,60}+\?[bBqQ]\?)")


def clean(text: str) -> str:
    """Text of several lines without NUL, lone surrogates and control characters but newline and tab."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.isascii():
        text = text.replace("\u2028", "\n").replace("\u2029", "\n\n").replace("\x85", "\n")
    return _UNSTORABLE.sub("", text)


def clean_line(text: str, limit: int = 1000) -> str:
    """One line of at most ``limit`` characters, fit to be reused in a header.

    Control and bidi characters are gone, and nothing is left in it that a header writer could take for an encoded
    word and decode a second time (CVE-2024-6923).

    >>> clean_line("a\\r\\nBcc: b =?utf-8?q?c?=")
    'a Bcc: b = ?utf-8?q?c?='
    """
    if len(text) > 20 * limit:
        text = text[: 20 * limit]
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    text = _NOT_IN_A_LINE.sub(" ", text).strip()
    if "=?" in text:
        text = _ENCODED_WORD.sub("= ", text)
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
