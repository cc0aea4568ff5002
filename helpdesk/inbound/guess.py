"""Which charset bytes are in that name none, or a wrong one: told by the letters that are common in a language.

Only what differs plainly from western text is told. There a letter beyond ASCII stands among plain ones; in Cyrillic
and in the languages of East Asia such bytes follow each other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

_SAMPLE = 4096
#: So many letters must be there, and so many different ones: a line drawn of one byte is no word.
_FEWEST = 4
_GOOD = 0.85
_RUN = re.compile(rb"[\x80-\xff]{2,4096}")
_DOUBLE = re.compile(rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]")
#: о е а и н т: nearly half of any Russian text.
_RUSSIAN = {"cp1251": "оеаинт".encode("cp1251"), "koi8-r": "оеаинт".encode("koi8-r")}
_RUSSIAN_SHARE = 0.38


def codec(data: bytes) -> str:
    """The codec of these bytes, "" where they look like none of those that can be told. Linear, never raises.

    >>> codec("Привет, как дела?".encode("koi8-r")), codec("«Café à Besançon»".encode("cp1252"))
    ('koi8-r', '')
    """
    sample = data[:_SAMPLE]
    high = len(sample) - len(sample.translate(None, bytes(range(128, 256))))
    if high < _FEWEST:
        return ""
    runs = b" ".join(_RUN.findall(sample))
    bare = runs.replace(b" ", b"")
    if sum(byte >= 0xC0 for byte in bare) >= 0.95 * high:
        # The letters of an alphabet; double bytes have other halves, too.
        return _cyrillic(bare)
    if len(bare) >= 0.75 * high and (found := _cyrillic(bare)):
        return found
    kana = _share(sample, _is_kana_sjis)
    if kana >= 0.3 and _share(sample, _is_sjis) >= _GOOD:
        return "cp932"
    if len(bare) < 0.5 * high:
        return ""
    if (
        sum(byte < 0xA1 for byte in bare) <= 0.02 * high
        and _share(runs, lambda lead, trail: lead in (0xA4, 0xA5) and trail >= 0xA1) >= 0.3
    ):
        return "euc-jp"
    shares = {
        "cp949": _share(sample, lambda lead, trail: (lead <= 0xA3 or 0xB0 <= lead <= 0xC8) and trail >= 0xA1),
        "gb18030": _share(sample, lambda lead, trail: (0xA1 <= lead <= 0xA3 or 0xB0 <= lead <= 0xD7) and trail >= 0xA1),
        "cp950": _share(sample, lambda lead, _: lead == 0xA1 or 0xA4 <= lead <= 0xC6),
    }
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= _GOOD else ""


def _cyrillic(runs: bytes) -> str:
    letters = bytes(byte for byte in runs if byte >= 0xC0)
    if len(letters) < 2 * _FEWEST or len(letters) < _GOOD * len(runs):
        return ""
    for name, common in _RUSSIAN.items():
        if sum(letters.count(byte) for byte in common) >= _RUSSIAN_SHARE * len(letters):
            return name
    return ""


def _share(data: bytes, is_common: Callable[[int, int], bool]) -> float:
    """The share of the double bytes that are common characters; 0 where they are few."""
    pairs = _DOUBLE.findall(data)
    # Lines and boxes are drawn of one byte, again and again.
    if len(pairs) < _FEWEST or len(set(pairs)) < _FEWEST or max(Counter(pairs).values()) > max(2, len(pairs) / 4):
        return 0
    return sum(is_common(lead, trail) for lead, trail in pairs) / len(pairs)


def _is_kana_sjis(lead: int, trail: int) -> bool:
    return (lead == 0x82 and 0x9F <= trail <= 0xF1) or (lead == 0x83 and 0x40 <= trail <= 0x96)


def _is_sjis(lead: int, trail: int) -> bool:
    return 0x81 <= lead <= 0x83 or 0x88 <= lead <= 0x97
