"""A mail that its IMAP server never gives: the operator is told, the others become tickets (F21)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from helpdesk.app import Daemon, build
from helpdesk.store import spool
from tests.servers.lying_imap import HANG_UP, LyingImap
from tests.servers.ports import wait_for
from tests.servers.sink import Sink
from tests.stories.company import OPERATOR, SUPPORT, Company, write_customers

_MAILBOX = """
[[mailbox]]
name = "support"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "support"
password_env = "HOME"
desk_address = "support@acme.example"
"""


def letter(number: int) -> bytes:
    return (
        f"From: Bob <bob@b{number}.example>\r\nTo: {SUPPORT}\r\nMessage-ID: <{number}@b.example>\r\n"
        f"Subject: printer {number}\r\n\r\nIt burns.\r\n"
    ).encode()


def test_a_mail_that_is_never_shown_is_in_quarantine_with_a_notice(
    tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Catches: a watcher whose report goes nowhere; a report at each new try.
    monkeypatch.setattr("helpdesk.inbound.imap._STRIKES", 1)
    monkeypatch.setattr("helpdesk.inbound.imap._HOPELESS_PAUSE", 0.5)

    def hide_the_second(tag: bytes, command: bytes) -> list[bytes] | None:
        named = command.split(b" ")[2].split(b",") if command.startswith(b"UID FETCH") else []
        return [HANG_UP] if b"BODY.PEEK[]" in command and b"2" in named else None

    with LyingImap({number: letter(number) for number in (1, 2, 3)}, hide_the_second) as server:
        replace(Company(), relay_port=sink.port, more=_MAILBOX.format(port=server.port)).write(tmp_path)
        write_customers(tmp_path / "customers")
        daemon = Daemon(build(tmp_path))
        daemon.start()
        try:
            (notice,) = wait_for(lambda: sink.to(OPERATOR), 30)
            wait_for(lambda: set(server.mails) == {2}, 30)
            tries = server.asked(b"UID FETCH 2 (BODY.PEEK[]")
            wait_for(lambda: server.asked(b"UID FETCH 2 (BODY.PEEK[]") >= tries + 2, 30)
            with daemon.app.reading() as connection:
                (aside,) = spool.quarantined(connection)
        finally:
            daemon.stop()
    where = "mailbox support, UIDVALIDITY 7, UID 2"
    assert where in aside.cause
    assert where.encode() in notice.data.replace(b"=\r\n", b"")
    assert len(sink.to(OPERATOR)) == 1
