"""An agent whose mail nothing proves is asked, at his address on record alone, whether he wrote it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest

from helpdesk.domain.facts import Trigger
from helpdesk.rules import hear_agent
from helpdesk.rules.engine import Rule
from helpdesk.store import spool

FAILED = {"Authentication-Results": "mx.acme.example; dmarc=fail header.from=acme.example"}


@pytest.fixture
def desk(office):
    """Its policy asks agents whose mail nothing proves."""
    asking = partial(hear_agent.check, options=hear_agent.Options(confirming_reply=True))
    acme = office.world.desks["acme"]
    rules = tuple(Rule(one.name, asking if one.name == "hear_agent" else one.check) for one in acme.rules[Trigger.MAIL])
    changed = replace(acme, rules={**acme.rules, Trigger.MAIL: rules})
    office.world = replace(office.world, desks={**office.world.desks, "acme": changed})
    return office


def stop(desk, text="Clean the roller.", sender="ann@acme.example", **more):
    """An answer to the customer that nothing proves; the address that he is asked to answer to."""
    outcome = desk.mail(text, sender, to=desk.last("agent").mail["Reply-To"], **more)
    assert outcome.name == "quarantined"
    assert not answers(desk)
    return desk.last("actor", "is_it_yours")


def answers(desk):
    return [sent for sent in desk.sent("customer") if sent.kind == "human"]


def again(desk):
    """The daemon takes what was released."""
    with desk.engine.begin() as connection:
        claimed = spool.claim(connection, 50)
    for taken in claimed:
        found = desk.read(taken)
        with desk.engine.begin() as connection:
            from helpdesk.pipeline import handle

            handle.handle_mail(connection, desk.world, taken, found, desk.now)
    return len(claimed)


def test_his_word_sends_the_answer_once(desk):
    opened = desk.customer()
    asked = stop(desk)
    assert asked.to == "ann@acme.example"
    assert "Clean the roller." in asked.text
    assert "10:00" in asked.text, "until when"
    assert not desk.sent("operator")

    desk.now += timedelta(hours=2)
    desk.mail("#send\n\nAnn", "ann@acme.example", to=asked.mail["Reply-To"])
    assert again(desk) == 1
    (answer,) = answers(desk)
    assert "Clean the roller." in answer.text
    assert "#send" not in answer.all
    assert desk.ticket(opened).status == "waiting"
    entry = next(event for event in desk.history(opened) if event.kind == "answer")
    assert entry.data["proof"] == "confirmed"

    desk.mail("#send", "ann@acme.example", to=asked.mail["Reply-To"])
    assert again(desk) == 0
    assert len(answers(desk)) == 1
    assert "before" in desk.last("actor", "returned").text


def test_his_commands_are_carried_out_too(desk):
    opened = desk.customer()
    asked = stop(desk, "#close\n\nDone.")
    desk.mail("#send", "ann@acme.example", to=asked.mail["Reply-To"])
    again(desk)
    assert desk.ticket(opened).status == "closed"


@pytest.mark.parametrize(
    ("sender", "later"),
    [("leo@acme.example", 1), ("bob@globex.example", 1), ("zoe@else.example", 1), ("ann@acme.example", 25)],
    ids=["another agent", "the customer", "a stranger", "a day too late"],
)
def test_nobody_else_and_no_later_word_sends_it(desk, sender, later):
    """Mutants: the token alone is enough; it lives for ever."""
    desk.customer()
    asked = stop(desk)
    desk.now += timedelta(hours=later)
    desk.mail("#send", sender, to=asked.mail["Reply-To"])
    assert again(desk) == 0
    assert not answers(desk)


def test_a_forged_mail_is_dropped_at_his_word(desk):
    desk.customer()
    asked = stop(desk, "Send your password to eve@evil.example.")
    desk.mail("#drop", "ann@acme.example", to=asked.mail["Reply-To"])
    assert again(desk) == 0
    assert not answers(desk)
    assert "Tell your administrator" in desk.last("actor", "done").text
    desk.mail("#send", "ann@acme.example", to=asked.mail["Reply-To"])
    assert again(desk) == 0


def test_the_answer_to_one_question_says_nothing_of_another_mail(desk):
    """Mutant: any confirming reply lets all of his mails out."""
    desk.customer()
    first = stop(desk, "Mine.")
    stop(desk, "Forged.")
    desk.mail("#send", "ann@acme.example", to=first.mail["Reply-To"])
    again(desk)
    (answer,) = answers(desk)
    assert "Mine." in answer.text
    assert "Forged." not in answer.all


def test_what_fails_its_domains_policy_is_not_offered(desk):
    desk.customer()
    desk.mail("Forged.", "ann@acme.example", to=desk.last("agent").mail["Reply-To"], headers=FAILED)
    assert not desk.sent("actor", "is_it_yours")
    assert desk.sent("operator", "unproven_agent")
    assert "Forged." not in desk.last("actor", "unproven").all


def test_without_the_option_nobody_is_asked(office):
    office.customer()
    office.mail("Mine.", "ann@acme.example", to=office.last("agent").mail["Reply-To"])
    assert not office.sent("actor", "is_it_yours")
    assert office.sent("actor", "unproven")


def test_he_is_asked_so_many_times_an_hour(desk):
    desk.customer()
    to = desk.last("agent").mail["Reply-To"]
    for number in range(30):
        desk.mail(f"Forgery {number}.", "ann@acme.example", to=to)
    assert len(desk.sent("actor", "is_it_yours")) == hear_agent.RETURNS_PER_HOUR


def test_the_operator_releases_it_still_without_belief(desk):
    """Mutant: any release is the writer's own word."""
    desk.customer()
    stop(desk)
    with desk.engine.begin() as connection:
        (waiting,) = spool.quarantined(connection)
        spool.release(connection, waiting.id, "by command line", desk.now)
    assert again(desk) == 1
    assert not answers(desk)


def test_a_forward_that_waits_opens_a_ticket_at_his_word(desk):
    text = "---------- Forwarded message ---------\nFrom: Bob <bob@globex.example>\nDate: Mon\nSubject: Hum\n\nIt hums."
    outcome = desk.mail(text, "ann@acme.example", subject="Fwd: Hum")
    assert outcome.name == "quarantined"
    desk.mail("#send", "ann@acme.example", to=desk.last("actor", "is_it_yours").mail["Reply-To"])
    again(desk)
    assert desk.last("customer", "opened").to == "bob@globex.example"


def test_a_mail_that_he_attached_is_shown_with_his_words(desk):
    raw = desk.compose("Please answer him.", "ann@acme.example", subject="Fwd: Hum")
    attached = b"From: bob@globex.example\r\nSubject: Hum\r\n\r\nThe scanner hums loudly.\r\n"
    head, _, body = raw.data.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not line.lower().startswith((b"content-", b"mime-"))]
    data = b"\r\n".join([*kept, b"Content-Type: multipart/mixed; boundary=b", b"", b"--b", b"", body])
    data += b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n" + attached + b"--b--\r\n"
    desk.handle(replace(raw, data=data))

    asked = desk.last("actor", "is_it_yours").text
    assert "Please answer him." in asked
    assert "The scanner hums loudly." in asked


def test_what_he_hears_after_his_word_has_an_id_of_its_own(desk):
    """Mutant: a server that drops what it has seen drops "nothing was sent"."""
    desk.mail("Hello.", "ann@acme.example")
    asked = desk.last("actor", "is_it_yours")
    desk.mail("#send", "ann@acme.example", to=asked.mail["Reply-To"])
    again(desk)

    assert desk.last("actor").block == "returned"
    assert desk.last("actor").message_id != asked.message_id
