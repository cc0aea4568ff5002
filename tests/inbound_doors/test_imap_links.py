"""The IMAP door when links, logins, folders and quotas fail, and in company; against a real Dovecot (F14-F20, M12)."""

from __future__ import annotations

import logging
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
import sqlalchemy as sa

from helpdesk.domain.mail import RawMail
from helpdesk.inbound.imap import MailboxOptions, MailboxWatcher, _backoff
from helpdesk.settings import Imap
from helpdesk.store import migrate, spool, tables
from helpdesk.store.engine import connect
from helpdesk.store.writer import Writer
from tests.inbound_doors.shelf import Shelf, mail, options_for, watcher_of, watching
from tests.servers.certificate import Certificate
from tests.servers.dovecot import Dovecot, Mailbox
from tests.servers.found import require
from tests.servers.lying_imap import HANG_UP, LyingImap
from tests.servers.ports import wait_for
from tests.servers.tcp_proxy import Proxy


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@contextmanager
def dovecot_with(certificate: Certificate, extra: str) -> Iterator[Dovecot]:
    require("dovecot")
    server = Dovecot(certificate, extra)
    try:
        yield server
    finally:
        server.stop()


# --- half-open links (F14, M13) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("idle", ["auto", False])
def test_a_link_that_went_silent_is_noticed_and_nothing_is_lost(
    mailbox: Mailbox, shelf: Shelf, idle: bool | Literal["auto"]
):
    # Catches: waiting for the next mail alone; the kernel's keepalive sees nothing here, the proxy's answers.
    with Proxy(mailbox.server.imap_port) as proxy:
        options = replace(
            options_for(mailbox), port=proxy.port, idle=idle, idle_seconds=1, poll_seconds=1, probe_timeout=1
        )
        with watching(shelf, options) as watcher:
            wait_for(lambda: watcher.state in ("idle", "polling"))
            proxy.freeze()
            mailbox.put(mail(1))
            wait_for(lambda: watcher.state == "down: TimeoutError: timed out", 45)
            assert watcher.condition() == "cannot be reached: TimeoutError: timed out"
            assert shelf.mails == []
            proxy.thaw()
            shelf.wait(1, 30)
            wait_for(lambda: watcher.condition() == "", 45)
    assert shelf.data == [mail(1)]


def test_a_link_that_dies_in_the_middle_of_a_fetch_is_noticed(mailbox: Mailbox, shelf: Shelf):
    large = mail(1) + b"0123456789\r\n" * 100_000
    mailbox.put(large)

    def freeze_at_the_fetch(octets: bytes) -> None:
        if b"BODY.PEEK" in octets and proxy.connections == 1:
            proxy.freeze()

    with (
        Proxy(mailbox.server.imap_port, freeze_at_the_fetch) as proxy,
        watching(shelf, replace(options_for(mailbox), port=proxy.port, timeout=2)) as watcher,
    ):
        wait_for(lambda: watcher.state.startswith("down"), 45)
        proxy.thaw()
        shelf.wait(1, 30)
        wait_for(lambda: mailbox.mails("INBOX") == [], 45)
    assert shelf.data == [large]
    assert shelf.unfetchable == []


def test_as_it_stands_silence_is_noticed_within_a_minute():
    options = MailboxOptions("support", "imap.acme.example", 993, "bob", "x")
    settings = Imap.model_fields
    assert options.timeout <= 60
    for seconds in (
        options.idle_seconds,
        options.poll_seconds,
        settings["idle_seconds"].default,
        settings["poll_seconds"].default,
    ):
        assert seconds + options.probe_timeout <= 60


def test_a_link_that_is_closed_during_idle_burns_nothing(mailbox: Mailbox, shelf: Shelf):
    """IMAPClient's idle_check returns at once for ever then (M13)."""
    with (
        Proxy(mailbox.server.imap_port) as proxy,
        watching(shelf, replace(options_for(mailbox), port=proxy.port)) as watcher,
    ):
        wait_for(lambda: watcher.state == "idle")
        burnt = time.process_time()
        proxy.cut()
        wait_for(lambda: watcher.state.startswith("down"), every=0.005)
        assert "ended the connection" in watcher.state
        proxy.wait(2)
        wait_for(lambda: watcher.state == "idle")
        assert time.process_time() - burnt < 1


# --- ends and logins (F15) ----------------------------------------------------------------------------------------


def test_pauses_grow_to_five_minutes_and_differ():
    for failures in range(50):
        pauses = {_backoff(failures, 1) for _ in range(20)}
        longest = min(2**failures, 300)
        assert all(longest * 0.67 <= pause <= longest for pause in pauses)
        assert len(pauses) > 1


def test_being_kicked_again_and_again_makes_the_pauses_grow(mailbox: Mailbox, shelf: Shelf):
    # Catches: forgetting the failures whenever a connection was made.
    with watching(shelf, replace(options_for(mailbox), first_pause=0.1)) as watcher:
        for kicks in range(1, 6):
            wait_for(lambda: watcher.state == "idle", 45)
            mailbox.server.kick(mailbox.user)
            wait_for(lambda: watcher.state.startswith("down"), every=0.005)
            assert watcher._failures >= kicks - 1
        mailbox.put(mail(1))
        shelf.wait(1, 20)


def test_a_server_that_is_stopped_and_started_is_found_again(certificate: Certificate, shelf: Shelf):
    with dovecot_with(certificate, "") as server:
        mailbox = server.mailbox()
        with watching(shelf, options_for(mailbox)) as watcher:
            wait_for(lambda: watcher.state == "idle")
            server.halt()
            wait_for(lambda: watcher.condition().startswith("cannot be reached: "), 45)
            server.go_on()
            mailbox.put(mail(1))
            shelf.wait(1, 20)
            wait_for(lambda: watcher.condition() == "", 45)


@pytest.mark.parametrize("ending", ["NO", "NO and BYE", "BYE", "silence", "end", "PREAUTH"])
def test_a_login_that_fails_is_not_repeated_within_a_minute(shelf: Shelf, ending: str):
    # Catches: the long pause for NO alone; servers against guessing hang up instead.
    def script(tag: bytes, command: bytes) -> list[bytes] | None:
        if not command.startswith(b"LOGIN"):
            return None
        return {
            "NO": [tag + b" NO [AUTHENTICATIONFAILED] hunter2 is wrong\r\n"],
            "NO and BYE": [tag + b" NO wrong\r\n", b"* BYE\r\n", HANG_UP],
            "BYE": [b"* BYE too many failures\r\n", HANG_UP],
            "silence": [b"* OK wait\r\n"],
            "end": [HANG_UP],
        }[ending]

    greeting = b"* PREAUTH hello\r\n" if ending == "PREAUTH" else b"* OK ready\r\n"
    with LyingImap({}, script, greeting=greeting) as server:
        options = MailboxOptions("support", "127.0.0.1", server.port, "bob", "hunter2", tls="none", timeout=1)
        with watching(shelf, replace(options, first_pause=0.05)) as watcher:
            wait_for(lambda: watcher.state.startswith("down"))
            time.sleep(3)
            assert server.connections == 1
            assert "hunter2" not in watcher.condition()
            if ending == "NO":
                assert watcher.condition() == (
                    "login refused: wrong user or password [AUTHENTICATIONFAILED]: check user and password"
                )
            else:
                assert watcher.condition() != ""


def test_a_name_with_quotes_and_a_password_with_umlauts_log_in(mailbox: Mailbox, shelf: Shelf):
    for user, password in ((r'acme\"the boss"', mailbox.password), (mailbox.user, "öffne")):
        options = replace(options_for(mailbox), user=user, password=password)
        with Proxy(mailbox.server.imap_port) as proxy:
            with watching(shelf, replace(options, port=proxy.port)) as watcher:
                wait_for(lambda: watcher.state != "starting")
            (said,) = proxy.said
            assert b'LOGIN "acme\\\\\\"the boss\\""' in said or b"AUTHENTICATE PLAIN" in said


def test_a_password_with_a_line_break_is_no_command(mailbox: Mailbox, shelf: Shelf):
    with Proxy(mailbox.server.imap_port) as proxy:
        options = replace(options_for(mailbox), port=proxy.port, password='x"\r\nA2 CREATE Pwned')
        with watching(shelf, options) as watcher:
            wait_for(lambda: watcher.condition() != "")
        assert b"Pwned" not in b"".join(proxy.said)


# --- folders that change (F16) ------------------------------------------------------------------------------------


def test_mails_numbered_anew_are_neither_skipped_nor_lost(mailbox: Mailbox, shelf: Shelf):
    """What waits for its next try gets another number meanwhile, and new mail gets its old one."""
    shelf.broken = lambda raw: b"mail 1" in raw.data
    mailbox.put(mail(1))
    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle" and shelf.attempts >= 1)
        mailbox.server.doveadm("mailbox", "update", "-u", mailbox.user, "--uid-validity", "4711", "INBOX")
        mailbox.put(mail(2))
        shelf.wait(1, 20)
        shelf.broken = lambda raw: False
        shelf.wait(2, 20)
        wait_for(lambda: mailbox.mails("INBOX") == [], 45)
    assert shelf.data == [mail(2), mail(1)]
    assert {raw.sighting.uidvalidity for raw in shelf.mails if raw.sighting} == {4711}


def test_an_archive_that_somebody_removes_is_made_again(mailbox: Mailbox, shelf: Shelf):
    with watching(shelf, options_for(mailbox)) as watcher:
        wait_for(lambda: watcher.state == "idle")
        with mailbox.connect() as client:
            client.delete_folder("Archive")
        mailbox.put(mail(1))
        mailbox.wait(1, "Archive", 20)
        wait_for(lambda: watcher.condition() == "", 45)
    assert shelf.data == [mail(1)]


def test_a_folder_that_is_gone_is_named(mailbox: Mailbox, shelf: Shelf):
    with watching(shelf, replace(options_for(mailbox), folder="Tickets")) as watcher:
        wait_for(lambda: watcher.condition() != "")
        assert "the folder 'Tickets'" in watcher.condition()
        with mailbox.connect() as client:
            client.create_folder("Tickets")
        mailbox.put(mail(1), folder="Tickets")
        shelf.wait(1, 20)


# --- somebody else in the same mailbox (F17) ----------------------------------------------------------------------


@pytest.mark.parametrize("capabilities", ["IDLE MOVE UIDPLUS", "IDLE UIDPLUS", "IDLE"])
def test_what_others_read_flag_move_and_delete_meanwhile_is_no_error(
    certificate: Certificate, shelf: Shelf, capabilities: str
):
    with dovecot_with(certificate, _only(capabilities)) as server:
        mailbox = server.mailbox()
        mailbox.put(*[mail(number) for number in range(30)])
        stop = threading.Event()

        def meddle() -> None:
            with mailbox.connect() as client:
                if not client.folder_exists("Taken"):
                    client.create_folder("Taken")
                client.select_folder("INBOX")
                turn = 0
                while not stop.is_set():
                    client.noop()
                    for uid in client.search()[::7][:2]:
                        turn += 1
                        with suppress(client.Error):
                            client.add_flags([uid], [b"\\Seen", b"\\Flagged"])
                            if turn % 3 == 0:
                                client.copy([uid], "Taken")
                                client.add_flags([uid], [b"\\Deleted"])
                                client.expunge()
                    stop.wait(0.02)

        other = threading.Thread(target=meddle)
        other.start()
        try:
            with watching(shelf, replace(options_for(mailbox), batch=5)) as watcher:
                for number in range(30, 60):
                    mailbox.put(mail(number))
                stop.set()
                other.join(20)
                mailbox.put(mail(60))
                wait_for(lambda: mail(60) in shelf.data, 45)
                wait_for(lambda: watcher.condition() == "" and watcher.state == "idle", 45)
        finally:
            stop.set()
            other.join(20)
            everything = {mail(number) for number in range(61)}
            wait_for(lambda: everything <= {*mailbox.mails("Archive"), *mailbox.mails("Taken")}, 60)
        assert set(shelf.data) | set(mailbox.mails("Taken")) == everything
        assert max(Counter(raw.sighting for raw in shelf.mails).values()) == 1
        assert shelf.unfetchable == []


@pytest.mark.parametrize("idle", ["IDLE", ""])
@pytest.mark.parametrize("plus", ["UIDPLUS", ""])
@pytest.mark.parametrize("move", ["MOVE", ""])
def test_every_set_of_capabilities_archives_and_touches_nobody_elses_marks(
    certificate: Certificate, shelf: Shelf, idle: str, plus: str, move: str
):
    # Catches: plain EXPUNGE, which would remove what somebody else has marked.
    said = bytearray()
    with dovecot_with(certificate, _only(f"{idle} {plus} {move}")) as server:
        mailbox = server.mailbox()
        mailbox.put(mail(1), mail(2))
        with mailbox.connect() as client:
            client.select_folder("INBOX")
            client.add_flags([2], [b"\\Deleted", b"\\Seen"])
        shelf.broken = lambda raw: b"mail 2" in raw.data
        with Proxy(server.imap_port, said.extend) as proxy:
            options = replace(options_for(mailbox), port=proxy.port, poll_seconds=0.3)
            with watching(shelf, options) as watcher:
                wait_for(lambda: watcher.state == ("idle" if idle else "polling"), 45)
                mailbox.put(mail(3))
                mailbox.wait(2, "Archive", 20)
                wait_for(lambda: watcher.state == ("idle" if idle else "polling"), 45)
                assert watcher.condition() == ""
        assert mailbox.mails("Archive") == [mail(1), mail(3)]
        assert mailbox.mails("INBOX") == ([mail(2)] if move or plus else [mail(1), mail(2), mail(3)])
    assert re.search(rb"\r\n\S+ EXPUNGE", said) is None
    assert (b"IDLE" in said) is bool(idle)


def _only(capabilities: str) -> str:
    return f"\nprotocol imap {{\n  imap_capability = IMAP4rev1 {capabilities}\n}}\n"


# --- deaths between two commands (F19) ----------------------------------------------------------------------------


@pytest.mark.parametrize("at", [b" COPY ", b" STORE ", b" EXPUNGE ", b"MOVE ", b"BODY.PEEK"])
def test_a_link_cut_between_any_two_commands_keeps_each_sighting_once(
    certificate: Certificate, tmp_path: Path, at: bytes
):
    with dovecot_with(certificate, _only("IDLE UIDPLUS" + (" MOVE" if b"MOVE" in at else ""))) as server:
        mailbox = server.mailbox()
        mailbox.put(mail(1), mail(2))
        cuts: list[bytes] = []

        def cut(octets: bytes) -> None:
            if at in octets and len(cuts) < 2:
                cuts.append(at)
                proxy.cut()

        with Proxy(server.imap_port, cut) as proxy, ledger(f"sqlite:///{tmp_path / 'helpdesk.db'}") as kept:
            for _ in range(2):  # the second daemon knows only what the database knows
                with watching_into(kept, replace(options_for(mailbox), port=proxy.port)) as watcher:
                    wait_for(lambda: mailbox.mails("INBOX") == [], 30)
                    wait_for(lambda: watcher.condition() == "", 45)
                    mailbox.put(mail(3))
                    wait_for(lambda: mailbox.mails("INBOX") == [], 30)
            assert len(cuts) == 2
            assert Counter(kept.rows()) == {mail(1): 1, mail(2): 1, mail(3): 2}
            assert set(mailbox.mails("Archive")) == {mail(1), mail(2), mail(3)}


# --- servers that are full or busy (F20) --------------------------------------------------------------------------


def test_an_archive_over_quota_keeps_nothing_from_being_kept(
    certificate: Certificate, shelf: Shelf, caplog: pytest.LogCaptureFixture
):
    # Catches: giving the session up at the first NO, which left all behind the first batch unread for ever.
    quota = """
mail_plugins = quota
plugin {
  quota = maildir:User
  quota_rule = *:bytes=40000
  quota_rule2 = INBOX:ignore
}
protocol imap {
  mail_plugins = quota
  imap_capability = IMAP4rev1 IDLE UIDPLUS
}
"""
    large = [mail(number) + b"x" * 9000 + b"\r\n" for number in range(9)]
    with dovecot_with(certificate, quota) as server:
        mailbox = server.mailbox()
        mailbox.put(*large)
        options = replace(options_for(mailbox), batch=2, first_pause=0.2)
        with caplog.at_level(logging.WARNING), watching(shelf, options) as watcher:
            shelf.wait(9, 30)
            wait_for(lambda: "[OVERQUOTA]" in watcher.condition(), 45)
            assert "mails are kept" in watcher.condition()
            assert watcher.state == "idle"
            mailbox.put(mail(100))
            shelf.wait(10, 20)
            assert max(Counter(shelf.data).values()) == 1, "what is kept is not kept again"
            with mailbox.connect() as client:  # the administrator makes room
                client.select_folder("Archive")
                archived = client.fetch(client.search(), ["BODY.PEEK[]"])
                client.delete_messages(list(archived))
                client.expunge()
                client.delete_folder("Archive")
            server.doveadm("quota", "recalc", "-u", mailbox.user)
            wait_for(lambda: len(mailbox.mails("INBOX")) < 10 - len(archived), 60)
        warned = [record for record in caplog.records if "OVERQUOTA" in record.getMessage()]
        assert len(warned) <= 2, "said once each time that it begins"


@pytest.mark.parametrize(
    ("command", "code"),
    [(b"LOGIN", "UNAVAILABLE"), (b"SELECT", "INUSE"), (b"SELECT", "THROTTLED"), (b"UID MOVE", "LIMIT")],
)
def test_a_busy_server_is_left_alone_for_a_while_and_said_once(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, code: str, command: bytes
):
    def script(tag: bytes, said: bytes) -> bytes | None:
        return b"%s NO [%s] secret words\r\n" % (tag, code.encode()) if said.startswith(command) and busy else None

    busy = True
    mails = {number: mail(number) for number in (1, 2, 3)}
    with LyingImap(mails, script) as server, caplog.at_level(logging.WARNING):
        options = MailboxOptions("support", "127.0.0.1", server.port, "bob", "x", tls="none", timeout=2)
        with watching(shelf, options) as watcher:
            wait_for(lambda: f"[{code}]" in watcher.condition())
            time.sleep(2.5)
            assert 1 <= server.asked(command) <= 3
            assert "secret words" not in caplog.text + watcher.condition()
            assert caplog.text.count(code) == 1
            busy = False
            if command != b"LOGIN":
                wait_for(lambda: server.mails == {}, 45)
                wait_for(lambda: watcher.condition() == "", 45)
                assert shelf.data == [mail(1), mail(2), mail(3)]


def test_one_connection_is_enough_and_one_too_many_is_named(certificate: Certificate, shelf: Shelf):
    with dovecot_with(certificate, "\nmail_max_userip_connections = 1\n") as server:
        mailbox = server.mailbox()
        mailbox.put(mail(1))
        with watching(shelf, options_for(mailbox)) as watcher:
            shelf.wait(1)
            wait_for(lambda: watcher.state == "idle")
            with watching(shelf, options_for(mailbox)) as second:
                wait_for(lambda: "perhaps that of connections" in second.condition())
                assert "password" not in second.condition()
                time.sleep(1.5)
                assert watcher.condition() == ""


# --- what we say (M12, T43) ---------------------------------------------------------------------------------------

_FOLDER = rb'"?(?:INBOX|Archive|Too big)"?'
_SAYABLE = re.compile(
    rb"CAPABILITY|LOGIN \S+ \S+|LIST \"\" " + _FOLDER + rb"|(?:CREATE|SUBSCRIBE|SELECT) " + _FOLDER +
    rb"|UID SEARCH (?:ALL|UID \d+:\*|\d+:\d+)(?: UNKEYWORD \$HelpdeskDone| UNDELETED)?"
    rb"|UID FETCH [\d,]+ \((?:RFC822\.SIZE INTERNALDATE|BODY\.PEEK\[(?:HEADER)?\]<0\.\d+>)\)"
    rb"|UID (?:MOVE|COPY) [\d,]+ " + _FOLDER +
    rb"|UID STORE [\d,]+ \+FLAGS(?:\.SILENT)? \([\\\w $]+\)|UID EXPUNGE [\d,]+|IDLE|NOOP|LOGOUT"
)  # fmt: skip

_HOSTILE = [
    b"Message-ID: <x\r\n A2 CREATE Pwned\r\n A3 NOOP@b.example>\r\n\r\nA2 CREATE Pwned\r\n",
    b"Message-ID: =?utf-8?q?x=0D=0AA2_CREATE_Pwned=0D=0AA3_NOOP?=\r\nSubject: \"\r\n\r\n.\r\n",
    b"Subject: {10+}\r\nFrom: \"A\\\"\" <a@b.example>\r\n\r\nDONE\r\n",
    b"Message-ID: <1:* Pwned>\r\nX-UID: 7\r\nStatus: RO\r\n\r\n\x00\xff",
    b"",
]  # fmt: skip


@pytest.mark.parametrize("capabilities", ["IDLE MOVE UIDPLUS LITERAL+", "UIDPLUS", "IDLE"])
def test_no_word_of_a_mail_is_ever_in_a_command(certificate: Certificate, shelf: Shelf, capabilities: str):
    with dovecot_with(certificate, _only(capabilities)) as server, Proxy(server.imap_port) as proxy:
        mailbox = server.mailbox("bob@mail.example")
        hostile = [text for text in _HOSTILE if text]  # APPEND takes no empty mail
        mailbox.put(*hostile, b"Subject: A2 CREATE Pwned\r\n\r\n" + b"x\r\n" * 2000)
        options = replace(options_for(mailbox), port=proxy.port, max_size=2000, too_big="Too big", poll_seconds=0.2)
        with watching(shelf, options) as watcher:
            wait_for(lambda: len(shelf.mails) == len(hostile) and shelf.large, 45)
            mailbox.put(*hostile)
            wait_for(lambda: len(shelf.mails) == 2 * len(hostile), 45)
            wait_for(lambda: watcher.state in ("idle", "polling"), 45)
        said = b"".join(proxy.said).split(b"\r\n")
        with mailbox.connect() as client:
            assert {folder for _, _, folder in client.list_folders()} == {"INBOX", "Archive", "Too big"}
    commands = [line.partition(b" ")[2] for line in said if line not in (b"", b"DONE")]
    assert len(commands) > 10
    assert [command for command in commands if not _SAYABLE.fullmatch(command)] == []


# --- two daemons on one mailbox -----------------------------------------------------------------------------------


class Ledger:
    """Keeps mails as the daemon does, in a database, through one writer."""

    def __init__(self, url: str) -> None:
        self.engine = connect(url)
        migrate.upgrade(self.engine)
        self.writer = Writer(self.engine)
        self.writer.start()

    def keep(self, raw: RawMail) -> None:
        self.writer.run(lambda connection: spool.keep(connection, raw, ("main",), datetime.now(UTC)), urgent=True)

    def rows(self) -> list[bytes]:
        """The bytes of each row of the spool, in order of receipt."""
        rows = sa.select(tables.raw.c.data).join(tables.spool, tables.spool.c.raw_hash == tables.raw.c.hash)
        with self.engine.connect() as connection:
            return list(connection.execute(rows.order_by(tables.spool.c.id)).scalars())

    def close(self) -> None:
        self.writer.stop()
        self.engine.dispose()


@contextmanager
def ledger(url: str) -> Iterator[Ledger]:
    kept = Ledger(url)
    try:
        yield kept
    finally:
        kept.close()


@contextmanager
def watching_into(kept: Ledger, options: MailboxOptions) -> Iterator[MailboxWatcher]:
    def never(*arguments: object) -> None:
        raise AssertionError(arguments)

    watcher = MailboxWatcher(options, kept.keep, never, never, lambda: datetime.now(UTC))
    watcher.start()
    try:
        yield watcher
    finally:
        watcher.stop()


@pytest.mark.parametrize("capabilities", ["IDLE MOVE UIDPLUS", "IDLE UIDPLUS", "IDLE"])
def test_two_watchers_of_one_mailbox_keep_each_mail_once(certificate: Certificate, tmp_path: Path, capabilities: str):
    with dovecot_with(certificate, _only(capabilities)) as server:
        mailbox = server.mailbox()
        mails = [mail(number) for number in range(80)]
        mailbox.put(*mails[:40])
        options = replace(options_for(mailbox), batch=7, first_pause=0.1)
        with (
            ledger(f"sqlite:///{tmp_path / 'helpdesk.db'}") as kept,
            watching_into(kept, options) as one,
            watching_into(kept, options) as two,
        ):
            for each in mails[40:]:
                mailbox.put(each)
            wait_for(lambda: len(kept.rows()) >= 80, 30)
            wait_for(lambda: one.condition() == two.condition() == "", 45)
            if "UIDPLUS" in capabilities:
                wait_for(lambda: mailbox.mails("INBOX") == [], 30)
            time.sleep(0.5)
            assert Counter(kept.rows()) == dict.fromkeys(mails, 1)
        # Where both move the same mail in the same instant, Dovecot may leave two copies of it in the archive.
        assert set(mailbox.mails("Archive")) == set(mails)


def test_two_watchers_on_two_writers_of_one_postgresql_lose_nothing(mailbox: Mailbox, postgres_url: str):
    """Both may write a mail down in the same instant; what is handled once is told by its content then."""
    mails = [mail(number) for number in range(40)]
    options = replace(options_for(mailbox), batch=7, first_pause=0.1)
    with (
        ledger(postgres_url) as first,
        ledger(postgres_url) as second,
        watching_into(first, options),
        watching_into(second, options),
    ):
        for each in mails:
            mailbox.put(each)
        wait_for(lambda: set(first.rows()) == set(mails), 40)
        wait_for(lambda: mailbox.mails("INBOX") == [], 30)
        assert max(Counter(first.rows()).values()) <= 2
    assert set(mailbox.mails("Archive")) == set(mails)


# --- what is wrong, in words --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ended_or_hangs_is_told(mailbox: Mailbox, shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    class Dying(MailboxWatcher):
        def _work(self, *arguments: object) -> bool:
            raise SystemExit  # which threading does not report

    watcher = watcher_of(shelf, options_for(mailbox), Dying)
    watcher.start()
    wait_for(lambda: watcher.condition() == "its thread has ended: restart the daemon")
    watcher.stop()

    hangs = threading.Event()
    shelf.broken = lambda raw: hangs.wait(20) and False
    mailbox.put(mail(1))
    monkeypatch.setattr("helpdesk.inbound.imap._STALLED_SECONDS", 0.2)
    options = replace(options_for(mailbox), idle_seconds=0.2, poll_seconds=0.2)
    with watching(shelf, options) as watcher:
        wait_for(lambda: watcher.condition() == "the last look was 0 minutes ago")
        hangs.set()
        wait_for(lambda: watcher.condition() == "", 45)


def test_a_store_that_takes_nothing_is_not_shown_ten_thousand_mails(mailbox: Mailbox, shelf: Shelf):
    shelf.broken = lambda raw: True
    mailbox.put(*[mail(number) for number in range(60)])
    with watching(shelf, replace(options_for(mailbox), batch=5, first_pause=5)) as watcher:
        wait_for(lambda: watcher.condition().startswith("mails cannot be kept"))
        time.sleep(1)
        assert shelf.attempts <= 5
        shelf.broken = lambda raw: False
        shelf.wait(60, 30)
        wait_for(lambda: watcher.condition() == "", 45)


def test_a_frozen_server_costs_no_mail(certificate: Certificate, shelf: Shelf):
    with dovecot_with(certificate, "") as server:
        mailbox = server.mailbox()
        options = replace(options_for(mailbox), idle_seconds=0.5, probe_timeout=1, timeout=1, first_pause=0.2)
        with watching(shelf, options) as watcher:
            for number in range(3):
                wait_for(lambda: watcher.state == "idle", 45)
                os.killpg(server.pid, signal.SIGSTOP)
                try:
                    wait_for(lambda: watcher.state.startswith("down"), 45)
                finally:
                    os.killpg(server.pid, signal.SIGCONT)
                mailbox.put(mail(number))
                shelf.wait(number + 1, 20)
