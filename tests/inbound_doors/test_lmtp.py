"""The LMTP door: one answer for each recipient, over TCP and a unix socket, from bytes, smtplib and Postfix."""

from __future__ import annotations

import errno
import os
import shutil
import smtplib
import socket
import stat
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, RawMail
from helpdesk.inbound.listener import Listener, ListenerOptions
from tests.inbound_doors.doors import MAIL, NOW, OPTIONS, Shelf, Wire, is_ours, listening
from tests.servers.found import require
from tests.servers.ports import wait_for
from tests.servers.postfix import Postfix

LMTP = replace(OPTIONS, kind="lmtp")
FIRST, SECOND = "support@acme.example", "support+r4k@acme.example"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket, and which Postfix's user may enter."""
    path = Path(tempfile.mkdtemp(prefix="hd", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["tcp", "unix"])
def options(request: pytest.FixtureRequest, folder: Path) -> ListenerOptions:
    """Both ways to reach an LMTP listener."""
    return replace(LMTP, path=folder / "lmtp") if request.param == "unix" else LMTP


def envelope(*recipients: str) -> bytes:
    lines = ["MAIL FROM:<bob@b.example>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA", ""]
    return "\r\n".join(lines).encode()


# --- one answer each --------------------------------------------------------------------------------------------------


def test_each_accepted_recipient_gets_its_answer(shelf: Shelf, options: ListenerOptions) -> None:
    """Mutant: SMTP's one answer for all, which leaves the client waiting (aiosmtpd issue 517)."""
    with listening(shelf.keep, options) as door, Wire(door) as wire:
        wire.greet("LHLO").say(envelope(FIRST, "nobody@acme.example", SECOND, FIRST))
        assert [wire.reply()[:3] for _ in range(6)] == ["250", "250", "550", "250", "250", "354"]
        wire.say(MAIL + b".\r\nNOOP\r\n")
        answers = [wire.reply() for _ in range(3)]
        assert answers[0].startswith("250 2.0.0 kept as ")
        assert answers == [answers[0]] * 3, "the same address named twice is answered twice"
        assert wire.reply() == "250 2.0.0 OK"
    (raw,) = shelf.mails
    assert raw.door is Door.LMTP
    assert raw.envelope.recipients == (FIRST, SECOND)
    assert raw.envelope.peer == "127.0.0.1"
    assert b" with LMTP id " in raw.data


@pytest.mark.parametrize(
    ("failure", "answer"),
    [(TemporaryFailure("the database is locked"), "451 4.3.0"), (RuntimeError("hunter2"), "451 4.3.0")],
    ids=["temporary", "unexpected"],
)
def test_a_failure_is_answered_to_each_too(failure: Exception, answer: str) -> None:
    shelf = Shelf(failure)
    with listening(shelf.keep, LMTP) as door, Wire(door) as wire:
        wire.greet("LHLO")
        for _ in range(2):
            wire.say(envelope(FIRST, SECOND) + MAIL + b".\r\n")
            assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
            assert [wire.reply()[:9] for _ in range(2)] == [answer] * 2
            shelf.failure, answer = None, "250 2.0.0"
    assert len(shelf.mails) == 1


def test_a_mail_that_is_refused_is_refused_to_each(shelf: Shelf) -> None:
    with listening(shelf.keep, replace(LMTP, max_size=100_000)) as door, Wire(door) as wire:
        wire.greet("LHLO").say(envelope(FIRST, SECOND) + b"x" * 100_000 + b"\r\n.\r\nNOOP\r\n")
        replies = [wire.reply()[:9] for _ in range(7)]
    assert replies[4:] == ["552 5.3.4", "552 5.3.4", "250 2.0.0"]


def test_a_hundred_answers_are_one_error(shelf: Shelf) -> None:
    """The client did nothing wrong: it must not be hung up on in the middle of its answers."""
    shelf.failure = TemporaryFailure("the disk is full")
    recipients = [f"support+{number}@acme.example" for number in range(100)]
    with listening(shelf.keep, replace(LMTP, errors=3)) as door, Wire(door) as wire:
        wire.greet("LHLO").say(envelope(*recipients) + MAIL + b".\r\nNOOP\r\n")
        replies = [wire.reply()[:3] for _ in range(203)]
    assert replies == ["250"] * 101 + ["354"] + ["451"] * 100 + ["250"]


def test_data_without_a_recipient_is_503(shelf: Shelf) -> None:
    """RFC 2033 section 4.2; SMTP may say 554."""
    with listening(shelf.keep, LMTP) as door, Wire(door) as wire:
        wire.greet("LHLO").say(envelope("nobody@acme.example"))
        assert [wire.reply()[:3] for _ in range(3)] == ["250", "550", "503"]


def test_no_answer_comes_before_the_mail_is_durable() -> None:
    done = threading.Event()

    def keep(raw: RawMail) -> None:
        assert done.wait(10)

    with listening(keep, LMTP) as door, Wire(door) as wire:
        wire.greet("LHLO").say(envelope(FIRST, SECOND))
        assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
        wire.say(MAIL + b".\r\n")
        wire.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            wire.socket.recv(100)
        done.set()
        wire.socket.settimeout(10)
        assert wire.socket.recv(100).startswith(b"250 2.0.0 ")


# --- what it is called ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["HELO", "EHLO"])
def test_smtp_greetings_are_not_known(shelf: Shelf, word: str) -> None:
    with listening(shelf.keep, LMTP) as door, Wire(door) as wire:
        assert "LMTP" in wire.reply()
        assert wire.ask(f"{word} client.example").startswith("500 ")
        assert wire.ask("MAIL FROM:<bob@b.example>").startswith("503 ")
        offers = wire.ask("LHLO client.example")
        assert {"PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"} <= {line[4:] for line in offers.splitlines()}


def test_smtp_does_not_know_lhlo(door: Listener) -> None:
    with Wire(door) as wire:
        wire.reply()
        assert wire.ask("LHLO client.example").startswith("500 ")


def test_the_standard_client_delivers(shelf: Shelf, options: ListenerOptions) -> None:
    with listening(shelf.keep, options) as door:
        where = (str(door.options.path), 0) if door.options.path else ("127.0.0.1", door.port)
        with smtplib.LMTP(*where, local_hostname="client.example") as client:
            assert client.ehlo()[0] == 250, "which is LHLO here"
            client.mail("bob@b.example")
            assert [client.rcpt(one)[0] for one in (FIRST, SECOND)] == [250, 250]
            # smtplib reads one answer after the mail; the other one must be there too.
            assert client.data(MAIL)[0] == 250
            assert client.getreply()[0] == 250
            assert client.noop()[0] == 250
    assert shelf.bodies == [MAIL]


# --- the unix socket --------------------------------------------------------------------------------------------------


def test_a_socket_is_for_owner_and_group_and_goes_away_at_the_end(shelf: Shelf, folder: Path) -> None:
    path = folder / "lmtp"
    with listening(shelf.keep, replace(LMTP, path=path)) as door:
        found = path.stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert stat.S_IMODE(found.st_mode) == 0o660
        assert door.address == str(path)
        assert [file.name for file in folder.iterdir()] == ["lmtp"]
    assert list(folder.iterdir()) == []


def test_a_socket_in_a_setgid_folder_has_the_folders_group(shelf: Shelf, folder: Path) -> None:
    group = next((one for one in os.getgroups() if one != os.getegid()), 12345 if os.geteuid() == 0 else None)
    if group is None:
        pytest.skip("this user is in one group only")
    os.chown(folder, -1, group)
    folder.chmod(0o2755)
    with listening(shelf.keep, replace(LMTP, path=folder / "lmtp")):
        assert (folder / "lmtp").stat().st_gid == group


def test_a_stale_socket_is_replaced(shelf: Shelf, folder: Path) -> None:
    path = folder / "lmtp"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.exists()
    with listening(shelf.keep, replace(LMTP, path=path)) as door, Wire(door) as wire:
        wire.greet("LHLO")


def test_a_socket_that_somebody_listens_on_is_left_to_him(shelf: Shelf, folder: Path) -> None:
    options = replace(LMTP, path=folder / "lmtp")
    with listening(shelf.keep, options) as door:
        with pytest.raises(OSError, match="another process listens") as caught:
            Listener(options, Shelf().take, is_ours, lambda: NOW).start()
        assert caught.value.errno == errno.EADDRINUSE
        with Wire(door) as wire:
            wire.greet("LHLO")


def test_a_file_in_the_way_is_not_removed(shelf: Shelf, folder: Path) -> None:
    path = folder / "lmtp"
    path.write_text("precious")
    with pytest.raises(OSError, match="no socket"):
        Listener(replace(LMTP, path=path), Shelf().take, is_ours, lambda: NOW).start()
    assert path.read_text() == "precious"


@pytest.mark.parametrize("name", ["missing/lmtp", "x" * 120])
def test_a_socket_that_cannot_be_made_is_an_error_that_names_it(folder: Path, name: str) -> None:
    path = folder / name
    with pytest.raises(OSError) as caught:
        Listener(replace(LMTP, path=path), Shelf().take, is_ours, lambda: NOW).start()
    assert caught.value.filename == str(path)


def test_connections_by_socket_count_only_in_all(shelf: Shelf, folder: Path) -> None:
    options = replace(LMTP, path=folder / "lmtp", connections=3, per_peer=1)
    with listening(shelf.keep, options) as door:
        wires = [Wire(door).greet("LHLO") for _ in range(3)]
        with Wire(door) as fourth:
            assert fourth.reply().startswith("421 4.3.2")
        for wire in wires:
            wire.__exit__()


# --- Postfix ----------------------------------------------------------------------------------------------------------


@pytest.mark.story
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_postfix_delivers_to_two_recipients(shelf: Shelf, folder: Path, kind: str) -> None:
    """Its lmtp client hands one mail over for both, reads both answers, and has nothing left in the queue."""
    require("postfix")
    shutil.chown(folder, group="postfix")
    folder.chmod(0o2755)
    options = replace(LMTP, path=folder / "lmtp") if kind == "unix" else LMTP
    shelf.failure = TemporaryFailure("not yet")  # what Postfix is told once must make it come again for both
    with listening(shelf.keep, options) as door:
        hop = f"lmtp:unix:{door.address}" if kind == "unix" else f"lmtp:inet:{door.address}"
        postfix = Postfix(hop)
        try:
            mail = EmailMessage()
            mail["From"], mail["To"], mail["Subject"] = "bob@b.example", FIRST, "Printer"
            mail.set_content("It burns.")
            with smtplib.SMTP("127.0.0.1", postfix.port, "client.example", timeout=20) as client:
                assert client.send_message(mail, "bob@b.example", [FIRST, SECOND]) == {}
            wait_for(lambda: postfix.log().count("status=deferred") >= 2, 30, 0.1)
            shelf.failure = None
            wait_for(lambda: postfix.log().count("status=sent (250 2.0.0 kept as") == 2, 60, 0.1)
            wait_for(lambda: postfix.log().count(": removed") == 1, 30, 0.1)
        finally:
            log = postfix.log()
            postfix.stop()
    (raw,) = shelf.mails
    assert set(raw.envelope.recipients) == {FIRST, SECOND}, log
    assert (raw.envelope.sender, raw.door, raw.envelope.peer) == ("bob@b.example", Door.LMTP, "127.0.0.1")
    assert b"It burns." in raw.data


def test_a_keep_that_refuses_at_once_is_answered_to_each_too() -> None:
    def keep(raw: RawMail) -> Future[None]:
        raise TemporaryFailure("no desk has any of these addresses")

    door = Listener(replace(OPTIONS, kind="lmtp"), keep, is_ours, lambda: NOW)
    door.start()
    try:
        with Wire(door) as wire:
            wire.greet("LHLO").say(envelope(FIRST, SECOND))
            assert [wire.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
            wire.say(MAIL + b".\r\n")
            assert [wire.reply()[:3] for _ in range(2)] == ["451", "451"]
            assert wire.ask("NOOP").startswith("250 ")
    finally:
        door.stop(grace=0.5)
