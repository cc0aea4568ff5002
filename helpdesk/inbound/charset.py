"""Bytes into text by an allow-list of charsets, and text into text that may be stored and shown.

Labels mean what mailers mean by them (WHATWG Encoding Standard): ``gb2312`` is read as gb18030, ``iso-8859-1`` as
windows-1252, ``ks_c_5601-1987`` as cp949. A label that is not listed never reaches Python's codec registry, where
``punycode`` is quadratic and ``zlib_codec`` no charset at all.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from helpdesk.inbound import guess

_CODECS = {
    "unicode11utf8": "utf-8",
    "utf": "utf-8",
    "cesu8": "utf-8",
    "utf7": "utf-7",
    "unicode11utf7": "utf-7",
    "utf16": "utf-16",
    "unicode": "utf-16",
    "ucs2": "utf-16",
    "iso10646ucs2": "utf-16",
    "utf16le": "utf-16-le",
    "utf16be": "utf-16-be",
    "utf32": "utf-32",
    "utf32le": "utf-32-le",
    "utf32be": "utf-32-be",
    "ascii": "cp1252",
    "usascii": "cp1252",
    "ansix341968": "cp1252",
    "l1": "cp1252",
    "latin1": "cp1252",
    "isolatin1": "cp1252",
    "l2": "iso8859-2",
    "greek": "iso8859-7",
    "hebrew": "iso8859-8",
    "visual": "iso8859-8",
    "logical": "iso8859-8",
    "arabic": "iso8859-6",
    "cyrillic": "iso8859-5",
    "msee": "cp1250",
    "mscyrl": "cp1251",
    "msgreek": "cp1253",
    "msturk": "cp1254",
    "mshebr": "cp1255",
    "msarab": "cp1256",
    "winbaltrim": "cp1257",
    "tis620": "cp874",
    "koi8": "koi8-r",
    "koi8r": "koi8-r",
    "koi8u": "koi8-u",
    "koi8ru": "koi8-u",
    "ptcp154": "ptcp154",
    "mac": "mac-roman",
    "macintosh": "mac-roman",
    "macroman": "mac-roman",
    "macce": "mac-latin2",
    "maccentraleurroman": "mac-latin2",
    "maccyrillic": "mac-cyrillic",
    "macukrainian": "mac-cyrillic",
    "macgreek": "mac-greek",
    "macturkish": "mac-turkish",
    "maciceland": "mac-iceland",
    "macicelandic": "mac-iceland",
    "maccroatian": "mac-croatian",
    "macromanian": "mac-romanian",
    "macjapanese": "cp932",
    "gb2312": "gb18030",
    "gb231280": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "gb180302005": "gb18030",
    "cngb": "gb18030",
    "euccn": "gb18030",
    "chinese": "gb18030",
    "hz": "hz",
    "hzgb2312": "hz",
    "big5": "cp950",
    "xbig5": "cp950",
    "cnbig5": "cp950",
    "big5hkscs": "big5hkscs",
    "shiftjis": "cp932",
    "sjis": "cp932",
    "mskanji": "cp932",
    "windows31j": "cp932",
    "eucjp": "euc-jp",
    "ujis": "euc-jp",
    "iso2022jp": "iso2022-jp-ext",
    "iso2022jp1": "iso2022-jp-ext",
    "iso2022jp2": "iso2022-jp-2",
    "iso2022jp3": "iso2022-jp-3",
    "iso2022jp2004": "iso2022-jp-2004",
    "iso2022jpms": "iso2022-jp-ext",
    "euckr": "cp949",
    "korean": "cp949",
    "ksc5601": "cp949",
    "ksc56011987": "cp949",
    "ksc56011989": "cp949",
    "uhc": "cp949",
    "johab": "johab",
    "iso2022kr": "iso2022-kr",
}
_CODECS |= {f"iso8859{n}": f"iso8859-{n}" for n in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)}
_CODECS |= {"iso88591": "cp1252", "iso88599": "cp1254", "iso885911": "cp874"}
_CODECS |= {f"iso8859{n}{how}": f"iso8859-{n}" for n in (6, 8) for how in "ie"}
_CODECS |= {f"latin{n}": f"iso8859-{m}" for n, m in ((2, 2), (3, 3), (4, 4), (5, 9), (9, 15))}
#: Code pages by the numbers of Microsoft and IBM, whatever stands before them.
_PAGES = {
    n: f"cp{n}" for n in (*range(1250, 1259), 437, 720, 737, 775, *range(850, 867), 869, 874, 932, 949, 950, 1125)
}
_PAGES = {n: codec for n, codec in _PAGES.items() if n not in (851, 853, 854, 859)} | {
    819: "cp1252", 936: "gb18030", 943: "cp932", 970: "cp949", 1200: "utf-16-le", 1201: "utf-16-be", 1361: "johab",
    10000: "mac-roman", 20127: "cp1252", 20866: "koi8-r", 20932: "euc-jp", 20936: "gb18030", 21866: "koi8-u",
    28591: "cp1252", 28592: "iso8859-2", 28599: "cp1254", 28605: "iso8859-15", 38598: "iso8859-8",
    50220: "iso2022-jp-ext", 50221: "iso2022-jp-ext", 50222: "iso2022-jp-ext", 50225: "iso2022-kr", 51932: "euc-jp",
    51936: "gb18030", 51949: "cp949", 52936: "hz", 54936: "gb18030", 65000: "utf-7", 65001: "utf-8",
}  # fmt: skip
_PAGE = re.compile(r"(?:x|windows|win|cp|ibm|ms|dos|oem|ccsid){0,3}0{0,4}([1-9][0-9]{2,4})")
#: What a codec lacks that mail programs write with it, another has.
_WIDER = {"cp950": "big5hkscs", "euc-jp": "euc-jisx0213"}

_NOISE = re.compile(r"[^a-z0-9]+")
_LABEL_END = re.compile(r"[\s;,:()/]")
_C1 = {byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(0x80, 0xA0)}


def codec_of(label: str) -> str:
    """The codec that a charset label means, "" where nobody knows it.

    >>> codec_of(" 'UTF-8'; format=flowed"), codec_of("x-mac-ce"), codec_of("Windows-874"), codec_of("punycode")
    ('utf-8', 'mac-latin2', 'cp874', '')
    """
    word = label[:80].lower().rpartition("charset=")[2].strip(" \t\r\n\"'=")
    name = _NOISE.sub("", _LABEL_END.split(word, maxsplit=1)[0])
    for key in (name, name.removeprefix("x"), name.removeprefix("cs"), f"iso{name}"):
        if key in _CODECS:
            return _CODECS[key]
    if "utf8" in name:
        return "utf-8"
    page = _PAGE.fullmatch(name)
    return _PAGES.get(int(page[1]), "") if page else ""


def decode(data: bytes, label: str = "") -> str:
    """The text of ``data``: by its label, else as UTF-8, else as the charset that it looks like. Never raises, linear.

    >>> decode(b"caf\\xe9", "x-unknown"), decode("café".encode(), "us-ascii")
    ('café', 'café')
    """
    codec = codec_of(label)
    vague = codec in ("", "utf-8", "cp1252")
    if vague and data.isascii() and b"\x1b$" in data:
        codec, vague = "iso2022-jp-ext", False
    if vague and data.isascii() and b"\0" not in data:
        return data.decode("ascii")
    if codec == "utf-16" or (vague and b"\0" in data[:_SAMPLE]) or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        codec = _of_two_bytes(data) or codec
    # A mail labelled ASCII or Latin-1 whose bytes happen to be good UTF-8 is UTF-8.
    for candidate in ("utf-8",) if codec in ("", "cp1252") else (codec, _WIDER.get(codec, codec), "utf-8"):
        # Escape sequences are ASCII: a charset of seven bits that fails must not pass for UTF-8.
        if candidate != "utf-8" or codec in ("", "utf-8", "cp1252") or not data.isascii():
            try:
                return data.decode(candidate)
            except (UnicodeError, ValueError):
                continue
    if codec == "iso2022-jp-ext":
        return _japanese(data)
    if codec in ("", "cp1252", "utf-8"):
        return _unlabelled(data)
    # What no charset has is no word of anybody's.
    return data.decode(codec, "ignore")


_SAMPLE = 4096


def _of_two_bytes(data: bytes) -> str:
    """Which UTF-16 (or -32, by its mark) the bytes are in, "" where they are in none."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    even, odd = data[:_SAMPLE:2].count(0), data[1:_SAMPLE:2].count(0)
    if max(even, odd) < 4 or max(even, odd) * 4 < min(len(data), _SAMPLE) or min(even, odd) * 4 > max(even, odd):
        return ""
    return "utf-16-be" if even > odd else "utf-16-le"


def is_utf8(data: bytes) -> bool:
    """Whether all of it is good UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def raw_codec(lines: Sequence[bytes], hint: str = "") -> str:
    """The codec of a header's raw lines: as the mail's text is where that says one, else what the first of them look like."""
    codec = codec_of(hint)
    codec = "cp932" if codec.startswith(("iso2022-jp", "euc-jp")) else codec
    if codec not in ("", "utf-8", "utf-7", "cp1252"):
        return codec
    return guess.codec(b"\n".join(line for line in lines[:_RAW_LINES] if not is_utf8(line))) or "cp1252"


_RAW_LINES = 50


def decode_raw(data: bytes, codec: str = "") -> str:
    """A header's raw bytes, which name no charset: UTF-8 (RFC 6532), else in this codec where they can be."""
    for candidate in ("utf-8", codec):
        try:
            return data.decode(candidate) if candidate not in ("", "cp1252") else windows_1252(data)
        except (UnicodeError, ValueError):
            continue
    return windows_1252(data)


def windows_1252(data: bytes) -> str:
    """Every byte has a character; the five that the codec leaves open become C1 controls."""
    return data.decode("latin-1").translate(_C1)


def _unlabelled(data: bytes) -> str:
    """What is not good UTF-8: damaged where some of it is UTF-8, else in the charset that it looks like."""
    # Some write characters beyond the first plane as two surrogates of three bytes each (CESU-8).
    data = _PAIR.sub(
        lambda pair: (
            pair[0].decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16").encode()
        ),
        data,
    )
    bad = data.decode("utf-8", "replace").count("\ufffd")
    good = len(_ASCII.sub("", data.decode("utf-8", "ignore")))
    if good >= bad:
        return data.decode("utf-8", "helpdesk-lone")
    looks_like = guess.codec(data)
    return data.decode(looks_like, "ignore") if looks_like else windows_1252(data)


_PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_ASCII = re.compile("[\0-\x7f]+")


def _lone(error: UnicodeError) -> tuple[str, int]:
    """A byte that stands alone in UTF-8 came from somewhere else, where it was windows-1252; others are damage."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    data, start, end = error.object, error.start, error.end
    if error.reason == "unexpected end of data":
        # Programs that cut a text to a length cut it inside a character.
        return "", end
    before, after = data[start - 1 : start] or b" ", data[end : end + 1] or b" "
    if end - start > 1 or not (before + after).isascii():
        return "\ufffd", end
    # 0xC2 is what is left of a no-break space whose second byte became a plain one.
    return ("" if data[start] == 0xC2 else windows_1252(data[start:end])), end


codecs.register_error("helpdesk-lone", _lone)


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
#: Colours, as programs write them to a terminal and cron sends them on.
_TERMINAL = re.compile("\x1b\\[[0-9;]{0,20}[A-Za-z]")
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
    if "\x1b" in text or "\f" in text or "\v" in text:
        text = _TERMINAL.sub("", text).replace("\f", "\n").replace("\v", "\n")
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
