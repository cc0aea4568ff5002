"""Reports are read for what they say of our mail, whatever else is in them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpdesk.domain.bounce import Fate
from helpdesk.domain.mail import Door, Envelope, Mailbox, RawMail
from helpdesk.domain.reading import Kind, Reading
from helpdesk.inbound.read import likeness, read
from tests.stories.reports import bounce, read_receipt

OURS = b"From: support@acme.example\r\nSubject: x\r\nMessage-ID: <ours@acme.example>\r\n\r\nHello.\r\n"


def seen(data: bytes, sender: str = "") -> Reading:
    envelope = Envelope(sender, ("support@acme.example",))
    return read(RawMail(Door.SMTP, envelope, datetime(2026, 3, 3, tzinfo=UTC), data))


@pytest.mark.parametrize("whole", [True, False])
def test_a_report_says_which_mail_for_whom_and_why(whole):
    found = seen(bounce(OURS, "bob@mine.example", to="support+bx@acme.example", whole=whole))

    assert found.kind is Kind.BOUNCE
    assert found.report.returned == ("<ours@acme.example>",)
    assert found.report.fates == (Fate("bob@mine.example", "", "failed", "5.1.1", "550 5.1.1 no such user"),)
    assert found.parents == ("<ours@acme.example>",)


def test_a_receipt_says_which_mail_was_shown_to_whom():
    found = seen(read_receipt(OURS, "bob@mine.example", to="support@acme.example"))

    assert found.kind is Kind.RECEIPT
    assert found.report.returned == ("<ours@acme.example>",)
    assert found.report.fates == (Fate("bob@mine.example", "", "displayed"),)


PARTS = (
    "From: MAILER-DAEMON@x.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
    'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: message/delivery-status{more}\r\n\r\n{body}\r\n--b--\r\n"  # noqa: E501
)
TWO = (
    "Reporting-MTA: dns; x\r\n\r\nOriginal-Recipient: rfc822;list@mine.example\r\nFinal-Recipient: RFC822; Bob@Mine.example\r\n"  # noqa: E501
    "Action: delayed (for now)\r\nStatus: 4.2.2 (mailbox full)\r\n\r\n"
    "Final-Recipient: eve@mine.example\r\nAction: FAILED\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; 550\r\n 5.7.1 no\r\n"
)


def test_several_recipients_have_a_fate_each():
    found = seen(PARTS.format(more="", body=TWO).encode())

    assert found.report.fates == (
        Fate("Bob@Mine.example", "list@mine.example", "delayed", "4.2.2", ""),
        Fate("eve@mine.example", "", "failed", "5.0.0", "550 5.7.1 no"),
    )


def test_a_report_in_base64_is_read_all_the_same():
    import base64

    body = base64.encodebytes(TWO.encode()).decode()
    found = seen(PARTS.format(more="\r\nContent-Transfer-Encoding: base64", body=body).encode())

    assert [fate.action for fate in found.report.fates] == ["delayed", "failed"]
    assert found.kind is Kind.BOUNCE


@pytest.mark.parametrize(
    "body",
    [
        "",
        "Final-Recipient: rfc822; bob@mine.example",
        "Final-Recipient:;;;\r\nAction:\r\nStatus: nonsense\r\n",
        "Reporting-MTA: x\r\n\r\n" + "Final-Recipient: rfc822; bob@mine.example\r\n\r\n" * 5000,
        "\x00\xff" * 2000,
    ],
)
def test_bad_reports_are_read_as_far_as_they_go(body):
    found = seen(PARTS.format(more="", body=body).encode("latin-1"))

    assert found.kind is Kind.BOUNCE
    assert len(found.report.fates) <= 50


@given(st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_a_report_are_read(body):
    data = PARTS.format(more="", body="HERE").encode().replace(b"HERE", body)

    assert seen(data).report is not None


def test_a_mail_of_a_person_is_no_report():
    assert seen(OURS, "bob@mine.example").report is None


BOB = Mailbox("bob@mine.example")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("Your ticket 4711 is open.", "Your  ticket 4712\nis open!", True),
        ("Ticket TK-8F3A2: we have it.", "Ticket TK-91BC7: we have it.", True),
        ("Received on 3 March.\n> [AC-1001] quoted", "Received on 4 March.\n> [AC-1002] other", True),
        ("The printer is on fire.", "The scanner is on fire.", False),
        ("", "", False),
        ("123 456", "123 456", False),
    ],
)
def test_mails_of_a_machine_are_alike(one, other, alike):
    first, second = likeness(BOB, one), likeness(BOB, other)

    assert (first == second and first != "") is alike


def test_the_same_words_of_two_people_are_not_alike():
    assert likeness(BOB, "Hello.") != likeness(Mailbox("eve@mine.example"), "Hello.")
    assert likeness(BOB, "Hello.") == likeness(Mailbox("BOB@mine.example"), "hello")
    assert likeness(None, "Hello.") == ""
