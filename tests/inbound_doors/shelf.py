"""What the tests of the IMAP door share: a place to keep mails, and a watcher for the length of a ``with`` block."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from helpdesk.domain.mail import RawMail
from helpdesk.inbound.imap import MailboxOptions, MailboxWatcher
from tests.servers.dovecot import Mailbox
from tests.servers.ports import wait_for


def mail(number: int) -> bytes:
    return b"From: bob@b.example\r\nMessage-ID: <%d@b.example>\r\nSubject: mail %d\r\n\r\nText.\r\n" % (number, number)


class Shelf:
    """Keeps mails in memory; ``broken`` tells which it cannot keep."""

    def __init__(self) -> None:
        self.mails: list[RawMail] = []
        self.large: list[tuple[RawMail, int]] = []
        self.unfetchable: list[tuple[RawMail, str]] = []
        self.attempts = 0
        self.broken: Callable[[RawMail], bool] = lambda raw: False

    def keep(self, raw: RawMail) -> None:
        self.attempts += 1
        if self.broken(raw):
            raise OSError("No space left on device, secret words")
        self.mails.append(raw)

    def keep_large(self, raw: RawMail, size: int) -> None:
        self.large.append((raw, size))

    def keep_what_there_is(self, raw: RawMail, cause: str) -> None:
        self.unfetchable.append((raw, cause))

    @property
    def data(self) -> list[bytes]:
        return [raw.data for raw in self.mails]

    def wait(self, count: int, seconds: float = 10) -> None:
        wait_for(lambda: len(self.mails) >= count, seconds)


def options_for(mailbox: Mailbox) -> MailboxOptions:
    return MailboxOptions(
        "support", "127.0.0.1", mailbox.server.imap_port, mailbox.user, mailbox.password, tls="none", timeout=10
    )


def watcher_of(shelf: Shelf, options: MailboxOptions, kind: type[MailboxWatcher] = MailboxWatcher) -> MailboxWatcher:
    return kind(options, shelf.keep, shelf.keep_large, shelf.keep_what_there_is, lambda: datetime.now(UTC))


@contextmanager
def watching(shelf: Shelf, options: MailboxOptions) -> Iterator[MailboxWatcher]:
    watcher = watcher_of(shelf, options)
    watcher.start()
    try:
        yield watcher
    finally:
        since = time.monotonic()
        watcher.stop()
        assert time.monotonic() - since < 15
        assert watcher.state == "stopped"
