"""A mailbox in which thousands of mails wait: batches, a line of progress, bounded memory, no new mail starved."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace

import pytest

from helpdesk.domain.mail import RawMail
from helpdesk.inbound.imap import GROUP_OCTETS, MailboxOptions
from tests.inbound_doors.shelf import Shelf, mail, options_for, watching
from tests.servers.dovecot import Mailbox
from tests.servers.lying_imap import LyingImap
from tests.servers.ports import wait_for
from tests.servers.tcp_proxy import Proxy


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(600)])])
def test_a_backlog_is_taken_in_batches_and_new_mail_does_not_wait_for_its_end(
    mailbox: Mailbox, shelf: Shelf, caplog: pytest.LogCaptureFixture, count: int
):
    # Catches: the whole folder in one go, where what arrives meanwhile is seen only after the last of it.
    mails = [mail(number) for number in range(count)]
    mailbox.lay(*mails)
    urgent, put = mail(1_000_000), threading.Event()

    def put_when_begun(raw: RawMail) -> bool:
        if len(shelf.mails) == count // 5 and not put.is_set():
            put.set()
            mailbox.put(urgent)
        return False

    shelf.broken = put_when_begun
    with Proxy(mailbox.server.imap_port) as proxy, caplog.at_level(logging.INFO):
        options = replace(options_for(mailbox), port=proxy.port)
        since = time.monotonic()
        with watching(shelf, options) as watcher:
            shelf.wait(count + 1, 400)
            seconds = time.monotonic() - since
            wait_for(lambda: watcher.state == "idle", 60)
            assert watcher.condition() == ""
        said = bytes(proxy.said[0])
    print(f"{count} mails in {seconds:.1f} s, {count / seconds:.0f} a second")

    place = shelf.data.index(urgent)
    assert place <= count // 5 + 2 * options.batch
    assert shelf.data[:place] + shelf.data[place + 1 :] == mails
    assert mailbox.count("INBOX") == 0
    assert mailbox.count("Archive") == count + 1
    assert said.count(b"BODY.PEEK") <= count / options.batch + 3, "many mails in one command"
    lines = [record.getMessage() for record in caplog.records]
    assert f"mailbox support: {count:,} mails wait" in lines
    assert f"mailbox support: {count:,} of {count:,} taken" in lines
    for reached in range(1000, count, 1000):
        assert f"mailbox support: {reached:,} of {count:,} taken" in lines


def test_large_mails_are_asked_for_in_groups_that_fit_into_memory(mailbox: Mailbox, shelf: Shelf):
    # Catches: fifty mails a command whatever their size.
    large = [mail(number) + b"0123456789\r\n" * 250_000 for number in range(7)]
    mailbox.lay(*large, mail(8))
    with Proxy(mailbox.server.imap_port) as proxy:
        with watching(shelf, replace(options_for(mailbox), port=proxy.port)):
            shelf.wait(8, 60)
        asked = [line for line in bytes(proxy.said[0]).split(b"\r\n") if b"BODY.PEEK" in line]
    assert shelf.data == [*large, mail(8)]
    sizes = [len(one) for one in shelf.data]
    for line in asked:
        uids = [int(uid) for uid in line.split(b" ")[3].split(b",")]
        assert sum(sizes[uid - 1] for uid in uids) <= GROUP_OCTETS
    assert 2 < len(asked) < 8


def test_more_mails_than_one_search_can_name_are_listed_in_parts(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    # Catches: SEARCH ALL, whose answer grows beyond any line, so that the fullest mailbox is never read.
    monkeypatch.setattr("helpdesk.inbound.imap_session.WINDOW", 100)
    mails = {uid: mail(uid) for uid in range(1000, 1350)}

    def script(tag: bytes, command: bytes) -> bytes | None:
        if not command.startswith(b"UID SEARCH"):
            return None
        assert b"ALL" not in command or len(server.mails) <= 100
        if b"UID SEARCH UID" in command or b"ALL" in command:
            return None
        first, last = (int(number) for number in command.split(b" ")[2].split(b":"))
        found = sorted(server.mails)[first - 1 : last]
        return b"* SEARCH" + b"".join(b" %d" % uid for uid in found) + b"\r\n" + tag + b" OK done\r\n"

    with LyingImap(mails, script) as server:
        options = MailboxOptions("support", "127.0.0.1", server.port, "bob", "x", tls="none", timeout=5)
        with watching(shelf, options):
            wait_for(lambda: server.mails == {}, 30)
        assert server.connections == 1
    assert shelf.data == list(mails.values())


def test_a_folder_that_claims_to_hold_billions_is_listed_in_bounds(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("helpdesk.inbound.imap_session.FOLDER_LIMIT", 200_000)

    def script(tag: bytes, command: bytes) -> bytes | None:
        if command.startswith(b"SELECT"):
            return b"* 4294967295 EXISTS\r\n* OK [UIDVALIDITY 7] so\r\n" + tag + b" OK done\r\n"
        return None

    with LyingImap({1: mail(1)}, script) as server:
        options = MailboxOptions("support", "127.0.0.1", server.port, "bob", "x", tls="none", timeout=5)
        with watching(shelf, options) as watcher:
            wait_for(lambda: watcher.state == "idle" and server.mails == {}, 30)
    assert shelf.data == [mail(1)]
