"""The IMAP door against servers that lie: bounded memory, no endless loop, one bad mail costs no other (F21)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from helpdesk.inbound.imap import MailboxOptions
from helpdesk.inbound.imap_session import ANSWER_LIMIT, LINE_LIMIT
from tests.inbound_doors.shelf import Shelf, mail, watching
from tests.servers.lying_imap import HANG_UP, LyingImap, Script
from tests.servers.ports import wait_for

THREE = {number: mail(number) for number in (1, 2, 3)}
#: What sockets on both sides may hold of four connections beyond what was read.
IN_FLIGHT = 40 * 1024 * 1024
#: A mail that could not be fetched so often is given up.
STRIKES = 3


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def options_for(server: LyingImap, **more: object) -> MailboxOptions:
    chosen = {
        "tls": "none",
        "timeout": 1,
        "probe_timeout": 1,
        "first_pause": 0.1,
        "again_seconds": 0.05,
        "max_size": 100_000,
        **more,
    }
    return MailboxOptions("support", "127.0.0.1", server.port, "bob", "x", **chosen)  # type: ignore[arg-type]


def asks_for(command: bytes, uid: int, what: bytes = b"BODY.PEEK[]") -> bool:
    return command.startswith(b"UID FETCH") and what in command and b"%d" % uid in command.split(b" ")[2].split(b",")


def about_body_of(uid: int, answer: Callable[[bytes], Iterable[bytes] | bytes]) -> Script:
    def script(tag: bytes, command: bytes) -> Iterable[bytes] | bytes | None:
        return answer(tag) if asks_for(command, uid) else None

    return script


def ten_gigabytes(tag: bytes) -> Iterator[bytes]:
    yield b"* 2 FETCH (UID 2 BODY[]<0> {10737418240}\r\n"
    while True:
        yield b"x" * 65_536


def endless_line(tag: bytes) -> Iterator[bytes]:
    while True:
        yield b"* 2 FETCH (UID 2 " + b"x" * 65_536


def endless_lines(tag: bytes) -> Iterator[bytes]:
    while True:
        yield b"* 3 EXISTS\r\n" * 4096


def deep(tag: bytes) -> bytes:
    return b"* 2 FETCH (UID 2 BODY[]<0> " + b"(" * 200_000 + b"\r\n" + tag + b" OK done\r\n"


#: What is said instead of mail 2; each must cost us that mail alone.
LIES: dict[str, Callable[[bytes], Iterable[bytes] | bytes]] = {
    "a literal of ten gigabytes": ten_gigabytes,
    "a line without end": endless_line,
    "lines without end": endless_lines,
    "a literal that is shorter than said": lambda tag: b"* 2 FETCH (UID 2 BODY[]<0> {500}\r\nabc)\r\n" + tag + b" OK\r\n",
    "a literal that is longer than said": lambda tag: (
        b"* 2 FETCH (UID 2 BODY[]<0> {3}\r\nabc\r\n* 1 EXPUNGE\r\nX1 OK done\r\n)\r\n" + tag + b" OK done\r\n"
    ),
    "a negative literal": lambda tag: b"* 2 FETCH (UID 2 BODY[]<0> {-5}\r\nabcde)\r\n" + tag + b" OK done\r\n",
    "no tagged line": lambda tag: b"* 2 FETCH (UID 2 BODY[]<0> {3}\r\nabc)\r\n",
    "somebody else's tag": lambda tag: b"ZZZZ9 OK done\r\n",
    "garbage": lambda tag: b"\x00\xff\xfe garbage \x80\r\n" + tag + b" OK done\r\n",
    "grammar that is not kept": lambda tag: b'* 2 FETCH (UID BODY[ "\r\n' + tag + b" OK done\r\n",
    "brackets in brackets": deep,
    "a number of a thousand digits": lambda tag: b"* 2 FETCH (UID 2 BODY[]<0> {" + b"9" * 5000 + b"}\r\n" + tag + b" OK\r\n",
    "the end of the connection": lambda tag: [HANG_UP],
    "half a mail and the end": lambda tag: [b"* 2 FETCH (UID 2 BODY[]<0> {500}\r\nabc", HANG_UP],
    "BYE": lambda tag: [b"* BYE secret words\r\n", HANG_UP],
    "NO": lambda tag: tag + b" NO [SERVERBUG] secret words\r\n",
    "BAD": lambda tag: tag + b" BAD secret words\r\n",
    "nothing": lambda tag: tag + b" OK done\r\n",
    "NIL": lambda tag: b"* 2 FETCH (UID 2 BODY[]<0> NIL)\r\n" + tag + b" OK done\r\n",
    "a mail of another UID": lambda tag: b"* 9 FETCH (UID 9 BODY[]<0> {3}\r\nabc)\r\n" + tag + b" OK done\r\n",
    "a mail without UID": lambda tag: b"* 2 FETCH (BODY[]<0> {3}\r\nabc)\r\n" + tag + b" OK done\r\n",
}  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lie", LIES)
def test_a_mail_that_cannot_be_fetched_is_given_up_by_its_uid_and_the_others_go_on(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, lie: str
):
    # Catches: no strikes (for ever), strikes for mails that only stood beside it, octets read without bound.
    with LyingImap(THREE, about_body_of(2, LIES[lie])) as server, watching(shelf, options_for(server)) as watcher:
        wait_for(lambda: shelf.unfetchable and set(server.mails) == {2}, 120)

        ((raw, cause),) = shelf.unfetchable
        assert sorted(shelf.data) == [mail(1), mail(3)]
        assert raw.data == b"From: bob@b.example\r\nMessage-ID: <2@b.example>\r\nSubject: mail 2\r\n\r\n"
        assert raw.sighting is not None
        assert (raw.sighting.mailbox, raw.sighting.uidvalidity, raw.sighting.uid) == ("support", 7, 2)
        assert "mailbox support, UIDVALIDITY 7, UID 2" in cause
        assert "gigabytes" not in lie or "announced more than it was asked for" in cause
        assert STRIKES <= server.asked(b"UID FETCH 2 (BODY.PEEK[]<") <= 2 * STRIKES, "a slow answer may be asked again"
        assert server.sent < IN_FLIGHT

        server.put(4, mail(4))
        wait_for(lambda: mail(4) in shelf.data, 45)
        wait_for(lambda: watcher.condition() == "" and server.mails.keys() == {2}, 45)  # it stays where it is
        assert len(shelf.unfetchable) == 1
        assert "secret words" not in caplog.text + cause
        assert server.strange == []


def test_a_mail_whose_header_breaks_the_connection_too_is_reported_with_nothing(shelf: Shelf):
    def script(tag: bytes, command: bytes) -> Iterable[bytes] | None:
        return [HANG_UP] if asks_for(command, 2, b"BODY.PEEK") else None

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: shelf.unfetchable, 40)
        ((raw, _),) = shelf.unfetchable
        assert raw.data == b""
        assert sorted(shelf.data) == [mail(1), mail(3)]
        assert server.asked(b"UID FETCH 2 (BODY.PEEK[HEADER]") == 1


def test_a_mail_whose_size_breaks_the_connection_is_found_out(shelf: Shelf):
    def script(tag: bytes, command: bytes) -> Iterable[bytes] | None:
        return [HANG_UP] if asks_for(command, 2, b"RFC822.SIZE") else None

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: shelf.unfetchable, 40)
        assert sorted(shelf.data) == [mail(1), mail(3)]


def test_a_report_that_cannot_be_kept_is_made_again(shelf: Shelf):
    class FullShelf(Shelf):
        def keep_what_there_is(self, raw: object, cause: str) -> None:
            self.attempts += 1
            if self.attempts == 1:
                raise OSError("No space left on device")
            super().keep_what_there_is(raw, cause)  # type: ignore[arg-type]

    shelf = FullShelf()
    script = about_body_of(2, LIES["nothing"])
    with LyingImap({2: mail(2)}, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: shelf.unfetchable, 40)
        assert shelf.attempts == 2


def test_a_mail_that_is_shown_after_all_is_kept(shelf: Shelf):
    asked = 0

    def script(tag: bytes, command: bytes) -> Iterable[bytes] | None:
        nonlocal asked
        if asks_for(command, 2):
            asked += 1
            return [HANG_UP] if asked <= 3 else None
        return None

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: len(shelf.mails) == 3, 40)
        wait_for(lambda: server.mails == {}, 45)
    assert shelf.unfetchable == []


@pytest.mark.parametrize(
    "size", [b"-5", b"0", b"1", b"99999", b"99999999999999999999", b"NIL", b'"many"', b"(1 2)", b"{2}\r\n10"]
)
def test_a_size_that_is_wrong_loses_nothing(shelf: Shelf, size: bytes):
    def script(tag: bytes, command: bytes) -> bytes | None:
        if not command.endswith(b"(RFC822.SIZE INTERNALDATE)"):
            return None
        rows = [
            b'* %d FETCH (UID %d INTERNALDATE "never" RFC822.SIZE %s)\r\n' % (uid, uid, size) for uid in server.mails
        ]
        return b"".join(rows) + tag + b" OK done\r\n"

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: server.mails == {}, 45)
    kept = shelf.data + [raw.data for raw, _ in shelf.large]
    assert sorted(part.partition(b"\r\n\r\n")[0] for part in kept) == [
        whole.partition(b"\r\n\r\n")[0] for whole in THREE.values()
    ]


def test_mails_that_are_much_larger_than_said_are_asked_for_alone(shelf: Shelf):
    # Catches: believing the sizes of a group, which would read 50 times the limit at once.
    large = {uid: mail(uid) + b"x" * 90_000 for uid in range(1, 41)}

    def script(tag: bytes, command: bytes) -> bytes | None:
        if not command.endswith(b"(RFC822.SIZE INTERNALDATE)"):
            return None
        numbers = command.split(b" ")[2].split(b",")
        rows = [b"* %s FETCH (UID %s RFC822.SIZE 80)\r\n" % (number, number) for number in numbers]
        return b"".join(rows) + tag + b" OK done\r\n"

    with LyingImap(large, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: server.mails == {}, 40)
    assert sorted(shelf.data) == sorted(large.values())
    assert ANSWER_LIMIT < 40 * 90_000
    assert shelf.large == []


@pytest.mark.parametrize(
    "answer",
    [b" 0 1 2 3 -7", b" 1 2 3 three", b" 4294967296 99999999999999999999999", b" 77 78 79", b" 3 2 1 3 2 1", b" (1"],
)
def test_uids_that_do_not_exist_make_nobody_run(shelf: Shelf, answer: bytes):
    def script(tag: bytes, command: bytes) -> bytes | None:
        if command.startswith(b"UID SEARCH") and len(server.mails) < 3:
            return b"* SEARCH" + answer + b"\r\n" + tag + b" OK done\r\n"
        return None

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server, again_seconds=2)):
        wait_for(lambda: len(shelf.mails) == 3, 45)
        since, before = time.monotonic(), len(server.commands)
        time.sleep(2)
        assert (len(server.commands) - before) / (time.monotonic() - since) < 40
    assert sorted(shelf.data) == list(THREE.values())


def test_mails_in_any_order_of_the_server_are_kept_in_order(shelf: Shelf):
    def script(tag: bytes, command: bytes) -> bytes | None:
        if command.startswith(b"UID SEARCH"):
            return (
                b"* SEARCH" + b"".join(b" %d" % uid for uid in sorted(server.mails, reverse=True)) + b"\r\n" + done(tag)
            )
        if command.startswith(b"UID FETCH"):
            uids, items = command.split(b" ")[2].split(b","), command.partition(b"(")[2][:-1]
            return b"".join(server.row(int(uid), items) for uid in reversed(uids)) + done(tag)
        return None

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: server.mails == {}, 45)
    assert shelf.data == list(THREE.values())


def done(tag: bytes) -> bytes:
    return tag + b" OK done\r\n"


def test_a_sequence_number_that_changes_its_mail_meanwhile_mixes_nothing_up(shelf: Shelf):
    """RFC 3501 section 7.4.1: EXPUNGE may come between two answers of UID FETCH."""

    # Catches: a reader that merges answers by sequence number, as IMAPClient's own does without UIDs.
    def script(tag: bytes, command: bytes) -> bytes | None:
        if command.startswith(b"UID FETCH 1,2,3 (BODY"):
            rows = [server.row(uid, command.partition(b"(")[2][:-1]).partition(b"FETCH")[2] for uid in (1, 2)]
            return (
                b"* 3 FETCH"
                + rows[0]
                + b"* 1 EXPUNGE\r\n* 3 FETCH"
                + rows[1]
                + b"* 3 FETCH (UID 3 FLAGS ())\r\n"
                + done(tag)
            )
        return None

    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: server.mails == {}, 45)
    assert sorted(shelf.data) == list(THREE.values())
    for raw in shelf.mails:
        assert raw.sighting is not None
        assert raw.data == mail(raw.sighting.uid)


def test_text_that_looks_like_imap_is_text(shelf: Shelf):
    hostile = b"\r\n".join(
        [
            b"Message-ID: <x\r\n A2 CREATE Pwned@b.example>",
            b'Subject: ") UID 9 BODY[] {5}',
            b"",
            b"* 1 EXPUNGE",
            b"* BYE",
            b"A1 OK done",
            b"+ go on",
            b"* 9 FETCH (UID 9 BODY[]<0> {3}",
            b"abc)",
            b"{10737418240}",
            b"",
        ]
    )
    with LyingImap({1: hostile, 2: mail(2)}) as server, watching(shelf, options_for(server)):
        wait_for(lambda: server.mails == {}, 45)
        assert server.connections == 1
    assert shelf.data == [hostile, mail(2)]


@pytest.mark.parametrize("uidvalidity", [None, b"seven", b""])
def test_a_folder_without_uidvalidity_is_not_taken_from(shelf: Shelf, uidvalidity: bytes | None):
    with LyingImap(THREE) as server:
        server.uidvalidity = uidvalidity
        with watching(shelf, options_for(server)) as watcher:
            wait_for(lambda: watcher.state.startswith("down"))
            assert "cannot be reached: " in watcher.condition()
            assert shelf.mails == []
            server.uidvalidity = b"7"
            wait_for(lambda: len(shelf.mails) == 3, 45)


@pytest.mark.parametrize(
    "greeting",
    [b"", b"* BYE [UNAVAILABLE] later\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff" * LINE_LIMIT + b"\xff\r\n"],
)
def test_what_is_no_imap_server_is_named_and_waited_for(shelf: Shelf, greeting: bytes):
    with LyingImap(THREE, greeting=greeting) as server, watching(shelf, options_for(server)) as watcher:
        wait_for(lambda: watcher.state.startswith("down"))
        assert watcher.condition().startswith("cannot be reached: ")
        time.sleep(2)
        assert server.connections <= 8


def test_a_server_that_logs_in_before_it_is_encrypted_is_not_believed(shelf: Shelf):
    """PREAUTH would skip STARTTLS, and the mail would go over the wire in the clear."""
    with LyingImap(THREE, greeting=b"* PREAUTH welcome\r\n", capabilities=b"IMAP4rev1 STARTTLS") as server:
        options = options_for(server, tls="starttls")
        with watching(shelf, options) as watcher:
            wait_for(lambda: watcher.state.startswith("down"))
        assert server.asked(b"SELECT") == server.asked(b"LOGIN") == 0


@pytest.mark.parametrize("capabilities", [b"IMAP4rev1", b"IMAP4rev1 STARTTLS"])
def test_words_before_the_handshake_are_not_believed(shelf: Shelf, capabilities: bytes):
    """CVE-2011-0411 the other way round: what was put in before the handshake would be read as if it came after."""

    def script(tag: bytes, command: bytes) -> bytes | None:
        if command == b"STARTTLS":
            return tag + b" OK begin\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n"
        return None

    with LyingImap(THREE, script, capabilities) as server:
        with watching(shelf, options_for(server, tls="starttls")) as watcher:
            wait_for(lambda: watcher.state.startswith("down"))
            assert (
                "before it was encrypted" if b"STARTTLS" in capabilities else "does not offer"
            ) in watcher.condition()
        assert server.asked(b"LOGIN") == 0


def test_mails_that_stay_though_moved_are_not_moved_again_and_again(shelf: Shelf):
    # Catches: moving what is kept at every look, a look for each new mail.
    def script(tag: bytes, command: bytes) -> bytes | None:
        return done(tag) if command.startswith(b"UID MOVE") else None

    with LyingImap({1: mail(1)}, script) as server, watching(shelf, options_for(server, first_pause=2)):
        shelf.wait(1, 20)
        for number in range(2, 22):
            server.put(number, mail(number))
            shelf.wait(number, 20)
        moves = [command for command in server.commands if command.startswith(b"UID MOVE")]
        assert len(set(shelf.data)) == len(shelf.mails) == 21
        assert sum(b"1" in command.split(b" ")[2].split(b",") for command in moves) <= 6


def test_a_server_that_cries_wolf_makes_nobody_run(shelf: Shelf):
    def script(tag: bytes, command: bytes) -> bytes | None:
        return b"+ waiting\r\n* 3 EXISTS\r\n" if command == b"IDLE" else None

    with LyingImap({}, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: server.asked(b"IDLE"))
        burnt = time.process_time()
        time.sleep(2)
        assert server.asked(b"IDLE") <= 8
        assert time.process_time() - burnt < 1


def test_news_that_comes_with_the_search_or_before_the_plus_is_not_overlooked(shelf: Shelf):
    # Catches: waiting in IDLE for what was told already; IMAPClient's idle(), which fails at anything but "+".
    told = 0

    def script(tag: bytes, command: bytes) -> bytes | None:
        nonlocal told
        if command == b"IDLE":
            told += 1
            if told == 2:
                server.mails[2] = mail(2)
                return b"* 1 EXISTS\r\n* 1 RECENT\r\n+ waiting\r\n"
        if command.startswith(b"UID SEARCH") and told == 0:
            told = 1
            server.mails[1] = mail(1)
            return b"* SEARCH\r\n* 1 EXISTS\r\n" + done(tag)
        return None

    with LyingImap({}, script) as server, watching(shelf, options_for(server, idle_seconds=300)):
        wait_for(lambda: len(shelf.mails) == 2, 45)
        assert server.connections == 1


def test_a_server_that_trickles_is_left(shelf: Shelf, monkeypatch: pytest.MonkeyPatch):
    """Each octet comes in time, the answer never does."""
    monkeypatch.setattr("helpdesk.inbound.imap_session.COMMAND_SECONDS", 1.0)
    monkeypatch.setattr("helpdesk.inbound.imap_session.SLOWEST", 100 * ANSWER_LIMIT)

    def drops(tag: bytes) -> Iterator[bytes]:
        while True:
            time.sleep(0.2)
            yield b"* OK still here\r\n"

    script = about_body_of(2, drops)
    with LyingImap(THREE, script) as server, watching(shelf, options_for(server)):
        wait_for(lambda: shelf.unfetchable, 40)
        assert sorted(shelf.data) == [mail(1), mail(3)]


def test_what_the_server_wants_a_person_to_read_is_logged_once(shelf: Shelf, caplog: pytest.LogCaptureFixture):
    def script(tag: bytes, command: bytes) -> bytes | None:
        return tag + b" OK [ALERT] Mailbox at 95% \x1b[31m\r\n" if command.startswith((b"SELECT", b"NOOP")) else None

    with LyingImap({}, script) as server, caplog.at_level(logging.WARNING), watching(shelf, options_for(server)):
        wait_for(lambda: server.connections >= 2, 45)
    said = [record.getMessage() for record in caplog.records if "the server says" in record.getMessage()]
    assert said == ["mailbox support: the server says: Mailbox at 95% [31m"]


def test_only_so_many_mails_are_reported(shelf: Shelf):
    """A server that shows nothing at all must not fill the quarantine."""

    def script(tag: bytes, command: bytes) -> bytes | None:
        if command.startswith(b"UID SEARCH"):
            return b"* SEARCH" + b"".join(b" %d" % uid for uid in range(1, 41)) + b"\r\n" + done(tag)
        return None

    with LyingImap({}, script) as server, watching(shelf, options_for(server)) as watcher:
        wait_for(lambda: "cannot be fetched" in watcher.condition() and len(shelf.unfetchable) == 20, 60)
        time.sleep(1)
        assert len(shelf.unfetchable) == 20
