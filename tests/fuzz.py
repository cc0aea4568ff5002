"""Mails with mistakes that nobody thought of: those of ``tests/mails`` changed, spliced and garbled, the same for a seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path

MAILS = [path.read_bytes() for path in sorted((Path(__file__).parent / "mails").glob("*.eml"))]
#: What breaks readers, put in anywhere.
PIECES = [
    b"\r\n", b"\n\n", b"\r", b"\0", b"\x1a", b"\xff\xfe", b"\xed\xa0\x80", b"=", b"=?utf-8?q?", b"?=",
    b"=?x?b?////?=", b'"', b"(" * 40, b"<", b">", b"--b\n", b"--b--\n", b"> ", b"\nFrom: ", b"\nFrom evil\n",
    b"\nContent-Type: message/rfc822\n\n", b"&#x110000;", b"\nContent-Type: multipart/mixed; boundary=b\n\n",
    b"\nContent-Transfer-Encoding: base64\n", b"\nContent-Type: text/html\n\n",
    b"\nContent-Type: application/ms-tnef\n", b"\nContent-Type: text/calendar; method=REPLY\n\nBEGIN:VEVENT\n",
    b"<div>" * 60, b"<!--", b"\nContent-Type: application/pkcs7-mime\n\n0\x80\x06", b"\nSubject: " + b"x" * 3000,
    b"\nReferences: " + b"<a@b> " * 300, b".\r\n", b"\nAuto-Submitted: auto-replied\n",
    b"\nContent-Type: text/plain; charset=utf-7\n\n+", "\u202e\u2028".encode(), b"begin 644 x\n",
    b"\nFinal-Recipient: rfc822; ", b"<bob@globex.example>:\n", b"-- \n", b"On Monday Bob wrote:\n", b"\x1b$B",
    b"\xa1\xa2",
]  # fmt: skip


def mails(count: int, seed: int) -> Iterator[bytes]:
    """So many mails."""
    for number in range(count):
        yield mail(random.Random(f"{seed}/{number}"))


def mail(chance: random.Random) -> bytes:
    """One mail, with one to six mistakes."""
    data = chance.choice(MAILS)
    for _ in range(chance.randint(1, 6)):
        data = chance.choice(_MISTAKES)(data, chance)
    return data[:200_000]


def _change(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, max(len(data) // 100, 1))):
        changed[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(changed)


def _cut(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data))
    return data[:begin] + data[begin + chance.randint(1, 200) :] or b"x"


def _repeat(data: bytes, chance: random.Random) -> bytes:
    begin = chance.randrange(len(data))
    piece = data[begin : begin + chance.randint(1, 300)]
    return data[:begin] + piece * chance.choice((2, 3, 50)) + data[begin:]


def _splice(data: bytes, chance: random.Random) -> bytes:
    other = chance.choice(MAILS)
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :] or b"x"


def _insert(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data))
    return data[:at] + chance.choice(PIECES) + data[at:]


def _shuffle(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\n".join(lines)


def _line_ends(data: bytes, chance: random.Random) -> bytes:
    return data.replace(b"\n", chance.choice((b"\r\n", b"\r", b"\n\r", b"\r\r\n", b" \n")))


_MISTAKES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _change, _cut, _repeat, _splice, _insert, _insert, _insert, _shuffle, _line_ends,
)  # fmt: skip
