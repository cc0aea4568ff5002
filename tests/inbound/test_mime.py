"""Bodies out of their encodings, names into labels, values into parameters: tolerant of garbage."""

from __future__ import annotations

import pytest

from helpdesk.inbound.charset import clean, clean_line, decode
from helpdesk.inbound.header import decode_words
from helpdesk.inbound.mime import clean_name, decode_body, split, value_and_params


@pytest.mark.parametrize(
    ("body", "encoding", "decoded"),
    [
        (b"aGVs\r\nbG8=", "base64", b"hello"),
        (b"aGVs!!bG8", "base64", b"hello"),
        (b"aGVsbG8=\n-- list footer", "base64", b"hello"),
        (b"a", "base64", b""),
        (b"caf=C3=A9 =\nsame=zz", "quoted-printable", b"caf\xc3\xa9 same=zz"),
        (b"begin 644 x\n%:&5L;&\\\n`\nend\n", "x-uuencode", b"hello"),
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
        (b"x", "zlib_codec", "x"),
        (b"x-\xff", "punycode", "x-ÿ"),
    ],
)
def test_charsets_mean_what_mailers_mean(data: bytes, label: str, text: str) -> None:
    assert decode(data, label) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
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
