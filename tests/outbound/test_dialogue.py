"""A relay that trickles, hangs or talks nonsense holds nobody for longer than was said.

Mutant caught: a timeout that begins anew with each byte, as smtplib's does.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.outbound.dialogue import Broken, Dialogue
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.outbound.transport import LONGEST_SEND, RelayDown
from tests.servers.certificate import Certificate

MAIL = b"From: support@acme.example\r\nSubject: x\r\n\r\nHello\r\n"
#: Whatever takes longer hangs; the limits in these tests are far below.
FAR_TOO_LONG = 20.0


@contextmanager
def server(speak: Callable[[socket.socket], None]) -> Iterator[int]:
    """Speaks with whoever connects."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.settimeout(30)
                    speak(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(60)


@contextmanager
def relay_to(port: int, **options: object) -> Iterator[Relay]:
    given = {"host": "127.0.0.1", "port": port, "tls": "none", "timeout": 0.5, "final_timeout": 0.5, **options}
    relay = Relay(RelayOptions(**given))  # type: ignore[arg-type]
    began = time.monotonic()
    yield relay
    assert time.monotonic() - began < FAR_TOO_LONG
    relay.close()


def drip(connection: socket.socket, piece: bytes) -> None:
    """For ever, so slowly that no limit for a single read would notice."""
    while True:
        connection.sendall(piece)
        time.sleep(0.1)


def lines(connection: socket.socket) -> Iterator[bytes]:
    with connection.makefile("rb") as incoming:
        yield from incoming


@pytest.mark.parametrize("piece", [b"2", b"220-welcome\r\n"])
def test_a_greeting_that_never_ends(piece):
    with server(lambda connection: drip(connection, piece)) as port, relay_to(port) as relay:  # noqa: SIM117 (one line would be too long)
        with pytest.raises(RelayDown, match="did not answer in time"):
            relay.send("", "bob@client.example", MAIL)


def test_a_reply_to_the_data_that_never_ends():
    def speak(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        for line in lines(connection):
            if line == b".\r\n":
                drip(connection, b"250-")
            if line.startswith((b"EHLO", b"MAIL", b"RCPT")):
                connection.sendall(b"250 ok\r\n")
            if line == b"DATA\r\n":
                connection.sendall(b"354 go\r\n")

    with server(speak) as port, relay_to(port) as relay:  # noqa: SIM117 (one line would be too long)
        with pytest.raises(TemporaryFailure, match="went away before it confirmed the mail: did not answer in time"):
            relay.send("", "bob@client.example", MAIL)


def slow(connection: socket.socket, seconds: float, final: float) -> None:
    """Answers each command after a while, and the data after another one."""
    connection.sendall(b"220 x\r\n")
    in_data = False
    for line in lines(connection):
        if in_data and line != b".\r\n":
            continue
        time.sleep(final if in_data else seconds)
        in_data = line == b"DATA\r\n"
        connection.sendall(b"354 go\r\n" if in_data else b"250 ok\r\n")


def test_steps_that_are_short_enough_may_be_too_long_together():
    """Four answers after 0.4 s each: each is in time, the fourth comes after the end of all."""
    with server(lambda connection: slow(connection, 0.4, 0)) as port, relay_to(port, longest=1.3) as relay:  # noqa: SIM117 (one line would be too long)
        with pytest.raises(TemporaryFailure, match="did not answer in time"):
            relay.send("", "bob@client.example", MAIL)


def test_after_the_data_a_relay_gets_its_time_whatever_was_before():
    """To give up there means to send twice (RFC 5321 section 4.5.3.2.6)."""
    options = {"timeout": 5, "longest": 5, "final_timeout": 15}
    with server(lambda connection: slow(connection, 0, 6)) as port, relay_to(port, **options) as relay:
        assert relay.send("", "bob@client.example", MAIL).reply == "250 ok"


def test_a_relay_that_does_not_read_the_mail():
    stop = threading.Event()

    def speak(connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(b"220 x\r\n")
        for line in lines(connection):
            connection.sendall(b"354 go\r\n" if line == b"DATA\r\n" else b"250 ok\r\n")
            if line == b"DATA\r\n":
                stop.wait(FAR_TOO_LONG)
                return

    with server(speak) as port, relay_to(port) as relay:
        with pytest.raises(TemporaryFailure, match="did not answer in time"):
            relay.send("", "bob@client.example", MAIL + b"x" * 70 * 400_000 + b"\r\n")
        stop.set()


@pytest.mark.parametrize("said", [b"hello\r\n", b"\r\n", b"999 x\r\n", b"220x\r\n", b"220" * 100_000, b"\xff\x00\r\n"])
def test_what_is_no_reply_is_none(said):
    with server(lambda connection: connection.sendall(said)) as port, relay_to(port) as relay, pytest.raises(RelayDown):
        relay.send("", "bob@client.example", MAIL)


def test_words_in_the_clear_are_not_taken_for_the_encrypted_servers(certificate: Certificate):
    """CVE-2011-0411 and its kin, on our side: what came with the reply to STARTTLS is nobody's word."""

    def speak(connection: socket.socket) -> None:
        connection.sendall(b"220 x\r\n")
        for line in lines(connection):
            injected = b"220 go\r\n250-x\r\n250 AUTH PLAIN\r\n"
            connection.sendall(injected if line == b"STARTTLS\r\n" else b"250-x\r\n250 STARTTLS\r\n")

    options = {"tls": "starttls", "ssl_context": certificate.client(), "host": "localhost"}
    with server(speak) as port, relay_to(port, **options) as relay, pytest.raises(RelayDown, match="before TLS began"):
        relay.send("", "bob@client.example", MAIL)


def test_tls_that_is_never_spoken():
    def speak(connection: socket.socket) -> None:
        time.sleep(3)

    context = ssl.create_default_context()
    with server(speak) as port, relay_to(port, tls="implicit", ssl_context=context) as relay:  # noqa: SIM117 (one line would be too long)
        with pytest.raises(RelayDown, match="did not answer in time"):
            relay.send("", "bob@client.example", MAIL)


def test_a_reply_of_several_lines_is_one_line_without_steering_characters():
    one, other = socket.socketpair()
    with one, other:
        other.sendall(b"550-no such\r\n550-\x1b[31muser\r\n550 here\r\n250 next\r\n")
        talk = Dialogue(one, 5)

        assert str(talk.hear()) == "550 no such [31muser here"
        assert str(talk.hear()) == "250 next"
        other.close()
        with pytest.raises(Broken, match="closed the connection"):
            talk.hear()


def test_no_mail_takes_longer_than_everybody_relies_on():
    options = RelayOptions(host="relay.example")

    assert options.longest + options.final_timeout < LONGEST_SEND
    with pytest.raises(ValueError, match="longer than"):
        RelayOptions(host="relay.example", longest=LONGEST_SEND)
