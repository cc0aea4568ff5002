"""The IMAP door, against a real Dovecot."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from helpdesk.domain.mail import Door, RawMail
from helpdesk.inbound.imap import MailboxOptions, MailboxWatcher
from tests.inbound_doors.shelf import Shelf, mail, options_for, watcher_of, watching
from tests.servers.certificate import Certificate
from tests.servers.dovecot import Dovecot, Mailbox
from tests.servers.found import require
from tests.servers.ports import free_port, wait_for


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def uidvalidity(mailbox: Mailbox, folder: str = "INBOX") -> int:
    with mailbox.connect() as client:
        return int(client.folder_status(folder, ["UIDVALIDITY"])[b"UIDVALIDITY"])


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_a_backlog_is_kept_in_order_and_archived(mailbox: Mailbox, shelf: Shelf, batch: int):
    mails = [mail(number) for number in range(7)]
    mailbox.put(*mails)
    with mailbox.connect() as client:  # a person has read some of it
        client.select_folder("INBOX")
        client.add_flags([1, 3], [b"\\Seen"])

    with watching(shelf, replace(options_for(mailbox), batch=batch)) as watcher:
        wait_for(lambda: watcher.state == "idle")

    assert shelf.data == mails
    assert mailbox.mails("INBOX") == []
    assert mailbox.mails("Archive") == mails
    assert watcher.last_success is not None
    first = shelf.mails[0]
    assert (first.door, first.envelope.sender, first.envelope.recipients) == (Door.IMAP, None, ())
    assert first.sighting is not None
    assert (first.sighting.mailbox, first.sighting.uid) == ("support", 1)
    assert first.sighting.uidvalidity == uidvalidity(mailbox)
    with mailbox.connect() as client:
        client.select_folder("Archive", readonly=True)
        assert client.search("SEEN") == [1, 3], "keeping a mail does not mark it as read"


def test_new_mail_is_noticed_by_idle(mailbox: Mailbox, shelf: Shelf):
    with watching(shelf, replace(options_for(mailbox), poll_seconds=1000)) as watcher:
        wait_for(lambda: watcher.state == "idle")
        for number in range(3):
            mailbox.put(mail(number))
            shelf.wait(number + 1, 5)
    assert mailbox.mails("Archive") == [mail(0), mail(1), mail(2)]


def test_idle_is_begun_anew_and_the_thread_sleeps_meanwhile(mailbox: Mailbox, shelf: Shelf):
    with watching(shelf, replace(options_for(mailbox), idle_seconds=0.3)) as watcher:
        wait_for(lambda: watcher.state == "idle")
        first, burnt = watcher.last_success, time.process_time()
        wait_for(lambda: watcher.last_success != first, 45)
        time.sleep(1)
        assert time.process_time() - burnt < 0.5
        assert "down" not in watcher.state


def test_without_idle_it_looks_now_and_then(mailbox: Mailbox, shelf: Shelf):
    with watching(shelf, replace(options_for(mailbox), idle=False, poll_seconds=0.2)) as watcher:
        wait_for(lambda: watcher.state == "polling")
        mailbox.put(mail(1))
        shelf.wait(1, 5)


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_tls_is_verified(
    mailbox: Mailbox, shelf: Shelf, certificate: Certificate, tls: Literal["implicit", "starttls"]
):
    port = mailbox.server.imaps_port if tls == "implicit" else mailbox.server.imap_port
    options = replace(options_for(mailbox), host="localhost", port=port, tls=tls, password=lambda: mailbox.password)
    mailbox.put(mail(1))
    with watching(shelf, options) as watcher:  # an authority that nobody knows
        wait_for(lambda: watcher.state.startswith("down"))
        assert "SSLCertVerificationError" in watcher.state
    assert shelf.mails == []
    with watching(shelf, replace(options, ssl_context=certificate.client())) as watcher:
        wait_for(lambda: watcher.state == "idle")
        mailbox.put(mail(2))
        shelf.wait(2)


def test_a_mail_that_cannot_be_kept_stays_and_those_behind_it_do_not_wait(
    mailbox: Mailbox, shelf: Shelf, caplog: pytest.LogCaptureFixture
):
    shelf.broken = lambda raw: b"mail 1" in raw.data
    mailbox.put(mail(1), mail(2))
    with watching(shelf, options_for(mailbox)) as watcher:
        mailbox.wait(1, "Archive")
        wait_for(lambda: watcher.state == "idle")
        mailbox.put(mail(3))
        mailbox.wait(2, "Archive")
        assert mailbox.mails("INBOX") == [mail(1)]
        assert shelf.attempts <= 5
        shelf.broken = lambda raw: False
        shelf.wait(3)
        mailbox.wait(3, "Archive")
    assert shelf.data == [mail(2), mail(3), mail(1)]
    assert mailbox.mails("INBOX") == []
    assert "secret words" not in caplog.text


def test_a_crash_between_keeping_and_moving_shows_the_mail_again_once(mailbox: Mailbox, shelf: Shelf):
    class Crash(BaseException):
        pass

    class Fragile(MailboxWatcher):
        def _archive(self, *arguments: object) -> None:
            raise Crash

    mailbox.put(mail(1))
    first = watcher_of(shelf, options_for(mailbox), Fragile)
    with pytest.raises(Crash):
        first._run()
    assert mailbox.mails("INBOX") == [mail(1)]

    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle")

    assert shelf.data == [mail(1), mail(1)]
    assert shelf.mails[0].sighting == shelf.mails[1].sighting
    assert mailbox.mails("INBOX") == []
    assert mailbox.mails("Archive") == [mail(1)]


def test_a_recreated_folder_is_read_anew(mailbox: Mailbox, shelf: Shelf):
    with mailbox.connect() as client:
        client.create_folder("Tickets")
    mailbox.put(mail(1), folder="Tickets")
    shelf.broken = lambda raw: b"mail 1" in raw.data  # uid 1 waits for its next try when the folder is replaced
    with watching(shelf, replace(options_for(mailbox), folder="Tickets")):
        wait_for(lambda: shelf.attempts >= 3)
        with mailbox.connect() as client:
            client.delete_folder("Tickets")
            time.sleep(1.1)  # Dovecot takes the second of creation as UIDVALIDITY
            client.create_folder("Tickets")
        mailbox.put(mail(2), folder="Tickets")
        shelf.wait(1, 20)
        (raw,) = shelf.mails
        assert raw.data == mail(2)
        assert raw.sighting is not None
        assert (raw.sighting.uid, raw.sighting.uidvalidity) == (1, uidvalidity(mailbox, "Tickets"))


def test_a_changed_uidvalidity_leads_to_a_new_session(mailbox: Mailbox, shelf: Shelf):
    mailbox.put(mail(1))
    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle" and len(shelf.mails) == 1)
        mailbox.server.doveadm("mailbox", "update", "-u", mailbox.user, "--uid-validity", "777", "INBOX")
        mailbox.put(mail(2))
        shelf.wait(2, 20)
    assert shelf.mails[-1].data == mail(2)
    assert shelf.mails[-1].sighting is not None
    assert shelf.mails[-1].sighting.uidvalidity == 777


def test_a_session_ended_by_the_administrator_is_renewed(mailbox: Mailbox, shelf: Shelf):
    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle")
        mailbox.server.kick(mailbox.user)
        wait_for(lambda: watcher.state.startswith("down"), every=0.005)
        mailbox.put(mail(1))
        shelf.wait(1)
        wait_for(lambda: watcher.state == "idle")


def test_a_wrong_password_is_not_hammered(mailbox: Mailbox, shelf: Shelf):
    asked: list[int] = []

    def password() -> str:
        asked.append(1)
        return "wrong"

    with watching(shelf, replace(options_for(mailbox), password=password)) as watcher:
        wait_for(lambda: watcher.state.startswith("down: login refused"))
        time.sleep(2.5)  # long enough for the first pauses of the usual backoff
        assert len(asked) == 1


def test_a_server_that_is_away_is_waited_for(shelf: Shelf, caplog: pytest.LogCaptureFixture):
    options = MailboxOptions("support", "127.0.0.1", free_port(), "x", "y", tls="none")
    with caplog.at_level(logging.WARNING), watching(shelf, options) as watcher:
        wait_for(lambda: watcher.state.startswith("down: ConnectionRefusedError"))
        time.sleep(1.5)
    assert len(caplog.records) == 1, "the same cause is logged once"


def test_a_mail_over_the_limit_is_known_by_its_header(mailbox: Mailbox, shelf: Shelf):
    large = mail(1) + b"x" * 98 + b"\r\n" + b"0123456789\r\n" * 20_000
    mailbox.put(large, mail(2))
    with watching(shelf, replace(options_for(mailbox), max_size=100_000, too_big="Too big")) as watcher:
        wait_for(lambda: watcher.state == "idle")

    assert shelf.data == [mail(2)]
    ((raw, size),) = shelf.large
    assert size == len(large)
    assert raw.data == mail(1).partition(b"Text.")[0]
    assert mailbox.mails("Too big") == [large]
    assert mailbox.mails("Archive") == [mail(2)]
    assert mailbox.mails("INBOX") == []


@pytest.mark.parametrize(
    ("age", "counts"), [(timedelta(hours=30), True), (timedelta(days=30), False), (timedelta(hours=-2), False)]
)
def test_the_servers_clock_counts_where_it_can_be_believed(
    mailbox: Mailbox, shelf: Shelf, age: timedelta, counts: bool
):
    now = datetime.now(UTC).replace(microsecond=0)
    with mailbox.connect() as client:
        client.append("INBOX", mail(1), msg_time=now - age)
    with watching(shelf, options_for(mailbox)):
        shelf.wait(1)
    received = shelf.mails[0].received_at
    assert received.utcoffset() == timedelta(0)
    assert (received == now - age) is counts
    assert counts or received - now < timedelta(seconds=20)


def test_a_message_id_that_carries_a_command_does_nothing(mailbox: Mailbox, shelf: Shelf):
    mailbox.put(b'Message-ID: =?utf-8?q?x=0D=0AA2_CREATE_Pwned=0D=0AA3_NOOP?=\r\nSubject: "\r\n\r\n.\r\n')
    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle" and len(shelf.mails) == 1)
    with mailbox.connect() as client:
        assert {folder for _, _, folder in client.list_folders()} == {"INBOX", "Archive"}


def test_somebody_else_may_take_a_mail_away_meanwhile(mailbox: Mailbox, shelf: Shelf):
    mailbox.put(mail(1), mail(2), mail(3))

    def take_away(raw: RawMail) -> bool:
        if b"mail 1" in raw.data:
            with mailbox.connect() as client:
                client.select_folder("INBOX")
                client.delete_messages([2])
                client.uid_expunge([2])
        return False

    shelf.broken = take_away
    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle" and mailbox.mails("INBOX") == [])
        assert watcher.condition() == ""
    assert {mail(1), mail(3)} <= set(shelf.data)
    assert {mail(1), mail(3)} <= set(mailbox.mails("Archive"))


@contextmanager
def poor_dovecot(certificate: Certificate, capabilities: str) -> Iterator[Dovecot]:
    require("dovecot")
    server = Dovecot(certificate, f"\nprotocol imap {{\n  imap_capability = IMAP4rev1 {capabilities}\n}}\n")
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("capabilities", ["IDLE UIDPLUS", "UIDPLUS"])
def test_without_move_it_copies_and_removes_just_that_mail(certificate: Certificate, shelf: Shelf, capabilities: str):
    with poor_dovecot(certificate, capabilities) as server:
        mailbox = server.mailbox()
        mailbox.put(mail(1), mail(2))
        with mailbox.connect() as client:  # somebody else's mark must survive
            client.select_folder("INBOX")
            client.add_flags([2], [b"\\Deleted"])
        shelf.broken = lambda raw: b"mail 2" in raw.data
        with watching(shelf, replace(options_for(mailbox), poll_seconds=0.2)) as watcher:
            wait_for(lambda: watcher.state == ("idle" if "IDLE" in capabilities else "polling"))
            mailbox.put(mail(3))
            shelf.wait(2)
            mailbox.wait(2, "Archive")
            assert mailbox.mails("INBOX") == [mail(2)]
        assert mailbox.mails("Archive") == [mail(1), mail(3)]


def test_without_uidplus_nothing_is_removed_and_nothing_is_taken_twice(certificate: Certificate, shelf: Shelf):
    with poor_dovecot(certificate, "IDLE") as server:
        mailbox = server.mailbox()
        mailbox.put(mail(1), mail(2))
        for archived in (3, 4):  # the second daemon has no memory of the first
            with watching(shelf, options_for(mailbox)) as watcher:
                wait_for(lambda: watcher.state == "idle")
                mailbox.put(mail(3))
                mailbox.wait(archived, "Archive")
                wait_for(lambda: watcher.state == "idle")
        assert shelf.data == [mail(1), mail(2), mail(3), mail(3)]
        assert len(mailbox.mails("INBOX")) == 4
        assert len(mailbox.mails("Archive")) == 4


def test_a_frozen_server_is_noticed_and_the_stop_does_not_wait(certificate: Certificate, shelf: Shelf):
    require("dovecot")
    server = Dovecot(certificate)
    try:
        mailbox = server.mailbox()
        with watching(shelf, replace(options_for(mailbox), idle_seconds=0.5, timeout=1)) as watcher:
            wait_for(lambda: watcher.state == "idle")
            os.killpg(server.pid, 19)  # SIGSTOP: connections stay open, nobody answers
            try:
                wait_for(lambda: watcher.state.startswith("down: TimeoutError"), 45)
            finally:
                os.killpg(server.pid, 18)
            mailbox.put(mail(1))
            shelf.wait(1, 15)
    finally:
        server.stop()


def test_options_that_cannot_be_are_refused():
    options = MailboxOptions("support", "imap.acme.example", 993, "x", "hunter2")
    for wrong in ({"idle_seconds": 1740.0}, {"archive": "A\r\nA2 CREATE Pwned"}, {"archive": "INBOX"}):
        with pytest.raises(ValueError):
            replace(options, **wrong)
    assert "hunter2" not in repr(options)
