"""The SMTP door, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import errno
import logging
import resource
import smtplib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, RawMail
from helpdesk.inbound.listener import Listener
from tests.inbound_doors.doors import (
    ENVELOPE,
    MAIL,
    NOW,
    OPTIONS,
    OURS,
    Shelf,
    Wire,
    is_ours,
    listening,
    send,
    with_tls,
)
from tests.servers.certificate import Certificate
from tests.servers.ports import wait_for

# --- what is kept -----------------------------------------------------------------------------------------------------


def test_a_kept_mail_has_its_envelope_and_one_received_header(door: Listener, shelf: Shelf) -> None:
    code, text = send(door, to="support+r4k@acme.example")

    (raw,) = shelf.mails
    assert (code, text[:6]) == (250, b"2.0.0 ")
    assert raw.door is Door.SMTP
    assert raw.envelope.sender == "bob@b.example"
    assert raw.envelope.recipients == ("support+r4k@acme.example",)
    assert (raw.envelope.peer, raw.envelope.user) == ("127.0.0.1", "")
    assert raw.received_at == NOW
    identity = text.split()[-1]
    assert raw.data == (
        b"Received: from client.example ([127.0.0.1])\r\n\tby mx.acme.example (helpdesk) with ESMTP id %b;\r\n"
        b"\tMon, 02 Mar 2026 09:30:00 +0000\r\n%b" % (identity, MAIL)
    )


def test_250_comes_only_after_keep_has_returned() -> None:
    done = threading.Event()

    def keep(raw: RawMail) -> None:
        assert done.wait(10)

    with listening(keep) as door, Wire(door) as wire:
        wire.begin_data().say(MAIL + b".\r\n")
        wire.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            wire.socket.recv(100)
        done.set()
        wire.socket.settimeout(10)
        assert wire.socket.recv(100).startswith(b"250 2.0.0 ")


def test_the_null_sender_is_taken(door: Listener, shelf: Shelf) -> None:
    with Wire(door) as wire:
        wire.greet()
        assert wire.ask("MAIL FROM:<>").startswith("250 ")
        wire.say(f"RCPT TO:<{OURS}>\r\nDATA\r\n".encode())
        wire.reply()
        wire.reply()
        wire.say(MAIL + b".\r\n")
        assert wire.reply().startswith("250 2.0.0")
    assert shelf.mails[0].envelope.sender == ""


def test_utf8_addresses_and_text_are_kept_as_they_are(shelf: Shelf) -> None:
    with listening(shelf.keep, accepts=lambda address: address == "hülfe@acme.example") as door, Wire(door) as wire:
        assert "SMTPUTF8" in wire.reply() + wire.ask("EHLO client.example")
        assert wire.ask("MAIL FROM:<jürgen@b.example> SMTPUTF8 BODY=8BITMIME").startswith("250")
        assert wire.ask("RCPT TO:<hülfe@acme.example>").startswith("250")
        wire.ask("DATA")
        wire.say("From: jürgen@b.example\r\n\r\nGrüße\r\n.\r\n".encode())
        assert wire.reply().startswith("250")
    assert shelf.mails[0].envelope.sender == "jürgen@b.example"
    assert "Grüße".encode() in shelf.mails[0].data


def test_what_is_offered_is_what_is_done(door: Listener) -> None:
    with Wire(door) as wire:
        wire.reply()
        offers = wire.ask("EHLO client.example")
    assert {"PIPELINING", "8BITMIME", "SMTPUTF8", f"SIZE {OPTIONS.max_size}"} <= {
        line[4:] for line in offers.splitlines()
    }
    assert not any(word in offers for word in ("DSN", "CHUNKING", "AUTH", "STARTTLS", "VRFY"))


# --- the end of a mail ------------------------------------------------------------------------------------------------

STUFFED = b"From: b@b.example\r\n\r\n..one dot\r\n...two dots\r\nnone\r\n..\r\n.odd\r\nend\r\n.\r\nNOOP\r\n"
UNSTUFFED = b"From: b@b.example\r\n\r\n.one dot\r\n..two dots\r\nnone\r\n.\r\nodd\r\nend\r\n"


def test_a_mail_may_be_cut_at_every_byte(door: Listener, shelf: Shelf) -> None:
    """The end is found, and dots are taken away, wherever the network parts the mail; what follows is a command."""
    for cut in range(1, len(STUFFED)):
        with Wire(door) as wire:
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            wire.begin_data().say(STUFFED[:cut])
            time.sleep(0.001)
            wire.say(STUFFED[cut:])
            assert [wire.reply()[:9] for _ in range(2)] == ["250 2.0.0", "250 2.0.0"], cut

    assert shelf.bodies == [UNSTUFFED] * (len(STUFFED) - 1)


def test_a_mail_byte_by_byte(door: Listener, shelf: Shelf) -> None:
    with Wire(door) as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        wire.begin_data()
        for byte in STUFFED:
            wire.say(bytes([byte]))
        assert wire.reply().startswith("250 2.0.0 kept")
    assert shelf.bodies == [UNSTUFFED]


@pytest.mark.parametrize("size", [65_530 + more for more in range(12)] + [131_071, 200_000, 1_000_000])
def test_large_mails_around_the_size_of_the_buffer(door: Listener, shelf: Shelf, size: int) -> None:
    head = b"From: b@b.example\r\n\r\n"
    body = (b"0123456789" * 8 + b"\r\n") * (size // 82)
    mail = head + body + b"x" * (size - len(head) - len(body) - 2) + b"\r\n"
    with Wire(door) as wire:
        wire.begin_data().say(mail + b".\r\nNOOP\r\n")
        assert [wire.reply()[:9] for _ in range(2)] == ["250 2.0.0", "250 2.0.0"]
    assert shelf.bodies == [mail]


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\n\n.\r\n", b"\r\r\n.\n",
        b"\r\n.\r\r\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\n.\r", b"\r\n. \r\n",
    ],
)  # fmt: skip
def test_only_crlf_dot_crlf_ends_a_mail(door: Listener, shelf: Shelf, end: bytes) -> None:
    """What another server would take for the end does not let a second mail be smuggled in."""
    smuggled = ENVELOPE.replace(b"bob@b", b"ceo@acme") + b"DATA\r\nFrom: ceo@acme.example\r\n\r\n#close\r\n"
    with Wire(door) as wire:
        wire.begin_data().say(MAIL[:-2] + end + smuggled + b".\r\nQUIT\r\n")
        assert [wire.reply()[:3] for _ in range(2)] == ["250", "221"]
    (raw,) = shelf.mails
    assert b"#close" in raw.data
    assert raw.envelope.sender == "bob@b.example"


def test_two_mails_in_one_write(door: Listener, shelf: Shelf) -> None:
    """PIPELINING: what follows the dot is not lost."""
    one = ENVELOPE + b"DATA\r\n" + MAIL + b".\r\n"
    with Wire(door) as wire:
        wire.greet().say(one + one.replace(b"burns", b"smokes") + b"QUIT\r\n")
        assert [wire.reply()[:3] for _ in range(9)] == ["250", "250", "354", "250", "250", "250", "354", "250", "221"]
    assert shelf.bodies == [MAIL, MAIL.replace(b"burns", b"smokes")]


def test_an_empty_mail_ends_at_once(door: Listener, shelf: Shelf) -> None:
    with Wire(door) as wire:
        wire.begin_data().say(b".\r\n")
        assert wire.reply().startswith("250")
    assert shelf.mails[0].data.endswith(b"+0000\r\n")


# --- limits -----------------------------------------------------------------------------------------------------------


def test_too_big_is_refused_at_the_door_with_the_limit(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, max_size=100_000)) as door, Wire(door) as wire:
        wire.greet()
        refusal = "552 5.3.4 too big: the limit is 100000 octets (0.0954 MB)"
        assert wire.ask("MAIL FROM:<bob@b.example> SIZE=100001") == refusal
        begin = ENVELOPE + b"DATA\r\n" + MAIL
        wire.say(begin + b"x" * 100_000 + b"\r\n.\r\n" + begin + b".\r\n")
        replies = [wire.reply() for _ in range(8)]
    assert replies[3] == refusal
    assert replies[7].startswith("250 2.0.0")
    assert shelf.bodies == [MAIL]


def _peak_of(door: Listener, piece: bytes, octets: int) -> tuple[str, int]:
    """The last reply to an endless mail of such pieces, and by how many octets our memory's peak rose."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Wire(door) as wire:
        wire.begin_data()
        try:
            for _ in range(octets // len(piece)):
                wire.say(piece)
            wire.say(b"\r\n.\r\n")
        except OSError:
            pass
        answer = wire.reply()
    return answer, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024


def test_a_line_without_end_is_cut_off(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, max_size=4_000_000)) as door:
        answer, rise = _peak_of(door, b"x" * 100_000, 100_000_000)
    assert answer.startswith("552 5.3.4") or answer == ""
    assert rise < 30_000_000
    assert shelf.mails == []


def test_a_line_of_two_megabytes_is_refused(door: Listener, shelf: Shelf) -> None:
    code, text = send(door, MAIL + b"x" * 2_000_000 + b"\r\n")
    assert (code, text[:6]) == (554, b"5.6.0 ")
    assert shelf.mails == []


def test_33_megabytes_of_empty_lines_cost_what_they_weigh(door: Listener, shelf: Shelf) -> None:
    since = time.process_time()
    answer, rise = _peak_of(door, b"\r\n" * 50_000, 33_000_000)
    assert answer.startswith("250")
    assert rise < 150_000_000
    assert time.process_time() - since < 5
    assert len(shelf.mails[0].data) > 33_000_000


def test_mails_in_transfer_share_a_memory_limit(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, memory=300_000)) as door, Wire(door) as slow:
        slow.begin_data().say(b"x\r\n" * 80_000)
        wait_for(lambda: door.octets_held > 150_000)
        code, text = send(door, MAIL + b"y\r\n" * 60_000)
        assert (code, text[:6]) == (452, b"4.3.1 ")
        slow.say(b".\r\n")
        assert slow.reply().startswith("250")
        assert send(door)[0] == 250
        assert door.octets_held == 0


def test_the_recipient_after_the_last_one_is_asked_to_wait(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, max_recipients=3)) as door, Wire(door) as wire:
        wire.greet().ask("MAIL FROM:<bob@b.example>")
        replies = [wire.ask(f"RCPT TO:<support+{number}@acme.example>")[:9] for number in range(5)]
        assert replies == ["250 2.1.5"] * 3 + ["452 4.5.3"] * 2
        wire.ask("DATA")
        wire.say(MAIL + b".\r\n")
        assert wire.reply().startswith("250")
    assert len(shelf.mails[0].envelope.recipients) == 3


def test_a_mail_to_more_recipients_than_we_take_at_once_goes_to_the_first(shelf: Shelf) -> None:
    """A relay that pipelines 150 recipients sends to those that were taken, and comes again with the others."""
    recipients = [f"RCPT TO:<support+{number}@acme.example>" for number in range(150)]
    with listening(shelf.keep) as door, Wire(door) as wire:
        wire.greet().say("\r\n".join(["MAIL FROM:<bob@b.example>", *recipients, "DATA", ""]).encode())
        codes = [wire.reply()[:3] for _ in range(152)]
        wire.say(MAIL + b".\r\n")
        assert wire.reply().startswith("250 ")
    assert codes == ["250"] * 101 + ["452"] * 50 + ["354"]
    assert len(shelf.mails[0].envelope.recipients) == 100


def test_a_list_of_recipients_without_end_is_ended() -> None:
    with listening(Shelf().keep, replace(OPTIONS, max_recipients=1, errors=5)) as door, Wire(door) as wire:
        wire.greet().ask("MAIL FROM:<bob@b.example>")
        replies = [wire.ask(f"RCPT TO:<{OURS}>")[:3] for _ in range(16)]
        assert replies == ["250"] + ["452"] * 15
        assert wire.reply().startswith("421 4.7.0 too many errors")


def test_mails_whose_client_hung_up_count_in_memory_until_they_are_kept() -> None:
    going_on = threading.Event()

    def keep(raw: RawMail) -> None:
        going_on.wait(20)

    body = MAIL + b"x" * 60 * 1024 + b"\r\n"
    with listening(keep, replace(OPTIONS, memory=100 * 1024)) as door:
        with Wire(door) as wire:
            wire.begin_data().say(body + b".\r\n")
            wait_for(lambda: door.octets_held >= len(body))
        wait_for(lambda: not door._sessions)
        with Wire(door) as wire:
            wire.begin_data().say(body + b".\r\n")
            assert wire.reply().startswith("452 4.3.1")
            going_on.set()
            wait_for(lambda: door.octets_held == 0)
            wire.say(ENVELOPE + b"DATA\r\n")
            assert [wire.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
            wire.say(body + b".\r\n")
            assert wire.reply().startswith("250 ")


def test_whoever_waits_for_us_is_not_told_that_he_is_slow() -> None:
    def keep(raw: RawMail) -> None:
        time.sleep(1.5)

    with listening(keep, replace(OPTIONS, timeout=0.5)) as door, Wire(door) as wire:
        wire.begin_data().say(MAIL + b".\r\n")
        assert wire.reply().startswith("250 ")
        assert wire.ask("NOOP").startswith("250 ")
        assert wire.reply().startswith("421 4.4.2")


def test_a_mail_that_goes_round_in_circles_is_refused(door: Listener, shelf: Shelf) -> None:
    hop = b"Received: from a by b; Mon, 2 Mar 2026 09:00:00 +0000\r\n"
    assert send(door, hop * 50 + MAIL)[0] == 250
    code, text = send(door, hop * 51 + MAIL)
    assert (code, text[:6]) == (554, b"5.4.6 ")
    assert send(door, MAIL + hop * 60)[0] == 250, "those in the body do not count"


def test_chatter_without_a_mail_is_ended(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, commands=10)) as door, Wire(door) as wire:
        wire.greet()
        replies = [wire.ask("NOOP")[:9] for _ in range(10)]
        assert replies == ["250 2.0.0"] * 9 + ["421 4.7.0"]
        assert wire.reply() == ""


def test_many_mails_on_one_connection_are_no_chatter(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, commands=10)) as door, Wire(door) as wire:
        wire.greet()
        for _ in range(20):
            wire.say(ENVELOPE + b"DATA\r\n" + MAIL + b".\r\n")
            assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "354", "250"]


def test_guessing_addresses_is_ended(door: Listener) -> None:
    with Wire(door) as wire:
        wire.greet().ask("MAIL FROM:<bob@b.example>")
        replies = [wire.ask(f"RCPT TO:<guess{number}@acme.example>") for number in range(OPTIONS.errors)]
        assert set(replies) == {"550 5.1.1 no such address here"}
        assert wire.reply().startswith("421 4.7.0")


def test_connections_are_counted_per_peer_and_in_all(shelf: Shelf) -> None:
    options = replace(OPTIONS, connections=4, per_peer=2)
    with listening(shelf.keep, options) as door:
        first, second = Wire(door, "127.0.0.2").greet(), Wire(door, "127.0.0.2").greet()
        with Wire(door, "127.0.0.2") as third:
            assert third.reply().startswith("421 4.3.2")
            assert third.reply() == ""
        relays = [Wire(door).greet(), Wire(door).greet()]
        with Wire(door) as fifth:
            assert fifth.reply().startswith("421 4.3.2")
        for wire in (first, second, *relays):
            wire.__exit__()
        wait_for(lambda: send(door)[0] == 250 if _greets(door) else False)


def _greets(door: Listener) -> bool:
    with Wire(door) as wire:
        return wire.reply().startswith("220")


def test_a_silent_client_and_a_trickling_one_are_ended(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(OPTIONS, timeout=0.4, minimum_rate=1000)) as door:
        with Wire(door) as silent:
            silent.greet()
            assert silent.reply().startswith("421 4.4.2")
        with Wire(door) as trickling:
            trickling.begin_data()
            since = time.monotonic()
            with contextlib.suppress(OSError):
                while time.monotonic() - since < 30:
                    trickling.say(b"x")
                    time.sleep(0.02)
            assert time.monotonic() - since < 15
        with Wire(door) as steady:  # longer than the timeout, but fast enough
            steady.begin_data()
            for _ in range(12):
                steady.say(b"x" * 98 + b"\r\n")
                time.sleep(0.06)
            steady.say(b".\r\n")
            assert steady.reply().startswith("250")


# --- what is no command -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "MAIL FROM:", "MAIL FROM:<a b@c>", "MAIL <a@b.example>", "MAIL FROM:<a@b.example", "MAIL FROM:<a@b.example>x",
        "MAIL FROM:<a@b.example> SIZE=x", "MAIL FROM:<a@b.example> SIZE=²", "MAIL FROM:<a@b.example> BODY=9BIT",
        "MAIL FROM:<a@b.example> RET=FULL", "MAIL FROM:<a\x00@b.example>", "RCPT TO:<a@b.example>", "DATA", "AUTH PLAIN eA==",
        "STARTTLS", "BDAT 5", "FROM: bob", "MAIL FROM:<" + "a" * 2000 + "@b.example>", "\x80\xff", "",
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_a_code_and_the_session_goes_on(door: Listener, line: str) -> None:
    with Wire(door) as wire:
        wire.greet()
        answer = wire.ask(line)
        assert answer[0] in "45"
        assert answer[4:6] == answer[0] + "."
        assert wire.ask("NOOP").startswith("250 2.0.0")


@pytest.mark.parametrize("line", [b"NOOP\n", b"EHLO x\nMAIL FROM:<a@b.example>\r\n", b"\n", b"NOOP\n\r"])
def test_a_line_feed_alone_ends_no_command(door: Listener, line: bytes) -> None:
    """RFC 5321 section 2.3.8: what a careless relay passed on as one line is not taken for two."""
    with Wire(door) as wire:
        wire.greet().say(line + b"\r\nRSET\r\n")
        assert wire.reply().startswith("500 5.5.2")
        assert wire.reply() == ""


def test_a_carriage_return_alone_ends_no_command(door: Listener) -> None:
    with Wire(door) as wire:
        wire.greet().say(b"NOOP\rMAIL FROM:<a@b.example>\r\nMAIL FROM:<a@b.example>\rRCPT TO:<c@d.example>\r\nRSET\r\n")
        assert [wire.reply()[:3] for _ in range(3)] == ["500", "501", "250"]


@pytest.mark.parametrize("length", [1023, 1025, 65_535, 65_536, 200_000])
def test_a_command_line_that_is_too_long_is_refused_alone(door: Listener, length: int) -> None:
    with Wire(door) as wire:
        wire.greet().say(b"NOOP " + b"x" * (length - 7) + b"\r\nRSET\r\n")
        assert wire.reply()[:9] == ("250 2.0.0" if length <= 1024 else "500 5.5.2")
        assert wire.reply() == "250 2.0.0 OK"


def test_replies_to_pipelined_commands_leave_together(door: Listener) -> None:
    """RFC 2920 section 3.2; and a reply never waits for a command that is not whole yet."""
    with Wire(door) as wire:
        wire.greet().say(ENVELOPE + b"NOOP\r\nNO")
        first = wire.socket.recv(10_000)
        assert [line[:3] for line in first.splitlines()] == [b"250"] * 3
        wire.say(b"OP\r\n")
        assert wire.reply() == "250 2.0.0 OK"


# --- when keeping fails -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        OSError(errno.ENOSPC, "No space left on device", "/var/secret/spool.db"),
        TemporaryFailure("the database is locked"),
        RuntimeError("password=hunter2"),
        RecursionError(),
        StopIteration(),
        SystemExit(1),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_whatever_goes_wrong_is_451_without_details(failure: BaseException, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(failure)
    with listening(shelf.keep) as door:
        with caplog.at_level(logging.INFO):
            assert send(door) == (451, b"4.3.0 temporary problem, try again later")
        shelf.failure = None
        assert send(door)[0] == 250
    complaints = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(complaints) == 1
    assert "hunter2" not in caplog.text
    assert "/var/secret" not in caplog.text
    assert "burns" not in caplog.text


def test_a_broken_address_book_is_451_too(shelf: Shelf) -> None:
    def broken(address: str) -> bool:
        raise KeyError(address)

    with listening(shelf.keep, accepts=broken) as door:
        assert send(door) == (451, b"4.3.0 temporary problem, try again later")


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_client_that_hangs_up_after_the_dot_does_not_stop_the_keeping(how: str) -> None:
    began, go_on, kept = threading.Event(), threading.Event(), threading.Event()

    def keep(raw: RawMail) -> None:
        began.set()
        assert go_on.wait(10)
        kept.set()

    with listening(keep) as door:
        with Wire(door) as wire:
            wire.begin_data().say(MAIL + b".\r\n")
            assert began.wait(10)
            if how == "reset":
                wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            elif how == "half-close":
                wire.socket.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        go_on.set()
        assert kept.wait(10)


def test_a_client_that_hangs_up_before_the_dot_leaves_nothing(door: Listener, shelf: Shelf) -> None:
    with Wire(door) as wire:
        wire.begin_data().say(MAIL + b".\r")
    wait_for(lambda: send(door)[0] == 250)
    assert len(shelf.mails) == 1
    assert door.octets_held == 0


def test_twenty_clients_at_once(door: Listener, shelf: Shelf) -> None:
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda n=n: codes.extend(send(door, MAIL + b"%d\r\n" % n)[0] for _ in range(5)))
        for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert codes == [250] * 100
    assert sorted(shelf.bodies) == sorted([MAIL + b"%d\r\n" % n for n in range(20)] * 5)


# --- going down -------------------------------------------------------------------------------------------------------


def test_whoever_connects_as_the_door_closes_is_not_left_in_silence() -> None:
    """Mutant: the loop's sock_accept, whose cancelling forgets a connection that it has just taken."""
    for _ in range(100):
        with listening(Shelf().keep) as door:
            stopping = threading.Thread(target=door.stop, args=(0,))
            with socket.create_connection(("127.0.0.1", door.port)) as client:
                stopping.start()
                client.settimeout(20)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(3) in (b"220", b"421", b"")
            stopping.join()


def test_stopping_lets_a_mail_end_and_takes_no_other(shelf: Shelf) -> None:
    listener = Listener(OPTIONS, shelf.take, is_ours, lambda: NOW)
    listener.start()
    port = listener.port
    with Wire(listener) as idle, Wire(listener) as busy:
        idle.greet()
        busy.begin_data().say(MAIL)
        time.sleep(0.05)
        stopper = threading.Thread(target=listener.stop, args=(10,))
        stopper.start()
        assert idle.reply().startswith("421 4.3.2")
        with Wire(listener) as late:
            assert late.reply().startswith("421 4.3.2")
        busy.say(b".\r\nNOOP\r\n")
        assert busy.reply().startswith("250 2.0.0 kept")
        assert busy.reply().startswith("421 4.3.2")
        stopper.join(5)
        assert not stopper.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 1)
    assert shelf.bodies == [MAIL]


def test_a_port_in_use_is_an_error_at_the_start(door: Listener) -> None:
    with pytest.raises(OSError, match="in use"):
        Listener(replace(OPTIONS, port=door.port), Shelf().take, is_ours, lambda: NOW).start()


# --- submission -------------------------------------------------------------------------------------------------------


def check_password(login: str, password: str) -> str | None:
    return "anna@acme.example" if login == "anna" and password in ("pä ss", "pass word") else None


@pytest.fixture
def submission(shelf: Shelf, certificate: Certificate) -> Iterator[Listener]:
    options = replace(with_tls(certificate), kind="submission")
    with listening(shelf.keep, options, check_password) as listener:
        yield listener


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def secured(submission: Listener, certificate: Certificate) -> Iterator[Wire]:
    """A conversation with the submission listener, under TLS."""
    with Wire(submission) as wire:
        yield _secure(wire.greet(), certificate)


def _secure(wire: Wire, certificate: Certificate) -> Wire:
    assert wire.ask("STARTTLS").startswith("220")
    wire.secure(certificate.client())
    assert wire.ask("EHLO client.example").startswith("250-")
    return wire


def test_a_user_with_a_password_under_tls_is_believed(secured: Wire, shelf: Shelf) -> None:
    assert secured.ask("MAIL FROM:<anna@acme.example>").startswith("530 5.7.0")
    assert secured.ask(f"auth plain {encoded(chr(0) + 'anna' + chr(0) + 'pä ss')}").startswith("235 2.7.0")
    assert secured.ask("MAIL FROM:<anna@acme.example> AUTH=<>").startswith("250")
    assert secured.ask("RCPT TO:<bob@b.example>").startswith("550 5.1.1"), "an agent cannot relay either"
    assert secured.ask(f"RCPT TO:<{OURS}>").startswith("250")
    secured.ask("DATA")
    secured.say(MAIL + b".\r\n")
    assert secured.reply().startswith("250")
    (raw,) = shelf.mails
    assert (raw.door, raw.envelope.user) == (Door.SUBMISSION, "anna@acme.example")
    assert b" with ESMTPSA id " in raw.data


def test_auth_login_in_steps(secured: Wire) -> None:
    assert secured.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
    assert secured.ask(encoded("anna")) == "334 UGFzc3dvcmQ6"
    assert secured.ask(encoded("pä ss")).startswith("235")


def test_the_standard_client_can_log_in(submission: Listener, certificate: Certificate, shelf: Shelf) -> None:
    with smtplib.SMTP("localhost", submission.port, local_hostname="client.example", timeout=10) as client:
        client.starttls(context=certificate.client())
        client.login("anna", "pass word")
        assert client.sendmail("anna@acme.example", [OURS], MAIL) == {}
    assert shelf.mails[0].envelope.user == "anna@acme.example"


def test_passwords_are_not_asked_for_in_the_clear(submission: Listener) -> None:
    with Wire(submission) as wire:
        wire.reply()
        assert "AUTH" not in wire.ask("EHLO client.example")
        assert wire.ask(f"AUTH PLAIN {encoded(chr(0) + 'anna' + chr(0) + 'pä ss')}").startswith("538 5.7.11")
        assert wire.ask("AUTH LOGIN").startswith("538 5.7.11")
        assert wire.ask("MAIL FROM:<anna@acme.example>").startswith("530 5.7.0")


def test_three_wrong_passwords_end_the_session(secured: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        answers = [secured.ask(f"AUTH PLAIN {encoded(chr(0) + 'anna' + chr(0) + 'wrong-one')}") for _ in range(3)]
        assert [answer[:9] for answer in answers] == ["535 5.7.8"] * 3
        assert secured.reply().startswith("421 4.7.0")
        assert secured.reply() == ""
    assert "wrong-one" not in caplog.text
    assert encoded("wrong-one")[:8] not in caplog.text


@pytest.mark.parametrize("words", ["PLAIN !!!", "PLAIN eA==", "GSSAPI", "LOGIN !", ""])
def test_a_garbled_login_is_refused(secured: Wire, words: str) -> None:
    assert secured.ask(f"AUTH {words}")[:3] in ("501", "504")
    assert secured.ask("NOOP").startswith("250")


def test_a_login_given_up_is_refused(secured: Wire) -> None:
    secured.ask("AUTH LOGIN")
    assert secured.ask("*").startswith("501")
    assert secured.ask("MAIL FROM:<anna@acme.example>").startswith("530")


def test_a_broken_password_check_is_temporary(shelf: Shelf, certificate: Certificate) -> None:
    def broken(login: str, password: str) -> str | None:
        raise RuntimeError(password)

    options = replace(with_tls(certificate, "implicit"), kind="submission")
    with (
        listening(shelf.keep, options, broken) as door,
        smtplib.SMTP_SSL("localhost", door.port, context=certificate.client(), timeout=10) as client,
    ):
        with pytest.raises(smtplib.SMTPAuthenticationError) as refusal:
            client.login("anna", "secret")
        assert refusal.value.smtp_code == 451


def test_tls_from_the_first_byte(shelf: Shelf, certificate: Certificate) -> None:
    options = replace(with_tls(certificate, "implicit"), kind="submission")
    with (
        listening(shelf.keep, options, check_password) as door,
        smtplib.SMTP_SSL("localhost", door.port, context=certificate.client(), timeout=10) as client,
    ):
        client.ehlo()
        assert not client.has_extn("starttls")
        client.login("anna", "pass word")
        assert client.sendmail("anna@acme.example", [OURS], MAIL) == {}
    assert b" with ESMTPSA id " in shelf.mails[0].data


def test_a_listener_may_require_tls(shelf: Shelf, certificate: Certificate) -> None:
    with (
        listening(shelf.keep, replace(with_tls(certificate), require_tls=True)) as door,
        Wire(door) as wire,
    ):
        wire.greet()
        assert wire.ask("MAIL FROM:<bob@b.example>").startswith("530 5.7.0")
        _secure(wire, certificate)
        assert wire.ask("STARTTLS").startswith("503")
        assert wire.ask("MAIL FROM:<bob@b.example>").startswith("250")


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="needs tls"):
        replace(OPTIONS, kind="submission")
    with pytest.raises(ValueError, match="needs a certificate"):
        replace(OPTIONS, tls="implicit")
