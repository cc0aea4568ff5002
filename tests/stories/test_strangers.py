"""Somebody unknown is asked who he is, learns nothing, and is let in by an agent's word alone."""

from __future__ import annotations

import re
from email.message import EmailMessage

import pytest

from tests.stories.company import ALICE, BRUNO, CAROL, MANDY, OPERATOR, Person
from tests.stories.letters import everything, reference, says
from tests.stories.running import Running

pytestmark = pytest.mark.story


def _shape(mail: EmailMessage, *his_own: str) -> str:
    """Everything in a mail but what differs between any two: ids, references, dates, and the reader's own words."""
    text = everything(mail)
    for own in his_own:
        text = re.sub(re.escape(own), "OWN", text, flags=re.IGNORECASE)
    text = re.sub(r"<[^<>\s]+@[^<>\s]+>", "<ID>", text)
    text = re.sub(r"support\+\w+@", "support+TOKEN@", text)
    text = re.sub(r"boundary=\S+|=+\d+=+", "BOUNDARY", text)
    text = re.sub(r"(?m)^Date: .*$", "Date", text)
    text = re.sub(r"(?m)^Thread-Index: .*$", "Thread-Index", text)
    return re.sub(r"AC-\d+", "REFERENCE", text)


def test_an_unknown_sender_is_asked_and_an_agent_confirms_him(desk: Running):
    bob = desk.customer()
    eve = Person("Eve East", "eve@newcomer.example")
    desk.write(eve, "Door jams-1", "The door jams.")
    asked = desk.wait(eve)
    notice = desk.wait(ALICE, "Door jams-1")
    desk.settle()

    assert "contract" in says(asked)
    assert "company" in says(asked)
    assert bob.organisation not in everything(asked)
    assert desk.ticket(reference(asked))["timers"] == []

    desk.reply(eve, asked, f"I am with {bob.organisation}, our contract is {bob.contract}.")
    proposed = desk.wait(ALICE, reference(asked), "#confirm")
    proposed = desk.wait(ALICE, reference(asked), f"#confirm {bob.organisation}")
    thanks = desk.wait(eve, "Thank you")
    desk.settle()

    assert bob.contract in says(proposed)
    assert "2029" not in everything(thanks), "nothing of the contract is told before somebody confirms"
    assert desk.ticket(reference(asked))["status"] == "held"
    assert desk.ticket(reference(asked))["requester"]["organisation"] is None
    assert len(desk.inbox(eve)) == 2
    assert desk.inbox(bob) == [], "the organisation that he named hears nothing"

    desk.reply(ALICE, proposed, f"#confirm {bob.organisation}")
    opened = desk.wait(eve, bob.contract, "has arrived")
    done = desk.wait(ALICE, reference(asked), f"now belongs to {bob.organisation}")
    desk.settle()

    assert reference(opened) == reference(asked)
    assert "31 December 2029" in says(opened)
    assert "is open" in says(done)
    ticket = desk.ticket(reference(asked))
    assert (ticket["status"], ticket["timers"][0]["state"]) == ("open", "running")
    assert len(desk.inbox(eve)) == 3
    assert desk.inbox(bob) == []
    for one in (BRUNO, CAROL, MANDY, OPERATOR):
        assert desk.about(one, "Door jams-1") == []
    assert notice["Message-ID"] != proposed["Message-ID"]


def test_the_answer_tells_nobody_whether_a_contract_number_exists(desk: Running):
    bob, lena = desk.customer(), desk.lapsed()
    shapes = []
    for name, number in (("ann", bob.contract), ("ben", lena.contract), ("cat", "X-0000")):
        guesser = Person(name.title(), f"{name}@guesser-{name}.example")
        desk.write(guesser, f"Guess {name}", "Hello.")
        desk.reply(guesser, desk.wait(guesser), f"Our contract is {number}.")
        shapes.append(
            _shape(desk.wait(guesser, count=2), guesser.address, guesser.name, f"Guess {name}", f"guesser-{name}")
        )
    desk.settle()

    assert shapes[0] == shapes[1] == shapes[2]
    assert desk.inbox(bob) == desk.inbox(lena) == []


def test_somebody_elses_reference_in_the_subject_opens_a_new_ticket_and_tells_nothing(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Secret pump-2", "It leaks uranium.")
    ack = desk.wait(bob)
    desk.wait(ALICE, "Secret pump-2")
    before = desk.ticket(reference(ack))

    answers = []
    for name, number in (("dan", reference(ack)), ("eli", "AC-987654")):
        stranger = Person(name.title(), f"{name}@stranger-{name}.example")
        desk.write(stranger, f"Re: [{number}] what was it", "Please tell me again.")
        answers.append((desk.wait(stranger), stranger, number))
    desk.settle()

    shapes = [
        _shape(mail, stranger.address, stranger.name, stranger.address.partition("@")[2], number)
        for mail, stranger, number in answers
    ]
    assert shapes[0] == shapes[1]
    for mail, stranger, _ in answers:
        assert reference(mail) != reference(ack) or "pump" not in everything(mail)
        assert "uranium" not in everything(mail)
        assert bob.address not in everything(mail)
        assert len(desk.inbox(stranger)) == 1
    assert desk.ticket(reference(ack)) == before
    assert len(desk.inbox(bob)) == 1
    assert desk.about(ALICE, "Secret pump-2", "Please tell me again") == []


def test_the_reference_is_enough_for_somebody_who_is_part_of_the_ticket(desk: Running):
    bob = desk.customer()
    desk.write(bob, "Pump-3", "It leaks.")
    ack = desk.wait(bob)
    desk.write(bob, f"About {reference(ack)} again", "It leaks more.")
    heard = desk.wait(ALICE, "It leaks more.")
    desk.settle()

    assert reference(heard) == reference(ack)
    assert len(desk.inbox(bob)) == 1, "no second acknowledgement"
