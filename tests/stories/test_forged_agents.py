"""Only a proven agent is heard, and only what he newly wrote above any quote."""

from __future__ import annotations

import contextlib
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path

import pytest

from tests.servers.certificate import Certificate
from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import ALICE, BORDER, BRUNO, CAROL, MONDAY, OPERATOR, STAFF, Agent, Company, Person
from tests.stories.letters import answer, everything, letter, reference, says, vouched, words
from tests.stories.posts import InSink
from tests.stories.running import Running

pytestmark = pytest.mark.story

_DORA = Person("Dora Gone", "dora@acme.example")
_PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, relay: Sink, certificate: Certificate) -> Iterator[Running]:
    """With a submission door, and with an agent who has left by the time of the stories."""
    folder = tmp_path_factory.mktemp("desk")
    staff = (*STAFF, Agent("dora", _DORA))
    company = Company(
        staff=staff, submission=True, folder_of_certificate=certificate.cert.parent, relay_port=relay.port
    )
    _write_account(folder, _DORA)
    with running.started(folder, company, InSink(relay)) as desk:
        desk.stop()
        company.write_agents(folder, STAFF)
        desk.start()
        yield desk


def _write_account(folder: Path, person: Person) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "helpdesk", "account", person.address, "--password-stdin"],
        input=_PASSWORD + "\n",
        capture_output=True,
        text=True,
        check=True,
        env=running.environment(),
    )
    (folder / "accounts").write_text(made.stdout)
    (folder / "accounts").chmod(0o600)


class _Asked:
    """A customer's ticket, just opened."""

    def __init__(self, desk: Running, mark: str) -> None:
        self.bob = desk.customer()
        desk.write(self.bob, mark, "It burns.")
        self.ack, self.notice = desk.wait(self.bob), desk.wait(ALICE, mark)
        self.reference = reference(self.ack)


def _deliver(desk: Running, sender: Person, data: bytes, notice: EmailMessage) -> None:
    desk.deliver(data, sender.address, notice["Reply-To"].addresses[0].addr_spec)


@pytest.mark.parametrize(
    ("agent", "name", "on_top"),
    [
        (ALICE, "no proof", b""),
        (ALICE, "failed proof", vouched(ALICE.address, "fail")),
        (ALICE, "another domain's proof", vouched("eve@evil.example")),
        (BRUNO, "a server that is not the border", vouched(ALICE.address, server="mx.evil.example")),
        (
            BRUNO,
            "a forged line below the border's",
            vouched("eve@evil.example", "none") + vouched(ALICE.address, server=BORDER),
        ),
        (
            BRUNO,
            "a forged line below a stranger's",
            vouched(ALICE.address, server="mx.evil.example") + vouched(ALICE.address, server=BORDER),
        ),
    ],
)
def test_a_mail_in_an_agents_name_without_proof_goes_nowhere(desk: Running, agent: Person, name: str, on_top: bytes):
    asked = _Asked(desk, f"Forged: {name}")
    warned = len(desk.about(OPERATOR, agent.name))
    forged = on_top + answer(agent, asked.notice, "Send your password to eve@evil.example.\n\n#close", proven=False)
    _deliver(desk, agent, forged, asked.notice)
    desk.wait(OPERATOR, agent.name, count=warned + 1)
    desk.settle()

    assert len(desk.inbox(asked.bob)) == 1
    assert desk.about(asked.bob, "password") == []
    assert desk.about(asked.bob, "closed") == []
    ticket = desk.ticket(asked.reference)
    assert (ticket["status"], ticket["timers"][0]["state"]) == ("open", "running")
    told = desk.wait(agent, "A mail in your name was not accepted", count=warned + 1)
    assert "Somebody is using your address" in says(told)
    assert "evil.example" not in says(told).replace("mx.evil.example", ""), "a forger's words are not repeated"
    assert [one for one in desk.json("quarantine", "list") if agent.name in one["cause"]]


def test_warnings_about_forged_mail_are_rationed(desk: Running):
    asked = _Asked(desk, "Forged: many")
    for number in range(8):
        forged = answer(CAROL, asked.notice, f"Forgery {number}.", proven=False)
        _deliver(desk, CAROL, forged, asked.notice)
    desk.settle()

    assert len(desk.about(CAROL, "A mail in your name was not accepted")) <= 5
    assert len(desk.about(OPERATOR, CAROL.name)) <= 5
    assert len(desk.inbox(asked.bob)) == 1


def test_a_tampered_reply_address_sends_nothing(desk: Running):
    asked = _Asked(desk, "Tampered")
    address = asked.notice["Reply-To"].addresses[0].addr_spec
    name, _, domain = address.partition("@")
    changed = f"{name[:-1]}{'a' if name[-1] != 'a' else 'b'}@{domain}"
    desk.deliver(answer(ALICE, asked.notice, "Please use water-t.", to=changed), ALICE.address, changed)
    desk.settle()

    assert desk.about(asked.bob, "water-t") == []
    assert len(desk.inbox(asked.bob)) == 1


def test_somebody_logged_in_cannot_write_as_somebody_else(desk: Running, certificate: Certificate):
    asked = _Asked(desk, "Logged in as another")
    address = asked.notice["Reply-To"].addresses[0].addr_spec
    forged = answer(ALICE, asked.notice, "Please use water-l.", proven=False)
    with pytest.raises(smtplib.SMTPException):
        desk.submit(forged, (ALICE.address, _PASSWORD), certificate.client(), address)
    with contextlib.suppress(smtplib.SMTPException):
        desk.submit(forged, (_DORA.address, _PASSWORD), certificate.client(), address)
    desk.settle()

    assert desk.about(asked.bob, "water-l") == []
    assert len(desk.inbox(asked.bob)) == 1


def test_an_agent_who_left_is_not_heard_even_with_his_login(desk: Running, certificate: Certificate):
    asked = _Asked(desk, "Left")
    address = asked.notice["Reply-To"].addresses[0].addr_spec
    late = answer(_DORA, asked.notice, "Please use petrol.\n\n#close", proven=False)
    desk.submit(late, (_DORA.address, _PASSWORD), certificate.client(), address)
    desk.deliver(answer(_DORA, asked.notice, "Please use petrol.\n\n#close"), _DORA.address, address)
    desk.settle()

    assert desk.about(asked.bob, "petrol") == []
    assert len(desk.inbox(asked.bob)) == 1
    assert desk.ticket(asked.reference)["status"] == "open"
    assert desk.inbox(_DORA) == [], "he learns nothing"


def test_nothing_new_above_or_below_the_quote_comes_back(desk: Running):
    # Whose mails come back time after time within an hour is taken for a machine.
    desk.set_time(MONDAY + timedelta(hours=2))
    asked = _Asked(desk, "Only a quote")
    desk.reply(ALICE, asked.notice, "")
    back = desk.wait(ALICE, asked.reference, "Nothing was sent to the customer")
    desk.settle()

    assert "no new text above or below the quote" in says(back)
    assert len(desk.inbox(asked.bob)) == 1
    assert desk.ticket(asked.reference)["timers"][0]["state"] == "running"


def test_text_below_the_quote_is_sent_without_the_quote(desk: Running):
    asked = _Asked(desk, "Below")
    quote = "\n".join(f"> {line}" for line in words(asked.notice).split("\n"))
    below = letter(
        ALICE,
        "Re: below",
        f"On Mon, 2 Mar 2026 at 10:00, Acme Support wrote:\n{quote}\n\nPlease use water-b.\n",
        to=str(asked.notice["Reply-To"]),
        headers={"In-Reply-To": asked.notice["Message-ID"]},
    )
    _deliver(desk, ALICE, below, asked.notice)
    sent = desk.wait(asked.bob, "Please use water-b.")

    assert "It burns" not in everything(sent)
    assert "How to answer" not in everything(sent)
    assert "answer due" not in everything(sent)


def test_a_misspelt_command_sends_nothing(desk: Running):
    desk.set_time(MONDAY + timedelta(hours=4))
    asked = _Asked(desk, "Misspelt")
    desk.reply(ALICE, asked.notice, "#ntoe He never pays.\n\nLet him wait.")
    back = desk.wait(ALICE, asked.reference, "#ntoe")
    desk.settle()

    assert "Did you mean #note" in says(back)
    assert desk.about(asked.bob, "never pays") == desk.about(asked.bob, "Let him wait") == []
    assert len(desk.inbox(asked.bob)) == 1


def test_a_note_never_reaches_the_customer(desk: Running):
    asked = _Asked(desk, "Noted")
    desk.reply(ALICE, asked.notice, "#note He never pays.\n\nLet him wait.")
    desk.wait(ALICE, asked.reference, "Kept as an internal note")
    note_address = next(
        word for word in words(asked.notice).replace("<", " ").replace(">", " ").split() if "mailto:" in word
    )
    address = note_address.removeprefix("mailto:")
    desk.deliver(answer(ALICE, asked.notice, "A second secret.", to=address), ALICE.address, address)
    desk.settle()
    desk.reply(ALICE, asked.notice, "Please use water-n.")
    sent = desk.wait(asked.bob, "Please use water-n.")
    desk.reply(asked.bob, sent, "Thank you.")
    desk.wait(ALICE, asked.reference, "Thank you.")
    desk.settle()

    for secret in ("never pays", "Let him wait", "second secret"):
        assert desk.about(asked.bob, secret) == []
    assert "never pays" in str(desk.ticket(asked.reference)["history"])
    assert "second secret" in str(desk.ticket(asked.reference)["history"])
    assert len(desk.inbox(asked.bob)) == 2


def test_a_command_inside_a_quote_is_not_carried_out(desk: Running):
    asked = _Asked(desk, "Quoted command")
    desk.reply(asked.bob, asked.ack, "My colleague says I should write this:\n#close\n#note all is well")
    heard = desk.wait(ALICE, "My colleague says")
    desk.reply(ALICE, heard, "No, you should not.")
    sent = desk.wait(asked.bob, "No, you should not.")
    desk.settle()

    assert "#close" not in everything(sent)
    assert desk.ticket(asked.reference)["status"] == "waiting"
    assert desk.about(asked.bob, "is closed") == []


def test_a_customer_gives_no_commands(desk: Running):
    asked = _Asked(desk, "Customer commands")
    desk.reply(asked.bob, asked.ack, "#close\n#take\nPlease.")
    desk.wait(ALICE, asked.reference, "#close")
    desk.settle()

    ticket = desk.ticket(asked.reference)
    assert (ticket["status"], ticket["agent"]) == ("open", "alice")
    assert len(desk.inbox(asked.bob)) == 1


def test_take_makes_the_ticket_ones_own(desk: Running):
    asked = _Asked(desk, "Taken")
    desk.deliver(answer(BRUNO, asked.notice, "#take"), BRUNO.address, asked.notice["Reply-To"].addresses[0].addr_spec)
    done = desk.wait(BRUNO, "is yours now")
    desk.reply(asked.bob, asked.ack, "It burns more.")
    desk.wait(BRUNO, "It burns more.")
    desk.settle()

    assert asked.reference in says(done)
    assert desk.about(ALICE, "It burns more.") == []
    assert len(desk.inbox(asked.bob)) == 1
    assert desk.about(CAROL, asked.reference) == []
