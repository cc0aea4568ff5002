"""Drafts become bytes that say what was meant and nothing else."""

from __future__ import annotations

import email
import email.policy
import random
from dataclasses import replace
from datetime import UTC, datetime
from email.header import decode_header, make_header

import pytest

from helpdesk.domain.errors import PermanentFailure
from helpdesk.domain.mail import Mailbox
from helpdesk.outbound import guard, headers
from helpdesk.outbound.compose import Draft, Enclosure, compose

DRAFT = Draft(
    sender=Mailbox("support@acme.example", "Acme Support"),
    to=(Mailbox("bob@client.example", "Bob Miller"),),
    subject="[AC-1042] Printer",
    text="Hello Bob,\n\nall is well.\n",
    html="<p>Hello Bob,</p>",
    message_id="<1.a@acme.example>",
    date=datetime(2026, 11, 23, 22, 30, tzinfo=UTC),
    in_reply_to="<q@client.example>",
    references=("<root@client.example>", "<q@client.example>"),
    reply_to="support+rabc@acme.example",
    thread_index="AdxaAQIDBAUGBwgJCgsMDQ4PEBESAAAAAAA=",
    thread_topic="Printer",
    auto="auto-replied",
    loop_mark="acme 1",
    language="en",
)
#: Incoming subject of CVE-2024-6923: decoded once it is harmless, written by an affected CPython it is a Bcc.
ENCODED_TWICE = "=?utf-8?q?x=0D=0ABcc=3A=20victim=40v?="


def parsed(draft: Draft) -> email.message.EmailMessage:
    message = email.message_from_bytes(compose(draft), policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def read_text(message: email.message.EmailMessage) -> str:
    return str(message.get_content()).replace("\r\n", "\n")


def test_headers_in_order():
    assert parsed(DRAFT).keys() == [
        "Date",
        "From",
        "To",
        "Subject",
        "Message-ID",
        "In-Reply-To",
        "References",
        "Reply-To",
        "Thread-Index",
        "Thread-Topic",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "X-Helpdesk-Loop",
        "Content-Language",
        "MIME-Version",
        "Content-Type",
    ]


def test_a_persons_mail_carries_no_mark_of_a_machine():
    names = parsed(replace(DRAFT, auto="")).keys()

    assert "Auto-Submitted" not in names
    assert "X-Auto-Response-Suppress" not in names


def test_same_draft_same_bytes():
    assert compose(DRAFT) == compose(DRAFT)


def test_text_and_html_are_alternatives_with_enclosures_beside():
    message = parsed(replace(DRAFT, enclosures=(Enclosure("a.png", "image/png", b"\x89PNG\r\n\0"),)))

    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
    ]
    (enclosure,) = message.iter_attachments()
    assert enclosure.get_content() == b"\x89PNG\r\n\0"
    assert enclosure.get_filename() == "a.png"


def test_only_text_is_a_single_part():
    message = parsed(replace(DRAFT, html=""))

    assert message.get_content_type() == "text/plain"
    assert read_text(message) == "Hello Bob,\n\nall is well.\n"


@pytest.mark.parametrize(
    "text",
    [
        "plain\n",
        "Grüße\n",
        "日本語の本文です。" * 40 + "\n",
        ".\n..\n.x\n",
        "x" * 3000 + "\n",
        "trailing  \n=41\n",
        "From me\n",
    ],
)
def test_text_arrives_as_written(text):
    message = parsed(replace(DRAFT, html="", text=text))

    assert read_text(message) == text


def test_body_lines_stay_short_and_ascii():
    data = compose(replace(DRAFT, text="ü" * 5000, subject="ü" * 400))

    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "subject",
    [
        "[AC-1042] Drucker brennt: Grüße",
        "日本語" * 60,
        "x" * 400,
        "a " * 200,
        "😀" * 50,
        "שלום עולם",
        'quoted "words" and \\ and <brackets>',
    ],
)
def test_subject_arrives_whole(subject):
    message = parsed(replace(DRAFT, subject=subject))

    assert message["Subject"] == subject.strip()


@pytest.mark.parametrize(
    "name",
    [
        "Bob Miller",
        "Miller, Bob",
        'Bob "Bobby" Miller',
        "Böb Müller",
        "日本 太郎",
        "a\\b",
        "bob@evil.example",
        "(comment)",
        "O'Neil",
        "B. M.",
    ],
)
def test_display_names_arrive_and_change_no_address(name):
    message = parsed(replace(DRAFT, to=(Mailbox("bob@client.example", name), Mailbox("eve@client.example", name))))

    assert [(one.display_name, one.addr_spec) for one in message["To"].addresses] == [
        (name, "bob@client.example"),
        (name, "eve@client.example"),
    ]


def test_long_display_names_are_cut():
    message = email.message_from_bytes(compose(replace(DRAFT, to=(Mailbox("bob@client.example", "n" * 5000),))))

    name = str(make_header(decode_header(message["To"]))).partition(" <")[0]
    assert name == "n" * (headers.LONGEST_NAME - 1) + "…"


@pytest.mark.parametrize("field", ["subject", "sender", "to", "cc"])
@pytest.mark.parametrize(
    "hostile", [ENCODED_TWICE, f"Re: {ENCODED_TWICE}", "x\r\nBcc: victim@v.example", "x\nBcc: v@v", "x\u2028Bcc: v"]
)
def test_known_header_injections_write_no_header(field, hostile):
    value = hostile if field == "subject" else Mailbox("bob@client.example", hostile)
    draft = replace(DRAFT, **{field: value if field in ("subject", "sender") else (value,)})

    message = email.message_from_bytes(compose(draft))

    assert "Bcc" not in message
    assert len(message.keys()) == len(DRAFT_NAMES) + (field == "cc")


DRAFT_NAMES = email.message_from_bytes(compose(DRAFT)).keys()

PIECES = [
    *(
        "\r\n",
        "\n",
        "\r",
        "\0",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\t",
        " ",
        "  ",
        "\ud800",
        "\u202e",
        "\ufeff",
    ),
    *("=?", "?=", "=?utf-8?q?", "=?utf-8?b?", "=0D=0A", "DQpCY2M6IHZAdg==", "=3D", "?", "=", "_", ENCODED_TWICE),
    *(
        "Bcc: v@v.example",
        "To:",
        "Subject: x",
        ":",
        ";",
        ",",
        "<",
        ">",
        "<v@v.example>",
        "@",
        '"',
        "\\",
        "(",
        ")",
        "[",
        "]",
        "'",
    ),
    *(
        "--",
        "=_",
        "boundary",
        "a",
        "word",
        "ü",
        "日本",
        "😀",
        "é",
        "ﬀ",
        "x" * 90,
        "../",
        "/etc/passwd",
        "C:\\",
        ".exe",
        ".",
    ),
]
FIELDS = ("subject", "sender", "to", "cc", "address", "reply_to", "message_id", "in_reply_to", "references")
FIELDS += ("loop_mark", "language", "name", "type", "text", "thread_topic")


def _hostile(chance: random.Random) -> str:
    return "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 9)))


def _spoiled(field: str, value: str) -> Draft:
    match field:
        case "sender":
            return replace(DRAFT, sender=Mailbox("support@acme.example", value))
        case "to" | "cc":
            return replace(DRAFT, **{field: (Mailbox("a@b.example", value), Mailbox("c@d.example", "C"))})
        case "address":
            return replace(DRAFT, to=(Mailbox(value),))
        case "references":
            return replace(DRAFT, references=(value, *DRAFT.references, f"<{value}>"))
        case "in_reply_to":
            return replace(DRAFT, in_reply_to=f"<{value}>")
        case "name":
            return replace(DRAFT, enclosures=(Enclosure(value, "text/plain", b"x"),))
        case "type":
            return replace(DRAFT, enclosures=(Enclosure("x", value, b"x"),))
        case _:
            return replace(DRAFT, **{field: value})


def test_hostile_values_never_write_a_header():
    """Many thousand values over all fields: refused, or written with exactly the headers that were meant."""
    chance, written, extra = random.Random(6923), 0, []
    for number in range(6000):
        field = FIELDS[number % len(FIELDS)]
        draft = _spoiled(field, _hostile(chance))
        try:
            data = compose(draft)
        except guard.HeaderMismatch:
            raise
        except PermanentFailure:
            assert field in ("address", "reply_to", "message_id")
            continue
        written += 1
        message = email.message_from_bytes(data)
        optional = {"Cc", "In-Reply-To", "References", "X-Helpdesk-Loop", "Content-Language"}
        names = list(message)
        meant = [name for name in DRAFT_NAMES if name not in optional]
        if [name for name in names if name not in optional] != meant or len(set(names)) != len(names):
            extra.append((field, draft))

    assert extra == []
    assert written > 4000


# --- the guard finds what a faulty writer would do --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Subject: ", b"Bcc: eve@evil.example\r\nSubject: "),
        (b"Subject: ", b"Subject: x\r\nSubject: "),
        (b"Subject: [AC-1042] Printer", b"Subject: [AC-1042] Plotter"),
        (b"bob@client.example", b"eve@client.example"),
        (b"Bob Miller <bob@client.example>", b"Bob Miller <bob@client.example>, eve@evil.example"),
        (b"support@acme.example", b"support@evil.example"),
        (b"support+rabc@", b"support+rabd@"),
        (b"<1.a@acme.example>", b"<1.b@acme.example>"),
        (b"Subject: ", b"X: y\nBcc: eve@evil.example\r\nSubject: "),
        (b"Date: ", b"Date : "),
        (b"MIME-Version: 1.0\r\n", b"MIME-Version: 1.0\r\n \r\n"),
        (b"<root@client.example>", b"<root@client.example> <other@client.example>"),
        (b"Subject: [AC-1042] Printer", b"Subject: =?utf-8?q?=5BAC-1042=5D_Printer=0D=0ABcc=3A?="),
        (b"Content-Type: text/html", b"X-Evil: 1\r\nContent-Type: text/html"),
        (b"--\r\n", b"--x\r\n"),
        (b"Hello Bob,", b"Hello Bob," + b"x" * 1000),
        (
            b"\r\n\r\n",
            b"\r\n",
        ),
    ],
)
def test_guard_refuses_bytes_that_say_something_else(old, new):
    data = compose(DRAFT)
    assert old in data

    with pytest.raises(guard.HeaderMismatch):
        guard.check(data.replace(old, new, 1), DRAFT)


# --- addresses, ids, labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("bob@client.example", "bob@client.example"),
        ("bob+tag@Client.Example", "bob+tag@client.example"),
        ("bob@bücher.example", "bob@xn--bcher-kva.example"),
        ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
        ("o'neil@client.example", "o'neil@client.example"),
    ],
)
def test_addresses_are_written_with_ascii_domains(address, written):
    assert headers.wire_address(address) == written


@pytest.mark.parametrize(
    "address",
    [
        "",
        "bob",
        "@x",
        "bob@",
        "a b@x",
        "bob@x y",
        "bob@x\r\nBcc: y",
        "<bob@x>",
        '"a b"@x',
        "a@b@c d",
        "=?utf-8?q?x?=@x",
        "bob@-x",
        "jörg@x.example",
    ],
)
def test_what_is_no_plain_address_is_refused(address):
    with pytest.raises(PermanentFailure):
        compose(replace(DRAFT, to=(Mailbox(address),)))


def test_local_parts_beyond_ascii_need_smtputf8():
    data = compose(replace(DRAFT, to=(Mailbox("jörg@client.example"),), smtputf8=True))

    assert "To: jörg@client.example\r\n".encode() in data


def test_long_threads_keep_root_and_newest_references():
    ids = tuple(f"<message.{number}.abcdefghijklmnop@mail.client.example>" for number in range(500))

    value = parsed(replace(DRAFT, references=ids))["References"]

    kept = value.split()
    assert kept[0] == ids[0]
    assert kept[1:] == list(ids[-len(kept) + 1 :])
    assert 10 < len(kept) <= 21
    assert len(value) <= 1500


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("", "attachment"),
        ("...", "attachment"),
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("a\r\nb.txt", "a b.txt"),
        ("x" * 300 + ".pdf", "x" * 146 + ".pdf"),
        ("Übersicht für März 2026 " * 5 + ".ods", "Übersicht für März 2026 " * 5 + ".ods"),
        ('"q"; x=y.txt', '"q"; x=y.txt'),
    ],
)
def test_labels_of_enclosures_are_safe_and_arrive(name, label):
    (enclosure,) = parsed(replace(DRAFT, enclosures=(Enclosure(name, "application/pdf", b"x"),))).iter_attachments()

    assert enclosure.get_filename() == label
    assert enclosure["Content-Type"].params["name"] == label


@pytest.mark.parametrize(
    ("given_type", "written"),
    [
        ("image/png", "image/png"),
        ("IMAGE/PNG", "image/png"),
        ("text/html", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("message/rfc822", "application/octet-stream"),
        ("x/y\r\nBcc: v", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("text/plain", "application/octet-stream"),
    ],
)
def test_only_harmless_types_are_passed_on(given_type, written):
    (part,) = parsed(replace(DRAFT, enclosures=(Enclosure("x", given_type, b"\xff\xfe"),))).iter_attachments()

    assert part.get_content_type() == written


def test_a_mail_needs_somebody_to_go_to():
    with pytest.raises(PermanentFailure):
        compose(replace(DRAFT, to=()))
