"""An answer that comes back is told once, and the customer's waiting time runs on (reliability T22)."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage

import pytest

from tests.servers.found import require
from tests.servers.ports import wait_for
from tests.servers.postfix import Postfix
from tests.servers.sink import Delivery, Sink
from tests.stories import running
from tests.stories.company import ALICE, OPERATOR, SUPPORT, Company, Person
from tests.stories.letters import reference, says
from tests.stories.posts import InSink
from tests.stories.reports import bounce, bounce_in_prose
from tests.stories.running import Running

pytestmark = pytest.mark.story


@pytest.fixture(scope="module")
def postfix(relay: Sink) -> Iterator[Postfix]:
    """The company's relay: takes all mail, and reports later what the next server (the sink) refused."""
    require("postfix")
    server = Postfix(f"smtp:[127.0.0.1]:{relay.port}")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def behind_postfix(tmp_path_factory: pytest.TempPathFactory, relay: Sink, postfix: Postfix) -> Iterator[Running]:
    """A desk whose mails go through Postfix."""
    folder = tmp_path_factory.mktemp("behind")
    with running.started(folder, Company(relay_port=postfix.port), InSink(relay), first=20) as desk:
        yield desk


def due(desk: Running, ticket: str) -> tuple[str, str]:
    """State and due time of the promise, and nothing else."""
    (found,) = desk.ticket(ticket)["timers"]
    return found["state"], found["due_at"]


def answered(desk: Running, bob: Person, mark: str) -> tuple[str, EmailMessage]:
    """Bob asks and is acknowledged, Alice's notice is there: the ticket and the notice."""
    desk.write(bob, f"Pump {mark}", "It leaks.")
    desk.wait(bob, mark)
    notice = desk.wait(ALICE, mark)
    return reference(notice), notice


def test_what_a_real_relay_returns_is_told_once_and_the_time_runs_on(behind_postfix: Running, relay: Sink):
    desk = behind_postfix
    bob = desk.customer()
    ticket, notice = answered(desk, bob, "one")
    assert due(desk, ticket)[0] == "running"
    promised = due(desk, ticket)
    relay.refuse(bob.address, "550 5.1.1 <bob>: user unknown")
    desk.reply(ALICE, notice, "Close the valve one.")

    def returned() -> list[Delivery]:
        return [one for one in relay.deliveries if one.sender == "" and one.recipients[0].startswith("support+b")]

    (report,) = wait_for(returned, 60)
    wait_for(lambda: due(desk, ticket)[0] == "met", 30)
    desk.deliver(report.data, "", report.recipients[0])

    told = desk.wait(ALICE, "did not reach", bob.address)
    assert says(told).startswith(f"Your answer did not reach {bob.address}: there is no such mailbox.")
    assert "user unknown" in says(told)
    assert "Close the valve one." in says(told)
    shown = desk.ticket(ticket)
    assert shown["status"] == "open"
    assert due(desk, ticket) == promised, "as if it had never been answered"
    assert "bounced" in [one["kind"] for one in shown["history"]]
    assert "mail to it came back" in desk.run("ticket", "show", ticket)

    desk.deliver(report.data, "", report.recipients[0])
    again = report.data.replace(b"Message-Id: <", b"Message-Id: <again").replace(
        b"Message-ID: <2", b"Message-ID: <3", 1
    )
    desk.deliver(again, "", report.recipients[0])
    desk.settle()
    assert len(desk.about(ALICE, "did not reach", bob.address)) == 1
    assert due(desk, ticket) == promised
    assert desk.about(OPERATOR, ticket) == []

    desk.reply(ALICE, notice, "Please call me back one.")
    desk.wait(bob, "Please call me back one.")
    desk.wait(ALICE, "may not arrive", bob.address)
    wait_for(lambda: due(desk, ticket)[0] == "met", 30)


@pytest.fixture
def sent(desk: Running, relay: Sink) -> tuple[Running, str, Delivery]:
    """A desk, a ticket, and an answer that the relay took and that nothing is wrong with."""
    bob = desk.customer()
    mark = bob.address.partition("@")[2]
    ticket, notice = answered(desk, bob, mark)
    desk.reply(ALICE, notice, f"Close the valve of {mark}.")
    desk.wait(bob, f"Close the valve of {mark}.")
    wait_for(lambda: due(desk, ticket)[0] == "met", 30)
    return desk, ticket, next(one for one in relay.to(bob.address) if one.sender)


def spoilt(address: str) -> str:
    """The same return path with one letter of its token changed."""
    return address[:-20] + ("a" if address[-20] != "a" else "b") + address[-19:]


@pytest.mark.parametrize(
    "what", ["foreign id", "changed return path", "other recipient", "in prose", "delayed", "delivered"]
)
def test_what_only_looks_like_a_bounce_of_ours_changes_nothing(sent: tuple[Running, str, Delivery], what: str):
    desk, ticket, mail = sent
    bob, path = mail.recipients[0], mail.sender
    foreign = "<not-ours@acme.example>"
    data, to = {
        "foreign id": (bounce(mail.data, bob, to=SUPPORT, returned=foreign), SUPPORT),
        "changed return path": (bounce(mail.data, bob, to=spoilt(path), returned=foreign), spoilt(path)),
        "other recipient": (bounce(mail.data, "x@elsewhere.example", to=SUPPORT), SUPPORT),
        "in prose": (bounce_in_prose(bob, to=SUPPORT), SUPPORT),
        "delayed": (bounce(mail.data, bob, to=path, action="delayed", status="4.4.1"), path),
        "delivered": (bounce(mail.data, bob, to=path, action="delivered", status="2.1.5"), path),
    }[what]
    tickets = len(desk.json("ticket", "list", "--all"))
    notices = len(desk.about(ALICE, ticket))
    desk.deliver(data, "", to)
    desk.settle()

    sentinels = 2
    assert desk.ticket(ticket)["status"] == "waiting"
    assert due(desk, ticket)[0] == "met"
    assert len(desk.about(ALICE, ticket)) == notices
    assert len(desk.json("ticket", "list", "--all")) == tickets + sentinels
    assert desk.inbox("MAILER-DAEMON@mx.mine.example") == []


def test_without_our_return_path_the_returned_mail_tells(sent: tuple[Running, str, Delivery]):
    desk, ticket, mail = sent
    desk.deliver(bounce(mail.data, mail.recipients[0], to=SUPPORT, whole=True), "", SUPPORT)

    desk.wait(ALICE, "did not reach", mail.recipients[0])
    assert desk.ticket(ticket)["status"] == "open"
    assert due(desk, ticket)[0] == "running"


def test_an_autoresponder_that_answers_to_the_return_path_is_filed_and_told_nobody(
    sent: tuple[Running, str, Delivery],
):
    desk, ticket, mail = sent
    bob = Person("Bob", mail.recipients[0])
    notices = len(desk.about(ALICE, ticket))
    desk.write(bob, "Away", "I am away from here.", to=mail.sender, headers={"Auto-Submitted": "auto-replied"})
    desk.settle()

    shown = desk.ticket(ticket)
    assert "I am away from here." in [one["text"].strip() for one in shown["history"]]
    assert shown["status"] == "waiting"
    assert len(desk.about(ALICE, ticket)) == notices
