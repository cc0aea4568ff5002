"""Bodies out of their encodings, names into labels, values into parameters: tolerant of garbage."""

from __future__ import annotations

import re

import pytest

from helpdesk.inbound.charset import clean, clean_line, decode
from helpdesk.inbound.header import decode_words
from helpdesk.inbound.mime import clean_name, decode_body, read_fields, split, value_and_params, with_line_ends


@pytest.mark.parametrize(
    ("body", "encoding", "decoded"),
    [
        (b"aGVs\r\nbG8=", "base64", b"hello"),
        (b"aGVs!!bG8", "base64", b"hello"),
        (b"aGVsbG8=\n-- list footer", "base64", b"hello"),
        (b"aGVsbG8h\n____\nOur list, https://lists.example", "base64", b"hello!"),
        (b"aGVsbG8=\nIHlvdQ==\n", "base64", b"hello you"),
        (b"It is hot, and labelled wrongly.", "base64", b"It is hot, and labelled wrongly."),
        (b"a", "base64", b""),
        (b"so=  \r\nft", "quoted-printable", b"soft"),
        (b"caf=C3=A9 =\nsame=zz", "quoted-printable", b"caf\xc3\xa9 same=zz"),
        (b"begin 644 x\n%:&5L;&\\\n`\nend\n", "x-uuencode", b"hello"),
        (b"begin 644 x\n&:&5L;&\\\nM\nM!\n`\nend\n", "x-uuencode", b"hello\0"),
        (b"as it is", "8bit", b"as it is"),
        (b"as it is", "unheard-of", b"as it is"),
    ],
)
def test_bodies_are_decoded(body: bytes, encoding: str, decoded: bytes) -> None:
    assert decode_body(body, encoding) == decoded


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\bea\\plan.txt", "plan.txt"),
        ("-rf", "rf"),
        (".htaccess", "htaccess"),
        ("a\r\nb\x00c.txt", "a b c.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("..", ""),
        ("/", ""),
        ("Invoice 7/2026.pdf", "Invoice 7-2026.pdf"),
        ("/home/bea/plan.txt", "plan.txt"),
        ("'plan.txt'", "plan.txt"),
        ("x" * 5000 + ".pdf", "x" * 245 + "….pdf"),
        ("y" * 5000, "y" * 249 + "…"),
    ],
)
def test_names_become_labels(name: str, label: str) -> None:
    assert clean_name(name) == label
    assert len(label) <= 250


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ('text/plain; charset="utf-8"; format=flowed', ("text/plain", {"charset": "utf-8", "format": "flowed"})),
        ("TEXT/HTML;charset=UTF-8;;", ("text/html", {"charset": "UTF-8"})),
        ('x; a="b;c=\\"d\\""; e=f', ("x", {"a": 'b;c="d"', "e": "f"})),
        ("a; f*=iso-8859-1'de'%E4.txt", ("a", {"f": "ä.txt"})),
        ("a; f*1=b; f*0=a; f*2*=%63", ("a", {"f": "abc"})),
        ("a; f==?utf-8?b?w6Q=?=", ("a", {"f": "ä"})),
        ('a; f="open', ("a", {"f": "open"})),
        ("", ("", {})),
        ('attachment filename="a b.txt"', ("attachment", {"filename": "a b.txt"})),
        ('filename="a.txt"', ("", {"filename": "a.txt"})),
        ("attachment, filename=a.txt", ("attachment", {"filename": "a.txt"})),
        ("attachment; filename=a;b.txt; size=3", ("attachment", {"filename": "a;b.txt", "size": "3"})),
        ("attachment; filename=\"utf-8''na%C3%AFve.txt\"", ("attachment", {"filename": "naïve.txt"})),
        ('attachment; filename=""; name=a.txt', ("attachment", {"name": "a.txt"})),
    ],
)
def test_parameters_are_read(value: str, read: tuple[str, dict[str, str]]) -> None:
    assert value_and_params(value) == read


@pytest.mark.parametrize(
    ("data", "label", "text"),
    [
        ("é".encode(), "us-ascii", "é"),
        (b"\xe9", "us-ascii", "é"),
        (b"\xe9 caf\xe9", "utf-8", "é café"),
        ("ä".encode() * 3 + b"\xff", "utf-8", "äää\ufffd"),
        (b"\x80\x81", "latin1", "€\x81"),
        ("тест".encode("koi8-r"), "KOI8-R", "тест"),
        ("漢字".encode("cp932"), "shift_jis", "漢字"),
        ("한글".encode("cp949"), "ks_c_5601-1987", "한글"),
        ("caf\x8e".encode("latin-1"), "x-mac-roman", "café"),
        ("Żółć".encode("mac-latin2"), "x-mac-ce", "Żółć"),
        ("สวัสดี".encode("cp874"), "windows-874", "สวัสดี"),
        ("漢字".encode("cp932"), "MS_Kanji", "漢字"),
        ("漢字①".encode("euc-jisx0213"), "cp51932", "漢字①"),
        ("漢字".encode("iso2022-jp"), "us-ascii", "漢字"),
        ("тест".encode("cp1251"), "1251", "тест"),
        ("łąka".encode("iso8859-2"), "iso-8859-2 format=flowed", "łąka"),
        ("łąka".encode("iso8859-2"), "charset=iso-8859-2;", "łąka"),
        ("naïve".encode("utf-16"), "", "naïve"),
        ("naïve".encode("utf-16-le"), "utf-8", "naïve"),
        ("naïve".encode("utf-16-be"), "utf-16", "naïve"),
        ("für ".encode() + b"f\xfcr " + "ä ö".encode(), "utf-8", "für für ä ö"),
        ("Köln".encode() + b"\xc2 " + "ä".encode(), "utf-8", "Köln ä"),
        ("Köln ü".encode()[:-1], "utf-8", "Köln "),
        (b"\xed\xa0\xbd\xed\xb8\x80", "utf-8", "😀"),
        ("你好".encode("gbk") + b"\xff", "gb2312", "你好"),
        (b"x", "zlib_codec", "x"),
        (b"x-\xff", "punycode", "x-ÿ"),
    ],
)
def test_charsets_mean_what_mailers_mean(data: bytes, label: str, text: str) -> None:
    assert decode(data, label) == text


FOREIGN = {
    "gb18030": "你好，请问这台打印机怎么连接？谢谢。",
    "cp950": "您好，請問這台印表機要如何連線？謝謝。",
    "cp932": "こんにちは。プリンターが動きません。",
    "euc-jp": "こんにちは。プリンターが動きません。",
    "cp949": "안녕하세요. 프린터가 작동하지 않습니다.",
    "cp1251": "Здравствуйте, принтер не работает.",
    "koi8-r": "Здравствуйте, принтер не работает.",
}


@pytest.mark.parametrize("label", ["", "us-ascii", "utf-8", "iso-8859-1", "8bit"])
@pytest.mark.parametrize("codec", FOREIGN)
def test_a_wrong_label_is_seen_through(codec: str, label: str) -> None:
    assert decode(FOREIGN[codec].encode(codec), label) == FOREIGN[codec]


@pytest.mark.parametrize(
    "text",
    [
        "«Où êtes-vous ?» – déjà à l'hôtel, près de la forêt",
        "Größe: ÄÖÜ äöü ß, für über 20 € täglich",
        "¿Qué pasó? ¡Mañana será otro día, señor!",
        "ÀÉÈÙÇ ÀÉÈÙÇ",
        "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
        "Årsmøte på Ålesund, blåbærsyltetøy",
        "ÞÓRÐUR ÆGIR ÖÐRU",
        "“Quoted” – “twice”…",
    ],
)
def test_western_text_stays_western(text: str) -> None:
    assert decode(text.encode("cp1252")) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?utf-8?q?What? Really_not??=", "What? Really not?"),
        ("=?utf-8 ?q?caf=C3=A9?=", "café"),
        ("=?utf-8?b?Y2Fmw6kg=Y2Fmw6k=?=", "café café"),
        ("=?utf-8?b?Y2Fmw6k=", "café"),
        ("=?utf-8?q?caf=C3=A9_cut_in_a_letter_=C3?=", "café cut in a letter "),
        ("=?utf-8*EN?q?caf=C3=A9?=", "café"),
        ("=?win-1251?q?=F2=E5=F1=F2?=", "тест"),
        ("plain", "plain"),
        ("=?utf-8?q?a_b?= c", "a b c"),
        ("=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        ("=?utf-8?q?a?= =?latin1?q?=E9?=", "aé"),
        ("=?utf-8?b?w6?= =?utf-8?b?Q=?=", "ä"),
        ("=?utf-8*de?q?a?=", "a"),
        ('"=?utf-8?q?a?="', '"a"'),
        ("=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("1 =? 2 ?= 3", "1 =? 2 ?= 3"),
    ],
)
def test_encoded_words_are_decoded_once(value: str, text: str) -> None:
    assert decode_words(value) == text


def test_text_is_cleaned() -> None:
    assert clean("a\x00b\r\nc\rd\u2028e\ud800\x1bf\tg\x85h") == "ab\nc\nd\nef\tg\nh"
    assert clean_line("a\x00\r\n b\u202e\u2028c\ud800") == "a b c"
    assert clean_line("x" * 2000, 10) == "x" * 9 + "…"


def test_offsets_lie_on_the_bodies() -> None:
    data = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\none\r\n--x\r\nA: b\r\n\r\ntwo\r\n--x--\r\n"
    parts = split(data).parts

    assert [data[part.start : part.end] for part in parts[1:]] == [b"one", b"two"]
    assert [part.parent for part in parts] == [-1, 0, 0]


@pytest.mark.parametrize(
    ("head", "values"),
    [
        ("From bob@mine.example Mon Jan  1 10:00:00 2026\nFrom: bob@mine.example", ["bob@mine.example"]),
        ("From : agent@acme.example\nFrom: eve@mine.example", ["agent@acme.example", "eve@mine.example"]),
        ("From \t: bob@mine.example", ["bob@mine.example"]),
        ("X: y\n>From bob Mon\nFrom: bob@mine.example", ["bob@mine.example"]),
        ("to: x\nstray\nto: y\nstray\nFrom: bob@mine.example", ["bob@mine.example"]),
    ],
)
def test_a_from_is_seen_whatever_stands_before_its_colon(head: str, values: list[str]) -> None:
    assert read_fields(f"{head}\n\nx".encode(), 0)[0]["from"] == values


@pytest.mark.parametrize("name", ["Ann", "你好，请问这台打印机怎么连接"])
def test_raw_headers_in_one_charset_are_read_as_that(name: str) -> None:
    head = f"From: {name} <a@b.example>\nSubject: 你好，请问\n 这台打印机怎么连接？谢谢。\n\nx".encode("gb18030")

    fields = read_fields(head, 0)[0]

    assert (fields["from"], fields["subject"]) == ([f"{name} <a@b.example>"], ["你好，请问 这台打印机怎么连接？谢谢。"])


@pytest.mark.parametrize("data", [b"a: b\rc\r\r\nd\r\ne\r\r\r\n\n\r", b"a: b\r\r\r"])
def test_bare_cr_ends_a_line_and_moves_no_offset(data: bytes) -> None:
    assert with_line_ends(data) == re.sub(rb"\r(?!\r?\n)", b"\n", data)
