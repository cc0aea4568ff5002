"""Which of a mail's parts are its text, and headers as mailers really write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, Mailbox, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.read import read

HEAD = "From: Bea <bea@globex.example>\r\nSubject: Valves\r\nMessage-ID: <1@globex.example>\r\nMIME-Version: 1.0\r\n"
LONG = "The valve in hall seven is too hot to touch, and the lamp above it blinks twice a second. " * 3


def seen(data: bytes | str) -> Reading:
    envelope = Envelope("bea@globex.example", ("support@acme.example",))
    raw = data if isinstance(data, bytes) else data.encode()
    return read(RawMail(Door.SMTP, envelope, datetime(2026, 3, 3, tzinfo=UTC), raw))


def alternative(*parts: tuple[str, str]) -> str:
    shown = "".join(f"--b\r\nContent-Type: {kind}; charset=utf-8\r\n\r\n{text}\r\n" for kind, text in parts)
    return f"{HEAD}Content-Type: multipart/alternative; boundary=b\r\n\r\n{shown}--b--\r\n"


STYLED = f"<html><head><style>{'p {color: red}' * 200}</style></head><body><p>{LONG}</p></body></html>"


@pytest.mark.parametrize(
    ("plain", "html", "text"),
    [
        ("This mail has no plain version.", STYLED, LONG.strip()),
        (LONG.strip(), STYLED, LONG.strip()),
        ("Too hot.", "<p>Too hot.</p>" + "<!-- nothing -->" * 100, "Too hot."),
        (
            "Too hot to touch, in hall seven.",
            '<table width="100%">' * 40 + "<td>Too hot to touch, in hall seven!",
            None,
        ),
    ],
    ids=["a plain version that says nothing", "as much in both", "only markup more", "the same"],
)
def test_the_version_that_says_something_is_shown(plain, html, text):
    assert seen(alternative(("text/plain", plain), ("text/html", html))).text == (text or plain)


def test_two_plain_versions_are_both_shown():
    assert seen(alternative(("text/plain", "Zu heiß."), ("text/plain", "Too hot."))).text == "Zu heiß.\n\nToo hot."
    assert seen(alternative(("text/plain", "Too hot."), ("text/plain", "Too hot."))).text == "Too hot."


def test_of_two_types_the_last_counts():
    """The first would hide the text above a border that it alone names."""
    types = "Content-Type: multipart/alternative; boundary=b\r\nContent-Type: text/plain\r\n"
    data = f"{HEAD}{types}\r\nToo hot.\r\n\r\n--b\r\n\r\nx\r\n"

    assert seen(data).text == "Too hot.\n\n--b\n\nx"


@pytest.mark.parametrize("above", ["\r\n", "   \r\n\r\n", " \n\n"])
def test_white_space_above_the_header_is_skipped(above):
    found = seen(f"{above}{HEAD}\r\nToo hot.\r\n")

    assert (found.subject, found.text, found.sender) == ("Valves", "Too hot.", Mailbox("bea@globex.example", "Bea"))


def test_a_mail_that_begins_with_an_empty_line_and_has_no_header_is_text():
    assert seen("\r\nDear all,\r\nFrom: now on it is hot.\r\n").text == "Dear all,\nFrom: now on it is hot."


def test_a_stray_line_does_not_end_a_header_that_goes_on():
    strays = "---- Original mail ----\r\nReceived: by mx\r\ntests=SPAM: 0.1, HTML: 0.2\r\nTo: support@acme.example\r\n"
    data = f"{strays}{HEAD}\r\nToo hot."

    assert (seen(data).subject, seen(data).text) == ("Valves", "Too hot.")


def test_a_text_right_below_its_header_is_no_header():
    data = "From: bea@globex.example\r\nSubject: Valves\r\nIt says:\r\nSubject: x\r\nFrom: evil@x.example\r\n\r\nEnd."

    assert seen(data).sender == Mailbox("bea@globex.example", "")
    assert seen(data).text.startswith("It says:")


@pytest.mark.parametrize(
    ("charset", "codec", "subject"),
    [
        ("gb2312", "gb18030", "阀门太热"),
        ("iso-2022-jp", "cp932", "バルブ"),
        ("koi8-r", "koi8-r", "Клапан"),
        ("utf-8", "cp1252", "Überhitzt"),
        ("x-unknown", "utf-8", "Überhitzt"),
    ],
)
def test_raw_bytes_in_a_header_are_read_by_the_charset_of_the_text(charset, codec, subject):
    data = f"From: bea@globex.example\r\nSubject: {subject}\r\nContent-Type: text/plain; charset={charset}\r\n\r\nx\r\n"

    assert seen(data.encode(codec)).subject == subject


@pytest.mark.parametrize(
    ("header", "claimed"),
    [
        ("From: Bea <bea@globex.example>\r\nFrom: Bea <bea@globex.example>", Mailbox("bea@globex.example", "Bea")),
        ('From: "Bea" <bea@globex.example>, eve@globex.example', Mailbox("bea@globex.example", "Bea")),
        ("Reply-To: <bea@globex.example>", Mailbox("bea@globex.example", "")),
        ("To: support@acme.example", None),
    ],
)
def test_whom_a_mail_seems_to_be_from_gives_no_rights(header, claimed):
    found = seen(f"{header}\r\nSubject: x\r\n\r\nx\r\n")

    assert found.claimed == claimed
    assert found.sender is None
