"""The writer's own words, as mail programs and languages mark what is not his; a command in a quote is never his."""

from __future__ import annotations

import pytest

from helpdesk.inbound.html import to_text
from helpdesk.inbound.quote import divide, new_text

OLD = "#close\nPlease turn it off and on again."
MARKED = "> #close\n> Please turn it off and on again."
BELOW = {
    "Gmail": f"On Mon, Mar 2, 2026 at 10:00 AM Acme <support@acme.example> wrote:\n\n{MARKED}",
    "Gmail folded": f"On Mon, Mar 2, 2026 at 10:00 AM Acme Support\n<support@acme.example> wrote:\n\n{MARKED}",
    "Thunderbird": f"On 3/2/26 10:00, Acme wrote:\n{MARKED}",
    "Thunderbird German": f"Am 02.03.26 um 10:00 schrieb Acme:\n{MARKED}",
    "French": f"Le lun. 2 mars 2026 à 10:00, Acme <support@acme.example> a écrit :\n{MARKED}",
    "Spanish": f"El lun, 2 mar 2026 a las 10:00, Acme (<support@acme.example>) escribió:\n{MARKED}",
    "Italian": f"Il giorno lun 2 mar 2026 alle ore 10:00 Acme <support@acme.example> ha scritto:\n{MARKED}",
    "Dutch": f"Op ma 2 mrt 2026 om 10:00 schreef Acme <support@acme.example>:\n{MARKED}",
    "Swedish": f"Den mån 2 mars 2026 kl 10:00 skrev Acme <support@acme.example>:\n{MARKED}",
    "Japanese": f"2026年3月2日(月) 10:00 Acme <support@acme.example>:\n{MARKED}",
    "Japanese verb": f"2026/03/02 10:00、Acme さんは書きました:\n{MARKED}",
    "Chinese": f"Acme <support@acme.example> 于2026年3月2日周一 10:00写道：\n{MARKED}",
    "Russian": f"пн, 2 мар. 2026 г. в 10:00, Acme <support@acme.example> писал(а):\n{MARKED}",
    "no attribution": MARKED,
    "name only": f"Acme Support wrote:\n{MARKED}",
    "not marked": f"On Mon, 2 Mar 2026 at 10:00, Acme <support@acme.example> wrote:\n\n{OLD}",
    "Outlook": f"From: Acme <support@acme.example>\nSent: Monday, March 2\nTo: Bea\nSubject: Printer\n\n{OLD}",
    "Outlook bold": f"*From:* Acme\n*Sent:* Monday\n*To:* Bea\n*Subject:* Printer\n\n{OLD}",
    "Outlook separator": f"-----Original Message-----\nFrom: Acme\nSent: Monday\n\n{OLD}",
    "Outlook German": f"-----Ursprüngliche Nachricht-----\nVon: Acme\nGesendet: Montag\n\n{OLD}",
    "Outlook French": f"De : Acme\nEnvoyé : lundi\nÀ : Bea\nObjet : Imprimante\n\n{OLD}",
    "Outlook Spanish": f"De: Acme\nEnviado: lunes\nPara: Bea\nAsunto: Impresora\n\n{OLD}",
    "Outlook Italian": f"Da: Acme\nInviato: lunedì\nA: Bea\nOggetto: Stampante\n\n{OLD}",
    "Outlook Dutch": f"Van: Acme\nVerzonden: maandag\nAan: Bea\nOnderwerp: Printer\n\n{OLD}",
    "Outlook Japanese": f"差出人: Acme\n送信日時: 月曜日\n宛先: Bea\n件名: プリンター\n\n{OLD}",
    "Finnish": f"pe 2. maaliskuuta 2026 klo 10.00 Acme Tuki\n<support@acme.example> kirjoitti:\n\n{OLD}",
    "Danish with a link": (
        f"Den 2. mar. 2026 kl. 10.00 skrev Acme <support@acme.example<mailto:support@acme.example>>:\n\n{OLD}"
    ),
    "Zoho": f"---- On Mon, 02 Mar 2026 10:00:00 +0100 support@acme.example wrote ----\n\n{OLD}",
    "Zimbra": f"On Mon, 02 Mar 2026 10:00:00 +0100 Acme <support@acme.example> wrote\n\n{OLD}",
    "old Gmail without a verb": f"2026-03-02 10:00 GMT+01:00 Acme Support\n\n{OLD}",
    "old Gmail, folded": f"2026-03-02 10:00 GMT+01:00 Acme <\nsupport@acme.example>:\n\n{MARKED}",
    "date and address": f"2026/3/2 Acme <support@acme.example>\n\n{MARKED}",
    "Mail.ru": f"Monday, 2 March 2026, 10:00 AM +0100 from Acme <support@acme.example>:\n\n{OLD}",
    "Outlook link on lines of its own": (
        f"On Mon, Mar 2, 2026 at 10:00 AM Acme Support\n\n<\nmailto:Acme Support <support@acme.example>\n> wrote:\n{OLD}"
    ),
    "Outlook French in words": (
        f"De : Acme<mailto:support@acme.example>\nEnvoyé le :lundi 2 mars 2026 10:00\nÀ : Bea\nObjet :Imprimante\n\n{OLD}"
    ),
    "Outlook, folded address": (
        f"From: Acme Support Department\n<support@acme.example>\nSent: Monday\nTo: Bea\nSubject: Printer\n\n{OLD}"
    ),
    "Hotmail, date first": f"Date: Mon, 2 Mar 2026 10:00:00 +0100\nSubject: Printer\nFrom: support@acme.example\n\n{OLD}",
    "two headers": f"From: support@acme.example\nDate: Mon, 2 Mar 2026 10:00:00 +0100\n\n{OLD}",
    "headers on one line": f"From: support@acme.example Date: Mon, 2 Mar 2026 10:00:00 +0100\n{OLD}",
    "separator in bold": f"*-------- Original Message --------*\n\n{OLD}",
    "Yahoo above headers": (
        f"--- On Mon, 3/2/26, Acme <support@acme.example> wrote:\n\n\n"
        f"From: Acme <support@acme.example>\nSubject: Printer\nTo: Bea\n\n{OLD}"
    ),
    "Gmail, Portuguese": f"Acme <support@acme.example> escreveu (segunda, 2/03/2026 à(s) 10:00):\n\n{MARKED}",
    "Gmail, Hungarian": f"Acme <support@acme.example> ezt írta (időpont: 2026. márc. 2., H, 10:00):\n\n{MARKED}",
    "Gmail, Croatian": f"pon, 2. ožu 2026. u 10:00 Acme Support\n<support@acme.example> napisao je:\n\n{MARKED}",
    "Gmail, Slovenian": f"V V pon., 2. mar. 2026 ob 10:00 je oseba Acme <support@acme.example> napisala:\n\n{MARKED}",
    "Gmail, Hebrew with marks of direction": (
        "\u202bבתאריך יום ב׳, 2 במרץ 2026 ב-10:00 מאת \u202aAcme\u202c\u200f <\u202asupport@acme.example\u202c\u200f>:\u202c"
        f"\n\n{MARKED}"
    ),
    "Gmail, Persian digits": f"در تاریخ دوشنبه ۲ مارس ۲۰۲۶، ۱۰:۰۰ Acme <support@acme.example> نوشت:\n\n{MARKED}",
    "Gmail, Thai": f"ในวันที่ จ. 2 มี.ค. 2026 เวลา 10:00 Acme <support@acme.example> เขียนว่า:\n\n{MARKED}",
    "Gmail, Vietnamese": f"Vào Th 2, 2 thg 3, 2026 vào lúc 10:00 Acme <support@acme.example> đã viết:\n\n{MARKED}",
    "a language that we do not know": f"Xa 2 xe 2026, 10:00 xo Acme\n<support@acme.example> xylo:\n\n{MARKED}",
    "Apple, Polish": f"Wiadomość napisana przez Acme\n<support@acme.example> w dniu 2 mar 2026, o godz. 10:00:\n\n{MARKED}",
    "Apple, Turkish": f"Acme <support@acme.example> şunları yazdı (2 Mar 2026 10:00):\n\n{MARKED}",
    "Apple, narrow space": f"On Mar 2, 2026, at 10:00\u202fAM, Acme <support@acme.example> wrote:\n\n{MARKED}",
    "Thunderbird, Korean": f"2026-03-02 오전 10:00에 Acme 이(가) 쓴 글:\n{MARKED}",
    "Thunderbird, Bulgarian": f"На 2.03.26 г. в 10:00, Acme написа:\n{MARKED}",
    "Tuta": f"2 Mar 2026, 10:00 by support@acme.example:\n\n{MARKED}",
    "The Bat, with initials": f"Monday, March 2, 2026, 10:00:00 AM, you wrote:\n\n{MARKED.replace('> ', 'AS> ')}",
    "bars": f"On Mon, 2 Mar 2026 at 10:00, Acme <support@acme.example> wrote:\n{MARKED.replace('> ', '| ')}",
    "GroupWise": f'>>> "Acme Support" <support@acme.example> 02.03.26 10.00 Uhr >>>\n{OLD}',
    "Zoho, German": f"---- Am Mo, 02 Mär 2026 10:00:00 +0100 support@acme.example schrieb ----\n\n{OLD}",
    "old Yahoo, German": f"--- Acme <support@acme.example> schrieb am Mo, 2.3.2026:\n\n{OLD}",
    "Yahoo on one line": f"On Mon, Mar 2, 2026 at 10:00 AM, Acme<support@acme.example> wrote:   #close {OLD}",
    "Mail.ru, Russian": f"Понедельник, 2 марта 2026, 10:00 +03:00 от Acme <support@acme.example>:\n \n{OLD}",
    "Outlook, Czech": f"Od: Acme\nOdesláno: pondělí 2. března\nKomu: Bea\nPředmět: Tiskárna\n\n{OLD}",
    "Outlook, Ukrainian": f"Від: Acme\nНадіслано: 2 березня\nКому: Bea\nТема: Принтер\n\n{OLD}",
    "Outlook, Arabic": f"من: Acme\nتم الإرسال: 2 مارس\nإلى: Bea\nالموضوع: طابعة\n\n{OLD}",
    "wide signs": f"{'-' * 60}\n发件人：Acme <support@acme.example>\n日　期：2026年3月2日\n收件人：Bea\n主　题：Re\n\n{OLD}",
    "a separator of another language": f"-----Původní e-mail-----\nOd: Acme\nDatum: 2. 3.\nKomu: Bea\nPředmět: Re\n\n{OLD}",
    "eM Client": f"------ Original Message ------\nFrom Acme <support@acme.example>\nTo Bea\nSubject Re\n\n{OLD}",
    "Lotus Notes": (
        f"Acme <support@acme.example>\n02.03.2026 10:00\n\nAn\nbea@globex.example\nKopie\n\nThema\nRe: Drucker\n\n{OLD}"
    ),
    "a name written small": f"On Mon, 2 Mar 2026, at 10:00 AM, acme_support wrote:\n\n{OLD}",
    "in bold": f"*On Mon, 2 Mar 2026 at 10:00 AM Acme <support@acme.example> wrote:*\n\n{MARKED}",
    "a helpdesk's line": f"##- Please type your reply above this line -##\n\n{OLD}",
    "rule above": f"{'_' * 32}\nFrom: Acme\nDate: Monday\nTo: Bea\nSubject: Printer\n\n{OLD}",
}


@pytest.mark.parametrize("style", BELOW)
def test_answer_above_the_quote(style: str) -> None:
    assert divide(f"It works.\n\nBea\n\n{BELOW[style]}\n") == ("It works.\n\nBea", "It works.\n\nBea")


@pytest.mark.parametrize("style", [style for style in BELOW if BELOW[style].endswith(MARKED)])
def test_answer_below_and_between_the_quote(style: str) -> None:
    text = f"{BELOW[style]}\n\nDone.\n\n> And then?\n\nNothing.\n"

    assert divide(text) == ("Done.\n\nNothing.", "")


@pytest.mark.parametrize(
    "text",
    [
        "From: the first day it was slow.",
        "From: Bea\nTo: nobody in particular",
        "On Monday he wrote\nthat all is well.",
        "On 3 March 2026 the customer wrote:\n\nIt is broken.",
        "Run it like this:\n\nprog -- file\n--\nand wait",
        "a | b\n--|--\n1 | 2",
        "He said: never.\n\nShe wrote: always.",
        "-----\nA title\n-----\nText",
        "Original Message\nis what the button says",
        "From: Berlin\nTo: Paris\nThat is the line which is down.",
        "It works.\nGet the phone from Bob, please.",
        "Please book:\n\nFrom: Berlin\nTo: Paris\nDate: 3 March 2026\n\nAnd a hotel.",
        "No: 4711\nDate: 3 March 2026\nTo: the warehouse\n\nIt never arrived.",
        "Its header:\n\nFrom: x@y.example\nTo: bea@globex.example\nSubject: offer\nMessage-ID: <1@y.example>\n\nBlock it?",
        "I ran:\n\nPS> Get-Service\nPS> Stop-Service spooler\n\nand it hung.",
        "I typed\n\n>>> print(1)\n1\n>>> print(x)\nNameError\n\nWhy?",
        "diff says\n\n3c3\n< old\n---\n> new\n\nWhich is right?",
        "The values of 2026-03-02 10:00:\n\n| a | b |\n|---|---|\n| 1 | 2 |",
        "##- Please type your reply above this line -##\n\nIt works.",
        "----- Original design -----\nRound.\n\n----- New design -----\nSquare.",
        "I use it on\nOutlook for Android",
        f"Take me off:\n{'_' * 40}\nPlease unsubscribe bea@globex.example",
        "Hi,\n\nI wrote to <support@acme.example> on 2026-03-02 at 10:00, and you answered:\n\nWe will see.\n\nNothing came.",
        "Hi,\n\nOn 2 March 2026 at 10:00 the customer wrote:\n\nIt is broken.",
        "Hallo,\n\nam 2. März 2026 um 10:00 schrieb mir Ihr Kollege:\n\nAlles wird gut.",
        "Invoice\n\nFrom: Globex\nTo: Acme\nSubject: Invoice 5\nDate: 3 March\n\nPlease pay.",
        "It is broken.\nSent by mail on Monday from Munich.",
        "Help!\nFrom my phone I cannot log in.",
        "It is on its way.\nSent with the courier from Samsung.",
        "The log says:\n2016-03-03 17:21 GMT+01:00 Server Restarted\nAnd then nothing.",
        "The log says:\n\n2016-03-03 17:21 GMT+01:00 server restarted\n\nAnd then nothing.",
        "I read this.\nOn 2 March 2026 at 10:00 bob@globex.example wrote:\nall is well. I doubt it.",
        "It logs this:\nDate: Mon, 2 Mar 2026 10:00:00\nFrom: printer@globex.example\nthen it stops.",
        "Date: 2026-03-02 10:00:01 disk full\nDate: 2026-03-02 10:00:02 disk full",
        ">>> Please read this! <<<\nIt is important.",
        "It happened on\n2026-03-02 10:00 again.\nSent from the printer: nothing.",
        "FYI\n\n---------- Forwarded message ---------\nFrom: Bob <bob@x.example>\nDate: 2 Mar 2026 10:00\nTo: me\n\nText",
        "I click\n----- Reply -----\nand nothing happens. What now?",
        "==Reply==\n==Delete==\nand neither works",
        "This is shown:\n##- Please mend -##\nWhy?",
        "Hallo,\n\nam 02.03.2026 um 10:00 Uhr schrieb ich Ihnen (bea@globex.example):\nEs druckt nicht.\n\nKeine Antwort.",
        "Bonjour,\n\nLe 2 mars 2026 à 10:00, j'ai écrit à <support@acme.example> :\nrien ne marche.\n\nPas de réponse.",
        "Hi,\n\nOn March 2, 2026 at 10:00 I wrote to you <support@acme.example>:\n\nit is broken.\n\nNo answer so far.",
        "Hoi,\n\nOp 2 maart 2026 om 10:00 schreef ik u (support@acme.example):\n\nhij is stuk.\n\nNiets gehoord.",
        "On 2 March 2026 the customer <bob@globex.example> wrote\nto us that it is broken. Please help.",
        "On 2 March 2026 Bob <bob@globex.example> wrote\nto us that it is broken. Please help.",
        "Hi,\n\nOn 2 March 2026 at 10:00 our customer Bob <bob@globex.example> wrote:\nhis printer is dead. Call him.",
    ],
)
def test_prose_stays_whole(text: str) -> None:
    assert new_text(text) == text


@pytest.mark.parametrize("line", ["On the other hand it works.", "It works.", "To be sure: it works."])
def test_words_right_above_an_attribution_are_not_part_of_it(line: str) -> None:
    assert (
        new_text(f"Hello.\n\n{line}\nOn Mon, 2 Mar 2026 at 10:00, Acme <support@acme.example> wrote:\n\n{OLD}")
        == f"Hello.\n\n{line}"
    )
    assert new_text(f"{line}\nOn Mon, 2 Mar 2026 at 10:00, Acme <support@acme.example> wrote:\n{MARKED}") == line


def test_answers_below_a_marked_quote_stay_whatever_separator_stands_above_it() -> None:
    above = "‐‐‐‐‐‐‐ Original Message ‐‐‐‐‐‐‐\nOn Monday, March 2, 2026 10:00 AM, Acme <support@acme.example> wrote:"

    assert divide(f"{above}\n\n> Is it on?\n\nYes.\n\n> And the lamp?\n\nGreen.\n") == ("Yes.\n\nGreen.", "")


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my Galaxy", "Sent with [Proton Mail](https://proton.example/) secure email.",
        "Gesendet mit der GMX Mail App", "Von Yahoo Mail auf Android gesendet",
        "Envoyé à partir de Outlook pour Android", "Verstuurd vanaf mijn iPhone",
        "Inviato dal mio iPhone", "Lähetetty iPhonesta", "Odesláno z iPhonu", "iPhone-omból küldve",
        "Надіслано з мого iPhone",
        "iPhone'umdan gönderildi", "Στάλθηκε από το iPhone μου", "נשלח מה-iPhone שלי", "iPadから送信", "나의 iPhone에서 보냄",
        "发自我的小米手机", "Đã gửi từ iPhone của tôi", "Get Outlook for iOS<https://outlook.example/x>",
        "Outlook für iOS beziehen", "Obtenir Outlook pour Android", "Virus-free. www.avast.com",
        f"{'_' * 47}\nUsers mailing list\nusers@lists.example\nhttps://lists.example/mailman/listinfo/users",
    ],
)  # fmt: skip
def test_what_a_device_or_list_adds_at_the_end_goes(line: str) -> None:
    assert new_text(f"It works.\n\n{line}\n") == "It works."
    assert new_text(f"> old\n\nIt works.\n\n{line}\n") == "It works."


@pytest.mark.parametrize(
    "line",
    [
        "von meinem Anwalt wird Ihnen morgen ein Brief gesendet", "Von mein Chef wird nichts gesendet",
        "Von iPhone wird nichts gesendet",
        "Sent from Outlook on Monday, but never arrived", "Sent with Yahoo, the reply came as spam",
        "get Outlook for iOS on my new phone", "Outlook on iOS and Android, please get me a licence",
        "Download Outlook for Android, how?",
        "-- \nBea\n\nPS: the second one is broken too.", "-- \nBea\nGlobex\nCan you call me tomorrow?",
        "-- \nBea\n\nPlease mend the printer.",
        "--\nAlso my screen is black. I need a new one.", "--\n\nSecond problem: the monitor flickers",
        "--\nBea\n\nOh and I forgot: the second one is broken too.",
        "-- \nBea\n\nOh and I forgot: the second one is broken too.",
        "--\nMein Bildschirm ist schwarz. Ich brauche einen neuen bis Montag.",
        f"{'_' * 40}\nThe link http://globex.example/unsubscribe gives an error",
    ],
)  # fmt: skip
def test_words_that_look_like_a_signature_stay(line: str) -> None:
    assert new_text(f"It hums.\n\n{line}\n") == f"It hums.\n\n{line.replace('-- ', '--')}"


@pytest.mark.parametrize(
    "line",
    [
        "Sent from my Verizon, Samsung Galaxy smartphone", "Von meinem iPhone gesendet", "Von meinem Handy gesendet",
        "Diese Nachricht wurde von meinem Android-Mobiltelefon mit K-9 Mail gesendet.",
        "Sent via the Samsung Galaxy S10, an AT&T 5G smartphone",
        "-- \nBea\nPlease consider the environment before printing this mail.",
        "--\nBea\nThis mail is confidential and only for its recipient.",
        f"{'_' * 40}\nTo unsubscribe write to users-unsubscribe@lists.example",
    ],
)  # fmt: skip
def test_what_programs_and_lawyers_add_goes(line: str) -> None:
    assert new_text(f"It hums.\n\n{line}\n") == "It hums."


def test_signature_ends_the_last_words_only() -> None:
    assert new_text("> old\n\nYes.\n-- \nBea\nGlobex\n") == "Yes."
    assert new_text("Yes.\n\n--\nBea\nGlobex\n") == "Yes."
    assert (
        new_text("Yes.\n\n--\nAnd can you look at the second one?\n")
        == "Yes.\n\n--\nAnd can you look at the second one?"
    )
    assert new_text("Yes.\n\n--\nBitte auch den zweiten.\n") == "Yes.\n\n--\nBitte auch den zweiten."
    assert new_text("Yes.\n\nSent from my iPhone\n") == "Yes."
    assert new_text("Yes.\n-- \nBea\n\n> old") == "Yes.\n--\nBea", "above a quote it may be part of what was said"
    long = "\n".join(f"word {number}" for number in range(11))
    assert new_text(f"Yes.\n-- \n{long}") == f"Yes.\n--\n{long}", "people write their greeting there"
    assert new_text(f"Yes.\n-- \n{long}\n____________\nThis mail is confidential.") == f"Yes.\n--\n{long}"
    assert new_text("Yes.\n-- \nBea\n\n> old\n\nAnd no.") == "Yes.\n--\nBea\n\nAnd no."


def test_answers_written_into_an_unmarked_quote_of_ours_are_kept() -> None:
    """Outlook marks nothing below its header block; what we sent is known, so the rest is the answer."""
    ours = "\n".join(f"Question number {n}: what does the machine show at stage {n}?" for n in range(1, 9))
    quoted = ours.replace("stage 4?", "stage 4?\nA red light.")
    header = "From: Acme\nSent: Monday\nTo: Bea\nSubject: Questions\n\n"

    assert divide(f"See below.\n\n{header}{quoted}", [ours]) == ("See below.\n\nA red light.", "See below.")
    assert new_text(f"See below.\n\n{header}{quoted}", []) == "See below."


OURS = (
    "Dear Bea,\nthank you for writing to us about the printer in your office.\n"
    "Which version of the driver is installed on your computer?\nDo you want a replacement of the printer?\nYes\nNo\n"
    "Kind regards\nThe support team"
)
OUTLOOK = "From: Acme <support@acme.example>\nSent: Monday, March 2, 2026 10:00 AM\nTo: Bea\nSubject: Printer\n\n"
GMAIL = "On Mon, 2 Mar 2026 at 10:00, Acme <support@acme.example> wrote:\n"
ASKED = OURS.replace("computer?", "computer?\nIt is 7.2 beta.").replace(
    "printer?\nYes\nNo", "printer?\nNo, just mend it."
)
OUTLOOK_HTML = (
    "<p><b>From:</b> Acme &lt;support@acme.example&gt;<br><b>Sent:</b> Monday, March 2, 2026 10:00 AM<br><b>To:</b> Bea<br>"
    "<b>Subject:</b> Printer</p>"
)
BORDER = f'<div style="border:none;border-top:solid #E1E1E1 1.0pt">{OUTLOOK_HTML}</div>'


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}" for line in text.split("\n"))


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{line}</p>" for line in text.split("\n"))


@pytest.mark.parametrize(
    "quoted",
    [
        f"{GMAIL}{_quoted(ASKED)}",
        f"{OUTLOOK}{ASKED}",
        f"-----Original Message-----\n{OUTLOOK}{ASKED}",
        f"{OUTLOOK}{ASKED}\n\n{OUTLOOK.replace('Acme', 'Bea')}It does not print.\n\n{OUTLOOK}{OURS}",
        f"{GMAIL}{_quoted(ASKED)}\n>\n> On Sun, 1 Mar 2026 at 10:00, Bea <bea@globex.example> wrote:\n>> It does not print.",
        f"{GMAIL}{_quoted(ASKED.replace(' about', chr(10) + 'about').replace('in your', 'in' + chr(10) + 'your'))}",
        to_text(
            f'<div class="gmail_quote"><div>{GMAIL}</div><blockquote class="x">{_paragraphs(ASKED)}</blockquote></div>'
        ),
        to_text(BORDER + _paragraphs(ASKED)),
        to_text(f'<hr><div id="divRplyFwdMsg">{OUTLOOK_HTML}</div>{_paragraphs(ASKED)}'),
    ],
)
def test_answers_written_into_a_quote_of_ours_are_kept_whatever_marks_it(quoted: str) -> None:
    new, lead = divide(f"See below.\n\n{quoted}", [OURS])

    assert new.replace("\n\n", "\n") == "See below.\nIt is 7.2 beta.\nNo, just mend it."
    assert lead == "See below."


@pytest.mark.parametrize(
    "quoted",
    [
        f"{GMAIL}{_quoted(OURS)}",
        f"{GMAIL}{OURS}",
        f"{GMAIL}\n{OURS.replace(chr(10), ' ')}",
        f"{OUTLOOK}{OURS}",
        f"{GMAIL}{_quoted(OURS.replace('in your', 'in' + chr(10) + 'your').replace('of the', 'of' + chr(10) + 'the'))}",
        f"{OUTLOOK}{OURS}\n\n{OUTLOOK}Thank you for writing to us, but it\ndoes not print.\n\n{OUTLOOK}{OURS}",
    ],
)
def test_a_quote_of_ours_without_answers_goes(quoted: str) -> None:
    assert new_text(f"It works.\n\n{quoted}", [OURS]) == "It works."


DOUBTFUL = {
    "order": (
        "Hi",
        "\n\nFrom: Berlin\nTo: Paris\nDate: 2 March 10:00\nSubject: 2 parcels\n\nBook it for bea@globex.example.",
    ),
    "template": ("Set it to", "\n\nFrom: sales@globex.example\nSubject: Order\nTo: {customer}\n\nand switch it on."),
    "session": ("DATA", "\nFrom: a@globex.example\nTo: b@acme.example\nSubject: x\n.\n550 rejected\n\nWhy?"),
    "receipt": ("I bought it.", "\n\nDate: 2 March 2026 10:15\nTo: billing@acme.example\n\nPlease refund."),
    "log": ("It logs:", "\n2026-03-02 10:00:02 ERROR failed <bea@globex.example>:\nconnection refused\n\nWhat now?"),
    "report": ("It says", "\n\n2026-03-02 10:00 GMT+02:00 Backup Server\n\ndisk full. What now?"),
    "button": ("I see", "\n-- original message --\nThat is the name of a song. Delete it."),
    "bait": ("I got", "\n*** Please reply above this line to get a refund ***\nIs it phishing?"),
    "somebody else's": (
        "See below.",
        "\n\nFrom: Bob\nSent: Monday\nTo: Bea\nSubject: Other\n\nSomething else altogether.",
    ),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_below_a_marker_something_of_ours_must_stand(kind: str) -> None:
    """What we sent is known, so a cut that would take none of it is none; but no command is read below."""
    lead, rest = DOUBTFUL[kind]

    assert divide(lead + rest, [OURS]) == (lead + rest, lead)


@pytest.mark.parametrize("style", BELOW)
def test_the_quote_of_a_short_or_an_unspaced_mail_of_ours_goes(style: str) -> None:
    assert new_text(f"It works.\n\n{BELOW[style]}\n", [OLD]) == "It works."
    short, unspaced = "Done.", "お世話になっております。プリンターを再起動してください。"
    for ours in (short, unspaced):
        below = BELOW[style].replace(OLD, ours).replace(MARKED, f"> {ours}")
        assert new_text(f"It works.\n\n{below}\n", [ours]) == "It works."


@pytest.mark.parametrize(
    "line",
    [
        "-- Reply --", "On Mon, 2 Mar 2026 at 10:00, Bob from the shop <bob@globex.example> wrote:",
        "On Mon, 2 Mar 2026 at 10:00, the shop <bob@globex.example> wrote", "##- Hier schreiben -##",
    ],
)  # fmt: skip
def test_no_command_is_read_below_what_may_begin_a_quote(line: str) -> None:
    assert divide(f"It works.\n\n{line}\n\n#close\n")[1] == "It works."


@pytest.mark.parametrize(
    "text",
    [
        "The pressure must be\n> 5 bar at all times,\nplease check.",
        "My shell says\n> make\nerror 1\n> make install\nerror 2\nPlease help",
        to_text("<p>The error is</p><blockquote><p>E42 paper jam</p></blockquote><p>Why?</p>"),
        to_text('<p>The error is</p><blockquote style="margin-left:40px"><p>E42 paper jam</p></blockquote><p>Why?</p>'),
        to_text('<p>The error is</p><blockquote class="box"><p>E42 paper jam</p></blockquote><p>Why?</p>'),
        "I ran\n\n>>> import x\n>>> x.y()\nTraceback\n\nand it fails.",
    ],
)
@pytest.mark.parametrize("quote", ["", f"\n\n{GMAIL}{_quoted(OURS)}"])
def test_what_only_looks_like_a_quote_stays(text: str, quote: str) -> None:
    """A block with a mark, but nothing of ours in it and nobody's name above it, is the writer's own."""
    assert new_text(text + quote, [OURS]) == text
    assert new_text("Yes.\n\nOn 2 March 2026 10:00, Bob <bob@globex.example> wrote:\n> anything\n", [OURS]) == "Yes."


@pytest.mark.parametrize(
    "line",
    [
        "Please forward this to my boss (boss@globex.example):", "Please pay the bill of Ann <ann@globex.example>:",
        "Can you answer him, he wrote:", "This is what my boss wrote:", "I wrote:",
        "My colleague Bob <bob@globex.example> asked today at 10:00 and wrote:",
    ],
)  # fmt: skip
def test_a_request_above_a_quote_is_no_attribution(line: str) -> None:
    assert new_text(f"{line}\n{MARKED}\nThanks") == f"{line}\n\nThanks"


@pytest.mark.parametrize(
    "line",
    [
        "Acme wrote:", "You wrote:", "Acme Support Team a écrit :", '"Acme Support" <support@acme.example> wrote:',
        "Acme Support (support@acme.example) schrieb:", "<support@acme.example> wrote:",
        "On Mon, Mar 2, Acme <support@acme.example> wrote:",
    ],
)  # fmt: skip
def test_an_attribution_without_a_date_goes(line: str) -> None:
    assert new_text(f"It works.\n\n{line}\n{MARKED}") == "It works."


def test_a_box_that_the_writer_drew_begins_no_quote() -> None:
    fields = "<p><b>Room:</b> 5</p><p><b>Device:</b> HP</p><p><b>Error:</b> 42</p>"
    html = f'<p>Hello,</p><div style="border-top:solid #E1E1E1 1.0pt">{fields}</div><p>Please send somebody.</p>'

    assert new_text(to_text(html)).split("\n\n") == [
        "Hello,",
        "Room: 5",
        "Device: HP",
        "Error: 42",
        "Please send somebody.",
    ]
    assert new_text(to_text(f"<p>It works.</p>{BORDER}<p>#close</p>")) == "It works."


@pytest.mark.parametrize("answer", ["No", "Yes", "The support team\n\nBea"])
def test_a_short_answer_that_also_stands_in_our_mail_is_kept(answer: str) -> None:
    question = "Do you want a replacement of the printer?"

    assert new_text(f"Hi\n{question}\n{answer}", [OURS]) == f"Hi\n\n{answer}"
    assert new_text(f"Hi\n{question}\n\n{answer}\n\nBye", [OURS]) == f"Hi\n\n{answer}\n\nBye"


def test_short_lines_of_ours_go_with_their_neighbours() -> None:
    assert new_text(f"It works.\n\n{OURS}", [OURS]) == "It works."
    assert new_text(f"{OURS}\n\nIt works.", [OURS]) == "It works."


def test_an_answer_behind_a_line_of_ours_is_kept_with_it() -> None:
    first, second = (
        "Which version of the driver is installed on your computer?",
        "Do you want a replacement of the printer?",
    )

    assert new_text(f"{GMAIL}> Dear Bea,\n> {first} 7.2\n> {second} No\n", [OURS]) == f"{first} 7.2\n{second} No"
    assert new_text(f"> {first} It is 7.2, I think.", [OURS]) == f"{first} It is 7.2, I think."


def test_nothing_new_is_nothing() -> None:
    assert divide(BELOW["Gmail"]) == ("", "")
    assert divide("") == ("", "")


@pytest.mark.parametrize(
    "html",
    [
        '<div>It works.</div><div class="gmail_quote"><div>On Mon, Mar 2, 2026 at 10:00 AM Acme '
        '&lt;support@acme.example&gt; wrote:<br></div><blockquote class="gmail_quote">#close</blockquote></div>',
        '<p>It works.</p><div class="moz-cite-prefix">On 3/2/26 10:00, Acme wrote:<br></div>'
        '<blockquote type="cite"><p>#close</p></blockquote>',
        '<p>It works.</p><hr><div id="divRplyFwdMsg"><b>From:</b> Acme<br><b>Sent:</b> Monday<br></div><p>#close</p>',
        "<div>It works.</div><div><b>From:</b> Acme<br><b>Sent:</b> Monday<br><b>To:</b> Bea<br></div><p>#close</p>",
        '<p>It works.</p><div class="yahoo_quoted"><div>On Monday, 2 March 2026, Acme wrote:</div>#close</div>',
    ],
)
def test_html_quotes_are_quotes_of_text(html: str) -> None:
    assert divide(to_text(html)) == ("It works.", "It works.")


HEADER = "<b>Xrom:</b> Acme<br><b>Xent:</b> Xonday, 2 Xarch 2026 10:00<br><b>Xo:</b> Bea<br>"


@pytest.mark.parametrize(
    "html",
    [
        f'<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt"><p>{HEADER}</p></div><p>#close</p>',
        f'<div id="mail-editor-reference-message-container"><div>{HEADER}</div><p>#close</p></div>',
        f'<hr id="zwchr"><div>{HEADER}</div><div>#close</div>',
        f'<hr id="zwchr" data-marker="x"><div data-marker="__QUOTED_TEXT__">{HEADER}#close</div>',
        f'<span id="OLK_SRC_BODY_SECTION"><div>{HEADER}</div>#close</span>',
        f'<div id="ydp1yahoo_quoted_2" class="ydp1yahoo_quoted"><div>{HEADER}</div>#close</div>',
        f'<div name="quote" style="border-left:2px solid #C3D9E5"><div>{HEADER}</div>#close</div>',
        '<div class="moz-cite-prefix">Xm 2.3.26 xchrieb Acme:<br></div><blockquote type="cite">#close</blockquote>',
        '<div class="gmail_quote"><div class="gmail_attr">Xn 2 Xar Acme:</div><blockquote class="x">#close</blockquote>',
    ],
)
def test_what_a_program_marks_in_html_is_a_quote_in_any_language(html: str) -> None:
    assert new_text(to_text(f"<p>It works.</p>{html}")) == "It works."


@pytest.mark.parametrize(
    "html",
    [
        '<p>It works.</p><blockquote style="margin:0 0 0 40px;border:none;padding:0px">So it does.</blockquote><p>Bea</p>',
        '<p>It works.</p><blockquote class="webkit-indent-blockquote" style="border: none; padding: 0px;">So it does.'
        "</blockquote><p>Bea</p>",
        '<p>It works.</p><div style="border:none;border-top:solid #E1E1E1 1.0pt"><p>So it does.</p></div><p>Bea</p>',
        '<p>It works.</p><div style="border-top:solid #E1E1E1 1.0pt"><b>So</b> <b>it</b> <b>does.</b></div><p>Bea</p>',
        '<div class="moz-cite-prefix">It works.<br>So it does.<br>On 2.3.26 Acme wrote:</div><blockquote>x</blockquote>Bea',
        '<div id="mail-editor-reference-message-container">x</div>It works.<br>So it does.<br>Bea',
        '<div class="gmail_quote"><div><blockquote class="gmail_quote">x</blockquote>It works.<br>So it does.</div></div>Bea',
    ],
)
def test_words_written_into_the_form_of_a_quote_stay(html: str) -> None:
    assert new_text(to_text(html)).replace("\n\n", "\n") == "It works.\nSo it does.\nBea"
