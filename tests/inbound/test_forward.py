"""Forwarded mails as the mail programs of the world write them: our own mails, named by what they show."""

from __future__ import annotations

import time

import pytest

from helpdesk.domain.mail import Mailbox
from helpdesk.inbound.forward import author, find, is_forward

NOTE = "Please look at this.\n\nThanks, Ann"
WORDS = "Our scanner hums since Tuesday.\n\nKind regards\nZoe"
ZOE = "Zoe Brandt <zoe@customer.example>"


def quoted(text: str, sign: str = "> ") -> str:
    return "\n".join(f"{sign}{line}".rstrip() for line in text.split("\n"))


def block(names: str, sender: str = ZOE, gap: str = "\n") -> str:
    """Header lines with these names, in the order from, date, to, subject (or as many as there are)."""
    values = (sender, "3 March 2026 10:15", "ann@acme.example", "Scanner hums")
    return gap.join(f"{name}{value}" for name, value in zip(names.split("|"), values, strict=False))


MARKED = {
    "gmail": ("---------- Forwarded message ---------", "From: |Date: |To: |Subject: "),
    "gmail, German names": ("---------- Forwarded message ---------", "Von: |Date: |To: |Subject: "),
    "thunderbird": ("-------- Forwarded Message --------", "From: \t|Date: \t|To: \t|Subject: \t"),
    "thunderbird, German": ("-------- Weitergeleitete Nachricht --------", "Von: \t|Datum: \t|An: \t|Betreff: \t"),
    "thunderbird, Catalan": ("-------- Missatge reenviat --------", "De: |Data: |A: |Assumpte: "),
    "thunderbird, Greek": ("-------- Προωθημένο μήνυμα --------", "Από: |Ημερομηνία: |Προς: |Θέμα: "),
    "thunderbird, Japanese": ("-------- 転送メッセージ --------", "差出人: |日付: |宛先: |件名: "),
    "thunderbird, Chinese": ("-------- 转发的消息 --------", "发件人： |日期： |收件人： |主题： "),
    "thunderbird, Korean": ("-------- 전달된 메시지 --------", "보낸 사람: |날짜: |받는 사람: |제목: "),
    "thunderbird, Bulgarian": ("-------- Препратено писмо --------", "От: |Дата: |До: |Относно: "),
    "thunderbird, Hebrew": ("-------- הודעה שהועברה --------", "מאת: |תאריך: |אל: |נושא: "),
    "thunderbird, Arabic": ("-------- رسالة معاد توجيهها --------", "من: |التاريخ: |إلى: |الموضوع: "),
    "thunderbird, Vietnamese": ("-------- Thư được chuyển tiếp --------", "Từ: |Ngày: |Đến: |Chủ đề: "),
    "thunderbird, Lithuanian": ("-------- Persiųstas laiškas --------", "Nuo: |Data: |Kam: |Tema: "),
    "apple": ("Begin forwarded message:\n", "From: |Date: |To: |Subject: "),
    "apple, German": ("Anfang der weitergeleiteten Nachricht:\n", "Von: |Datum: |An: |Betreff: "),
    "apple, Swedish": ("Vidarebefordrat brev:\n", "Från: |Datum: |Till: |Ämne: "),
    "protonmail": ("------- Forwarded Message -------", "From: |Date: |To: |Subject: "),
    "protonmail, real hyphens": ("‐‐‐‐‐‐‐ Forwarded Message ‐‐‐‐‐‐‐", "From: |Date: |To: |Subject: "),
    "mail.ru": ("-------- Пересылаемое сообщение --------", "От кого: |Дата: |Кому: |Тема: "),
    "samsung phone": ("-------- Original message --------", "From: |Date: |To: |Subject: "),
    "samsung phone, German": ("-------- Ursprüngliche Nachricht --------", "Von: |Datum: |An: |Betreff: "),
    "qq": ("------------------ 原始邮件 ------------------", "发件人: |发送时间: |收件人: |主题: "),
    "evolution": ("-----Forwarded Message-----", "From: |Date: |To: |Subject: "),
    "kmail": ("----------  Forwarded Message  ----------\n", "From: |Date: |To: |Subject: "),
    "the bat": ("This is a forwarded message", "From: |Date: |To: |Subject: "),
    "lotus notes": (
        "----- Forwarded by Ann Berger/ACME on 03.03.2026 11:02 -----\n", "From:   |Date:   |To:     |Subject:    "),
    "apple, Polish": ("Początek przekazywanej wiadomości:\n", "Od: |Data: |Do: |Temat: "),
    "apple, Czech": ("Začátek přeposílané zprávy:\n", "Od: |Datum: |Komu: |Předmět: "),
    "apple, Catalan": ("Inici del missatge reenviat:\n", "De: |Data: |Per a: |Assumpte: "),
    "lotus notes, French": ("----- Réacheminé par Ann Berger/ACME le 03/03/2026 -----\n", "De : |Date : |A : |Objet : "),
    "em client": ("------ Forwarded Message ------", "From |Date |To |Subject "),
    "bold names": ("---------- Forwarded message ---------", "*From:* |*Date:* |*To:* |*Subject:* "),
    "a gap between all lines": ("---------- Forwarded message ---------", "From: |Date: |To: |Subject: "),
}  # fmt: skip


@pytest.mark.parametrize("name", MARKED)
def test_a_line_of_words_and_header_lines(name):
    marker, names = MARKED[name]
    header = block(names, gap="\n\n" if "gap" in name else "\n")
    found = find(f"{NOTE}\n\n{marker}\n{header}\n\n{WORDS}\n", "Something else")
    assert found is not None
    assert found.sender == Mailbox("zoe@customer.example", "Zoe Brandt")
    assert (found.subject, found.date) == ("Scanner hums", "3 March 2026 10:15")
    assert (found.text, found.note) == (WORDS, NOTE)


@pytest.mark.parametrize("name", MARKED)
def test_the_same_inside_a_quote(name):
    """Apple Mail and others quote the whole of what they forward."""
    marker, names = MARKED[name]
    header = block(names, gap="\n\n" if "gap" in name else "\n")
    whole = f"{marker}\n{header}\n\n{WORDS}"
    found = find(f"{NOTE}\n\n{quoted(whole)}\n")
    assert found is not None
    assert found.sender == Mailbox("zoe@customer.example", "Zoe Brandt")
    assert (found.subject, found.text, found.note) == ("Scanner hums", WORDS, NOTE)


BARE = {
    "outlook": ("FW: Scanner hums", "From: |Sent: |To: |Subject: "),
    "outlook, German": ("WG: Scanner hums", "Von: |Gesendet: |An: |Betreff: "),
    "outlook, French": ("TR: Scanner hums", "De : |Envoyé : |À : |Objet : "),
    "outlook, Spanish": ("RV: Scanner hums", "De: |Enviado: |Para: |Asunto: "),
    "outlook, Italian": ("I: Scanner hums", "Da: |Inviato: |A: |Oggetto: "),
    "outlook, Polish": ("PD: Scanner hums", "Od: |Wysłano: |Do: |Temat: "),
    "outlook, Danish": ("VS: Scanner hums", "Fra: |Sendt: |Til: |Emne: "),
    "outlook, Swedish": ("VB: Scanner hums", "Från: |Skickat: |Till: |Ämne: "),
    "outlook, Finnish": ("VL: Scanner hums", "Lähettäjä: |Lähetetty: |Vastaanottaja: |Aihe: "),
    "outlook, Turkish": ("İLT: Scanner hums", "Kimden: |Gönderilen: |Kime: |Konu: "),
    "outlook, Greek": ("ΠΡΘ: Scanner hums", "Από: |Στάλθηκε: |Προς: |Θέμα: "),
    "outlook, Chinese": ("转发: Scanner hums", "发件人: |发送时间: |收件人: |主题: "),
    "a whole word as prefix": ("Weitergeleitet: Scanner hums", "Von: |Gesendet: |An: |Betreff: "),
    "numbered prefix": ("Fw[2]: Scanner hums", "From: |Sent: |To: |Subject: "),
}


@pytest.mark.parametrize("name", BARE)
@pytest.mark.parametrize("rule", ["", "________________________________\n"], ids=["no rule", "a rule above"])
def test_header_lines_alone_count_where_the_subject_says_so(name, rule):
    subject, names = BARE[name]
    found = find(f"{NOTE}\n\n{rule}{block(names)}\n\n{WORDS}\n", subject)
    assert found is not None
    assert found.sender == Mailbox("zoe@customer.example", "Zoe Brandt")
    assert (found.subject, found.text, found.note) == ("Scanner hums", WORDS, NOTE)
    assert find(f"{NOTE}\n\n{rule}{block(names)}\n\n{WORDS}\n", "Re: Scanner hums") is None


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (f'On 3/3/26, 10:15 AM, "Zoe Brandt" <zoe@customer.example> wrote:\n\n{WORDS}', "FW: Scanner hums"),
        (f"Am 03.03.26, 10:15 schrieb \"Zoe Brandt\" <zoe@customer.example>:\n\n{quoted(WORDS, '    ')}", "WG: Scanner hums"),
        (f"-------- Пересылаемое сообщение --------\n03.03.2026, 10:15, \"Zoe Brandt\" <zoe@customer.example>:\n\n{WORDS}"
         "\n-------- Завершение пересылаемого сообщения --------", "Fwd: Scanner hums"),
        (f"----- Forwarded message from {ZOE} -----\n\nDate: Tue, 3 Mar 2026 10:15:00 +0100\nFrom: {ZOE}\n"
         f"Message-ID: <1@customer.example>\nX-Mailer: Own\nTo: ann@acme.example\nSubject: Scanner hums\n\n{WORDS}\n\n"
         "----- End forwarded message -----", "Fwd: Scanner hums"),
        (f"-------------------- Start of forwarded message --------------------\nFrom: {ZOE}\nTo: ann@acme.example\n"
         f"Subject: Scanner hums\n\n{WORDS}\n-------------------- End of forwarded message --------------------", ""),
        (f"============ Forwarded message ============\nFrom : {ZOE}\nTo : <ann@acme.example>\nDate : Tue\n"
         f"Subject : Scanner hums\n============ Forwarded message ============\n\n{WORDS}", ""),
        (f"------------- Original Message -------------\nSubject: Scanner hums\nFrom:    {ZOE}\nDate:    Tue\n"
         f"To:      ann@acme.example\n--------------------------------------------\n\n{WORDS}", ""),
        (f"------ Forwarded by Ann Berger/ACME on 03/03/2026 11:00 AM ------\n\n{ZOE} on 03/03/2026 10:15:00 AM\n"
         f"To: Ann Berger/ACME\ncc:\nSubject: Scanner hums\n\n{WORDS}", "Fw: Scanner hums"),
        ("   ----- Forwarded Message ----- From: Zoe Brandt <zoe@customer.example>To: \"ann@acme.example\" "
         f"<ann@acme.example>Sent: Tuesday, March 3, 2026, 10:15:00 AM GMT+1Subject: Scanner hums\n {WORDS}", ""),
        ("----- Weitergeleitete Nachricht ----- Von: Zoe Brandt <zoe@customer.example>An: ann@acme.example "
         f"<ann@acme.example>Gesendet: Dienstag, 3. März 2026 um 10:15:00 MEZBetreff: Scanner hums\n{WORDS}", ""),
        (f"===8<==============Original message text===============\nFrom: {ZOE}\nTo: ann@acme.example\n"
         f"Subject: Scanner hums\n\n{WORDS}\n===8<===========End of original message text===========", ""),
        (f"From: {ZOE}\nSent: Tuesday\nTo: Ann <ann@acme.example>;\n Bob <bob@acme.example>;\n Cid <cid@acme.example>\n"
         f"Subject: Scanner hums\nImportance: High\n\n{WORDS}", "FW: Scanner hums"),
        (f"Gesendet: Dienstag, 3. März 2026\nVon: {ZOE}\nAn: ann@acme.example\nBetreff: Scanner hums\n\n{WORDS}",
         "Fw: Scanner hums"),
        (f"Begin forwarded message:\r\n\r\nFrom: {ZOE}\r\nSubject: Scanner hums\r\n\r\n" + WORDS.replace("\n", "\r\n"), ""),
    ],
    ids=[
        "outlook for Mac", "outlook for Mac, indented", "yandex", "mutt", "gnus", "zoho", "squirrelmail", "old lotus notes",
        "yahoo in one line", "yahoo in one line, German", "the bat", "folded recipients", "date first", "CRLF",
    ],
)  # fmt: skip
def test_forms_of_their_own(text, subject):
    found = find(f"{NOTE}\n\n{text}\n", subject)
    assert found is not None
    assert found.sender is not None
    assert found.sender.address == "zoe@customer.example"
    assert found.sender.name == "Zoe Brandt"
    assert found.subject == "Scanner hums"
    assert found.text.split() == WORDS.split()
    assert found.note == NOTE


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        (NOTE, "Fwd: Scanner hums"),
        (f"{NOTE}\n\nOn Tue, 3 Mar 2026 at 10:15, {ZOE} wrote:\n{quoted(WORDS)}", "Re: Scanner hums"),
        (f"{NOTE}\n\nOn Tue, 3 Mar 2026 at 10:15, {ZOE} wrote:\n{quoted(WORDS)}", ""),
        (f"{NOTE}\n\n-----Original Message-----\n{block('From: |Sent: |To: |Subject: ')}\n\n{WORDS}", "RE: Scanner hums"),
        (f"{NOTE}\n\n{block('From: |Sent: |To: |Subject: ')}\n\n{WORDS}", ""),
        (f"{NOTE}\n\n{block('Lähettäjä: |Lähetetty: |Vastaanottaja: |Aihe: ')}\n\n{WORDS}", "VS: Scanner hums"),
        (f"{NOTE}\n\nOn Tue, 3 Mar 2026 at 10:15, {ZOE} wrote:\n"
         + quoted(f"See below\n\n---------- Forwarded message ---------\n{block('From: |Date: |To: |Subject: ')}\n\n{WORDS}"),
         "Re: Fwd: Scanner hums"),
        (f"Done.\n\n{block('From: |Sent: |To: |Subject: ')}\n\nSee below\n\n---------- Forwarded message ---------\n"
         f"{block('From: |Date: |To: |Subject: ')}\n\n{WORDS}", "RE: FW: Scanner hums"),
        ("I forwarded your mail yesterday:\n\nthe scanner hums.", ""),
        ("The mail was forwarded:\nFrom: nobody told me.\nRegards", ""),
        ("--- forwarded ---\nhello", "Fwd: x"),
        ("", ""),
        ("Fwd:", "Fwd:"),
    ],
    ids=[
        "nothing forwarded", "a reply", "a reply without subject", "outlook's reply", "header lines in a mail of any subject",
        "a Finnish reply", "a forward inside a reply's quote", "the same in Outlook", "the word in a sentence",
        "From in a sentence", "dashes and nothing", "empty", "only a prefix",
    ],
)  # fmt: skip
def test_what_is_no_forward(text, subject):
    assert find(text, subject) is None


def test_of_two_forwards_the_outer_one_counts_and_the_inner_stays_readable():
    header = block("From: |Date: |To: |Subject: ", "Max <max@other.example>")
    inner = f"---------- Forwarded message ---------\n{header}\n\nHum."
    found = find(
        f"---------- Forwarded message ---------\n{block('From: |Date: |To: |Subject: ')}\n\nSee below.\n\n{inner}"
    )
    assert found is not None
    assert found.sender is not None
    assert found.sender.address == "zoe@customer.example"
    assert found.text == f"See below.\n\n{inner}"


def test_words_behind_the_end_of_a_forward_belong_to_the_note():
    """Mutant: what follows the closing line is cut off."""
    header = f"----- Forwarded message from {ZOE} -----\nFrom: {ZOE}\nSubject: x"
    text = f"{header}\n\n{WORDS}\n----- End forwarded message -----\nCall her."
    found = find(f"Hello.\n{text}")
    assert found is not None
    assert (found.text, found.note) == (WORDS, "Hello.\n\nCall her.")


def test_a_folded_subject_is_completed_from_the_mails_own():
    header = f"From: {ZOE}\nSent: Tuesday\nTo: ann@acme.example\nSubject: A long subject that was"
    text = f"{header}\nfolded by the mail program\n\n{WORDS}"
    found = find(text, "FW: A long subject that was folded by the mail program")
    assert found is not None
    assert (found.subject, found.text) == ("A long subject that was folded by the mail program", WORDS)


@pytest.mark.parametrize(
    ("value", "mailbox"),
    [
        ("Zoe Brandt [mailto:zoe@customer.example]", Mailbox("zoe@customer.example", "Zoe Brandt")),
        ("zoe@customer.example <zoe@customer.example>", Mailbox("zoe@customer.example")),
        ("zoe@customer.example", Mailbox("zoe@customer.example")),
        ("Zoe <zoe@customer.example<mailto:zoe@customer.example>>", Mailbox("zoe@customer.example", "Zoe")),
        ('"Brandt, Zoe" <zoe@customer.example>', Mailbox("zoe@customer.example", "Brandt, Zoe")),
        ("Brandt, Zoe <zoe@customer.example>", Mailbox("zoe@customer.example", "Brandt, Zoe")),
        ("« Zoe Brandt » <zoe@customer.example>", Mailbox("zoe@customer.example", "Zoe Brandt")),
        ("Zoe (zoe@customer.example)", Mailbox("zoe@customer.example", "Zoe")),
        ('"Zoe"<zoe@customer.example>;', Mailbox("zoe@customer.example", "Zoe")),
        ("Zoe Brandt", Mailbox("", "Zoe Brandt")),
        ("", None),
    ],
)
def test_the_author_of_a_quoted_from_line(value, mailbox):
    assert author(value) == mailbox


@pytest.mark.parametrize(
    ("subject", "forward"),
    [
        ("Fwd: x", True), ("FW:x", True), ("WG: x", True), ("[Fwd: x]", True), ("x (fwd)", True), ("转发：x", True),
        ("Weiterleitung: x", True), ("Re: Fwd: x", False), ("x", False), ("", False), ("Forward planning", False),
        ("AW: Weitergeleitet: x", False),
    ],
)  # fmt: skip
def test_subjects_of_forwards(subject, forward):
    assert is_forward(subject) is forward


@pytest.mark.parametrize(
    "piece",
    ["From: a@b.example\n", "---- Forwarded ----\n", "> From: x\n", "-" * 60 + "\n", "a@", "1.1.2026 @ x\n",
     "From: a@b.example\nDate: 1.1.2026\n", "\n", "Cc: x,\n", "----- Forwarded ----- From: To: ", "1 , "],
)  # fmt: skip
def test_time_grows_with_the_length_alone(piece):
    """Mutant: a line looks ahead to the end of the text."""
    text = piece * (256 * 1024 // len(piece))
    before = time.process_time()
    for subject in ("", "Fwd: x"):
        find(text, subject)
    assert time.process_time() - before < 10
