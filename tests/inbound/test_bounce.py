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


def test_the_same_words_of_two_domains_are_not_alike():
    assert likeness(BOB, "Hello.") == likeness(Mailbox("case42@mine.example"), "Hello.")
    assert likeness(BOB, "Hello.") != likeness(Mailbox("bob@elsewhere.example"), "Hello.")
    assert likeness(Mailbox("bob@gmail.com"), "Hello.") != likeness(Mailbox("eve@gmail.com"), "Hello.")
    assert likeness(BOB, "Hello.") == likeness(Mailbox("BOB@mine.example"), "hello")
    assert likeness(None, "Hello.") == ""


HEAD = "From: {sender}\r\nTo: support+b7@acme.example\r\nSubject: {subject}\r\nMessage-ID: <r@x.example>\r\n\r\n{text}"
COPY = (
    "Received: from desk.acme.example\nMessage-ID: <ours@acme.example>\nSubject: x\n\nPlease write to eve@acme.example."
)
PROSE = {
    "qmail": (
        "Hi. This is the mail program at mx.x.example.\nI'm afraid I wasn't able to deliver your message to the following"
        " addresses.\nThis is a permanent error; I've given up.\n\n<bob@mine.example>:\n192.0.2.1 does not like recipient.\n"
        "Remote host said: 550 sorry, no mailbox here by that name.\n\n"
        f"--- Below this line is a copy of the message.\n\n{COPY}",
        [("bob@mine.example", "5.0.0")],
        ["<ours@acme.example>"],
    ),
    "given up for what may pass": (
        "Sorry it didn't work out.\n\n<bob@mine.example>:\nCannot reach the directory. (#4.4.3)\n"
        "I'm not going to try again; this message has been in the queue too long.\n",
        [("bob@mine.example", "4.4.3")],
        [],
    ),
    "one line for each": (
        "Unknown user: bob@mine.example\n\nRCPT TO generated following response:\n553 5.3.0 <bob@mine.example>... Addressee"
        f" unknown\n\nUnknown user: eve@mine.example\n\nOriginal message follows.\n\n{COPY}",
        [("bob@mine.example", "5.3.0"), ("eve@mine.example", "5.3.0")],
        ["<ours@acme.example>"],
    ),
    "a sentence": (
        "Your mail is undeliverable to bob@mine.example\n\nOriginal message follows.\n",
        [("bob@mine.example", "")],
        [],
    ),
    "names without a domain": (
        "Your mail to the following recipients could not be delivered because\nthey take no mail from you:\n\n\tbobby\n",
        [("bobby@x.example", "")],
        [],
    ),
    "fields that lost their part": (
        "This is the mail system.\n\nFor help, please contact hostmaster@x.example.\n\nReporting-MTA: dns; x\n\n"
        "Final-Recipient: rfc822; bob@mine.example\nAction: failed\nStatus: 5.1.1\n",
        [("bob@mine.example", "5.1.1")],
        [],
    ),
    "a transcript above": (
        "The original message was received at Mon, 2 Mar 2026 10:00:00 +0100\n\n"
        "   ----- The following addresses had permanent fatal errors -----\n<bob@mine.example>\n    (reason: 550 5.1.1 no)\n"
        f"    (expanded from: <sales@x.example>)\n\n   ----- Original message follows -----\n\n{COPY}",
        [("bob@mine.example", "5.1.1")],
        ["<ours@acme.example>"],
    ),
    "a program that an address led to": (
        "The following address(es) failed:\n\n  pipe to |/usr/local/bin/robot\n    generated by sales@mine.example\n"
        f"    local delivery failed\n\n--- This is a copy of the message. ---\n\n{COPY}",
        [("sales@mine.example", "")],
        ["<ours@acme.example>"],
    ),
    "in the middle of a sentence": (
        "Your message to bob@mine.example has been blocked.\n\nThe server said:\n550 5.7.1 no\n",
        [("bob@mine.example", "5.7.1")],
        [],
    ),
    "in brackets": ("Recipient: [SMTP:bob@mine.example]\nReason: 550 unknown\n", [("bob@mine.example", "5.0.0")], []),
    "a session": (
        "Sender: support@acme.example\n  MAIL FROM: support@acme.example\n  RCPT TO: bob@mine.example\n  Size: 4523\n",
        [("bob@mine.example", "")],
        [],
    ),
    "German": (
        "Ihre E-Mail an bob@mine.example konnte nicht zugestellt werden.\nGrund: 550 5.1.1\n"
        "Bei Fragen wenden Sie sich an hilfe@x.example\n",
        [("bob@mine.example", "5.1.1")],
        [],
    ),
    "Chinese, without a space": (
        "退信原因 收件人邮件地址（bob@mine.example）不存在。\n收件人：bob@mine.example\n550 5.1.1 no\n",
        [("bob@mine.example", "5.1.1")],
        [],
    ),
    "an apostrophe": ("<pat.o'brien@mine.example>:\n550 5.1.1 no\n", [("pat.o'brien@mine.example", "5.1.1")], []),
    "the header first": (
        "This report relates to a message with these fields:\n\n  Message-id: <ours@acme.example>\n  To: sales@x.example\n\n"
        "Your message cannot be delivered to the following recipients:\n\n  Recipient address: bob@mine.example\n"
        "  Reason: 550 5.1.1 no\n",
        [("bob@mine.example", "5.1.1")],
        ["<ours@acme.example>"],
    ),
    "a name alone": (
        "The message was undeliverable to:\n\tbob (user not found)\n\nReturned message:\n"
        "To: bob@mine.example, eve@mine.example\nSubject: x\n",
        [("bob@mine.example", "")],
        [],
    ),
    "those whom it has reached": (
        "The message was delivered to:\n  eve@mine.example\n\nIt could not be delivered to:\n  bob@mine.example\n",
        [("bob@mine.example", "")],
        [],
    ),
    "an id like an address": (
        "Your message (id <1.2@acme.example>) to bob@mine.example was lost: 550 5.1.1\n",
        [("bob@mine.example", "5.1.1")],
        [],
    ),
    "several in a line": (
        "It could not be delivered to: bob@mine.example, <eve@mine.example>;pat@mine.example\n550 5.1.1\n",
        [("bob@mine.example", "5.1.1"), ("eve@mine.example", "5.1.1"), ("pat@mine.example", "5.1.1")],
        [],
    ),
    "nobody is named": ("421 mx.mine.example (smtp)... Deferred: Connection timed out\n", [("", "4.0.0")], []),
    "whom to ask": ("Delivery failed. For assistance contact\nhelp@x.example\nor postmaster@x.example\n", [], []),
}


@pytest.mark.parametrize("form", PROSE)
def test_a_report_in_prose_is_read(form):
    text, fates, ids = PROSE[form]
    mail = HEAD.format(sender="MAILER-DAEMON@x.example", subject="failure notice", text=text.replace("\n", "\r\n"))

    found = seen(mail.encode())

    assert found.kind is Kind.BOUNCE
    assert [(one.recipient, one.status) for one in (found.report.fates if found.report else ())] == fates
    assert list(found.report.returned if found.report else ()) == ids


def test_a_delay_in_prose_is_no_end():
    text = "<bob@mine.example>: temporary failure.\r\nIt will be retried until it is 5 days old.\r\n"
    found = seen(HEAD.format(sender="MAILER-DAEMON@x.example", subject="Warning: delayed", text=text).encode())

    assert found.kind is Kind.DELAYED
    assert [(one.recipient, one.action, one.temporary) for one in found.report.fates] == [
        ("bob@mine.example", "delayed", True)
    ]


@pytest.mark.parametrize(
    ("subject", "text"),
    [
        (
            "Delivery Status Notification (Delay)",
            "Gmail will retry for 46 more hours. Your message to bob@mine.example.",
        ),
        ("Zustellung verzögert: x", "An folgende Empfänger:\r\n\r\nbob@mine.example\r\n"),
        ("配信遅延: x", "次の受信者への配信が遅れています:\r\n\r\nbob@mine.example\r\n"),
    ],
)
@pytest.mark.parametrize("field", ["", "X-Failed-Recipients: bob@mine.example\r\n"])
def test_a_subject_tells_a_delay_in_any_language(field, subject, text):
    mail = field + HEAD.format(sender="MAILER-DAEMON@x.example", subject=subject, text=text)
    found = seen(mail.encode())

    assert found.kind is Kind.DELAYED
    assert [(one.recipient, one.temporary) for one in found.report.fates] == [("bob@mine.example", True)]


def test_what_the_text_says_of_a_recipient_goes_with_the_field_that_names_him():
    head = "X-Failed-Recipients: bob@mine.example, eve@mine.example\r\n" + HEAD
    text = "  bob@mine.example\r\n    452 4.2.2 full\r\n  eve@mine.example\r\n    550 5.1.1 no\r\n"
    found = seen(head.format(sender="MAILER-DAEMON@x.example", subject="Mail delivery failed", text=text).encode())

    assert [(one.recipient, one.status) for one in found.report.fates] == [
        ("bob@mine.example", "4.2.2"),
        ("eve@mine.example", "5.1.1"),
    ]


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        ("Final-Recipient: rfc822; bob\nOriginal-Recipient: rfc822;bob@mine.example", ("bob@mine.example", False)),
        ("Final-Recipient: rfc822; bob@mine.example\nOriginal-Recipient: unknown;", ("bob@mine.example", False)),
        ("Final-Recipient: rfc822; bob@mine.example (Bob)", ("bob@mine.example", False)),
        ("Final-Recipient: LOCAL;'bob@mine.example'", ("bob@mine.example", False)),
        ("Final-Recipient: X400; c=de;s=bob", ("eve@mine.example", False)),
        ("Final-Recipient: rfc822; bob@mine.example\nDiagnostic-Code: smtp; 451 later", ("bob@mine.example", True)),
        ("Action: expired\nFinal-Recipient: rfc822; bob@mine.example", ("bob@mine.example", False)),
        ("Action: error\nFinal-Recipient: rfc822; bob@mine.example", ("bob@mine.example", False)),
    ],
)
def test_odd_fields_of_a_report_are_understood(fields, fate):
    action = "" if "Action" in fields else "\r\nAction: failed"
    body = "Reporting-MTA: dns; x\r\n\r\n" + fields.replace("\n", "\r\n") + action
    found = seen(
        PARTS.format(more="", body=body).replace("\r\n\r\nx\r\n", "\r\n\r\n<eve@mine.example>: no\r\n").encode()
    )

    assert found.kind is Kind.BOUNCE
    assert [(one.original or one.recipient, one.temporary) for one in found.report.fates] == [fate]
    assert found.report.fates[0].action == "failed"


def test_recipients_without_a_line_between_them_stay_apart():
    one = "Original-Recipient: rfc822;{0}\r\nFinal-Recipient: rfc822;{0}\r\nAction: {1}\r\n"
    body = (
        "Reporting-MTA: x\r\n\r\n"
        + one.format("bob@mine.example", "failed")
        + one.format("eve@mine.example", "relayed")
    )
    found = seen(PARTS.format(more="", body=body).encode())

    assert [(fate.recipient, fate.action) for fate in found.report.fates] == [
        ("bob@mine.example", "failed"),
        ("eve@mine.example", "relayed"),
    ]


@pytest.mark.parametrize(
    ("status", "action", "temporary"),
    [("5.1.1", "failed", False), ("4.2.2", "failed", True), ("4.4.7", "failed", False), ("4.4.7", "delayed", True)],
)
def test_what_may_pass_is_temporary(status, action, temporary):
    assert Fate("bob@mine.example", "", action, status).temporary is temporary


@pytest.mark.parametrize(
    ("sender", "subject", "return_path", "text", "kind"),
    [
        ("Mail Gateway <gateway@x.example>", "Undeliverable message", "", "No valid recipients.", Kind.BOUNCE),
        ("post_master@x.example", "Re: Printer", None, "550 no such user here", Kind.BOUNCE),
        ("<>", "Delivery Status", None, "<bob@mine.example> (no such user)", Kind.BOUNCE),
        (
            "Parcels <info@x.example>",
            "Delivery problem: your parcel",
            "",
            "Nobody was at home at noon.",
            Kind.AUTO_REPLY,
        ),
        ("Expenses <tool@x.example>", "Your claim was rejected", "", "See the portal.", Kind.AUTO_REPLY),
        ("Mail Delivery System <noreply@x.example>", "Undelivered Mail", None, "bob@mine.example: 550 no", Kind.BOUNCE),
        ("MDaemon@x.example", "Permanent Delivery Failure", None, "> bob@mine.example", Kind.BOUNCE),
        ("Robot <robot@x.example>", "Ваше письмо", "", "bob@mine.example: 550 5.1.1 no such user", Kind.BOUNCE),
        ("Robot <robot@x.example>", "Re: Printer", "", "bob@mine.example: 550 5.1.1 no such user", Kind.AUTO_REPLY),
        ("MicrosoftExchange329e71ec88ae@x.example", "Не удается доставить", None, "#550 5.1.1 not found", Kind.BOUNCE),
        ("Gateway <gw@x.example>", "Message rejected", "", "<bob@mine.example>: 550 no such user", Kind.BOUNCE),
        ("postmaster@x.example", "Our new servers", None, "They are faster. Questions? Ask us.", Kind.HUMAN),
        ("bob@mine.example", "Undeliverable: my report", None, "550 5.1.1 no such user. What is this?", Kind.HUMAN),
    ],
)
def test_words_tell_a_bounce_only_where_a_mail_system_wrote_them(sender, subject, return_path, text, kind):
    raw = RawMail(
        Door.SMTP,
        Envelope(return_path, ("support@acme.example",)),
        datetime(2026, 3, 3, tzinfo=UTC),
        HEAD.format(sender=sender, subject=subject, text=text).encode(),
    )

    assert read(raw).kind is kind


def test_a_report_that_a_gateway_wrapped_is_read_inside():
    inner = bounce(OURS, "bob@mine.example", to="support@acme.example")
    outer = (
        b"From: postmaster@x.example\r\nSubject: Delivery Status Notification (Failure)\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="gate"\r\n\r\n--gate\r\nContent-Type: message/rfc822\r\n\r\n'
        + inner
        + b"\r\n--gate--\r\n"
    )

    found = seen(outer)

    assert found.report.fates[0].recipient == "bob@mine.example"
    assert found.report.returned == ("<ours@acme.example>",)


@pytest.mark.parametrize(
    ("subject", "part"),
    [
        ("Abuse", b"message/feedback-report\r\n\r\nFeedback-Type: abuse\r\n\r\n"),
        ("complaint about message from 192.0.2.7", b"message/rfc822\r\n\r\nSubject: x\r\n\r\nx\r\n"),
    ],
)
def test_a_complaint_is_a_request_that_no_machine_answers(subject, part):
    found = seen(
        b"From: staff@provider.example\r\nSubject: %s\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: %s--b--\r\n" % (subject.encode(), part),
        "staff@provider.example",
    )

    assert found.kind is Kind.COMPLAINT
    assert found.kind.by_machine
    assert not found.kind.is_report
    assert not found.kind.unattended


def test_a_mail_that_a_spam_filter_wrapped_is_judged_inside():
    found = seen(
        b"From: shop@x.example\r\nX-Spam-Flag: YES\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: message/rfc822; x-spam-type=original\r\n\r\n"
        b"List-Id: <offers.x.example>\r\n\r\nBuy!\r\n--b--\r\n",
        "shop@x.example",
    )

    assert (found.kind, found.kind_why) == (Kind.BULK, "has List-Id")
