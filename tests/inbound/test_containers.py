"""What lies inside of winmail.dat, of an opaque signature and of a calendar is read; any other bytes do no harm."""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Kind, Reading
from helpdesk.inbound import invitation, smime, tnef
from helpdesk.inbound.body import decode_attachment
from helpdesk.inbound.read import read


def seen(data: bytes) -> Reading:
    envelope = Envelope("bea@globex.example", ("support@acme.example",))
    return read(RawMail(Door.SMTP, envelope, datetime(2026, 3, 3, tzinfo=UTC), data))


def mail(kind: str, body: bytes, *, beside: str = "", more: str = "") -> bytes:
    """A mail that is this one part, in base64, or has it beside a text."""
    part = f"Content-Type: {kind}\r\nContent-Transfer-Encoding: base64\r\n{more}\r\n".encode() + base64.encodebytes(
        body
    )
    head = b"From: bea@globex.example\r\nSubject: Valves\r\nMessage-ID: <1@globex.example>\r\nMIME-Version: 1.0\r\n"
    if not beside:
        return head + part
    return (
        head
        + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n"
        + beside.encode()
        + b"\r\n--b\r\n"
        + part
        + b"\r\n--b--\r\n"
    )


def attribute(level: int, kind: int, data: bytes) -> bytes:
    return struct.pack("<BHHI", level, kind, 0, len(data)) + data + struct.pack("<H", sum(data) % 65536)


def padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def properties(*found: tuple[int, int, bytes]) -> bytes:
    out = struct.pack("<I", len(found))
    for kind, number, value in found:
        out += struct.pack("<HH", kind, number)
        if number >= 0x8000:
            name = padded("Keywords".encode("utf-16-le"))
            out += b"\0" * 16 + struct.pack("<II", 1, 16) + name
        out += value if kind == 3 else struct.pack("<II", 1, len(value)) + padded(value)
    return out


def winmail(*attributes: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22\x01\x00" + b"".join(attributes)


def file(title: bytes, data: bytes, *more: tuple[int, int, bytes]) -> bytes:
    return (
        attribute(2, 0x9002, b"\1\0" + b"\0" * 12)
        + attribute(2, 0x8010, title + b"\0")
        + attribute(2, 0x800F, data)
        + (attribute(2, 0x9005, properties(*more)) if more else b"")
    )


LONG_NAME = (0x1F, 0x3707, "Prüfbericht 2026.pdf\0".encode("utf-16-le"))
RTF = rb"{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Arial;}}{\*\generator Word;}\f0 The valve\par is \'fcber\u8211?hot.}"


def test_winmail_dat_is_opened_for_text_and_files():
    body = winmail(
        attribute(
            1,
            0x9003,
            properties(
                (3, 0x0E07, b"\1\0\0\0"), (0x1F, 0x8010, b"x\0"), (0x1F, 0x1000, "Zu heiß.\0".encode("utf-16-le"))
            ),
        ),
        file(b"PRFBER~1.PDF", b"%PDF", LONG_NAME),
        file(b"log.txt", b"hot\n"),
    )
    data = mail('application/ms-tnef; name="winmail.dat"', body)

    found = seen(data)

    assert found.text == "Zu heiß."
    assert [(one.name, one.type, one.size) for one in found.attachments] == [
        ("Prüfbericht 2026.pdf", "application/pdf", 4),
        ("log.txt", "text/plain", 4),
    ]
    assert [decode_attachment(data, one) for one in found.attachments] == [b"%PDF", b"hot\n"]


def test_the_text_beside_winmail_dat_is_the_text():
    data = mail(
        "application/ms-tnef", winmail(attribute(1, 0x800C, b"The same.\0"), file(b"a.txt", b"a")), beside="It is hot."
    )

    assert seen(data).text == "It is hot."
    assert [one.name for one in seen(data).attachments] == ["a.txt"]


@pytest.mark.parametrize("magic", [b"MELA", b"LZFu"])
def test_a_body_in_rtf_alone_is_shown(magic):
    packed = RTF if magic == b"MELA" else b"".join(b"\0" + RTF[at : at + 8] for at in range(0, len(RTF), 8))
    packed = struct.pack("<II4sI", len(packed) + 12, len(RTF), magic, 0) + packed
    body = winmail(attribute(1, 0x9003, properties((0x102, 0x1009, packed))))

    assert seen(mail("application/ms-tnef", body)).text == "The valve\nis über–hot."


def test_compressed_rtf_refers_to_what_was_before():
    # One literal "x", a reference to the dictionary's "{\rtf1", and one to the end.
    control = bytes([0b110]) + b"x" + (0 << 4 | 4).to_bytes(2, "big") + (214 << 4).to_bytes(2, "big")

    assert tnef._uncompressed(b"\0" * 8 + b"LZFu" + b"\0" * 4 + control) == b"x{\\rtf1"


def test_an_attached_outlook_item_is_its_text_and_files():
    item = b"\0" * 16 + winmail(attribute(1, 0x800C, b"Meet at noon.\0"), file(b"map.png", b"PNG"))
    data = mail("application/ms-tnef", winmail(file(b"Meeting", b"", (0x0D, 0x3701, item))), beside="See there.")
    data_set = winmail(attribute(2, 0x9002, b"\1\0"), attribute(2, 0x9005, properties((0x0D, 0x3701, item))))

    found = tnef.open_(data_set)

    assert [(one.name, one.data) for one in found.files] == [("item.txt", b"Meet at noon."), ("map.png", b"PNG")]
    assert seen(data).text == "See there."


RUSSIAN = winmail(
    attribute(1, 0x9007, struct.pack("<II", 1251, 0)),
    attribute(1, 0x800C, "Клапан горячий.".encode("cp1251")),
    file("план.txt".encode("cp1251"), b"hot"),
)


@pytest.mark.parametrize(
    "kind", ["application/octet-stream", 'application/octet-stream; name="win.dat"', "application/x-ms-tnef"]
)
def test_winmail_dat_is_known_by_what_it_is_and_read_in_its_code_page(kind):
    found = seen(mail(kind, RUSSIAN))

    assert (found.text, [one.name for one in found.attachments]) == ("Клапан горячий.", ["план.txt"])


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (rb"{\rtf1\uc2 \u8364\'80\'80x}", "€x"),
        (rb"{\rtf1\uc0 \u8364 x}", "€x"),
        (rb"{\rtf1 a\htmlrtf hidden\htmlrtf0 b}", "ab"),
        (rb"{\rtf1 \v hidden\v0 shown}", "shown"),
        (rb"{\rtf1 a\_b\~c}", "a-b c"),
        (b"{\\rtf1 a\\\nb}", "a\nb"),
    ],
)
def test_words_of_rtf(rtf, text):
    assert tnef.rtf_text(rtf) == text


def test_what_is_no_winmail_dat_stays_a_file():
    found = seen(mail('application/ms-tnef; name="winmail.dat"', b"no such thing", beside="Hello."))

    assert [(one.name, one.container) for one in found.attachments] == [("winmail.dat", "")]


def der(tag: int, *content: bytes) -> bytes:
    data = b"".join(content)
    length = bytes([len(data)]) if len(data) < 128 else b"\x82" + len(data).to_bytes(2, "big")
    return bytes([tag]) + length + data


def ber(tag: int, *content: bytes) -> bytes:
    """With an open length, as some programs write what they stream."""
    return bytes([tag, 0x80]) + b"".join(content) + b"\0\0"


OID = "06092a864886f70d0107"
INNER = (
    b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    b"Signed, sealed.\r\n--i\r\nContent-Type: application/pdf; name=plan.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"JVBERg==\r\n--i--\r\n"
)


def signed(wrap=der, octets: bytes | None = None) -> bytes:
    octets = der(0x04, INNER) if octets is None else octets
    content = wrap(0x30, bytes.fromhex(OID + "01"), wrap(0xA0, octets))
    return wrap(0x30, bytes.fromhex(OID + "02"), wrap(0xA0, wrap(0x30, der(2, b"\1"), der(0x31), content, der(0x31))))


@pytest.mark.parametrize(
    "body",
    [signed(), signed(ber), signed(ber, ber(0x24, der(0x04, INNER[:50]), der(0x04, INNER[50:])))],
    ids=["DER", "open lengths", "in pieces"],
)
def test_a_mail_inside_of_its_signature_is_read(body):
    data = mail("application/pkcs7-mime; smime-type=signed-data; name=smime.p7m", body)

    found = seen(data)

    assert found.text == "Signed, sealed."
    (plan,) = found.attachments
    assert (plan.name, plan.type, plan.size) == ("plan.pdf", "application/pdf", 4)
    assert decode_attachment(data, plan) == b"%PDF"


@pytest.mark.parametrize(
    ("data", "how"),
    [
        (
            mail(
                "application/pkcs7-mime; smime-type=enveloped-data; name=smime.p7m",
                der(0x30, bytes.fromhex(OID + "03")),
            ),
            "S/MIME",
        ),
        (
            b"From: bea@globex.example\r\nMIME-Version: 1.0\r\n"
            b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
            b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
            b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n--b--\r\n",
            "PGP",
        ),
    ],
)
def test_what_nobody_here_can_read_is_named_and_kept(data, how):
    found = seen(data)

    assert found.text.startswith(f"[The mail is encrypted with {how}: ")
    assert found.attachments


CALENDAR = (
    "BEGIN:VCALENDAR\r\nMETHOD:{method}\r\nBEGIN:VTIMEZONE\r\nDTSTART:16010101T030000\r\nEND:VTIMEZONE\r\nBEGIN:VEVENT\r\n"
    'ORGANIZER;CN="Bea Long":mailto:bea@globex.example\r\nATTENDEE;PARTSTAT=ACCEPTED;CN=Eve:MAILTO:eve@globex.example\r\n'
    "SUMMARY:Valves\\, once\r\n  more\r\nDTSTART;TZID=Europe/Berlin:20260304T140000\r\n"
    "DTEND;TZID=Europe/Berlin:20260304T150000\r\n"
    "LOCATION:Hall 7\r\nDESCRIPTION:Bring\\ngloves.\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
)
WHEN = (
    "When: 2026-03-04 14:00 (Europe/Berlin) to 2026-03-04 15:00 (Europe/Berlin)\n"
    "Where: Hall 7\nOrganiser: Bea Long <bea@globex.example>"
)


@pytest.mark.parametrize(
    ("method", "first", "more", "kind"),
    [
        ("REQUEST", "Invitation: Valves, once more", "", Kind.HUMAN),
        ("CANCEL", "Cancelled: Valves, once more", "", Kind.HUMAN),
        ("REPLY", "Answer to an invitation: Valves, once more", "\nEve <eve@globex.example> accepts", Kind.CALENDAR),
    ],
)
def test_a_meeting_is_told_in_words(method, first, more, kind):
    found = seen(mail(f"text/calendar; charset=utf-8; method={method}", CALENDAR.format(method=method).encode()))

    assert found.text == f"{first}\n{WHEN}{more}\n\nBring\ngloves."
    assert found.kind is kind
    assert [one.name for one in found.attachments] == ["invite.ics"]


def test_a_meeting_beside_a_text_leaves_the_text_alone():
    data = mail("text/calendar; method=REQUEST", CALENDAR.format(method="REQUEST").encode(), beside="Please come.")

    assert seen(data).text == "Please come."


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x78\x9f\x3e\x22\0\0\1\3\x90\0\0", signed()[:60]]))
def test_any_bytes_may_be_opened(more, start):
    tnef.open_(start + more)
    smime.content(start + more)
    tnef.rtf_text(b"{\\rtf1" + more)
    tnef._uncompressed(b"\0" * 8 + b"LZFu" + b"\0" * 4 + more)
    "".join(tnef.open_(start + more).text).encode()


@given(st.text(max_size=300))
def test_any_text_may_be_a_calendar(text):
    invitation.words(f"METHOD:REPLY\nBEGIN:VEVENT\nDTSTART{text}\nSUMMARY:{text}\nATTENDEE;{text}").encode(
        "utf-8", "replace"
    )
