"""Mails that broke other helpdesks, each written anew: what must become of it here. The numbers are those of a list of
such mails that users of FreeScout, osTicket, Zammad, Chatwoot and others reported."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from datetime import timedelta
from email.header import Header

import pytest

from helpdesk.domain.reading import Kind
from helpdesk.inbound.read import read
from helpdesk.inbound.scan import danger
from tests.pipeline.office import BORDER, Office

BOB = "bob@globex.example"
INDEX = "Ac" + base64.b64encode(b"\x01" * 21).decode()[2:]
VOUCHED = f"Authentication-Results: {BORDER}; dmarc=pass header.from=globex.example\r\n"


def raw(office: Office, text: str, *headers: str, sender: str = BOB, subject: str = "Printer"):
    """Bob's mail with these header lines, its body as it is."""
    office.written += 1
    head = [f"From: {sender}", "To: support@acme.example", f"Subject: {subject}", *headers]
    if not any(line.lower().startswith("message-id") for line in headers):
        head.append(f"Message-ID: <raw{office.written}@writer.example>")
    base = office.compose("x", BOB)
    return replace(
        base, data=(VOUCHED + "\r\n".join(head) + "\r\n\r\n").encode("utf-8", "surrogateescape") + text.encode()
    )


def seen(office: Office, mail):
    return read(mail, {}, (BORDER,))


def opened(office: Office, **more):
    return office.customer("The printer is on fire.", **more)


# Threading


def test_01_a_relay_that_replaces_our_message_id_breaks_no_reply(office):
    first = opened(office)
    office.agent("Switch it off.", office.last("agent").mail["Reply-To"])
    answer = office.last("customer", "answer")

    reply = office.customer(
        "It is off.", to=answer.mail["Reply-To"], answers="<0100@email.amazonses.com>", subject="Re: x"
    )

    assert reply.ticket_id == first.ticket_id


def test_02_an_exchange_that_rewrites_ids_keeps_the_old_one_beside(office):
    first = opened(office, message_id="<new@exchange>", headers={"X-MS-Original-Message-ID": "<old@globex.example>"})

    assert office.customer("And hot.", answers="<old@globex.example>").ticket_id == first.ticket_id


def test_03_outlook_that_gives_only_its_thread_index(office):
    first = opened(office, headers={"Thread-Index": INDEX})

    again = office.customer("And hot.", subject="RE: Printer", headers={"Thread-Index": INDEX})

    assert again.ticket_id == first.ticket_id


def test_04_a_colleague_in_copy_who_answers_before_we_did(office):
    first = opened(office, cc="eve@globex.example", message_id="<first@globex.example>")

    reply = office.customer("Me too.", "eve@globex.example", answers="<first@globex.example>", subject="Re: Printer")

    assert reply.ticket_id == first.ticket_id


def test_05_an_id_that_we_never_saw_is_found_by_the_subject_of_a_proven_reply(office):
    first = opened(office)

    assert office.customer("Off.", answers="<outlook@elsewhere>", subject="Re: Printer").ticket_id == first.ticket_id


def test_06_who_answers_his_own_mail_twice_within_one_fetch(office):
    first = opened(office, message_id="<own@globex.example>")

    later = [office.customer(text, answers="<own@globex.example>") for text in ("And hot.", "And loud.")]

    assert {one.ticket_id for one in later} == {first.ticket_id}


def test_07_another_desk_that_leaves_only_our_reference_in_the_subject(office):
    first = opened(office)
    reference = office.ticket(first).reference

    reply = office.customer("CS0042 was created.", subject=f"CS0042: your mail [{reference}]")

    assert reply.ticket_id == first.ticket_id


def test_08_five_customers_who_write_help_are_five_tickets_and_a_stranger_gets_into_none(office):
    five = [
        office.customer("help", sender, subject="help") for sender in (BOB, "eve@globex.example", "ira@initech.example")
    ]
    five += [office.mail("help", f"{name}@nobody.example", subject="help") for name in ("zoe", "zed")]
    reference = office.ticket(five[0]).reference

    stranger = office.mail("Let me in.", "mallory@nobody.example", subject=f"Re: [{reference}] help")

    assert len({one.ticket_id for one in (*five, stranger)}) == 6


def test_09_a_forward_of_a_tickets_mail_does_not_fall_into_it(office):
    first = opened(office)
    notice = office.last("customer")

    text = (
        f"Please see.\r\n\r\n-----Ursprüngliche Nachricht-----\r\nVon: {notice.mail['From']}\r\n"
        "Gesendet: Montag\r\nBetreff: x\r\n\r\nOld."
    )
    forward = office.customer(text, subject="WG: your request", headers={"References": notice.message_id})

    assert forward.ticket_id not in (None, first.ticket_id)


def test_10_the_same_mail_fetched_twice_is_one_entry(office):
    mail = raw(office, "It burns.\r\n")

    first, second = office.handle(mail), office.handle(replace(mail, data=b"Received: by another\r\n" + mail.data))

    assert (first.name, second.name) == ("entry", "seen before")


@pytest.mark.parametrize(
    "line", ["Message-ID:", "Message-ID: <>", "X-None: 1", "Message-ID: <same@x>\r\nMessage-ID: <same@x>"]
)
def test_11_ids_that_are_none_and_answers_in_prose(office, line):
    first = office.handle(raw(office, "One.\r\n", line, subject="One"))
    second = office.handle(raw(office, "Two.\r\n", line, subject="Two"))
    third = opened(office, message_id="<third@globex.example>")
    prose = 'Your message of "Monday" <third@globex.example>, <gone@globex.example>'

    reply = office.handle(raw(office, "Three.\r\n", f"In-Reply-To: {prose}", subject="Re: unlike"))

    assert first.ticket_id != second.ticket_id
    assert reply.ticket_id == third.ticket_id


def test_12_a_reply_to_a_closed_ticket_opens_it_again(office):
    first = opened(office)
    office.agent("Done.\n\n#close", office.last("agent").mail["Reply-To"])
    assert office.ticket(first).status == "closed"

    office.customer("It burns again.", to=office.last("customer").mail["Reply-To"])

    assert office.ticket(first).status == "open"


# Loops and machines


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Printer",
        "Automatische Antwort: Printer",
        "Réponse automatique : x",
        "自動応答: x",
        "Autosvar: x",
    ],
)
def test_13_an_absence_without_any_header_is_not_answered(office, subject):
    assert office.customer("I am away.", subject=subject).name == "entry"
    assert office.sent("customer") == []


def test_14_a_crm_that_answers_with_a_new_address_each_time(office):
    for number in range(30):
        office.mail(f"Thank you. Your case is {number}.", f"case{number}@crm.example", subject=f"Case {number}")

    assert [one.to for one in office.sent("customer")] == ["case0@crm.example"]


def test_14_colleagues_who_say_the_same_are_answered_each(office):
    for sender in (BOB, "eve@globex.example", BOB):
        office.customer("Help, please.", sender)

    assert [one.to for one in office.sent("customer")] == [BOB, "eve@globex.example"]


def test_15_a_bounce_of_our_acknowledgement_opens_nothing(office):
    bounce = office.mail(
        "550 no such user\r\n", "MAILER-DAEMON@mx.globex.example", subject="Undelivered Mail Returned to Sender"
    )

    assert (bounce.name, bounce.ticket_id) == ("dropped", None)
    assert office.sent() == []


def test_16_a_persons_mail_that_a_rule_forwarded_is_kept_and_not_answered(office):
    outcome = opened(office, headers={"Auto-Submitted": "auto-generated"})

    assert outcome.ticket_id is not None
    assert office.sent("customer") == []
    assert office.sent("agent")


DELAYED = (
    "From: MAILER-DAEMON@mx.globex.example\r\nTo: support@acme.example\r\nSubject: Delayed\r\nMIME-Version: 1.0\r\n"
    "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nLater.\r\n--b\r\n"
    "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx\r\n\r\nFinal-Recipient: rfc822; {recipient}\r\n"
    "Action: {action}\r\nStatus: {status}\r\n\r\n--b--\r\n"
)


@pytest.mark.parametrize(("action", "status"), [("delayed", "4.4.1"), ("failed", "5.1.1")])
def test_17_18_a_report_without_an_id_of_ours_changes_nothing(office, action, status):
    opened(office)
    before = [(one.to, one.block) for one in office.sent()]
    report = DELAYED.format(recipient=BOB, action=action, status=status).encode()

    outcome = office.handle(replace(office.compose("x", ""), data=report))

    assert outcome.name == "dropped"
    assert [(one.to, one.block) for one in office.sent()] == before


@pytest.mark.parametrize(
    "sender", ["prvs=0123456789=bob@globex.example", "SRS0=abcd=XY=globex.example=bob@forward.example"]
)
def test_18_an_envelope_sender_is_no_identity(office, sender):
    mail = office.compose("It burns.", BOB, headers={"Authentication-Results": VOUCHED.partition(": ")[2].strip()})
    outcome = office.handle(replace(mail, envelope=replace(mail.envelope, sender=sender)))

    assert office.ticket(outcome).requester.address == BOB


@pytest.mark.parametrize(
    ("kind", "wanted"),
    [
        ("multipart/report; report-type=disposition-notification; boundary=b", Kind.RECEIPT),
        ("multipart/report; report-type=feedback-report; boundary=b", Kind.COMPLAINT),
        ("text/calendar; method=REPLY", Kind.CALENDAR),
    ],
)
def test_19_receipts_complaints_and_calendar_answers_are_not_answered(office, kind, wanted):
    part = {Kind.RECEIPT: "message/disposition-notification", Kind.COMPLAINT: "message/feedback-report"}.get(
        wanted, "text/plain"
    )
    mail = raw(
        office, f"--b\r\nContent-Type: {part}\r\n\r\nFeedback-Type: abuse\r\n\r\n--b--\r\n", f"Content-Type: {kind}"
    )

    assert seen(office, mail).kind is wanted
    office.handle(mail)
    assert office.sent("customer") == []


def test_20_a_persons_mail_from_info_is_no_bounce(office):
    mail = raw(
        office,
        "Delivery failed: the parcel with your toner came back.\r\n",
        sender="info@globex.example",
        subject="Delivery failed",
    )

    assert seen(office, mail).kind is Kind.HUMAN


# Parsing


def test_21_winmail_dat_is_opened():
    """Text, files and RTF: ``tests/inbound/test_containers.py``."""
    from tests.inbound import test_containers

    test_containers.test_winmail_dat_is_opened_for_text_and_files()


def test_22_text_picture_text_as_siblings_all_show(office):
    part = "--b\r\nContent-Type: {kind}\r\nContent-Disposition: inline\r\n\r\n{text}\r\n"
    body = "".join(part.format(kind=kind, text=text) for kind, text in (
        ("text/plain", "Above."), ("image/png; name=burn.png", "PNG"), ("text/plain", "Between."),
        ("application/pdf; name=plan.pdf", "PDF"), ("text/plain", "Below."),
    ))  # fmt: skip
    found = seen(office, raw(office, f"{body}--b--\r\n", "Content-Type: multipart/mixed; boundary=b"))

    assert found.text == "Above.\n\nBetween.\n\nBelow."
    assert [(one.name, one.inline) for one in found.attachments] == [("burn.png", False), ("plan.pdf", False)]


def test_23_an_invitation_with_an_empty_body_is_told_in_words(office):
    calendar = (
        "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nSUMMARY:Valves\r\n"
        "DTSTART:20260302T090000Z\r\nEND:VEVENT\r\n"
    )
    body = (
        "--b\r\nContent-Type: text/plain\r\n\r\n\r\n--b\r\n"
        f"Content-Type: text/calendar; method=REQUEST\r\n\r\n{calendar}--b--\r\n"
    )

    assert seen(office, raw(office, body, "Content-Type: multipart/alternative; boundary=b")).text.startswith(
        "Invitation: Valves"
    )


@pytest.mark.parametrize(
    ("label", "codec", "text"),
    [
        ("gb2312", "gb18030", "打印机镕"),
        ("iso-2022-jp", "iso2022_jp_ext", "①プリンター"),
        ("windows-1257", "cp1257", "Spausdintuvas dega: ąžuolas"),
        ("x-unknown", "utf-8", "Drücker"),
        ("8bit", "cp1252", "Drücker"),
        ("utf-7", "utf-7", "Drücker"),
    ],
)
def test_24_charsets_that_are_not_what_they_say(office, label, codec, text):
    try:
        body = text.encode(codec)
    except UnicodeEncodeError:
        body = b"\x1b$B-!\x1b(B" + text[1:].encode("iso2022_jp")
    mail = raw(office, "", f"Content-Type: text/plain; charset={label}")

    assert seen(office, replace(mail, data=mail.data + body + b"\r\n")).text == text


@pytest.mark.parametrize(
    "written",
    [
        "Drücker brennt",
        "=?utf-8?b?RHLDvGNrZXIg?= =?utf-8?b?YnJlbm50?=",
        "=?utf-8?b?RHLD?=\r\n =?utf-8?b?vGNrZXIgYnJlbm50?=",
        '"=?utf-8?q?Dr=C3=BCcker?= brennt"',
    ],
)
def test_25_headers_raw_split_and_quoted(office, written):
    assert seen(office, raw(office, "x", subject=written)).subject.strip('"') == "Drücker brennt"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("filename*0*=utf-8''Pr%C3%BCf; filename*1*=bericht.pdf", "Prüfbericht.pdf"),
        ("filename*=iso-8859-1''Pr%FCfbericht.pdf", "Prüfbericht.pdf"),
        (f'filename="{Header("Prüfbericht.pdf", "utf-8").encode()}"', "Prüfbericht.pdf"),
        ('filename="../../etc/cron.d/x"', "x"),
        ('filename="a\r\n b.pdf"', "a b.pdf"),
        ("", ""),
    ],
)
def test_26_file_names(office, disposition, name):
    head = f"Content-Type: application/pdf\r\nContent-Disposition: attachment; {disposition}".rstrip("; ")
    mail = raw(office, f"--b\r\n{head}\r\n\r\nPDF\r\n--b--\r\n", "Content-Type: multipart/mixed; boundary=b")

    assert [one.name for one in seen(office, mail).attachments] == [name]


def test_27_one_bad_mail_does_not_block_those_behind_it(office):
    bad = office.handle(raw(office, "x", sender="<<<"))

    assert bad.name == "quarantined"
    assert opened(office).name == "entry"
    assert [one.to for one in office.sent("operator")] == ["postmaster@acme.example"]


@pytest.mark.parametrize(
    "body",
    [
        "https://x.example/" + "a" * 50 + " ",
        " ",
        "\t\n",
        "<div>",
        "> ",
        "<a href='x'>y</a>",
        "On Monday wrote",
        "-- \n",
        "=20=\n",
    ],
)
def test_28_what_makes_expressions_explode(office, body):
    for kind in ("text/plain", "text/html"):
        started = time.process_time()
        seen(office, raw(office, body * (1_000_000 // len(body)), f"Content-Type: {kind}"))
        assert time.process_time() - started < 10


@pytest.mark.parametrize("subject", ["", "Only this"])
def test_29_empty_bodies_are_requests_too(office, subject):
    outcome = office.handle(raw(office, "", subject=subject))
    empty_text = (
        "--b\r\nContent-Type: text/plain\r\n\r\n \r\n--b\r\nContent-Type: text/html\r\n\r\n"
        "<p>It burns.</p>\r\n--b--\r\n"
    )

    assert outcome.name == "entry"
    assert seen(office, raw(office, empty_text, "Content-Type: multipart/alternative; boundary=b")).text == "It burns."


@pytest.mark.parametrize(
    ("body", "headers", "text"),
    [
        ("one \r\ntwo\r\n", ("Content-Type: text/plain; format=flowed; delsp=yes",), "onetwo"),
        (
            "https://x.example/a=\r\nb=3D1\r\n",
            ("Content-Transfer-Encoding: quoted-printable",),
            "https://x.example/ab=1",
        ),
        ("a\0b\r\n", (), "ab"),
        ("a\rb\r\n", (), "a\nb"),
    ],
)
def test_30_odd_lines(office, body, headers, text):
    assert seen(office, raw(office, body, *headers)).text == text


def test_31_five_megabytes_of_pictures_in_html(office):
    mail = raw(
        office, f'<p>It burns.</p><img src="data:image/png;base64,{"A" * 5_000_000}">', "Content-Type: text/html"
    )
    assert danger(mail.data) == ""

    assert seen(office, mail).text == "It burns."


def test_32_a_signed_mail_with_a_footer_below(office):
    inner = (
        "--s\r\nContent-Type: text/plain\r\n\r\nIt burns.\r\n--s\r\n"
        "Content-Type: application/pgp-signature; name=s.asc\r\n\r\nx\r\n--s--\r\n"
    )
    body = (
        "--b\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n"
        f"{inner}--b\r\nContent-Type: text/plain\r\n\r\nThe list's footer.\r\n--b--\r\n"
    )

    found = seen(office, raw(office, body, "Content-Type: multipart/mixed; boundary=b"))

    assert found.text == "It burns.\n\nThe list's footer."
    assert [one.name for one in found.attachments] == ["s.asc"]


# Replies and senders


def test_33_answers_between_quotes_and_quotes_as_style_are_kept(office):
    first = opened(office)
    to = office.last("customer").mail["Reply-To"]

    office.customer("> Since when?\n\nMonday.\n\n> Where?\n\nHall 7.\n", to=to, subject="Re: x")
    html = raw(
        office,
        "<p>As the manual says:</p><blockquote>Never open it.</blockquote><p>I did.</p>",
        "Content-Type: text/html",
    )

    assert [one.text for one in office.history(first) if "Monday" in one.text] == ["Monday.\n\nHall 7."]
    assert "Never open it." in seen(office, html).new_text


def test_34_outlooks_block_under_another_id_hides_nothing_new(office):
    html = (
        '<p>It is off.</p><div id="x_divRplyFwdMsg"><b>From:</b> Acme<br><b>Sent:</b> Monday</div><p>Switch it off.</p>'
    )

    found = seen(
        office, raw(office, html, "Content-Type: text/html", "In-Reply-To: <1@acme.example>", subject="Re: Printer")
    )

    assert found.new_text == "It is off."


def test_35_a_list_or_form_that_writes_in_its_own_name_is_no_customer(office):
    listed = office.customer(
        "It burns.",
        "support-list@lists.example",
        headers={"List-Id": "<l.lists.example>", "Reply-To": BOB},
        subject="By list",
    )
    looped = office.customer("It burns.", headers={"Reply-To": "support@acme.example"}, subject="To ourselves")

    assert office.ticket(listed).requester.address == "support-list@lists.example"
    assert [one.to for one in office.sent("customer")] == [BOB]
    assert looped.name == "entry"


def test_36_prose_that_looks_like_a_quote_or_a_signature_stays(office):
    text = "Run it so:\n\nprog --\n--\nThe log says:\nOn Monday he wrote: never.\nFrom: the first day.\n| a | b |\n|--|--|\n"
    found = seen(office, raw(office, text.replace("\n", "\r\n"), "In-Reply-To: <1@x.example>", subject="Re: Printer"))

    assert found.new_text == text.strip()


@pytest.mark.parametrize("sender", ["BOB@GLOBEX.example", "Bob <bob@globex.EXAMPLE>"])
def test_37_the_same_person_in_other_letters(office, sender):
    outcome = office.customer(
        "It burns.", sender, headers={"Authentication-Results": VOUCHED.partition(": ")[2].strip()}
    )

    assert office.ticket(outcome).requester.id == office.ids["bob of acme"]


def test_37_senders_in_other_scripts_and_with_tags(office):
    for sender in ("bob+desk@globex.example", "боб@пример.example", "bob@bücher.example"):
        outcome = (
            office.mail("It burns.", sender, subject=sender)
            if sender.isascii()
            else office.handle(raw(office, "It burns.", sender=sender))
        )
        assert outcome.name == "entry"
    office.now += timedelta(minutes=1)
