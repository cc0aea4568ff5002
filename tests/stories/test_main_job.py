"""A customer with a contract asks, an agent answers from his mail client: real clients, relay and mailboxes."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.servers.certificate import Certificate
from tests.servers.dovecot import Dovecot, Mailbox
from tests.servers.found import found_once, require
from tests.servers.postfix import Postfix
from tests.servers.snail import Snail
from tests.stories import running
from tests.stories.company import ALICE, BRUNO, CAROL, OPERATOR, SQLITE, SUPPORT, Company, Person
from tests.stories.letters import author, everything, files, first_line, parsed, reference, says
from tests.stories.posts import Forwarder, InDovecot
from tests.stories.running import Running

pytestmark = pytest.mark.story

_PASSWORD = "correct horse"
_MAILBOX = """
[[mailbox]]
name = "support"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "{user}"
password_file = "mailbox.password"
desk_address = "support@acme.example"
idle_seconds = 5
"""


@dataclass(frozen=True, slots=True)
class Office:
    """The desk with real servers around it: a border in front, a relay behind, mailboxes for everybody."""

    desk: Running
    dovecot: Dovecot
    border: Forwarder
    to_mailbox: Forwarder
    support: Mailbox
    certificate: Certificate

    def client(self, person: Person, border: Forwarder) -> Snail:
        """A customer's client."""
        return Snail(person.address, person.name, border.port, self.dovecot.mailbox(person.address))

    def staff_client(self, person: Person) -> Snail:
        """An agent's client, which logs in at the desk's own submission door."""
        port, mailbox = self.desk.ports["submission"], self.dovecot.mailbox(person.address)
        login = (person.address, _PASSWORD)
        return Snail(person.address, person.name, port, mailbox, login, self.certificate.cert)

    def number(self, person: Person, *signs: str) -> int:
        """Where in his inbox a mail is, counted from 1 as his client counts."""
        mails = [everything(mail) for mail in self.desk.inbox(person)]
        return 1 + next(i for i, mail in enumerate(mails) if all(sign in mail for sign in signs))


@pytest.fixture(scope="module", params=["sqlite file", "postgresql"])
def office(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    dovecot: Dovecot,
    certificate: Certificate,
) -> Iterator[Office]:
    require("s-nail")
    folder = tmp_path_factory.mktemp("office")
    database, first = SQLITE, 0
    if request.param == "postgresql":
        require("postgres")
        postgres = request.getfixturevalue("postgres")
        database, first = postgres.database(), 15
    support = dovecot.mailbox(f"desk-{uuid.uuid4().hex[:8]}")
    with_postfix = bool(found_once("postfix").version)
    relay: Postfix | Forwarder = (
        Postfix(f"lmtp:inet:127.0.0.1:{dovecot.lmtp_port}")
        if with_postfix
        else Forwarder(dovecot.lmtp_port, lmtp=True).start()
    )
    company = Company(
        submission=True,
        folder_of_certificate=certificate.cert.parent,
        database=database,
        relay_port=relay.port,
        more=_MAILBOX.format(port=dovecot.imap_port, user=support.user),
    )
    _write_secrets(folder, company, support.password)
    border = to_mailbox = None
    try:
        with running.started(folder, company, InDovecot(dovecot), first=first) as desk:
            border = Forwarder(desk.ports["smtp"], vouching=True).start()
            to_mailbox = Forwarder(dovecot.lmtp_port, vouching=True, lmtp=True, rewrite_to=support.user).start()
            yield Office(desk, dovecot, border, to_mailbox, support, certificate)
    finally:
        for server in (border, to_mailbox, relay):
            if server is not None:
                server.stop()
        if request.param == "postgresql":
            postgres.drop(database)


def _write_secrets(folder: Path, company: Company, password: str) -> None:
    """The mailbox's password, and accounts made by the command line."""
    (folder / "mailbox.password").write_text(password)
    (folder / "mailbox.password").chmod(0o600)
    lines = [
        subprocess.run(
            [sys.executable, "-m", "helpdesk", "account", agent.person.address, "--password-stdin"],
            input=_PASSWORD + "\n",
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        ).stdout
        for agent in company.staff[:1]
    ]
    (folder / "accounts").write_text("".join(lines))
    (folder / "accounts").chmod(0o600)


@pytest.fixture(params=["smtp", "imap"])
def door(request: pytest.FixtureRequest, office: Office) -> Forwarder:
    """Where customers' mail goes: to the desk's SMTP door, or into its mailbox, which it watches by IMAP."""
    return office.border if request.param == "smtp" else office.to_mailbox


def test_from_the_request_to_the_last_word(office: Office, door: Forwarder, tmp_path: Path):
    desk, bob = office.desk, office.desk.customer()
    mark = uuid.uuid4().hex[:8]
    his, hers = office.client(bob, door), office.staff_client(ALICE)
    photo = tmp_path / "photo.bin"
    photo.write_bytes(bytes(range(256)) * 20)

    # The request
    his.say(SUPPORT, f"Printer on fire {mark}", "Hello,\n\nit burns.\n\nBob", [photo])
    ack = desk.wait(bob)
    notice = desk.wait(ALICE, mark)
    asked = parsed(door.passed[-1])["Message-ID"]

    assert author(ack) == f"Acme Support <{SUPPORT}>"
    assert ack["In-Reply-To"] == asked
    assert ack["Auto-Submitted"] == "auto-replied"
    assert f"[{reference(ack)}] Printer on fire {mark}" in ack["Subject"]
    assert f"covered by contract {bob.contract}, which runs until 31 December 2029" in says(ack)
    # Eight business hours from 10:00 in Sydney are 10:00 the next day there: midnight in Berlin.
    assert re.search(r"by Tuesday, 3 March 2026, 00:0\d \(Berlin time\)", says(ack))
    assert "it burns" not in says(ack)
    assert first_line(notice).startswith(f"{bob.name} ({bob.organisation}, contract {bob.contract} until ")
    assert re.search(r"answer due Tuesday 3 March, 10:0\d$", first_line(notice))
    assert "it burns." in says(notice)
    assert files(notice) == {"photo.bin": photo.read_bytes()}

    # The answer
    hers.reply(office.number(ALICE, mark), "Please use water.\n\nAlice")
    answer = desk.wait(bob, "use water")

    assert author(answer) == f"{ALICE.name} (Acme Support) <{SUPPORT}>"
    assert asked in str(answer["References"])
    assert answer["Auto-Submitted"] is None
    assert "it burns" not in everything(answer), "only new text goes out"
    assert ALICE.address not in everything(answer)
    assert notice["Message-ID"] not in everything(answer)

    # An answer with a file
    manual = tmp_path / "manual.bin"
    manual.write_bytes(b"\x00\xff manual")
    hers.say(str(notice["Reply-To"]), "Re: the manual", "The manual is attached.", [manual])
    second = desk.wait(bob, "The manual is attached.")

    assert files(second) == {"manual.bin": manual.read_bytes()}

    # The customer's reply, to close, and once more
    his.reply(office.number(bob, "use water"), "It still burns.")
    heard = desk.wait(ALICE, mark, "It still burns.")

    assert "Please use water" not in says(heard).partition("How to answer")[0], "the agent knows what he wrote"

    hers.reply(office.number(ALICE, mark, "It still burns."), "Then call the fire brigade.\n\n#close")
    closed = desk.wait(bob, "fire brigade")
    done = desk.wait(ALICE, reference(ack), "is closed and the customer is told")

    assert "#close" not in everything(closed)
    assert "is closed" in says(closed)
    assert "fire brigade" not in says(done)
    assert desk.ticket(reference(ack))["status"] == "closed"

    his.reply(office.number(bob, "fire brigade"), "They do not come.")
    again = desk.wait(ALICE, mark, "They do not come.")

    assert "open again" in says(again)
    assert desk.ticket(reference(ack))["status"] == "open"

    # What must not have been sent
    desk.settle()
    assert len(desk.inbox(bob)) == 4, "one acknowledgement, three answers"
    assert desk.about(BRUNO, mark) == desk.about(CAROL, mark) == desk.about(OPERATOR, mark) == []
    assert desk.ticket(reference(ack))["timers"][0]["state"] == "met"
    assert {mail["From"].addresses[0].addr_spec for mail in desk.inbox(bob)} == {SUPPORT}


def test_a_handled_mail_is_moved_to_the_archive(office: Office):
    desk, bob = office.desk, office.desk.customer()
    before = len(office.support.mails("Archive"))
    office.client(bob, office.to_mailbox).say(SUPPORT, "Into the archive", "Hello.")
    desk.wait(bob)

    archived = office.support.wait(before + 1, "Archive")

    assert "Into the archive" in everything(parsed(archived[-1]))
    assert office.support.mails() == []
    assert len(desk.inbox(bob)) == 1


def test_a_mail_stays_in_the_inbox_as_long_as_it_cannot_be_written_down(office: Office):
    if "sqlite" not in office.desk.company.database:
        pytest.skip("PostgreSQL has no one lock that stops all writing")
    desk, bob = office.desk, office.desk.customer()
    with closing(sqlite3.connect(desk.folder / "helpdesk.sqlite", isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        office.client(bob, office.to_mailbox).say(SUPPORT, "Not yet", "Hello.")
        office.support.wait(1)
        running.pause(2)
        kept = office.support.mails()
        nothing = desk.inbox(bob)
        database.execute("ROLLBACK")
    desk.wait(bob, seconds=30)
    archived = office.support.mails("Archive")

    assert nothing == []
    assert [parsed(mail)["Subject"] for mail in kept] == ["Not yet"]
    assert [parsed(mail)["Subject"] for mail in archived].count("Not yet") == 1
    assert office.support.mails() == []
    assert len(desk.inbox(bob)) == 1


def test_a_wrong_password_sends_nothing(office: Office):
    desk = office.desk
    before = len(desk.inbox(ALICE))
    intruder = replace(office.staff_client(ALICE), login=(ALICE.address, "guessed"))

    with pytest.raises(AssertionError):
        intruder.say(SUPPORT, "Let me in", "Hello.")

    assert len(desk.inbox(ALICE)) == before
