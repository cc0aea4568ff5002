"""F12: the line breaks after each octet of a dialogue, in both directions: the mail arrives once, however often it broke."""

from __future__ import annotations

import smtplib
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import pytest

from tests.deaths import checker, desk
from tests.deaths.harness import Deaths
from tests.deaths.line import Direction, Line
from tests.deaths.syscalls import OneMail
from tests.deaths.traffic import Sent
from tests.servers.dovecot import Mailbox
from tests.servers.ports import greeting, wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(480)]

#: One mail meets so many broken lines before one that holds.
BREAKS_PER_MAIL = 8
#: Cuts between the daemon and the IMAP server; after each it waits for about a second, so that it hammers nobody.
IMAP_CUTS, MANY_IMAP_CUTS = 6, 400
#: A line that breaks while the password is being said is not tried again for so many seconds, so that no account is locked.
LOGIN_PAUSE = 60
#: The pause may last long enough to be told; that is no mail of the desk's.
ALARM = '[[alarm]]\ncommand = ["true"]\n'
#: Octets in one mail's dialogue with the IMAP server, about: cuts beyond it are met by the next mail.
IMAP_OCTETS = {"to the server": 300, "to the client": 900}


@pytest.fixture
def lines() -> Iterator[list[Line]]:
    """Lines that are closed after the test."""
    opened: list[Line] = []
    yield opened
    for line in opened:
        line.close()


def test_f12_the_line_breaks_at_each_octet_of_an_smtp_dialogue(
    tmp_path: Path, sink: Sink, lines: list[Line], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each octet to the server and each to the client; what is offered again is taken, and is not doubled."""
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.start()
    greeting(deaths.port, 20)
    lines.append(line := Line(deaths.port))
    sizes = _dialogue(deaths, line)

    for direction, size in sizes.items():
        _break_at(deaths, line, direction, range(size + 1))

    with capsys.disabled():
        print(f"\ncuts: {line.breaks} in {sizes}; mails {len(deaths.traffic.sent)}")
    assert line.breaks >= sum(sizes.values())
    wait_for(deaths.at_rest, 60, 0.1)
    assert running.stop() == 0
    assert checker.problems(deaths) == []


def test_f12_a_daemon_that_forgets_what_it_saw_is_caught(tmp_path: Path, sink: Sink, lines: list[Line]) -> None:
    """The line that breaks between the dot and the 250 doubles a mail where nobody remembers."""
    deaths = Deaths(tmp_path / "desk", sink, mutant="forgetful")
    deaths.start()
    greeting(deaths.port, 20)
    lines.append(line := Line(deaths.port))
    size = _dialogue(deaths, line)["to the client"]

    _break_at(deaths, line, "to the client", range(size - 40, size - 20, 4))
    wait_for(deaths.at_rest, 30)

    assert any("entries" in problem for problem in checker.problems(deaths))


def test_f12_the_line_to_the_imap_server_breaks(
    tmp_path: Path, sink: Sink, mailbox: Mailbox, lines: list[Line]
) -> None:
    """At some octets of the dialogue over one mail."""
    _break_imap(tmp_path, sink, mailbox, lines, IMAP_CUTS)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_f12_the_line_to_the_imap_server_breaks_often(
    tmp_path: Path, sink: Sink, mailbox: Mailbox, lines: list[Line]
) -> None:
    """At hundreds of octets."""
    _break_imap(tmp_path, sink, mailbox, lines, MANY_IMAP_CUTS)


def _break_imap(tmp_path: Path, sink: Sink, mailbox: Mailbox, lines: list[Line], cuts: int) -> None:
    lines.append(line := Line(mailbox.server.imap_port))
    deaths = Deaths(tmp_path / "desk", sink, mailbox, imap_port=line.port)
    settings = deaths.config / "helpdesk.toml"
    settings.write_text(settings.read_text() + ALARM)
    one = OneMail(deaths, "imap", patience=LOGIN_PAUSE + 60)
    one.begin()
    chance = Random(cuts)
    for number in range(cuts):
        direction: Direction = ("to the server", "to the client")[number % 2]  # type: ignore[assignment]
        line.cut(direction, chance.randrange(IMAP_OCTETS[direction]), reset=number % 3 == 0)
        one.mail_through()
    line.hold()
    one.end()

    assert line.breaks >= cuts * 0.6
    assert checker.problems(deaths) == []


def _dialogue(deaths: Deaths, line: Line) -> dict[Direction, int]:
    """How many octets one mail takes in each direction, measured by a cut that never comes."""
    sizes: dict[Direction, int] = {}
    for direction in ("to the server", "to the client"):
        line.cut(direction, 1 << 20)  # type: ignore[arg-type]
        mail = deaths.traffic.new_request()
        assert _offer(deaths, line, mail)
        deaths.traffic.send(mail)
        sizes[direction] = (1 << 20) - line.left  # type: ignore[index]
    line.hold()
    return sizes


def _break_at(deaths: Deaths, line: Line, direction: Direction, offsets: Sequence[int]) -> None:
    for start in range(0, len(offsets), BREAKS_PER_MAIL):
        mail = deaths.traffic.new_request()
        for offset in offsets[start : start + BREAKS_PER_MAIL]:
            line.cut(direction, offset, reset=offset % 2 == 0)
            _offer(deaths, line, mail)
        line.hold()
        deaths.traffic.send(mail)


def _offer(deaths: Deaths, line: Line, mail: Sent) -> bool:
    """Offer a mail once, over the line; whether it was taken."""
    try:
        with smtplib.SMTP("127.0.0.1", line.port, "mua.example", timeout=20) as client:
            client.sendmail(desk.customer(mail.number), [desk.DESK], mail.data)
    except (smtplib.SMTPException, OSError) as failure:
        # A line that breaks in the goodbye breaks after the 250.
        assert not isinstance(failure, smtplib.SMTPResponseException) or failure.smtp_code < 500, failure  # noqa: PT017
        return False
    return True
