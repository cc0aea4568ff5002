"""A relay takes a mail, puts it off or refuses it, and a password goes only where it belongs."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from helpdesk.domain.errors import PermanentFailure, TemporaryFailure
from helpdesk.outbound.maildir import MaildirRelay
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.outbound.transport import Transport
from tests.servers.certificate import Certificate, make
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


@pytest.mark.parametrize("greeting", ["421 too busy", "554 no service here", "220-x"])
def test_a_bad_greeting_never_gives_the_mail_up(sink, greeting):
    sink.greet(greeting)
    with relay_to(sink.port, timeout=0.5) as relay, pytest.raises(TemporaryFailure):
        relay.send(FROM, BOB, MAIL)


def test_nobody_listening_is_temporary():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with relay_to(closed.getsockname()[1]) as relay, pytest.raises(TemporaryFailure, match="cannot be reached"):
            relay.send(FROM, BOB, MAIL)


def test_unknown_host_is_temporary():
    with relay_to(25, host="no-such-host.invalid") as relay, pytest.raises(TemporaryFailure, match="cannot be reached"):
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
        assert relay._smtp is not None
        assert relay._smtp.sock is not None
        relay._smtp.sock.shutdown(socket.SHUT_RDWR)

        relay.send(FROM, BOB, MAIL)

    assert (len(sink.deliveries), sink.connections) == (2, 2)


def test_a_relay_that_hangs_up_between_mails_costs_nothing():
    """Answers MAIL of the second mail by closing, as a restarting relay does."""
    kept = ["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 took it", "250 reset", None]
    with scripted([kept, GOOD]) as port, relay_to(port) as relay:
        assert relay.send(FROM, BOB, MAIL).reply == "250 took it"
        assert relay.send(FROM, BOB, MAIL).reply == "250 again"


def test_a_relay_that_always_hangs_up_is_tried_only_once_more():
    dead = ["220 x", "250 x", None]
    kept = ["220 x", "250 x", "250 ok", "250 ok", "354 go", "250 took it", "250 reset", None]
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
def scripted(conversations: list[list[str | None]], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that says these lines, one for each command (a mail's data is one), and hangs up at None."""
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
                _speak(connection, incoming.readline, lines)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listener.getsockname()[1])
    listener.close()
    thread.join(5)


def _speak(connection: socket.socket, readline: Callable[[], bytes], lines: list[str | None]) -> None:
    previous = ""
    for number, line in enumerate(lines):
        if number:
            while (heard := readline()) and previous.startswith("354") and heard != b".\r\n":
                pass
            if not heard:
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

    with pytest.raises(TemporaryFailure):
        MaildirRelay(tmp_path / "mails").send(FROM, BOB, MAIL)
