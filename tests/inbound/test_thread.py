"""Which mails belong together: our own mails, named by what clients and servers did to them."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound import thread
from helpdesk.inbound.read import read

CONVERSATION = bytes(range(1, 23))
INDEX = base64.b64encode(CONVERSATION).decode()
ANSWERED_INDEX = base64.b64encode(CONVERSATION + b"later").decode()
OTHER_INDEX = base64.b64encode(bytes(range(101, 123))).decode()


def mail(text: str = "It hums.", **headers: str) -> Reading:
    """A mail of Bob to the desk with these headers besides; an underscore stands for a hyphen."""
    fields = {"From": "bob@globex.example", "To": "support@acme.example", "Subject": "Scanner"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    header = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    raw = f"{header}\r\n{text}\r\n".encode()
    return read(RawMail(Door.FILE, Envelope(None, ()), datetime(2026, 3, 3, tzinfo=UTC), raw))


FORWARDED = (
    "See below.\n\n---------- Forwarded message ---------\nFrom: Eve <eve@globex.example>\nSubject: Scanner\n\nIt hums."
)

TABLE: dict[str, tuple[list[Reading], list[int]]] = {
    "an answer cites its parent": (
        [mail(Message_ID="<1@a>"), mail(Message_ID="<2@a>", In_Reply_To="<1@a>", Subject="Re: Scanner")], [0, 0]),
    "an id without brackets": ([mail(Message_ID="1@a.example"), mail(Subject="x", In_Reply_To="1@a.example")], [0, 0]),
    "an id that was folded or padded": (
        [mail(Message_ID="< 1@a.example > (added by a server)"),
         mail(Subject="x", References="<0@a.example>,<1@\r\n a.example>")], [0, 0]),
    "an id in prose": ([mail(Message_ID="<1@a>"), mail(Subject="x", In_Reply_To='Your mail of "Mon, 2 Mar" <1@a>')], [0, 0]),
    "an id in an encoded word": (
        [mail(Message_ID="<1@a>"), mail(Subject="x", In_Reply_To="=?utf-8?Q?=3C1=40a=3E?=")], [0, 0]),
    "an address in prose ties nothing together": (
        [mail(Subject="x", In_Reply_To="Message from the desk <support@acme.example>"),
         mail(Subject="y", In_Reply_To="Message from the desk <support@acme.example>")], [0, 1]),
    "a new subject does not part them": (
        [mail(Message_ID="<1@a>"), mail(In_Reply_To="<1@a>", Subject="Cancel my order")], [0, 0]),
    "only an ancestor is known": (
        [mail(Message_ID="<1@a>"), mail(References="<1@a> <lost@a>", In_Reply_To="<lost@a>")], [0, 0]),
    "both answer a mail that never came": (
        [mail(Message_ID="<2@a>", In_Reply_To="<1@a>", From="a@x.example"),
         mail(Message_ID="<3@a>", In_Reply_To="<1@a>", From="b@y.example", Subject="Other")], [0, 0]),
    "a server rewrote the id and kept the old one": (
        [mail(Message_ID="<new@server>", X_Microsoft_Original_Message_ID="<1@a>"),
         mail(From="eve@globex.example", Subject="Scanner, again", In_Reply_To="<1@a>")], [0, 0]),
    "a server rewrote the id and kept nothing": (
        [mail(Message_ID="<new@server>"), mail(Subject="RE: Scanner", In_Reply_To="<1@a>")], [0, 0]),
    "Outlook kept only its index": (
        [mail(Thread_Index=INDEX), mail(From="eve@globex.example", To="x@globex.example", Subject="AW: Scanner",
                                        Thread_Index=ANSWERED_INDEX)], [0, 0]),
    "the index of another subject": (
        [mail(Thread_Index=INDEX, To="a@x.example"),
         mail(From="z@z.example", To="b@x.example", Subject="Invoice", Thread_Index=INDEX)], [0, 1]),
    "two indexes, one subject, no reply": ([mail(Thread_Index=INDEX), mail(Thread_Index=OTHER_INDEX)], [0, 1]),
    "only the subject, the same people": ([mail(), mail(Subject="Antw: [desk] Scanner [AC-1042]")], [0, 0]),
    "only the subject, and no reply": ([mail(), mail()], [0, 1]),
    "strangers with one subject": (
        [mail(To="a@x.example"), mail(From="zoe@elsewhere.example", To="b@x.example", Subject="Re: Scanner")], [0, 1]),
    "replies without a subject": ([mail(Subject=""), mail(Subject="Re:")], [0, 1]),
    "a forward leaves the conversation": (
        [mail(Message_ID="<1@a>", Thread_Index=INDEX),
         mail(FORWARDED, Subject="Fwd: Scanner", References="<1@a>", Thread_Index=ANSWERED_INDEX)], [0, 1]),
    "an answer to the forward stays with it": (
        [mail(Message_ID="<1@a>"), mail(FORWARDED, Message_ID="<2@a>", Subject="Fwd: Scanner", References="<1@a>"),
         mail(Message_ID="<3@a>", Subject="Re: Fwd: Scanner", In_Reply_To="<2@a>")], [0, 1, 1]),
    "a reply that shows a forward stays": (
        [mail(Message_ID="<1@a>"), mail(FORWARDED, Subject="Re: Scanner", In_Reply_To="<1@a>")], [0, 0]),
    "the same mail twice": ([mail(Message_ID="<1@a>"), mail(Message_ID="<1@a>")], [0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_mails_in_order_of_arrival(name):
    readings, labels = TABLE[name]
    assert thread.group(readings) == labels


@pytest.mark.parametrize(
    ("value", "index"),
    [
        (INDEX, CONVERSATION[6:].hex()),
        (ANSWERED_INDEX, CONVERSATION[6:].hex()),
        (INDEX.rstrip("="), CONVERSATION[6:].hex()),
        ("", ""),
        ("not base64!", ""),
        (base64.b64encode(b"short").decode(), ""),
        (base64.b64encode(CONVERSATION + b"odd").decode(), ""),
        (base64.b64encode(bytes(22)).decode(), ""),
        ("A" * 100_000, ""),
        ("é" * 40, ""),
    ],
)
def test_thread_index(value, index):
    assert thread.index_of({"thread-index": [value]}) == index


@pytest.mark.parametrize(
    ("subject", "base"),
    [
        ("Scanner", "scanner"),
        ("Re: AW:  SV: Scanner", "scanner"),
        ("RE[2]: Scanner", "scanner"),
        ("[desk] Re: Fwd: Scanner", "scanner"),
        ("Re: [AC-1042] Scanner", "scanner"),
        ("Scanner (AC-1042)", "scanner"),
        ("回复：Scanner", "scanner"),
        ("Отв: Scanner", "scanner"),
        ("رد: Scanner", "scanner"),
        ("Re^2: Scanner", "scanner"),
        ("{Spam?} Re: Scanner", "scanner"),
        ("***SPAM*** Re: [EXT] Scanner", "scanner"),
        ("[Scanner]", "[scanner]"),
        ("Regarding: Scanner", "regarding: scanner"),
        ("Re:", ""),
        ("", ""),
        ("re: " * 100_000, None),
    ],
)
def test_base_subject(subject, base):
    found = thread.base_subject(subject)
    assert base is None or found == base


def test_a_mail_that_a_reply_has_attached_is_a_file_and_no_forward():
    """Mutant: whatever has a mail attached leaves its ticket."""
    attached = (
        "--b\r\n\r\nSee the mail.\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n"
        "From: Eve <eve@globex.example>\r\nSubject: Scanner\r\n\r\nIt hums.\r\n--b--\r\n"
    )
    headers = {"MIME-Version": "1.0", "Content-Type": "multipart/mixed; boundary=b"}
    reply = mail(attached, Subject="Re: Printer", In_Reply_To="<1@a>", **headers)
    assert reply.forwarded is None
    assert not thread.is_new(reply)
    forward = mail(attached, Subject="Fwd: Scanner", **headers)
    assert forward.forwarded is not None
    assert forward.forwarded.sender is not None
    assert forward.forwarded.sender.address == "eve@globex.example"
    assert (forward.forwarded.text, forward.forwarded.note) == ("It hums.", "See the mail.")


def test_an_index_that_we_write_names_its_conversation_when_it_began_and_how_long_ago():
    """MS-OXOMSG section 2.2.1.3: 27 octets, the first six of them time; a response in steps of 2**18 of 100 ns."""
    began, now = datetime(2026, 3, 3, 9, tzinfo=UTC), datetime(2026, 3, 3, 10, tzinfo=UTC)

    written = base64.b64decode(thread.index("0a" * 16, began, now))

    assert len(written) == 27
    windows = int.from_bytes(written[:6] + b"\0\0", "big") / 10_000_000 - 11_644_473_600
    assert abs(windows - began.timestamp()) < 0.01
    assert abs(int.from_bytes(written[22:26], "big") * 2**18 / 10_000_000 - 3600) < 0.1
    assert thread.index_of({"thread-index": [base64.b64encode(written).decode()]}) == "0a" * 16
    assert thread.index("0a" * 16, now, began)
