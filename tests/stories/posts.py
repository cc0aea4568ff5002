"""Where people's mail is, and the servers of other people that it passes on its way."""

from __future__ import annotations

import smtplib
from dataclasses import dataclass, field
from typing import Any, Protocol

from aiosmtpd.controller import Controller

from tests.servers.dovecot import Dovecot
from tests.servers.sink import Sink
from tests.stories.letters import vouched


class Post(Protocol):
    """Everybody's mailboxes."""

    def of(self, address: str) -> list[bytes]:
        """The mails of one address, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class InSink:
    """What a relay of ours took."""

    sink: Sink

    def of(self, address: str) -> list[bytes]:
        return [found.data for found in self.sink.to(address)]


@dataclass(frozen=True, slots=True)
class InDovecot:
    """Real mailboxes; the user is the address."""

    server: Dovecot

    def of(self, address: str) -> list[bytes]:
        return self.server.mailbox(address).mails()


@dataclass(slots=True)
class Forwarder:
    """A mail server that hands each mail on within the session, so that a refusal reaches who sent it.

    ``vouching`` makes it the border of the desk: it writes its Authentication-Results on top, as for domains that sign.
    ``lmtp`` is how it hands on, ``rewrite_to`` to whom where not to the recipients. ``passed`` is what it saw.
    """

    port_behind: int
    vouching: bool = False
    lmtp: bool = False
    rewrite_to: str = ""
    passed: list[bytes] = field(default_factory=list)
    port: int = 0
    _controller: Any = None

    def start(self) -> Forwarder:
        """Listen on a free port."""
        from tests.servers.ports import free_port

        self.port = free_port()
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, server_hostname="mx.acme.example")
        self._controller.start()
        return self

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        """Answer what the server behind answers."""
        self.passed.append(envelope.content)
        top = vouched(envelope.mail_from) if self.vouching else b""
        recipients = [self.rewrite_to] if self.rewrite_to else envelope.rcpt_tos
        client = smtplib.LMTP if self.lmtp else smtplib.SMTP
        try:
            with client("127.0.0.1", self.port_behind, local_hostname="mx.acme.example") as behind:
                behind.sendmail(envelope.mail_from, recipients, top + envelope.content)
        except smtplib.SMTPResponseException as refusal:
            return f"{refusal.smtp_code} {refusal.smtp_error!r}"
        except smtplib.SMTPRecipientsRefused as refusal:
            code, words = next(iter(refusal.recipients.values()))
            return f"{code} {words!r}"
        return "250 2.0.0 OK"

    def stop(self) -> None:
        """Listen no more."""
        self._controller.stop()
