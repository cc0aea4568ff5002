"""How fast mails are read, beside Python's own email package on the same mails, and what a large mail costs.

python -m benchmarks.reading [--shared FOLDER] [--seconds N] [--write docs/benchmarks.md]

The package parses with ``policy.default``, decodes every part and reads five headers, all within this process. Ours does
all of a Reading (text out of HTML, quotes, kind, proof, forwards, attachments) in the reading process, so each mail hops
there and back.
"""

from __future__ import annotations

import argparse
import contextlib
import email
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email import policy
from pathlib import Path

from benchmarks.report import put_between_markers
from benchmarks.tools import ROOT, shared_folder
from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.inbound.worker import Reader, Unreadable

BEGIN, END = "<!-- reading: begin -->", "<!-- reading: end -->"
HEADERS = ("from", "to", "subject", "date", "message-id")
#: Mails larger than this are measured by themselves.
MOST_OCTETS = 2_000_000
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000, 25_000_000)
RECEIVED = datetime(2026, 3, 2, tzinfo=UTC)
_HEAD = (
    b"From: Bob <bob@globex.example>\r\nTo: support@acme.example\r\nSubject: Re: Printer\r\n"
    b"Message-ID: <1@globex.example>\r\n"
)
_WORDS = (
    b"The printer in hall seven is on fire again, and nobody knows why it does that. See https://acme.example/7.\r\n"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=shared_folder(), help="the folder that holds interop/")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each of the two readers")
    parser.add_argument("--write", type=Path, help="also put the table between the markers of this file")
    given = parser.parse_args(arguments)
    mails = _mails(given.shared)
    package = _rate(mails, given.seconds, _by_package)
    reader = Reader()
    try:
        _by_us(reader, mails[:1])
        ours = _rate(mails, given.seconds, lambda some: _by_us(reader, some))
        sizes = {kind: [(len(data), _milliseconds(reader, data)) for data in made] for kind, made in _large()}
    finally:
        reader.close()
    table = "\n".join(_table(len(mails), package, ours, sizes))
    print(table)
    if given.write:
        put_between_markers(given.write, table, BEGIN, END)
    figures = {"mails": len(mails), "package_per_second": package, "ours_per_second": ours, "ratio": ours / package}
    print(json.dumps({**figures, "milliseconds_by_size": sizes}))
    return 0


def _mails(shared: Path) -> list[bytes]:
    """The corpus, else the project's own mails."""
    files = sorted(shared.glob("interop/cases/**/*.eml")) or sorted((ROOT / "tests" / "mails").glob("*.eml"))
    return [data for file in files if 0 < len(data := file.read_bytes()) <= MOST_OCTETS]


def _rate(mails: Sequence[bytes], seconds: float, read: Callable[[Sequence[bytes]], None]) -> float:
    """Mails a second over whole rounds, at least one."""
    done, begun = 0, time.perf_counter()
    while not done or time.perf_counter() - begun < seconds:
        for begin in range(0, len(mails), 8):
            read(mails[begin : begin + 8])
        done += len(mails)
    return done / (time.perf_counter() - begun)


def _by_package(mails: Sequence[bytes]) -> None:
    for data in mails:
        # It raises on some mails; what it did until then is counted for it.
        with contextlib.suppress(Exception):
            message = email.message_from_bytes(data, policy=policy.default)
            for name in HEADERS:
                str(message[name])
            for part in message.walk():
                if not part.is_multipart():
                    _content(part)


def _content(part: email.message.EmailMessage) -> None:
    try:
        part.get_content()
    except (LookupError, KeyError, ValueError):
        part.get_payload(decode=True)


def _by_us(reader: Reader, mails: Sequence[bytes]) -> None:
    envelope = Envelope("bob@globex.example", ("support@acme.example",))
    reader.read_all([(RawMail(Door.SMTP, envelope, RECEIVED, data), {}) for data in mails])


def _milliseconds(reader: Reader, data: bytes) -> float:
    """The best of three."""
    best = float("inf")
    for _ in range(3):
        begun = time.perf_counter()
        envelope = Envelope("bob@globex.example", ("support@acme.example",))
        (found,) = reader.read_all([(RawMail(Door.SMTP, envelope, RECEIVED, data), {})])
        best = min(best, (time.perf_counter() - begun) * 1000)
        if isinstance(found, Unreadable):
            raise SystemExit(f"a mail of {len(data)} octets is not read: {found.cause}")
    return best


def _large() -> Iterator[tuple[str, list[bytes]]]:
    """The same kind of mail in all sizes."""
    yield "text", [_HEAD + b"\r\n" + _filled(_WORDS, size) for size in SIZES]
    quoted = b"> " + _WORDS
    yield "quotes", [_HEAD + b"\r\nYes.\r\n" + _filled(quoted, size) for size in SIZES]
    html = _HEAD + b"MIME-Version: 1.0\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<html><body>"
    yield "HTML", [html + _filled(b"<div><p>" + _WORDS.strip() + b"</p></div>\r\n", size) for size in SIZES]
    attached = (
        _HEAD
        + b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nSee the log.\r\n--b\r\n"
        b"Content-Type: application/octet-stream; name=log.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    yield "attachment", [attached + _filled(b"QUJD" * 19 + b"\r\n", size) + b"--b--\r\n" for size in SIZES]


def _filled(piece: bytes, size: int) -> bytes:
    return piece * max(size // len(piece), 1)


def _table(count: int, package: float, ours: float, sizes: dict[str, list[tuple[int, float]]]) -> Iterator[str]:
    yield "| reader | mails/s | |"
    yield "|---|---|---|"
    yield f"| Python's email package, in this process | {package:,.0f} | |"
    yield f"| helpdesk, by way of the reading process | {ours:,.0f} | {ours / package:.2f} times (aim: more than 1) |"
    yield ""
    yield f"{count:,} mails of other projects' test sets up to {MOST_OCTETS // 1_000_000} MB; one thread each."
    yield ""
    yield f"| ms for a mail of | {' | '.join(_size(size) for size in SIZES)} |"
    yield f"|---|{'---|' * len(SIZES)}"
    for kind, found in sizes.items():
        yield f"| {kind} | {' | '.join(f'{taken:,.1f}' for _, taken in found)} |"


def _size(octets: int) -> str:
    return f"{octets // 1_000_000} MB" if octets >= 1_000_000 else f"{octets // 1000} KB"


if __name__ == "__main__":
    sys.exit(main())
