"""A mail that cannot be read is set aside with a cause, and those behind it do not wait."""

from __future__ import annotations

import random
import smtplib
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.servers.dovecot import Dovecot, Mailbox
from tests.servers.found import require
from tests.servers.ports import wait_for
from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import ALICE, CAROL, OPERATOR, SUPPORT, Company
from tests.stories.letters import letter, parsed, says
from tests.stories.posts import InSink
from tests.stories.running import Running

pytestmark = pytest.mark.story

_MAILBOX = """
[[mailbox]]
name = "support"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "{user}"
password_file = "mailbox.password"
desk_address = "support@acme.example"
max_megabytes = 1
idle_seconds = 5
"""


@pytest.fixture(scope="module")
def support(dovecot: Dovecot) -> Mailbox:
    """The mailbox that the desk watches."""
    require("dovecot")
    return dovecot.mailbox(f"desk-{uuid.uuid4().hex[:8]}")


@pytest.fixture(scope="module")
def desk(
    tmp_path_factory: pytest.TempPathFactory, relay: Sink, dovecot: Dovecot, support: Mailbox
) -> Iterator[Running]:
    """With doors that take at most 1 MB."""
    folder = tmp_path_factory.mktemp("desk")
    company = Company(more=_MAILBOX.format(port=dovecot.imap_port, user=support.user), megabytes=1)
    (folder / "mailbox.password").write_text(support.password)
    (folder / "mailbox.password").chmod(0o600)
    with running.started(folder, replace(company, relay_port=relay.port), InSink(relay)) as desk:
        yield desk


def _bomb() -> bytes:
    """Nested so deep that common parsers run out of stack or time."""
    lines = ["From: eve@bomb.example", f"To: {SUPPORT}", "Subject: boom", "MIME-Version: 1.0"]
    for number in range(3000):
        lines += [f'Content-Type: multipart/mixed; boundary="b{number}"', "", f"--b{number}"]
    return "\r\n".join([*lines, "Content-Type: text/plain", "", "boom", ""]).encode()


def _set_aside(desk: Running, known: set[int]) -> dict[str, object]:
    """The mail that came into quarantine since."""

    def found() -> list[dict[str, object]]:
        return [one for one in desk.json("quarantine", "list") if one["id"] not in known]

    return wait_for(found, 15, 0.1)[0]


def _known(desk: Running) -> set[int]:
    return {one["id"] for one in desk.json("quarantine", "list", "--all")}


def test_random_bytes_are_set_aside_and_the_operator_is_told(desk: Running):
    bob, known = desk.customer(), _known(desk)
    tickets = len(desk.json("ticket", "list", "--all"))
    noise = random.Random(1).randbytes(20_000).replace(b"\r", b"x").replace(b"\n", b"\r\n")
    desk.deliver(noise, "eve@noise.example", SUPPORT)
    desk.write(bob, "Behind-1", "It leaks.")
    desk.wait(bob, seconds=3)
    found = _set_aside(desk, known)
    told = desk.wait(OPERATOR, f"({found['id']})")
    shown = desk.run("quarantine", "show", str(found["id"]))
    desk.settle()

    assert found["cause"]
    assert str(found["cause"]) in says(told)
    assert str(found["cause"]) in shown
    assert str(found["cause"]) in desk.run("quarantine", "list")
    assert desk.inbox("eve@noise.example") == []
    assert len(desk.about(OPERATOR, f"({found['id']})")) == 1
    assert len(desk.json("ticket", "list", "--all")) == tickets + 3, "one behind it, two sentinels"


def test_a_bomb_is_set_aside_and_those_behind_it_do_not_wait(desk: Running):
    bob, known = desk.customer(), _known(desk)
    desk.deliver(_bomb(), "eve@bomb.example", SUPPORT)
    desk.write(bob, "Behind-2", "It leaks.")
    desk.wait(bob, seconds=3)
    desk.wait(ALICE, "Behind-2", seconds=3)
    found = _set_aside(desk, known)
    desk.wait(OPERATOR, f"({found['id']})")
    desk.settle()

    assert "deep" in str(found["cause"])
    assert desk.inbox("eve@bomb.example") == []
    assert desk.about(ALICE, "boom") == desk.about(CAROL, "boom") == []


def test_a_mail_without_one_sender_is_set_aside_shown_whole_and_released(desk: Running):
    known = _known(desk)
    whole = (
        f"From: a@one.example, b@two.example\r\nTo: {SUPPORT}\r\nSubject: Two-3\r\n"
        "Message-ID: <two-3@one.example>\r\n\r\nWe are two.\r\n"
    )
    desk.deliver(whole.encode(), "a@one.example", SUPPORT)
    found = _set_aside(desk, known)
    raw = desk.run("quarantine", "show", str(found["id"]), "--raw")
    shown = desk.run("quarantine", "show", str(found["id"]))

    assert "We are two." in raw
    assert "We are two." in shown
    assert str(found["cause"]) in shown

    desk.run("quarantine", "release", str(found["id"]))
    # It is from whom it seems to be, as far as anybody knows, and no machine writes to him.
    notice = desk.wait(ALICE, "Two-3")
    desk.settle()

    assert "a@one.example" in says(notice)
    assert "We are two." in says(notice)
    assert desk.inbox("a@one.example") == desk.inbox("b@two.example") == []
    assert "no mail 999999" in desk.run("quarantine", "show", "999999", code=65)


def test_an_unproven_agents_mail_that_was_released_is_shown_to_the_agent_and_never_relayed(desk: Running):
    bob, known = desk.customer(), _known(desk)
    desk.write(bob, "Pump-4", "It leaks.")
    notice = desk.wait(ALICE, "Pump-4")
    desk.reply(ALICE, notice, "Close the valve-4.", proven=False)
    found = _set_aside(desk, known)
    desk.run("quarantine", "release", str(found["id"]))
    desk.wait(ALICE, "Close the valve-4.")
    desk.settle()

    assert desk.about(bob, "valve-4") == []
    assert len(desk.inbox(bob)) == 1


def test_an_oversized_mail_is_refused_at_the_door(desk: Running):
    bob = desk.customer()
    big = letter(bob, "Big-5", "x" * 72 + "\n", files={"big.bin": bytes(1_200_000)})
    with pytest.raises(smtplib.SMTPResponseException) as refusal:
        desk.deliver(big, bob.address, SUPPORT)
    desk.settle()

    assert refusal.value.smtp_code == 552
    assert desk.inbox(bob) == []
    assert desk.about(ALICE, "Big-5") == []


def test_an_oversized_mail_in_the_mailbox_is_set_aside_and_archived(desk: Running, support: Mailbox):
    bob, known = desk.customer(), _known(desk)
    archived = len(support.mails("Archive"))
    support.put(letter(bob, "Big-6", "Hello.", files={"big.bin": bytes(1_200_000)}))
    support.put(letter(bob, "Behind-6", "It leaks."))
    desk.wait(ALICE, "Behind-6")
    found = _set_aside(desk, known)
    told = desk.wait(OPERATOR, f"({found['id']})")
    mails = support.wait(archived + 2, "Archive")
    desk.settle()

    assert "larger than the limit" in str(found["cause"])
    assert "larger than the limit" in says(told)
    assert {"Big-6", "Behind-6"} <= {str(parsed(mail)["Subject"]) for mail in mails}
    assert len(max(mails, key=len)) > 1_200_000, "whole"
    assert support.mails() == []
    assert desk.about(ALICE, "Big-6") == []
    assert len(desk.inbox(bob)) == 1


def test_an_unknown_recipient_is_refused_in_the_session(desk: Running):
    bob = desk.customer()
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        desk.write(bob, "Nobody-7", "Hello.", to="nobody@acme.example")
    desk.settle()

    assert refusal.value.recipients["nobody@acme.example"][0] == 550
    assert desk.inbox(bob) == []
    assert desk.about(ALICE, "Nobody-7") == desk.about(OPERATOR, "Nobody-7") == []
