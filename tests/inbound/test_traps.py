"""Traps that were measured in our own stack, or that broke others, each with the very input that sprang it."""

from __future__ import annotations

import base64
import gzip
import io
import time
import zipfile
from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.body import decode_attachment
from helpdesk.inbound.html import to_text
from helpdesk.inbound.quote import divide
from helpdesk.inbound.read import read
from helpdesk.inbound.scan import danger


def reading_of(data: bytes) -> Reading:
    found = read(RawMail(Door.FILE, Envelope(None, ()), datetime(2026, 3, 3, tzinfo=UTC), data))
    assert not [defect for defect in found.defects if defect.startswith("reading failed")]
    return found


def test_m1_an_encoded_word_is_decoded_once():
    """CVE-2024-6923: decoded once it is harmless; what leaves is judged in tests/outbound/test_compose.py."""
    header = b"=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3D0D=3D0ABcc=3A=3D20victim=40v=3F=3D?="

    found = reading_of(b"From: " + header + b" <bob@globex.example>\r\nSubject: " + header + b"\r\n\r\nx")

    # Once more decoded it would be a Bcc: what looks like an encoded word is torn.
    assert found.subject == "= ?utf-8?q?x=0D=0ABcc:=20victim@v?="
    assert found.sender is not None
    assert found.sender.name == found.subject


@pytest.mark.parametrize("head", [b"From: <", b"To: .:", b"Message-ID: <", b'Reply-To: "', b"From: " + b"(" * 1000])
def test_m3_headers_that_raise_in_pythons_parser_raise_nothing(head: bytes):
    assert reading_of(head + b"\r\n\r\nIt burns.\r\n").text == "It burns."


def nested_parts(depth: int) -> bytes:
    return b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (one, one) for one in range(depth))


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (nested_parts(1000), "nested"),
        (b"Content-Type: message/rfc822\n\n" * 2000, "nested"),
        (b"Content-Type: multipart/mixed; boundary=x\n\n" + b"--x\n\na\n" * 100_000, "parts"),
        (b"Subject:" + b" =?utf-8?q?x?=" * 10_000 + b"\n\n", "encoded"),
        (b"A: b\n" * 100_000 + b"\n", "header"),
    ],
    ids=["1,000 nested multiparts", "2,000 nested mails", "100,000 parts", "10,000 encoded-words", "100,000 headers"],
)
def test_m4_bombs_are_seen_before_anything_is_parsed(data: bytes, why: str):
    assert why in danger(data)


@pytest.mark.parametrize("charset", [b"punycode", b"x-unknown", b"zlib_codec", b'"a\x00b"'])
def test_m5_a_charset_that_is_none_costs_no_word_and_no_time(charset: bytes):
    started = time.process_time()

    found = reading_of(b"Content-Type: text/plain; charset=" + charset + b"\n\nfire " + b"x-" * 50_000)

    assert found.text.startswith("fire x-x-")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("../../etc/passwd", "passwd"),
        ("=?utf-8?q?=2E=2E=2Fx?=", "x"),
        ("a\x00b.txt", "a b.txt"),
        ("photo\u202egnp.exe", "photognp.exe"),
        ("-rf", "rf"),
    ],
)
def test_m6_a_file_name_is_a_label(name: str, label: str):
    data = f'Content-Type: application/pdf; name="{name}"\nContent-Disposition: attachment\n\nx'.encode()

    (file,) = reading_of(data).attachments

    assert file.name == label


def test_m6_a_long_file_name_keeps_its_ending():
    data = b'Content-Disposition: attachment; filename="' + b"x" * 5000 + b'.pdf"\n\nx'

    (file,) = reading_of(data).attachments

    assert len(file.name) <= 250
    assert file.name.endswith(".pdf")


@pytest.mark.parametrize(
    "value",
    [
        "agent@corp.com <evil@x.example>",
        "alice@example.org)bob@evil.example",
        "agent@corp.com\r\nFrom: evil@x.example",
        "agent@corp.com, evil@x.example",
        "Friends: agent@corp.com;",
        "<@relay.example:agent@corp.com>",
    ],
)
def test_m7_whoever_may_be_two_is_nobody(value: str):
    found = reading_of(f"From: {value}\r\n\r\nx".encode())

    assert found.sender is None or found.sender.address == "evil@x.example"
    assert not found.proof.proven


@pytest.mark.parametrize("text", ["On " * 13_000, "\n" * 50_000, "> " * 20_000, "From: a\n" * 5000])
def test_m19_no_text_makes_the_reply_reader_slow(text: str):
    started = time.process_time()

    divide(text)

    assert time.process_time() - started < 1


@pytest.mark.parametrize("markup", ["<!--" * 100_000, "<div>" * 200_000])
def test_m19_no_page_makes_the_html_reader_slow(markup: str):
    started = time.process_time()

    to_text(markup + "fire")

    assert time.process_time() - started < 3


def zip_bomb() -> bytes:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(50_000_000))
    return inner.getvalue()


@pytest.mark.parametrize(
    ("kind", "name", "packed"),
    [
        ("application/zip", "42.zip", zip_bomb()),
        ("application/gzip", "log.gz", gzip.compress(bytes(50_000_000))),
        ("application/ms-tnef", "winmail.dat", gzip.compress(bytes(50_000_000))),
    ],
)
def test_t36_nothing_packed_is_unpacked(kind: str, name: str, packed: bytes):
    head = f'Content-Type: {kind}; name="{name}"\nContent-Transfer-Encoding: base64\n\n'
    data = head.encode() + base64.encodebytes(packed)

    (file,) = reading_of(data).attachments

    assert (file.name, file.size) == (name, len(packed))
    assert decode_attachment(data, file) == packed
