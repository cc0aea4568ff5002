"""Everybody who writes to the desk while it dies: customers by SMTP and IMAP, agents who answer what the sink took.

A mail is sent as a mail server would: until it is answered with 250, always with the same bytes.
"""

from __future__ import annotations

import email
import re
import smtplib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import policy
from itertools import count
from typing import Literal

from tests.deaths import desk
from tests.servers.dovecot import Mailbox
from tests.servers.sink import Delivery, Sink

Kind = Literal["request", "answer", "take"]
MARK = re.compile(r"mark-(\d{6})")
AGAIN_SECONDS = 0.05


@dataclass(slots=True)
class Sent:
    """One mail; ``acknowledged_at`` is the wall clock at the 250 (0 before), ``request`` the mail it is about."""

    number: int
    kind: Kind
    door: Literal["smtp", "imap"]
    data: bytes
    request: int
    acknowledged_at: float = 0.0
    attempts: int = 0


@dataclass(slots=True)
class Arrived:
    """A mail that left the desk, as its reader has it."""

    message_id: str
    recipient: str
    automatic: bool
    text: str
    reply_to: str
    data: bytes

    @property
    def marks(self) -> set[int]:
        """The mails that this one quotes or is about."""
        return {int(number) for number in MARK.findall(self.text)}


def arrived(delivery: Delivery) -> Arrived:
    """Read a delivery with the standard library."""
    message = email.message_from_bytes(delivery.data, policy=policy.default)
    body = message.get_body(("plain",))
    assert body is not None
    return Arrived(
        message["Message-ID"],
        delivery.recipients[0],
        message.get("Auto-Submitted", "no") != "no",
        f"{message['Subject']}\n{body.get_content()}",
        message.get("Reply-To", ""),
        delivery.data,
    )


@dataclass(slots=True)
class Traffic:
    """Starts, paces and ends the writers; ``sent`` is the ledger that the daemon is judged by, ``refusals`` what it said.

    Pauses in seconds between two mails of one writer; ``size`` in octets of text in a customer's mail by SMTP.
    """

    port: int
    sink: Sink
    mailbox: Mailbox | None
    smtp_pause: float = 0.08
    imap_pause: float = 0.3
    size: int = 0
    refusals: list[tuple[int, str]] = field(default_factory=list)
    sent: dict[int, Sent] = field(default_factory=dict)
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _ending: threading.Event = field(default_factory=threading.Event)
    _abandoned: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _answered: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Two customers by SMTP, one by IMAP, and the agents; also once more after ``abandon``."""
        self._ending.clear()
        self._abandoned.clear()
        jobs: list[Callable[[], None]] = [self._customers_by_smtp, self._customers_by_smtp, self._agents]
        if self.mailbox:
            jobs.append(self._customers_by_imap)
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def end(self, seconds: float = 60) -> None:
        """Begin no new mail, and wait until the begun ones are acknowledged."""
        self._ending.set()
        for thread in self._threads:
            thread.join(seconds)
            assert not thread.is_alive(), "a mail was not acknowledged to the end"

    def abandon(self) -> None:
        """Stop writing, whatever becomes of the mails in hand."""
        self._ending.set()
        self._abandoned.set()
        for thread in self._threads:
            thread.join(20)

    def new_request(self, door: Literal["smtp", "imap"] = "smtp") -> Sent:
        """A customer's new mail, not yet on its way."""
        return self._new("request", door, lambda number: desk.request(number, self.size))

    def append(self, one: Sent) -> None:
        """Lay a mail into the mailbox, which from then on answers for it."""
        assert self.mailbox is not None
        self.mailbox.put(one.data)
        one.acknowledged_at = time.time()

    def _new(self, kind: Kind, door: Literal["smtp", "imap"], make: Callable[[int], bytes], about: int = 0) -> Sent:
        number = next(self._numbers)
        one = Sent(number, kind, door, make(number), about or number)
        self.sent[number] = one
        return one

    def _customers_by_smtp(self) -> None:
        while not self._ending.wait(self.smtp_pause):
            self.send(self.new_request())

    def send(self, one: Sent) -> None:
        """Offer a mail until it is taken."""
        sender = desk.DESK if one.kind != "request" else desk.customer(one.number)
        to = re.search(rb"^To: (\S+)", one.data, re.MULTILINE)
        assert to is not None
        while not one.acknowledged_at and not self._abandoned.is_set():
            one.attempts += 1
            try:
                with smtplib.SMTP("127.0.0.1", self.port, timeout=10) as client:
                    client.sendmail(sender, [to[1].decode()], one.data)
                    one.acknowledged_at = time.time()
            except smtplib.SMTPResponseException as refusal:
                self.refusals.append((refusal.smtp_code, str(refusal.smtp_error)))
                time.sleep(AGAIN_SECONDS)
            except (smtplib.SMTPException, OSError):
                time.sleep(AGAIN_SECONDS)

    def _customers_by_imap(self) -> None:
        assert self.mailbox is not None
        with self.mailbox.connect() as client:
            while not self._ending.wait(self.imap_pause):
                one = self._new("request", "imap", desk.request)
                client.append("INBOX", one.data)
                one.acknowledged_at = time.time()

    def _agents(self) -> None:
        """Answer about every third ticket; another agent takes some of the others."""
        seen = 0
        while not self._ending.wait(self.smtp_pause):
            deliveries = self.sink.deliveries[seen:]
            seen += len(deliveries)
            for delivery in deliveries:
                if desk.AGENT in delivery.recipients and not self._ending.is_set():
                    self._react(arrived(delivery))

    def _react(self, notice: Arrived) -> None:
        # What came twice is the same mail, and a person sees it once.
        if notice.message_id in self._answered or not notice.marks:
            return
        self._answered.add(notice.message_id)
        request = min(notice.marks)
        if request % 3 == 0:
            to, parent = notice.reply_to, notice.message_id
            self.send(self._new("answer", "smtp", lambda number: desk.answer(number, to, parent), request))
        elif request % 7 == 1:
            parent = notice.message_id
            self.send(self._new("take", "smtp", lambda number: desk.take(number, parent), request))
