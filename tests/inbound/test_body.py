"""Which of a mail's parts are its text, and headers as mailers really write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, Mailbox, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.body import decode_attachment
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


TEXT = "--b\r\nContent-Type: text/plain\r\n\r\nToo hot.\r\n"
FILE = "--b\r\nContent-Type: application/pdf; name=plan.pdf\r\n\r\n%PDF\r\n"


@pytest.mark.parametrize(
    ("type_", "body"),
    [
        ("multipart/mixed; boundary='b'", f"{TEXT}{FILE}--b--\r\n"),
        ("multipart/mixed; boundary=other", f"{TEXT}{FILE}--b--\r\n"),
        ("multipart/mixed", f"This is MIME.\r\n\r\n{TEXT}{FILE}--b--\r\n"),
        ("multipart/mixed; boundary=b", f"{TEXT}--b--\r\n{FILE}--b--\r\n"),
        ("multipart/mixed boundary=b", f"{TEXT}{FILE}--b--\r\n"),
    ],
    ids=["single quotes", "another border", "no border named", "a part behind the last border", "no semicolon"],
)
def test_parts_are_found_whatever_their_border(type_, body):
    found = seen(f"{HEAD}Content-Type: {type_}\r\n\r\n{body}")

    assert (found.text, [one.name for one in found.attachments]) == ("Too hot.", ["plan.pdf"])


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbf" + f"{HEAD}\r\nToo hot.".encode(),
        HEAD.replace("\r\n", "\r").encode() + b"\rToo hot.\n",
        f" stray\r\n{HEAD}\r\nToo hot.".encode(),
        f"{HEAD}a stray line\r\nContent-Type: text/html\r\n\r\n<p>Too hot.".encode(),
    ],
    ids=["a mark above", "bare CR in the header alone", "a line above", "a line within"],
)
def test_the_header_is_found(data):
    assert (seen(data).subject, seen(data).text) == ("Valves", "Too hot.")


@pytest.mark.parametrize(
    ("type_", "body", "text", "names"),
    [
        ('text/plain; name="mail.txt"', "Too hot.", "Too hot.", ["mail.txt"]),
        ("text/markdown", "Too *hot*.", "Too *hot*.", []),
        ("text/enriched", "<bold>Too</bold>\r\nhot <<here>.", "Too hot <here>.", []),
        ("text/rtf", "{\\rtf1\\ansi Too {\\b hot}.}", "Too hot.", []),
        ("application/xhtml+xml", "<p>Too <b>hot</b>.</p>", "Too hot.", []),
        ("html", "<p>Too <b>hot</b>.</p>", "Too hot.", []),
        ("text/csv; name=a.csv", "a,b", "", ["a.csv"]),
        ("text/csv", "a,b", "a,b", [""]),
        ("text/x-log", "Too hot.", "Too hot.", [""]),
        ("text/xml", "<a>Too hot.</a>", "<a>Too hot.</a>", [""]),
        ("text/x-vcard", "BEGIN:VCARD", "", [""]),
    ],
)
def test_a_mail_that_is_one_text_shows_it(type_, body, text, names):
    found = seen(f"{HEAD}Content-Type: {type_}\r\n\r\n{body}\r\n")

    assert found.text.strip() == text
    assert [one.name for one in found.attachments] == names


def test_html_with_a_name_is_still_a_version_of_the_text():
    named = "--b\r\nContent-Type: text/html; name=m.html\r\nContent-Disposition: inline\r\n\r\n<p>Too hot.\r\n--b--\r\n"

    assert seen(f"{HEAD}Content-Type: multipart/alternative; boundary=b\r\n\r\n{named}").text == "Too hot."


def test_files_in_uuencode_are_attached_and_not_shown():
    coded = "begin 644 log 1.txt\r\n%:&5L;&\\\r\n`\r\nend\r\n"
    data = f"{HEAD}\r\nSee the log.\r\n\r\n{coded}\r\nbegin 644 things\r\nBea\r\n".encode()
    found = seen(data)

    assert found.text == "See the log.\n\n\nbegin 644 things\nBea"
    assert [(one.name, one.size) for one in found.attachments] == [("log 1.txt", 5)]
    assert decode_attachment(data, found.attachments[0]) == b"hello"
    assert seen(f"{HEAD}\r\n{coded}").text.startswith("begin 644")


SIGNATURE = "-----BEGIN PGP SIGNATURE-----\r\n\r\niQEzBAEB\r\n=abcd\r\n-----END PGP SIGNATURE-----\r\n"
SIGNED = f"-----BEGIN PGP SIGNED MESSAGE-----\r\nHash: SHA512\r\n\r\nToo hot.\r\n- -----\r\nBea\r\n{SIGNATURE}"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (SIGNED, "Too hot.\n-----\nBea"),
        (f"Hello,\r\n{SIGNED}\r\nOur list", "Hello,\nToo hot.\n-----\nBea\n\nOur list"),
        (SIGNED.partition("-----BEGIN PGP SIGNATURE")[0], "Too hot.\n-----\nBea"),
        ("I wrote -----BEGIN PGP SIGNED MESSAGE----- there.", "I wrote -----BEGIN PGP SIGNED MESSAGE----- there."),
    ],
    ids=["alone", "within", "cut", "named in a sentence"],
)
def test_armour_is_not_shown(body, text):
    assert seen(f"{HEAD}\r\n{body}").text == text


def test_a_block_that_is_encrypted_says_so():
    block = "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEMA\r\n=abcd\r\n-----END PGP MESSAGE-----"

    assert "encrypted with PGP" in seen(f"{HEAD}\r\n{block}\r\n").text


def test_an_address_encoded_with_its_name_may_be_looked_at_but_gives_no_rights():
    found = seen("From: =?utf-8?q?Bea_=3Cbea=40globex=2Eexample=3E?=\r\nSubject: x\r\n\r\nx")

    assert found.claimed == Mailbox("bea@globex.example", "Bea")
    assert found.sender is None


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Content-Type: application/pdf; filename=plan.pdf", "plan.pdf"),
        ("Content-Type: application/pdf\r\nContent-Disposition: attachment; name=plan.pdf", "plan.pdf"),
        ("Content-Type: application/pdf; name=plan.pdf\r\nContent-Type: application/pdf", "plan.pdf"),
        ("Content-Type: application/pdf\r\nContent-Description: The plan.pdf", "The plan.pdf"),
        ("Content-Type: application/pdf\r\nContent-Description: The plan", ""),
        ("Content-Type: image/png\r\nContent-Location: https://globex.example/a/valve.png", "valve.png"),
        ("Content-Type: image/png\r\nContent-ID: <image001.png@01D.8A>", "image001.png"),
        ("Content-Type: image/png\r\nContent-ID: <1.2.3@globex.example>", ""),
    ],
)
def test_a_file_is_called_what_any_header_calls_it(header, name):
    data = f"{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n{TEXT}--b\r\n{header}\r\n\r\nx\r\n--b--\r\n"

    assert [one.name for one in seen(data).attachments] == [name]


def test_raw_names_are_read_by_the_charset_of_the_text():
    part = '--b\r\nContent-Type: application/pdf; name="план.pdf"\r\n\r\nx\r\n--b--\r\n'
    text = TEXT.replace("text/plain", "text/plain; charset=koi8-r")
    data = f"{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n{text}{part}".encode("koi8-r")

    assert [one.name for one in seen(data).attachments] == ["план.pdf"]


def test_colours_and_page_breaks_of_a_terminal_are_no_letters():
    assert seen(f"{HEAD}\r\n\x1b[1;31mToo hot.\x1b[0m\x0cPage 2").text == "Too hot.\nPage 2"


def test_an_emoji_in_two_halves_is_one():
    assert seen(f"{HEAD}Content-Type: text/html\r\n\r\n<p>Hot &#55357;&#56846; &#xD83D;&#xDE0E;").text == "Hot 😎 😎"


def test_raw_bytes_in_a_header_with_bare_cr_are_read_too():
    head = HEAD.replace("Valves", "Клапан").replace("\r\n", "\r")
    data = f"{head}Content-Type: text/plain; charset=koi8-r\r\rгорячий".encode("koi8-r")

    assert (seen(data).subject, seen(data).text) == ("Клапан", "горячий")


@pytest.mark.parametrize(
    ("above", "text"),
    [
        ("Too hot.\r\nHelp!", "Too hot.\nHelp!"),
        ("This is a multi-part message in MIME format.", ""),
        ("", ""),
    ],
)
def test_words_above_the_parts_are_shown_where_there_are_no_others(above, text):
    head = f"{HEAD}Content-Type: multipart/mixed; boundary=b\r\n\r\n{above}\r\n"
    picture = "--b\r\nContent-Type: image/png; name=a.png\r\n\r\nx\r\n"

    assert seen(f"{head}{picture}--b--\r\n").text == text
    assert seen(f"{head}{picture}{TEXT}--b--\r\n").text == seen(f"{HEAD}{TEXT[TEXT.index('Content') :]}").text
