"""An SMTP server that takes everything, remembers it, and misbehaves when told to.

sink.refuse("carol@b.example", "450 4.2.0 later", "550 5.1.1 unknown")   # first answer, second answer, then 250
sink.refuse_sender("452 4.3.1 full")                                     # the next MAIL
sink.after_data("hang up")                                               # the next mail: no answer to the dot
"""

from __future__ import annotations

import base64
import contextlib
import re
import socket
import socketserver
import ssl
import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass

from tests.servers.ports import wait_for


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail as the sink took it; ``encrypted`` and ``user`` tell how it came, ``at`` when by the monotonic clock."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    encrypted: bool = False
    user: str = ""
    at: float = 0.0


class Sink:
    """Listens from the moment it is made until ``stop``.

    ``tls`` offers STARTTLS; ``login`` (name, password) offers AUTH and demands it before MAIL. ``offers`` are the other
    extensions of its EHLO. ``commands`` are all that it heard, without the mails.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        port: int = 0,
        offers: tuple[str, ...] = ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES"),
    ) -> None:
        self.tls, self.login, self.offers = tls, login, offers
        self.deliveries: list[Delivery] = []
        self.commands: list[str] = []
        self.connections = 0
        self._greetings: deque[str] = deque()
        self._senders: deque[str] = deque()
        self._refusals: defaultdict[str, deque[str]] = defaultdict(deque)
        self._endings: deque[str] = deque()
        self._delay = 0.0
        self._open: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", port), _Conversation)
        self._server.sink = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True, name="sink")
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def refuse(self, recipient: str, *replies: str) -> None:
        """Answer the next RCPTs for this address with these replies, one each; "hang up" says nothing."""
        self._refusals[recipient.lower()].extend(replies)

    def refuse_sender(self, *replies: str) -> None:
        """Answer the next MAILs with these replies, one each; "hang up" says nothing."""
        self._senders.extend(replies)

    def greet(self, *replies: str) -> None:
        """Greet the next connections with these lines ("421 ..." also hangs up)."""
        self._greetings.extend(replies)

    def after_data(self, *endings: str) -> None:
        """End the next mails with these replies; "hang up" takes the mail and says nothing, "lose" neither."""
        self._endings.extend(endings)

    def delay(self, seconds: float) -> None:
        """Wait so long before each answer to a mail."""
        self._delay = seconds

    def wait(self, count: int, seconds: float = 10) -> list[Delivery]:
        """The deliveries as soon as there are at least ``count``."""
        wait_for(lambda: len(self.deliveries) >= count, seconds)
        return list(self.deliveries)

    def to(self, recipient: str) -> list[Delivery]:
        """What came for one address."""
        return [delivery for delivery in self.deliveries if recipient in delivery.recipients]

    def stop(self) -> None:
        """Listen no more, and end the open conversations."""
        self._server.shutdown()
        self._server.server_close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128
    sink: Sink


class _Conversation(socketserver.BaseRequestHandler):
    """One connection, spoken to line by line."""

    server: _Server
    request: socket.socket

    def handle(self) -> None:
        sink = self._sink = self.server.sink
        sink.connections += 1
        self._encrypted, self._user = False, ""
        self._reset()
        self.request.settimeout(60)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sink._open.add(self.request)
        self._lines = self.request.makefile("rb")
        with contextlib.suppress(OSError, ValueError, StopIteration):
            hello = sink._greetings.popleft() if sink._greetings else "220 sink.example ESMTP"
            self._say(hello)
            if hello.startswith("421"):
                return
            while line := self._lines.readline(65_536):
                self._answer(line.decode("utf-8", "replace").strip())
        sink._open.discard(self.request)
        with contextlib.suppress(OSError):
            self._lines.close()
            self.request.close()  # after STARTTLS it is not the socket that the server closes

    def _reset(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []

    def _say(self, reply: str) -> None:
        self.request.sendall(reply.encode() + b"\r\n")

    def _answer(self, line: str) -> None:
        verb = line[:4].upper()
        self._sink.commands.append(line)
        match verb:
            case "EHLO":
                self._say("\r\n".join(self._offers()))
            case "HELO":
                self._say("250 sink.example")
            case "STAR" if self._sink.tls is not None:
                self._say("220 go on")
                self._lines.close()
                self._sink._open.discard(self.request)
                self.request = self._sink.tls.wrap_socket(self.request, server_side=True)
                self._sink._open.add(self.request)
                self._lines = self.request.makefile("rb")
                self._encrypted = True
            case "AUTH" if self._sink.login:
                self._authenticate(line)
            case "MAIL" if self._sink.login and not self._user:
                self._say("530 5.7.0 AUTH first")
            case "MAIL":
                self._take_sender(_address(line))
            case "RCPT":
                self._take_recipient(_address(line))
            case "DATA" if self._recipients:
                self._take_mail()
            case "DATA":
                self._say("554 5.5.1 no recipient")
            case "RSET":
                self._reset()
                self._say("250 2.0.0 OK")
            case "NOOP":
                self._say("250 2.0.0 OK")
            case "QUIT":
                self._say("221 2.0.0 bye")
                raise StopIteration
            case _:
                self._say("500 5.5.2 what?")

    def _offers(self) -> list[str]:
        offers = ["sink.example", *self._sink.offers]
        offers += ["STARTTLS"] if self._sink.tls is not None and not self._encrypted else []
        offers += ["AUTH PLAIN LOGIN"] if self._sink.login else []
        return [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]

    def _authenticate(self, line: str) -> None:
        _, mechanism, *rest = line.split()
        if mechanism.upper() == "PLAIN":
            _, login, password = self._ask("", rest).split("\0")
        else:
            login, password = self._ask("VXNlcm5hbWU6", rest), self._ask("UGFzc3dvcmQ6", [])
        if (login, password) == self._sink.login:
            self._user = login
            self._say("235 2.7.0 welcome")
        else:
            self._say("535 5.7.8 no")

    def _ask(self, challenge: str, given: list[str]) -> str:
        if not given:
            self._say(f"334 {challenge}")
            given = [self._lines.readline(65_536).decode().strip()]
        return base64.b64decode(given[0]).decode()

    def _take_sender(self, sender: str) -> None:
        reply = self._sink._senders.popleft() if self._sink._senders else "250 2.1.0 OK"
        if reply.startswith("2"):
            self._sender = sender
        self._say_or_end(reply)

    def _take_recipient(self, recipient: str) -> None:
        refusals = self._sink._refusals[recipient.lower()]
        reply = refusals.popleft() if refusals else "250 2.1.5 OK"
        if self._sender is None:
            reply = "503 5.5.1 MAIL first"
        if reply.startswith("2"):
            self._recipients.append(recipient)
        self._say_or_end(reply)

    def _say_or_end(self, reply: str) -> None:
        if reply != "hang up":
            self._say(reply)
        if reply == "hang up" or reply.startswith("421"):
            self.request.shutdown(socket.SHUT_WR)
            raise StopIteration

    def _take_mail(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self._lines.readline()) != b".\r\n":
            if not line:
                raise StopIteration
            lines.append(line[1:] if line.startswith(b".") else line)
        recipients, data = tuple(self._recipients), b"".join(lines)
        mail = Delivery(self._sender or "", recipients, data, self._encrypted, self._user, time.monotonic())
        ending = self._sink._endings.popleft() if self._sink._endings else "250 2.0.0 OK"
        time.sleep(self._sink._delay)
        self._reset()
        if ending == "hang up" or ending.startswith("2"):
            self._sink.deliveries.append(mail)
        if ending in ("hang up", "lose"):
            self.request.shutdown(socket.SHUT_RDWR)
            raise StopIteration
        self._say(ending)
        if ending.startswith("421"):
            raise StopIteration


def _address(line: str) -> str:
    found = re.search(r"<([^>]*)>", line)
    return found[1] if found else ""
