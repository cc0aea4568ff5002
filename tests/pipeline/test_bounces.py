"""What comes back is tied to the mail that we sent; nothing else that looks like a bounce changes anything."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from helpdesk.domain.facts import Trigger
from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.token import return_address
from helpdesk.store import inputs, outbox, tickets
from tests.pipeline.office import KEYS, Office, Sent
from tests.stories.reports import bounce, bounce_in_prose, read_receipt

BOB = "bob@globex.example"
SUPPORT = "support@acme.example"


def relay_takes_all(office: Office) -> None:
    """Both relays take whatever waits, and the deliverers say so."""
    with office.engine.begin() as connection:
        for relay in ("out", "in"):
            for taken in outbox.claim(connection, relay, office.now, 100):
                outbox.end(connection, taken, "sent", "250 ok", office.now)
                data = {
                    "outcome": "sent",
                    "kind": taken.kind,
                    "audience": taken.audience,
                    "recipient": taken.recipient,
                    "at": office.now.isoformat(),
                    "event": taken.event_id,
                    "mail": taken.id,
                }
                if taken.kind == "human":
                    inputs.add(connection, "acme", Trigger.DELIVERY.value, taken.ticket_id, data, office.now)
    while office.due():
        pass


def answered(office: Office, text: str = "Close the valve.") -> Sent:
    """Bob asks, Ann answers after half an hour, and the relay has taken all of it."""
    office.customer()
    office.now += timedelta(minutes=30)
    return answer_again(office, text)


def answer_again(office: Office, text: str) -> Sent:
    office.agent(text, office.last("agent", "new_ticket").mail["Reply-To"])
    relay_takes_all(office)
    return office.last("customer", "answer")


def comes(office: Office, data: bytes, to: str, sender: str = ""):
    """A mail reaches the desk; what it leads to is handled at once."""
    outcome = office.handle(RawMail(Door.SMTP, Envelope(sender, (to,), "192.0.2.9"), office.now, data))
    while office.due():
        pass
    return outcome


def timer(office: Office, mail: Sent):
    with office.engine.connect() as connection:
        return tickets.timers(connection, ticket_of(office, mail))[0]


def ticket_of(office: Office, mail: Sent) -> int:
    with office.engine.connect() as connection:
        found = connection.execute(sa.select(outbox.outbox.c.ticket_id).where(outbox.outbox.c.id == mail.id)).scalar()
    assert found is not None
    return found


def state_of(office: Office, mail: Sent) -> str:
    """Everything that a bounce may change: status, timer, what was said to whom."""
    with office.engine.connect() as connection:
        found = tickets.snapshot(connection, "acme", ticket_of(office, mail))
    assert found is not None
    told = [(one.to, one.block) for one in office.sent()]
    return f"{found.status} {timer(office, mail)} {found.requester.unreachable_since} {told}"


def test_an_answer_that_came_back_is_told_once_and_counts_no_more(office):
    mail = answered(office)
    promise, state, due = timer(office, mail)
    assert state == "met"

    office.now += timedelta(minutes=10)
    report = bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender)
    comes(office, report, mail.envelope_sender)

    assert timer(office, mail) == (promise, "running", due), "the customer has waited since he wrote"
    (told,) = office.sent(block="undeliverable")
    assert told.to == "ann@acme.example"
    assert "Your answer did not reach bob@globex.example: there is no such mailbox." in " ".join(told.text.split())
    assert "Close the valve." in told.text
    assert "550 5.1.1 no such user" in " ".join(told.text.split())
    with office.engine.connect() as connection:
        found = tickets.snapshot(connection, "acme", ticket_of(office, mail))
    assert found.status == "open"
    assert found.requester.unreachable_why == "550 5.1.1 no such user"
    assert found.requester.unreachable_since == office.now

    before = state_of(office, mail)
    comes(office, report, mail.envelope_sender)
    comes(office, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)
    assert state_of(office, mail) == before, "the second one says nothing new"


def test_a_bounce_that_lost_our_return_path_is_known_by_what_it_returns(desk):
    mail = answered(desk)

    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=SUPPORT, whole=True), SUPPORT)

    assert len(desk.sent(block="undeliverable")) == 1
    assert timer(desk, mail)[1] == "running"


def forged(desk: Office, mail: Sent) -> dict[str, tuple[bytes, str]]:
    """Bounces and others, each with the address it comes to, that must change nothing."""
    original, path = mail.mail.as_bytes(), mail.envelope_sender
    foreign = "<no-mail-of-ours@acme.example>"
    wrong = path[:-25] + ("a" if path[-25] != "a" else "b") + path[-24:]
    unsent = return_address(KEYS, SUPPORT, 9999, 9999)
    another = return_address(KEYS, SUPPORT, 9999, mail.id)
    return {
        "no id of ours": (bounce(original, BOB, to=SUPPORT, returned=foreign), SUPPORT),
        "nothing returned": (bounce(original, BOB, to=SUPPORT, returned="<>"), SUPPORT),
        "our id, another recipient": (bounce(original, "eve@globex.example", to=SUPPORT), SUPPORT),
        "our id in another's mouth": (bounce(original, "x@x.example", to=SUPPORT), SUPPORT),
        "a changed return path": (bounce(original, BOB, to=wrong, returned=foreign), wrong),
        "a return path of no mail": (bounce(original, BOB, to=unsent, returned=foreign), unsent),
        "a return path of another entry": (bounce(original, BOB, to=another, returned=foreign), another),
        "words alone": (bounce_in_prose(BOB, to=SUPPORT), SUPPORT),
        "delayed": (bounce(original, BOB, to=path, action="delayed", status="4.4.1"), path),
        "delivered": (bounce(original, BOB, to=path, action="delivered", status="2.0.0"), path),
        "relayed": (bounce(original, BOB, to=path, action="relayed", status="2.0.0"), path),
        "a read receipt": (read_receipt(original, BOB, to=SUPPORT), SUPPORT),
    }


@pytest.mark.parametrize(
    "what",
    [
        "no id of ours", "nothing returned", "our id, another recipient", "our id in another's mouth",
        "a changed return path", "a return path of no mail", "a return path of another entry", "words alone",
        "delayed", "delivered", "relayed", "a read receipt",
    ],
)  # fmt: skip
def test_what_is_no_bounce_of_ours_changes_nothing(desk, what):
    mail = answered(desk)
    before, (data, to) = state_of(desk, mail), forged(desk, mail)[what]

    outcome = comes(desk, data, to)

    assert state_of(desk, mail) == before
    assert outcome.name in ("entry", "dropped")
    assert outcome.why


def test_a_bounce_of_a_mail_that_was_never_sent_changes_nothing(desk):
    """Mutant: without the look at the attempts of the row, the answer would be taken back before it left."""
    desk.customer()
    desk.agent("Close the valve.", desk.last("agent", "new_ticket").mail["Reply-To"])
    mail = desk.last("customer", "answer")

    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)

    assert desk.sent(block="undeliverable") == []


@pytest.mark.parametrize(("days", "told"), [(29, 1), (31, 0)])
def test_a_bounce_is_believed_for_thirty_days(desk, days, told):
    mail = answered(desk)
    desk.now += timedelta(days=days)

    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)

    assert len(desk.sent(block="undeliverable")) == told


def test_another_tenants_mail_is_none_of_ours(desk):
    mail = answered(desk)
    path = mail.envelope_sender.replace("acme", "umbra")

    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=path), path)

    assert desk.sent(block="undeliverable") == []


def test_a_bounce_may_come_before_the_relay_has_answered(desk):
    """Some relays report within the very dialogue; then nothing is left to be accepted."""
    desk.customer()
    desk.agent("Close the valve.", desk.last("agent", "new_ticket").mail["Reply-To"])
    mail = desk.last("customer", "answer")
    with desk.engine.begin() as connection:
        (taken,) = [one for one in outbox.claim(connection, "out", desk.now, 100) if one.id == mail.id]
    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)
    with desk.engine.begin() as connection:
        assert not outbox.end(connection, taken, "sent", "250 ok", desk.now)

    assert len(desk.sent(block="undeliverable")) == 1
    assert timer(desk, mail)[1] == "running"


def test_a_delay_is_filed_and_disturbs_nobody(desk):
    mail = answered(desk)
    data = bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender, action="delayed", status="4.4.1")

    outcome = comes(desk, data, mail.envelope_sender)

    assert [one.kind for one in desk.history(outcome)][-1] == "report"
    assert desk.sent(block="undeliverable") == []


def test_a_failure_that_does_not_blame_the_address_leaves_it_unmarked(desk):
    mail = answered(desk)
    said = "552 5.3.4 message too big"

    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender, status="5.3.4", said=said), SUPPORT)

    (told,) = desk.sent(block="undeliverable")
    assert "the mail is too large" in " ".join(told.text.split())
    assert " None " in state_of(desk, mail)


def test_automatic_mail_to_a_dead_address_is_kept_back_and_answers_are_tried_with_a_warning(desk):
    mail = answered(desk)
    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)
    automatic = len([one for one in desk.sent("customer") if one.kind == "automatic"])

    desk.mail("Hello?", BOB, subject="Another thing")
    assert len([one for one in desk.sent("customer") if one.kind == "automatic"]) == automatic
    again = answer_again(desk, "Please call me.")
    assert "Please call me." in again.text
    warned = desk.sent(block="came_back")
    assert [one.to for one in warned] == ["ann@acme.example"]
    assert "550 5.1.1 no such user" in " ".join(warned[0].text.split())

    comes(desk, bounce(again.mail.as_bytes(), BOB, to=again.envelope_sender), again.envelope_sender)
    assert len(desk.sent(block="undeliverable")) == 2, "each lost answer is told, each once"


def test_who_writes_from_the_address_with_proof_can_be_reached_again(desk):
    mail = answered(desk)
    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)
    assert "None" not in state_of(desk, mail).split("[")[0].rpartition(")")[2]

    desk.customer("I had forgotten to pay.", subject="Mailbox again")

    assert desk.last("customer", "opened").to == BOB
    assert " None " in state_of(desk, mail)


def test_a_receipt_for_a_later_mail_clears_the_mark(desk):
    mail = answered(desk)
    comes(desk, bounce(mail.mail.as_bytes(), BOB, to=mail.envelope_sender), mail.envelope_sender)
    later = answer_again(desk, "And the other valve.")

    comes(desk, read_receipt(later.mail.as_bytes(), BOB, to=SUPPORT), SUPPORT)

    assert " None " in state_of(desk, mail)


@pytest.mark.parametrize(
    ("headers", "joined"), [("Auto-Submitted: auto-replied\r\n", "customer entry"), ("", "customer entry")]
)
def test_what_else_comes_to_the_return_path_is_filed_with_its_ticket(desk, headers, joined):
    """Autoresponders answer to the return path (RFC 3834 section 4), as some people do."""
    mail = answered(desk)
    data = f"From: {BOB}\r\nTo: {mail.envelope_sender}\r\nSubject: Away\r\n{headers}\r\nI am away.\r\n".encode()

    outcome = comes(desk, data, mail.envelope_sender, BOB)

    assert outcome.ticket_id == ticket_of(desk, mail)
    assert [one.kind for one in desk.history(outcome) if one.text][-1] == joined


def test_a_machine_that_writes_to_a_return_path_of_nothing_opens_no_ticket(desk):
    path = return_address(KEYS, SUPPORT, 9999, 9999)
    data = f"From: {BOB}\r\nTo: {path}\r\nSubject: Away\r\nAuto-Submitted: auto-replied\r\n\r\nAway.\r\n".encode()

    assert comes(desk, data, path, BOB).name == "dropped"
    by_hand = data.replace(b"Auto-Submitted: auto-replied\r\n", b"").replace(b"Away.", b"By hand.")
    assert comes(desk, by_hand, path, BOB).name == "entry"


def test_a_return_path_is_none_of_the_desks_where_the_relay_lets_only_that_one_through(desk):
    desk.world = replace(desk.world, own_return_paths=False)

    assert answered(desk).envelope_sender == SUPPORT


def test_the_operator_hears_once_a_day_that_staff_mail_comes_back(desk):
    desk.customer()
    desk.customer("The scanner is on fire, too.", subject="Scanner")
    relay_takes_all(desk)

    for notice in desk.sent("agent"):
        comes(desk, bounce(notice.mail.as_bytes(), "ann@acme.example", to=SUPPORT), SUPPORT)

    (told,) = desk.sent(block="staff_unreachable")
    assert told.to == "postmaster@acme.example"
    assert "ann@acme.example" in told.text

    for days in (1, 2, 3):
        desk.now += timedelta(hours=23)
        _fails_again(desk)
        assert len(desk.sent(block="staff_unreachable")) == days, "within a day"
        desk.now += timedelta(hours=2)
        _fails_again(desk)
        assert len(desk.sent(block="staff_unreachable")) == days + 1


def _fails_again(desk: Office) -> None:
    desk.customer(f"It burns at {desk.now}.")
    relay_takes_all(desk)
    comes(desk, bounce(desk.last("agent", "new_ticket").mail.as_bytes(), "ann@acme.example", to=SUPPORT), SUPPORT)
