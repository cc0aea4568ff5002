"""Doors to knock at: a listener in this process, a shelf for what it keeps, and a client that says any bytes."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

from helpdesk.domain.mail import RawMail
from helpdesk.inbound.listener import Listener, ListenerOptions, Tls
from tests.servers.certificate import Certificate

NOW = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
OURS = "support@acme.example"
OPTIONS = ListenerOptions(port=0, hostname="mx.acme.example", timeout=20)
MAIL = b"From: bob@b.example\r\nSubject: Printer\r\n\r\nIt burns.\r\n"
ENVELOPE = f"MAIL FROM:<bob@b.example>\r\nRCPT TO:<{OURS}>\r\n".encode()


class Shelf:
    """Keeps mails in memory, or fails as told."""

    def __init__(self, failure: BaseException | None = None) -> None:
        self.mails: list[RawMail] = []
        self.failure = failure

    def take(self, raw: RawMail) -> Future[None]:
        """What a listener calls: done at once."""
        future: Future[None] = Future()
        self.keep(raw)
        future.set_result(None)
        return future

    def keep(self, raw: RawMail) -> None:
        if self.failure is not None:
            raise self.failure
        self.mails.append(raw)

    @property
    def bodies(self) -> list[bytes]:
        """The mails without the Received header that the door adds."""
        return [b"From:" + raw.data.partition(b"\r\nFrom:")[2] for raw in self.mails]


def is_ours(address: str) -> bool:
    local, _, domain = address.lower().rpartition("@")
    return domain == "acme.example" and local.partition("+")[0] == "support"


@contextmanager
def listening(
    keep: Callable[[RawMail], None],
    options: ListenerOptions = OPTIONS,
    authenticate: Callable[[str, str], str | None] | None = None,
    accepts: Callable[[str], bool] = is_ours,
) -> Iterator[Listener]:
    with ThreadPoolExecutor() as hands:
        listener = Listener(options, lambda raw: hands.submit(keep, raw), accepts, lambda: NOW, authenticate)
        listener.start()
        try:
            yield listener
        finally:
            listener.stop(grace=0.5)


def with_tls(certificate: Certificate, tls: Tls = "starttls", options: ListenerOptions = OPTIONS) -> ListenerOptions:
    return replace(options, tls=tls, certificate=certificate.cert, key=certificate.key)


class Wire:
    """A client that says exactly the bytes it is told to say."""

    def __init__(self, door: Listener | int, source: str = "127.0.0.1") -> None:
        if isinstance(door, Listener) and door.options.path:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(20)
            self.socket.connect(str(door.options.path))
        else:
            port = door if isinstance(door, int) else door.port
            self.socket = socket.create_connection(("127.0.0.1", port), 20, source_address=(source, 0))
        self.lines = self.socket.makefile("rb")

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> str:
        """One reply, all its lines; "" at the end of the connection."""
        text = ""
        while line := self.lines.readline().decode():
            text += line
            if line[3:4] != "-":
                break
        return text.rstrip("\r\n")

    def ask(self, command: str) -> str:
        self.say(command.encode() + b"\r\n")
        return self.reply()

    def greet(self, word: str = "EHLO") -> Wire:
        assert self.reply().startswith("220 ")
        assert self.ask(f"{word} client.example").startswith("250-")
        return self

    def secure(self, context: ssl.SSLContext) -> Wire:
        """Go on under TLS."""
        self.lines.close()
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")
        self.lines = self.socket.makefile("rb")
        return self

    def begin_data(self) -> Wire:
        self.greet().say(ENVELOPE + b"DATA\r\n")
        assert [self.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        return self


def send(door: Listener, mail: bytes = MAIL, to: str = OURS) -> tuple[int, bytes]:
    """Hand in a mail with the standard library's client; its code and text."""
    with smtplib.SMTP("127.0.0.1", door.port, local_hostname="client.example", timeout=20) as client:
        client.ehlo()
        for code, text in (client.mail("bob@b.example"), client.rcpt(to)):
            if code >= 400:
                return code, text
        return client.data(mail)
