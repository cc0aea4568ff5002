"""A relay takes a mail, puts it off or refuses it, and a password goes only where it belongs."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpdesk.domain.errors import ConfigError, PermanentFailure, TemporaryFailure
from helpdesk.domain.mail import Mailbox
from helpdesk.outbound.compose import Draft, Enclosure, compose
from helpdesk.outbound.maildir import MaildirRelay
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.outbound.transport import RelayDown, SenderRefused, Transport
from tests.servers.certificate import Certificate, make
from tests.servers.found import require
from tests.servers.postfix import Postfix
from tests.servers.sink import Sink

MAIL = b"From: support@acme.example\r\nTo: bob@client.example\r\nSubject: x\r\n\r\nHello\r\n.\r\n..dots\r\nend\r\n"
FROM, BOB = "support@acme.example", "bob@client.example"


@contextmanager
def relay_to(port: int, **options: object) -> Iterator[Relay]:
    given = {"host": "127.0.0.1", "port": port, "tls": "none", "timeout": 5, "final_timeout": 5, **options}
    relay = Relay(RelayOptions(**given))  # type: ignore[arg-type]
    yield relay
    relay.close()


@pytest.fixture
def login_sink(certificate: Certificate) -> Iterator[Sink]:
    """Offers STARTTLS and demands a login."""
    server = Sink(tls=certificate.server(), login=("desk", "s3cret-pass"))
    yield server
    server.stop()


def test_a_mail_arrives_unchanged_and_the_reply_is_kept(sink):
    with relay_to(sink.port) as relay:
        accepted = relay.send(FROM, BOB, MAIL)

    (delivery,) = sink.deliveries
    assert delivery.data.replace(b"\r\n", b"\n") == MAIL.replace(b"\r\n", b"\n")
    assert (delivery.sender, delivery.recipients) == (FROM, (BOB,))
    assert accepted.reply.startswith("250 ")


def test_automatic_mail_has_the_null_reverse_path(sink):
    with relay_to(sink.port) as relay:
        relay.send("", BOB, MAIL)

    assert sink.deliveries[0].sender == ""


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("450 4.2.0 greylisted", TemporaryFailure),
        ("452 4.2.2 mailbox full", TemporaryFailure),
        ("550 5.1.1 no such user", PermanentFailure),
        ("554 5.7.1 spam", PermanentFailure),
        ("530 5.7.0 login first", TemporaryFailure),
        ("421 4.3.2 closing", TemporaryFailure),
    ],
)
def test_a_refused_recipient_is_put_off_or_given_up(sink, reply, failure):
    sink.refuse(BOB, reply)
    with relay_to(sink.port, name="main") as relay:
        with pytest.raises(failure) as raised:
            relay.send(FROM, BOB, MAIL)

        assert str(raised.value) == f"main refused {BOB}: {reply}"
        assert type(raised.value) is failure
        relay.send(FROM, "eve@client.example", MAIL)

    assert [delivery.recipients for delivery in sink.deliveries] == [("eve@client.example",)]


@pytest.mark.parametrize(
    ("reply", "failure"), [("451 4.3.0 disk", TemporaryFailure), ("554 5.6.0 bad", PermanentFailure)]
)
def test_a_mail_refused_after_its_data(sink, reply, failure):
    sink.after_data(reply)
    with relay_to(sink.port) as relay, pytest.raises(failure, match=reply):
        relay.send(FROM, BOB, MAIL)


def test_silence_after_the_data_means_again_later(sink):
    sink.after_data("lose")
    with relay_to(sink.port) as relay:
        with pytest.raises(TemporaryFailure, match="went away before it confirmed the mail"):
            relay.send(FROM, BOB, MAIL)
        relay.send(FROM, BOB, MAIL)

    assert len(sink.deliveries) == 1


# --- the relay's trouble, and the mail's ------------------------------------------------------------------------------


@pytest.mark.parametrize("greeting", ["421 too busy", "450 not now", "554 no service here", "220-x", "hello"])
def test_a_bad_greeting_is_the_relays_trouble(sink, greeting):
    sink.greet(greeting)
    with relay_to(sink.port, timeout=0.5) as relay:
        with pytest.raises(RelayDown):
            relay.send(FROM, BOB, MAIL)
        relay.send(FROM, BOB, MAIL)

    assert len(sink.deliveries) == 1


def test_nobody_listening_is_the_relays_trouble():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with relay_to(port, name="main") as relay, pytest.raises(RelayDown) as raised:
            relay.send(FROM, BOB, MAIL)

    assert str(raised.value) == f"main (127.0.0.1:{port}) cannot be reached: Connection refused"


def test_unknown_host_is_the_relays_trouble():
    with relay_to(25, host="no-such-host.invalid") as relay, pytest.raises(RelayDown, match="cannot be reached"):
        relay.send(FROM, BOB, MAIL)


@pytest.mark.parametrize("reply", ["421 4.3.2 closing", "530 5.7.0 login first", "535 5.7.8 who are you", "hang up"])
def test_a_session_that_ends_before_any_mail_is_the_relays_trouble(sink, reply):
    sink.refuse_sender(reply)
    with relay_to(sink.port) as relay:
        with pytest.raises(RelayDown) as raised:
            relay.send(FROM, BOB, MAIL)
        relay.send(FROM, BOB, MAIL)

    assert raised.value.of_sender is (reply != "hang up")
    assert len(sink.deliveries) == 1


@pytest.mark.parametrize(
    ("reply", "failure"),
    [
        ("553 5.7.1 not yours", SenderRefused),
        ("451 4.1.8 who is that", TemporaryFailure),
        ("452 4.3.1 full", TemporaryFailure),
        ("552 big", PermanentFailure),
    ],
)
def test_a_refused_sender_is_this_mails_trouble(sink, reply, failure):
    sink.refuse_sender(reply)
    with relay_to(sink.port, name="main") as relay:
        with pytest.raises(failure) as raised:
            relay.send(FROM, BOB, MAIL)
        relay.send(FROM, BOB, MAIL)

    assert type(raised.value) is failure
    assert str(raised.value) == f"main refused the sender: {reply}"
    assert (len(sink.deliveries), sink.connections) == (1, 1)


def test_a_relay_that_hangs_up_on_a_recipient_leaves_the_others_alone(sink):
    """Or one address would stop the queue for all."""
    sink.refuse(BOB, "hang up")
    with relay_to(sink.port) as relay, pytest.raises(TemporaryFailure) as raised:
        relay.send(FROM, BOB, MAIL)

    assert type(raised.value) is TemporaryFailure
    assert sink.deliveries == []


def test_silence_after_the_data_is_this_mails_trouble(sink):
    sink.after_data("hang up")
    with relay_to(sink.port) as relay, pytest.raises(TemporaryFailure) as raised:
        relay.send(FROM, BOB, MAIL)

    assert type(raised.value) is TemporaryFailure
    assert len(sink.deliveries) == 1, "it was not sent a second time at once"


def test_a_password_that_cannot_be_had_is_the_relays_trouble(login_sink, certificate):
    def password() -> str:
        raise ConfigError("/etc/desk/secret", "password_file", "No such file or directory")

    options = {"tls": "starttls", "ssl_context": certificate.client(), "user": "desk", "password": password}
    with relay_to(login_sink.port, **options) as relay, pytest.raises(RelayDown, match=r"got no login: .*secret"):
        relay.send(FROM, BOB, MAIL)


@pytest.mark.parametrize("recipient", ["bob", "b@x>\r\nRCPT TO:<eve@x", "a b@x", "", "bob@x\r\nDATA"])
def test_a_recipient_that_is_no_address_never_reaches_the_relay(sink, recipient):
    with relay_to(sink.port) as relay, pytest.raises(PermanentFailure):
        relay.send(FROM, recipient, MAIL)

    assert sink.connections == 0


def test_smtputf8_is_used_for_addresses_that_need_it(sink):
    with relay_to(sink.port) as relay:
        relay.send(FROM, "jörg@client.example", MAIL)
        relay.send(FROM, BOB, MAIL)

    assert [delivery.recipients for delivery in sink.deliveries] == [("jörg@client.example",), (BOB,)]


@pytest.mark.parametrize("offers", [(), ("PIPELINING",)])
def test_an_address_that_a_relay_cannot_carry_is_given_up_in_words(offers):
    server = Sink(offers=offers)
    with relay_to(server.port, name="main") as relay:
        with pytest.raises(PermanentFailure) as raised:
            relay.send(FROM, "jörg@client.example", MAIL)
        with pytest.raises(PermanentFailure, match="8BITMIME"):
            relay.send(FROM, BOB, MAIL.replace(b"Hello", "Grüße".encode()))
        relay.send(FROM, BOB, MAIL)
    server.stop()

    words = "main cannot carry this mail: the address jörg@client.example needs SMTPUTF8 (5.6.7)"
    assert str(raised.value) == words
    assert [one.recipients for one in server.deliveries] == [(BOB,)]


def test_a_relay_without_any_extension_gets_every_mail_in_seven_bits():
    """What we write is ASCII from the first byte on, so no relay needs 8BITMIME for it (RFC 6152)."""
    draft = Draft(
        sender=Mailbox(FROM, "Jörg Größe"),
        to=(Mailbox(BOB, "Зоя"),),
        subject="Grüße ✓",
        text="日本語, and a line of a thousand ü:\n" + "ü" * 1000,
        html="<p>Grüße</p>",
        message_id="<1@acme.example>",
        date=datetime(2026, 3, 2, tzinfo=UTC),
        enclosures=(Enclosure("größe.bin", "application/octet-stream", bytes(range(256))),),
    )
    data = compose(draft)
    server = Sink(offers=())
    with relay_to(server.port) as relay:
        relay.send(FROM, BOB, data)
    server.stop()

    assert data.isascii()
    assert server.deliveries[0].data == data
    assert "MAIL FROM:<support@acme.example>" in server.commands


# --- several commands at once -----------------------------------------------------------------------------------------


def test_a_kept_connection_takes_an_envelope_in_one_write():
    """The server answers MAIL of the second mail only when it has seen its DATA."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(5)

    def serve() -> None:
        connection, _ = server.accept()
        connection.settimeout(5)

        def until(end: bytes) -> bytes:
            heard = b""
            while not heard.endswith(end):
                heard += connection.recv(4096)
            return heard

        with connection:
            connection.sendall(b"220 x\r\n")
            until(b"\r\n")
            connection.sendall(b"250-x\r\n250 pipelining\r\n")
            until(b"\r\n")  # MAIL alone
            connection.sendall(b"250 ok\r\n")
            until(b"DATA\r\n")
            connection.sendall(b"250 ok\r\n354 go\r\n")
            until(b"\r\n.\r\n")
            connection.sendall(b"250 took it\r\n")
            heard.append(until(b"DATA\r\n"))
            connection.sendall(b"250 ok\r\n250 ok\r\n354 go\r\n")
            until(b"\r\n.\r\n")
            connection.sendall(b"250 took it, too\r\n")
            until(b"QUIT\r\n")

    heard: list[bytes] = []
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with relay_to(server.getsockname()[1]) as relay:
        assert relay.send(FROM, BOB, MAIL).reply == "250 took it"
        assert relay.send(FROM, BOB, MAIL).reply == "250 took it, too"
    thread.join(5)
    server.close()

    assert heard == [b"MAIL FROM:<support@acme.example>\r\nRCPT TO:<bob@client.example>\r\nDATA\r\n"]


@pytest.mark.parametrize("offers", [(), ("PIPELINING",)])
def test_only_a_transaction_that_failed_is_reset(offers):
    server = Sink(offers=offers)
    server.refuse("eve@client.example", "550 5.1.1 unknown", "550 5.1.1 unknown")
    with relay_to(server.port) as relay:
        for recipient in (BOB, "eve@client.example", BOB, BOB, "eve@client.example"):
            with suppress(PermanentFailure):
                relay.send(FROM, recipient, MAIL)
    server.stop()

    assert (len(server.deliveries), server.connections) == (3, 1)
    assert server.commands.count("RSET") == 1
    assert server.commands.count("DATA") == 3 + 2 * len(offers)


def test_a_relay_that_wants_the_mail_of_a_refused_recipient_gets_none():
    """RFC 2920 section 3.1: it may answer DATA with 354; then it gets an empty mail for nobody."""
    server = ["220 x", "250-x\r\n250 PIPELINING", "250 ok", "550 5.1.1 no\r\n354 go", None]
    heard: list[bytes] = []
    with scripted([server, GOOD], heard=heard) as port, relay_to(port) as relay:
        with pytest.raises(PermanentFailure, match=r"550 5\.1\.1 no"):
            relay.send(FROM, BOB, MAIL)
        relay.close()

    assert b".\r\n" in heard
    assert b"Subject: x\r\n" not in heard


def test_a_real_relay_that_refuses_one_of_several(sink):
    """Postfix answers the commands that came together, one of them with a refusal, and goes on with the next mail."""
    require("postfix")
    refusing = "check_recipient_access inline:{{eve@client.example=550 5.1.1 gone}, {joe@client.example=450 later}}"
    server = Postfix(f"smtp:[127.0.0.1]:{sink.port}", extra=f"smtpd_recipient_restrictions = {refusing}, permit")
    try:
        with relay_to(server.port, name="main", timeout=20, final_timeout=20) as relay:
            for recipient in (BOB, "ann@client.example", "eve@client.example", "zoe@client.example"):
                with suppress(PermanentFailure):
                    assert relay.send(FROM, recipient, MAIL).reply.startswith("250 2.0.0 Ok: queued")
            with pytest.raises(PermanentFailure, match=r"refused eve@client.example: 550 5\.1\.1 .*gone"):
                relay.send(FROM, "eve@client.example", MAIL)
            with pytest.raises(TemporaryFailure, match=r"refused joe@client.example: 450 .*later"):
                relay.send(FROM, "joe@client.example", MAIL)
            relay.send(FROM, BOB, MAIL)
            assert relay._session is not None
            assert relay._session.mails == 4, "all over one connection"
        sink.wait(4, 30)
    finally:
        server.stop()

    assert sorted(one.recipients for one in sink.deliveries) == [
        ("ann@client.example",),
        (BOB,),
        (BOB,),
        ("zoe@client.example",),
    ]


@pytest.mark.parametrize("where", ["MAIL", "RCPT", "end of data"])
def test_a_goodbye_on_a_kept_connection_is_answered_by_a_new_one(sink, where):
    """421 there says that the relay is tired of the session; the mail costs no attempt."""
    with relay_to(sink.port) as relay:
        relay.send(FROM, BOB, MAIL)
        match where:
            case "MAIL":
                sink.refuse_sender("421 4.4.2 enough")
            case "RCPT":
                sink.refuse(BOB, "421 4.4.2 enough")
            case _:
                sink.after_data("421 4.3.2 going down")
        relay.send(FROM, BOB, MAIL)

    assert (len(sink.deliveries), sink.connections) == (2, 2)


# --- the kept connection ----------------------------------------------------------------------------------------------


def test_connection_is_kept(sink):
    with relay_to(sink.port) as relay:
        for _ in range(5):
            relay.send(FROM, BOB, MAIL)

    assert (len(sink.deliveries), sink.connections) == (5, 1)


def test_connection_is_renewed_after_so_many_mails_or_so_long(sink):
    with relay_to(sink.port, mails_per_connection=2) as relay:
        for _ in range(5):
            relay.send(FROM, BOB, MAIL)
    assert sink.connections == 3

    with relay_to(sink.port, idle_seconds=0.05) as relay:
        relay.send(FROM, BOB, MAIL)
        time.sleep(0.1)
        relay.send(FROM, BOB, MAIL)
    assert sink.connections == 5


def test_a_kept_connection_that_died_is_opened_again(sink):
    with relay_to(sink.port) as relay:
        relay.send(FROM, BOB, MAIL)
        assert relay._session is not None
        relay._session.talk._socket.shutdown(socket.SHUT_RDWR)

        relay.send(FROM, BOB, MAIL)

    assert (len(sink.deliveries), sink.connections) == (2, 2)


def test_a_relay_that_hangs_up_between_mails_costs_nothing():
    """Answers MAIL of the second mail by closing, as a restarting relay does."""
    kept = ["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 took it", None]
    with scripted([kept, GOOD]) as port, relay_to(port) as relay:
        assert relay.send(FROM, BOB, MAIL).reply == "250 took it"
        assert relay.send(FROM, BOB, MAIL).reply == "250 again"


def test_a_relay_that_always_hangs_up_is_tried_only_once_more():
    dead = ["220 x", "250 x", None]
    kept = ["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 took it", None]
    with scripted([kept, dead]) as port, relay_to(port) as relay:
        relay.send(FROM, BOB, MAIL)
        with pytest.raises(TemporaryFailure, match="closed the connection"):
            relay.send(FROM, BOB, MAIL)


def test_close_is_final_only_until_the_next_mail(sink):
    with relay_to(sink.port) as relay:
        relay.send(FROM, BOB, MAIL)
        relay.close()
        relay.close()
        relay.send(FROM, BOB, MAIL)

    assert sink.connections == 2


@pytest.mark.parametrize("kept", [False, True], ids=["new connection", "kept connection"])
def test_a_relay_that_keeps_silent_after_the_dot_holds_nobody_who_closes(kept: bool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        dots = threading.Semaphore(0)
        threading.Thread(target=_silent_after_the_dot, args=(server, kept, dots), daemon=True).start()
        given = RelayOptions(host="127.0.0.1", port=server.getsockname()[1], tls="none", timeout=60)
        relay, problems = Relay(given), []

        def send() -> None:
            try:
                relay.send(FROM, BOB, MAIL)
            except TemporaryFailure as problem:
                problems.append(problem)

        if kept:
            send()
            dots.acquire(timeout=20)
        sending = threading.Thread(target=send)
        sending.start()
        assert dots.acquire(timeout=20)

        relay.close()

        sending.join(20)
        assert not sending.is_alive()
        assert len(problems) == 1
        assert not dots.acquire(blocking=False)  # nor was the mail handed over a second time


def test_a_relay_that_refuses_amid_the_mail_and_hangs_up_has_refused_it():
    """Its word may be lost with the connection; where it is not, nobody asks again for days."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_refuses_amid_the_mail, args=(server,), daemon=True).start()
        relay = Relay(RelayOptions(host="127.0.0.1", port=server.getsockname()[1], tls="none", timeout=20))
        large = MAIL + b"z" * 70 + (b"\r\n" + b"z" * 70) * 400_000 + b"\r\n"

        with pytest.raises(PermanentFailure, match=r"552 5\.3\.4 message too big"):
            relay.send(FROM, BOB, large)


def _refuses_amid_the_mail(server: socket.socket) -> None:
    client, _ = server.accept()
    with client, client.makefile("rb") as lines:
        client.sendall(b"220 relay.example\r\n")
        for line in lines:
            if line.startswith(b"DATA"):
                client.sendall(b"354 go\r\n")
                client.recv(1000)
                client.sendall(b"552 5.3.4 message too big\r\n")
                client.shutdown(socket.SHUT_WR)
                client.shutdown(socket.SHUT_RD)
                return
            client.sendall(b"250 ok\r\n")


def _silent_after_the_dot(server: socket.socket, takes_the_first: bool, dots: threading.Semaphore) -> None:
    """A relay that confirms no mail, or only its first."""
    with suppress(OSError):
        while True:
            client, _ = server.accept()
            with client, client.makefile("rb") as lines:
                client.sendall(b"220 relay.example\r\n")
                data = False
                for line in lines:
                    if data and line == b".\r\n":
                        data = False
                        if takes_the_first:
                            client.sendall(b"250 taken\r\n")
                            takes_the_first = False
                        dots.release()
                    elif not data:
                        data = line.upper().startswith(b"DATA")
                        client.sendall(b"354 go on\r\n" if data else b"250 fine\r\n")


def test_threads_share_the_connection(sink):
    with relay_to(sink.port) as relay:
        threads = [threading.Thread(target=relay.send, args=(FROM, BOB, MAIL)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert (len(sink.deliveries), sink.connections) == (8, 1)


# --- TLS and passwords ------------------------------------------------------------------------------------------------


def test_password_goes_over_verified_tls(login_sink, certificate):
    options = {"tls": "starttls", "ssl_context": certificate.client(), "user": "desk"}
    with relay_to(login_sink.port, password=lambda: "s3cret-pass", **options) as relay:
        relay.send(FROM, BOB, MAIL)

    (delivery,) = login_sink.deliveries
    assert (delivery.encrypted, delivery.user) == (True, "desk")


def test_wrong_password_is_temporary_and_in_no_text(login_sink, certificate):
    options = {"tls": "starttls", "ssl_context": certificate.client(), "user": "desk", "password": "wr0ng-pass"}
    refused = pytest.raises(TemporaryFailure, match="refused our login: 535")
    with relay_to(login_sink.port, **options) as relay, refused as raised:
        relay.send(FROM, BOB, MAIL)

    assert "wr0ng-pass" not in str(raised.value)


def test_an_echoed_password_is_in_no_text(certificate):
    echo = ["220 x", "250-x\r\n250 AUTH PLAIN", "535 no: \0desk\0wr0ng-pass AGRlc2sAd3IwbmctcGFzcw== wr0ng-pass"]
    with scripted([echo], tls=certificate.server()) as port:
        options = {"tls": "implicit", "ssl_context": certificate.client(), "user": "desk", "password": "wr0ng-pass"}
        with relay_to(port, **options) as relay, pytest.raises(TemporaryFailure) as raised:
            relay.send(FROM, BOB, MAIL)

    assert "535 no:" in str(raised.value)
    assert "wr0ng-pass" not in str(raised.value)
    assert "AGRlc2sAd3IwbmctcGFzcw" not in str(raised.value)


def test_self_signed_certificate_is_refused_before_any_password(login_sink):
    """The default context knows nothing of the sink's authority."""
    asked: list[str] = []
    options = {"tls": "starttls", "user": "desk", "password": lambda: asked.append("asked") or "p"}
    refused = pytest.raises(TemporaryFailure, match=r"TLS failed: self.signed certificate")
    with relay_to(login_sink.port, **options) as relay, refused:
        relay.send(FROM, BOB, MAIL)

    assert asked == []
    assert login_sink.deliveries == []


def test_certificate_of_another_name_is_refused(tmp_path):
    other = make(tmp_path, "relay.elsewhere.example")
    server = Sink(tls=other.server())
    refused = pytest.raises(TemporaryFailure, match="TLS failed: Hostname mismatch")
    options = {"host": "localhost", "tls": "starttls", "ssl_context": other.client()}
    with relay_to(server.port, **options) as relay, refused:
        relay.send(FROM, BOB, MAIL)
    server.stop()


def test_starttls_that_is_not_offered_keeps_the_mail_here(sink):
    refused = pytest.raises(TemporaryFailure, match="does not offer STARTTLS")
    with relay_to(sink.port, tls="starttls", user="desk", password="p") as relay, refused:
        relay.send(FROM, BOB, MAIL)

    assert sink.deliveries == []


def test_implicit_tls(certificate):
    options = {"tls": "implicit", "ssl_context": certificate.client()}
    with scripted([GOOD], tls=certificate.server()) as port, relay_to(port, **options) as relay:
        assert relay.send(FROM, BOB, MAIL).reply == "250 again"


def test_a_password_without_tls_cannot_be_set_up():
    with pytest.raises(ValueError, match="a password needs tls"):
        RelayOptions(host="relay.example", tls="none", user="desk", password="p")


GOOD = ["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 again", "221 bye"]


@contextmanager
def scripted(
    conversations: list[list[str | None]], tls: ssl.SSLContext | None = None, heard: list[bytes] | None = None
) -> Iterator[int]:
    """A server that says these lines, one for each command (a mail's data is one), and hangs up at None.

    ``heard`` gets every line that came.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)

    def serve() -> None:
        for lines in conversations:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection = tls.wrap_socket(connection, server_side=True) if tls else connection
            connection.settimeout(5)
            with connection, connection.makefile("rb") as incoming:
                _speak(connection, incoming.readline, lines, [] if heard is None else heard)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.close()
    thread.join(5)


def _speak(
    connection: socket.socket, readline: Callable[[], bytes], lines: list[str | None], heard: list[bytes]
) -> None:
    previous = ""
    for number, line in enumerate(lines):
        if number:
            while line_heard := readline():
                heard.append(line_heard)
                if "354" not in previous or line_heard == b".\r\n":
                    break
            else:
                return
        if line is None:
            return
        connection.sendall(line.encode() + b"\r\n")
        previous = line


# --- Maildir ----------------------------------------------------------------------------------------------------------


def test_maildir_has_a_folder_for_each_recipient(tmp_path: Path):
    relay: Transport = MaildirRelay(tmp_path)

    relay.send(FROM, "Bob@Client.example", MAIL)
    relay.send(FROM, BOB, MAIL)
    relay.send(FROM, "eve@client.example", MAIL)
    relay.close()

    assert sorted(folder.name for folder in tmp_path.iterdir()) == [BOB, "eve@client.example"]
    files = sorted((tmp_path / BOB / "new").iterdir())
    assert [file.read_bytes() for file in files] == [MAIL.replace(b"\r\n", b"\n")] * 2
    assert list((tmp_path / BOB / "tmp").iterdir()) == []


@pytest.mark.parametrize("recipient", ["../x@y.example", "a/../../b@y.example", "..@y.example", "x\0@y.example"])
def test_maildir_never_leaves_its_folder(tmp_path: Path, recipient):
    with suppress(PermanentFailure):
        MaildirRelay(tmp_path / "mails").send(FROM, recipient, MAIL)

    assert [path.name for path in tmp_path.iterdir()] in ([], ["mails"])
    assert all(path.parent == tmp_path / "mails" for path in (tmp_path / "mails").glob("*"))


def test_maildir_that_cannot_be_written_is_temporary(tmp_path: Path):
    (tmp_path / "mails").write_text("a file in the way")

    with pytest.raises(RelayDown):
        MaildirRelay(tmp_path / "mails").send(FROM, BOB, MAIL)


def test_an_address_too_long_for_a_folder_stops_nobody_else(tmp_path: Path):
    long = f"{'x' * 200}@{'y' * 60}.example"
    with pytest.raises(PermanentFailure, match="too long"):
        MaildirRelay(tmp_path).send(FROM, long, MAIL)
