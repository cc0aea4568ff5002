"""What kind a mail is: automatic replies, challenges and lists by their marks, and people's mails that look like them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Kind
from helpdesk.inbound.read import read

BOB = "Bob Miller <bob@mine.example>"


def kind_of(
    subject: str, text: str = "Hello.", sender: str = BOB, path: str = "bob@mine.example", **fields: str
) -> Kind:
    head = {
        "From": sender,
        "To": "support@acme.example",
        "Subject": subject,
        "Content-Type": "text/plain; charset=utf-8",
    }
    more = {name.replace("_", "-"): value for name, value in fields.items()}
    lines = [f"{name}: {value}" for name, value in {**head, **more}.items()]
    envelope = Envelope(path, ("support@acme.example",))
    data = "\r\n".join([*lines, "", text, ""]).encode()
    return read(RawMail(Door.SMTP, envelope, datetime(2026, 3, 3, tzinfo=UTC), data)).kind


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Printer",
        "AutoReply: Re: Printer",
        "Automated response: Printer",
        "[Auto-Reply] Printer",
        "[mine.example #4711] AutoReply: Printer",
        "Out of Office Re: Printer",
        "[Out of office] Printer",
        "Bob Miller is out of the office.",
        "Bob Miller/Mine is out of the office (returning 03/09/2026)",
        "AUTO: Bob Miller ist außer Haus (Rückkehr am 09.03.2026)",
        "Réponse automatique : Imprimante",
        "Respuesta automática: Impresora",
        "Resposta automàtica: Impressora",
        "Afwezigheidsbericht: Printer",
        "Frånvaromeddelande: Skrivare",
        "Odpowiedź automatyczna: Drukarka",
        "Automatski odgovor: Pisač",
        "Automaatvastus: Printer",
        "Автоматичен отговор: Принтер",
        "Αυτόματη απάντηση: Εκτυπωτής",
        "תשובה אוטומטית: מדפסת",
        "رد تلقائي: طابعة",
        "Trả lời tự động: Máy in",
        "【自動返信】お問い合わせ",
        "自动回复:打印机",
        "부재 중 자동 응답: 프린터",
    ],
)
def test_a_subject_may_say_that_a_machine_answers(subject):
    assert kind_of(subject) is Kind.OUT_OF_OFFICE


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply does not work",
        "Automatic reply from your system is wrong",
        "Auto reply - not working since the update",
        "Auto response times are too slow",
        "Re: Automatic reply: Printer",
        "FW: Automatic reply: Printer",
        "Out of office",
        "Out of office next week",
        "Bob Jones is out of the office this week",
        "Carla Clerk is out of the office.",
        "Vacation: who covers for Bob?",
        "Urlaub: Vertretung",
        "Abwesenheit: Herr Maier",
        "Absence : M. Dupont",
        "自動返信が届かない",
        "不在連絡について",
        "自动回复设置",
        "Delivery failure of pump 12",
        "Delivery delayed: where is my parcel?",
        "Undelivered Mail Returned to Sender",
        "Please confirm that you sent the parts",
        "Out of office: how do I set it up?",
        "Out of office: Printer",
        "Automatic reply: does not work",
        "Automatic reply: can you switch it off for us?",
        "Abwesenheitsnotiz: lässt sich nicht einschalten",
        "Vacation message: how can I set one?",
        "Fuori sede: stampante rotta",
        "Fora do escritório: impressora quebrada",
        "自动回复 无法关闭",
        "自動返信 が届かない",
        "Bob Miller is out of the office status stuck",
    ],
)
def test_people_write_such_subjects_too(subject):
    assert kind_of(subject) is Kind.HUMAN


@pytest.mark.parametrize(
    "subject",
    [
        "Out-of-Office: Printer",
        "Absence du bureau : Imprimante",
        "Fuera de la oficina: Impresora",
        "Fuori ufficio: Stampante",
        "Ikke til stede: Printer",
        "自动回复 打印机",
        "Automatic reply: how do I print?",
        "Urlaub bis 9. März: Drucker",
        "Abwesenheit (vom 2.3. bis 9.3.): Drucker",
        "Away from my desk: Printer",
    ],
)
def test_what_people_write_too_is_a_machines_where_it_answers(subject):
    assert kind_of(subject, In_Reply_To="<ours@acme.example>") is Kind.OUT_OF_OFFICE


@pytest.mark.parametrize(
    "subject",
    [
        "Vacation module: error",
        "Semester accounts: passwords",
        "Absence de réponse : ticket 5",
        "Vacation rental 5: key",
    ],
)
def test_a_word_of_absence_within_other_words_is_a_persons(subject):
    assert kind_of(subject, In_Reply_To="<ours@acme.example>", References="<ours@acme.example>") is Kind.HUMAN


def test_a_word_of_absence_before_the_subject_that_is_answered_is_a_machines():
    assert kind_of("Abwesend: Drucker", In_Reply_To="<ours@acme.example>") is Kind.OUT_OF_OFFICE
    assert kind_of("away from my mail", In_Reply_To="<ours@acme.example>", Precedence="bulk") is Kind.OUT_OF_OFFICE
    assert kind_of("Vacation offers", Precedence="bulk") is Kind.BULK


CHALLENGES = {
    "a guest list": (
        {"Auto_Submitted": "auto-replied"},
        "bob@mine.example",
        "Your message about Printer was waitlisted. Please add yourself to my Guest List, so that your messages reach me:\n"
        "https://guests.example/1",
    ),
    "an address to write to": (
        {"Reply_To": "bob-confirm-123.abc@mine.example", "Precedence": "bulk"},
        "",
        "Your message is being held because your address has not been verified. To release it, send an empty message"
        " to this address.\n\n   bob-confirm-123.abc@mine.example\n",
    ),
    "a mark of the program": (
        {"X_Mailer": "Spam Arrest"},
        "bob@mine.example",
        "I am protecting myself from junk. Click below to complete the verification, you have to do this only once:\n"
        "https://x.example/1",
    ),
    "a human, please": (
        {"Precedence": "junk"},
        "",
        "Your message to bob@mine.example has been held. To prove that your message was sent by a human, please open\n"
        "https://x.example/verify?1",
    ),
    "German": (
        {"Auto_Submitted": "auto-replied"},
        "",
        "Ihre Nachricht an bob@mine.example wird zurückgehalten, bis Sie bestätigen, dass Sie ein Mensch sind:\n"
        "https://x.example/1",
    ),
    "Portuguese": (
        {"Auto_Submitted": "auto-replied"},
        "",
        "Para que sua mensagem a bob@mine.example seja entregue, por favor clique aqui: https://x.example/1\n",
    ),
}


@pytest.mark.parametrize("form", CHALLENGES)
def test_a_challenge_is_a_kind_of_its_own_that_nobody_answers(form):
    fields, path, text = CHALLENGES[form]

    kind = kind_of("Re: Printer (verification)", text, path=path, **fields)

    assert kind is Kind.CHALLENGE
    assert kind.by_machine
    assert kind.unattended
    assert not kind.is_report


HELD = CHALLENGES["a human, please"][2]


@pytest.mark.parametrize(
    ("fields", "text", "kind"),
    [
        ({}, HELD, Kind.HUMAN),
        ({"X_Delivery_Agent": "TMDA/1.1.12"}, HELD, Kind.HUMAN),
        ({"In_Reply_To": "<x@acme.example>"}, "I clicked it.\n\n> " + HELD.replace("\n", "\n> "), Kind.HUMAN),
        ({"Auto_Submitted": "auto-replied", "List_Id": "<pumps.lists.example>"}, HELD, Kind.AUTO_REPLY),
        (
            {"Auto_Submitted": "auto-generated"},
            "Your e-mail address has to be verified before news are delivered: https://x.example/verify",
            Kind.AUTO_REPLY,
        ),
        (
            {"Precedence": "bulk"},
            "Your order is pending. Please verify your address: https://x.example",
            Kind.BULK,
        ),
        (
            {"Auto_Submitted": "auto-generated"},
            "3 messages were held for you. Verify the sender and confirm: https://x.example",
            Kind.AUTO_REPLY,
        ),
    ],
)
def test_what_only_asks_to_confirm_is_no_challenge(fields, text, kind):
    assert kind_of("Please confirm", text, **fields) is kind


@pytest.mark.parametrize("kind", ["tlsrpt", "something-else"])
def test_a_report_that_nobody_knows_is_a_machines(kind):
    assert kind_of("x", "", Content_Type=f"multipart/report; report-type={kind}; boundary=b") is Kind.AUTO_REPLY
    assert kind_of("Report domain: acme.example Submitter: x.example Report-ID: <1>") is Kind.AUTO_REPLY


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"X_Cron_Env": "<SHELL=/bin/sh>"}, Kind.AUTO_REPLY),
        ({"X_Post_MessageClass": "9; Autoresponder"}, Kind.AUTO_REPLY),
        ({"X_FC_MachineGenerated": "true"}, Kind.AUTO_REPLY),
        ({"Delivered_To": "responder for pumps@lists.example"}, Kind.AUTO_REPLY),
        ({"Delivered_To": "Autoresponder"}, Kind.AUTO_REPLY),
        ({"X_Mailer": "vacation 1.2"}, Kind.AUTO_REPLY),
        ({"Auto_Submitted": "(vacation) auto-replied"}, Kind.AUTO_REPLY),
        ({"Auto_Submitted": "no (a person)"}, Kind.HUMAN),
        ({"X_Auto_Submitted": "auto-replied"}, Kind.AUTO_REPLY),
        ({"X_Rocket_Vacation": "1"}, Kind.AUTO_REPLY),
        ({"X_MS_Exchange_Generated_Message_Source": "OOF"}, Kind.AUTO_REPLY),
        ({"X_MS_Exchange_Generated_Message_Source": "Microsoft Exchange"}, Kind.HUMAN),
        ({"Delivered_To": "vacation@acme.example"}, Kind.HUMAN),
        ({"Delivered_To": "vacation planner@acme.example"}, Kind.HUMAN),
        ({"Delivered_To": "autoresponder@acme.example"}, Kind.HUMAN),
        ({"X_Mailer": "Vacation Rentals Pro 3"}, Kind.HUMAN),
        ({"Mailing_List": "contact pumps-help@lists.example; run by ezmlm"}, Kind.BULK),
        ({"X_BeenThere": "pumps@lists.example"}, Kind.BULK),
        ({"X_Campaign": "spring"}, Kind.BULK),
        ({"X_ServiceNow_Generated": "true"}, Kind.BULK),
        ({"X_MS_Exchange_Inbox_Rules_Loop": "bob@mine.example"}, Kind.HUMAN),
        ({"X_Auto_Response_Suppress": "DR, RN"}, Kind.HUMAN),
        ({"Precedence": "first-class"}, Kind.HUMAN),
        ({"X_Mailer": "Microsoft Outlook 16.0"}, Kind.HUMAN),
    ],
)
def test_a_field_tells_who_sent_it(fields, kind):
    assert kind_of("Printer", **fields) is kind


RECIPIENT = "Final-Recipient: rfc822; bob@mine.example"
REPORTS = {
    "receipt": f"Content-Type: message/disposition-notification\n\n{RECIPIENT}\nDisposition: manual; displayed\n",
    "complaint": "Content-Type: message/feedback-report\n\nFeedback-Type: abuse\n",
    "calendar answer": "Content-Type: text/calendar; method=REPLY\nContent-Disposition: attachment; filename=reply.ics\n\n"
    "BEGIN:VCALENDAR\nMETHOD:REPLY\nEND:VCALENDAR\n",
    "bounce": "Content-Type: multipart/report; report-type=delivery-status; boundary=c\n\n--c\n"
    f"Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n{RECIPIENT}\nAction: failed\n\n--c--\n",
}
WORDS = "Content-Type: text/plain\n\nI got this. What shall I do?\n"


@pytest.mark.parametrize("kind", REPORTS)
def test_who_attaches_a_report_to_words_of_his_own_is_a_person(kind):
    report = REPORTS[kind]

    def of(*parts: str, path: str = "bob@mine.example") -> Kind:
        body = "".join(f"--b\n{part}\n" for part in parts) + "--b--\n"
        return kind_of("Help", body, path=path, Content_Type="multipart/mixed; boundary=b")

    assert of(WORDS, report) is Kind.HUMAN
    assert of(WORDS, "Content-Type: multipart/mixed; boundary=d\n\n--d\n" + report + "\n--d--\n") is Kind.HUMAN
    # A list adds its words below, and nobody answers the null address.
    assert of(report, WORDS).value == kind
    assert of(WORDS, report, path="").value == kind


@pytest.mark.parametrize(
    ("sender", "subject", "text", "path", "kind"),
    [
        ("postmaster@mine.example", "Our mail is rejected", "Can you whitelist us?", "bob@mine.example", Kind.HUMAN),
        ("Mailer-Daemon Team <team@mine.example>", "Our order was rejected", "Why?", "bob@mine.example", Kind.HUMAN),
        (
            "microsoftexchange.team@mine.example",
            "Delivery error, order 5",
            "Where is it?",
            "bob@mine.example",
            Kind.HUMAN,
        ),
        ("mdaemonica@mine.example", "Order rejected", "Why?", "bob@mine.example", Kind.HUMAN),
        (BOB, "Undeliverable mails from your system since Monday", "Help!", "", Kind.AUTO_REPLY),
        (BOB, "Undeliverable: Printer", "", "", Kind.BOUNCE),
        ("postmaster@mine.example", "Undeliverable: Printer", "", "bob@mine.example", Kind.BOUNCE),
        ("Mailer-Daemon <x@mine.example>", "Returned mail", "", "bob@mine.example", Kind.BOUNCE),
        ("MicrosoftExchange329e71ec88ae4615@mine.example", "Undeliverable: x", "", "bob@mine.example", Kind.BOUNCE),
    ],
)
def test_a_mail_system_has_its_very_name(sender, subject, text, path, kind):
    assert kind_of(subject, text, sender, path) is kind
