"""Ways in which an agent's mail could have reached the wrong reader, or gone unheard; each was seen to happen once."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from helpdesk.domain.event import EventKind
from helpdesk.domain.history import Happened, first_response
from helpdesk.store.tables import contract


def notice(office, outcome):
    """The agent's notice of a ticket."""
    return next(one for one in office.sent() if one.block == "new_ticket" and _about(one, office, outcome))


def _about(one, office, outcome):
    return f"[{office.ticket(outcome).reference}]" in one.mail["Subject"]


def answers(office):
    return [one for one in office.sent() if one.block == "answer"]


def test_an_answer_to_one_ticket_sent_to_the_address_of_another_comes_back(office):
    """A client that completes addresses by itself picks the wrong one of two reply addresses."""
    first, second = office.customer("Pump."), office.customer("Valve.", "eve@globex.example")
    quoted, addressed = notice(office, first), notice(office, second)

    office.agent("Your password is 1234.", addressed.mail["Reply-To"], answers=quoted.message_id)

    assert answers(office) == []
    assert office.sent()[-1].to == "ann@acme.example"


def test_a_note_address_beside_the_reply_address_keeps_the_mail_inside(office):
    opened = notice(office, office.customer())
    reply = opened.mail["Reply-To"]
    note = next(word for word in opened.text.replace("<mailto:", " ").replace(">", " ").split() if "+n" in word)

    office.agent("He is a fool.", reply, cc=note)

    assert answers(office) == []


def test_a_notice_that_nobody_recognised_as_a_quote_comes_back(office):
    opened = notice(office, office.customer())
    refolded = " ".join(opened.text.split())

    office.agent(f"Please see below.\n\n{refolded}", opened.mail["Reply-To"])

    assert answers(office) == []
    assert office.sent()[-1].block == "returned"
    assert "Please see below." in office.sent()[-1].text


def test_what_was_set_aside_unproven_is_heard_when_it_comes_again_with_proof(office):
    opened = notice(office, office.customer())
    to, again = opened.mail["Reply-To"], "<same@acme.example>"
    unproven = office.compose("Turn it off.", "ann@acme.example", to=to, message_id=again)

    assert office.handle(unproven).name == "quarantined"
    proven = office.compose("Turn it off.", "ann@acme.example", to=to, message_id=again, user="ann@acme.example")

    assert office.handle(proven).name == "entry"
    assert office.handle(proven).name == "seen before"
    assert [one.to for one in answers(office)] == ["bob@globex.example"]


@pytest.mark.parametrize("header", ["List-Id", "Precedence"])
def test_a_persons_mail_with_bulk_headers_is_heard(office, header):
    opened = notice(office, office.customer())
    value = {"List-Id": "<desk.globex.example>", "Precedence": "bulk"}[header]

    office.customer("It burns again.", answers=opened.message_id, headers={header: value})

    assert any(one.block == "customer_wrote" for one in office.sent())


def test_an_answer_that_closes_counts_as_the_answer(office):
    """The relay takes the answer after the ticket was closed by the same mail."""
    begun = office.now
    moments = first_response(
        [
            Happened(begun, EventKind.STATUS, {"status": "open"}),
            Happened(begun + timedelta(hours=9), EventKind.STATUS, {"status": "closed"}),
            Happened(begun + timedelta(hours=9, seconds=1), EventKind.ANSWER_ACCEPTED),
        ]
    )

    assert [moment.what for moment in moments] == ["start", "stop"]


def noted(office):
    """The mail that tells the assigned agent of a colleague's note."""
    opened = notice(office, office.customer())
    office.agent("#note He never pays.", opened.mail["Reply-To"], sender="leo@acme.example", answers=opened.message_id)
    return next(one for one in office.sent() if one.block == "note_added")


def test_a_reply_to_a_colleagues_note_is_a_note(office):
    note = noted(office)

    heard = office.agent("Agreed, he is a cheat.", note.mail["Reply-To"], answers=note.message_id)

    assert answers(office) == []
    assert "a note" in heard.why


def test_a_colleagues_note_in_a_quote_that_nobody_recognised_comes_back(office):
    note = noted(office)
    opened = next(one for one in office.sent() if one.block == "new_ticket")

    office.agent("Done.\n\n" + " ".join(note.text.split()), opened.mail["Reply-To"])

    assert answers(office) == []
    assert office.sent()[-1].block == "returned"


def test_a_colleagues_note_names_the_address_of_an_answer(office):
    note = noted(office)
    address = next(word for word in note.text.replace("<mailto:", " ").replace(">", " ").split() if "+r" in word)

    office.agent("Turn it off.", address)

    assert [one.to for one in answers(office)] == ["bob@globex.example"]


def test_a_leads_reply_to_a_broken_promise_stays_inside(office):
    office.customer()
    office.due(hours=10)
    breach = next(one for one in office.sent() if one.block == "breach")

    office.agent("Globex will leave us.", breach.mail["Reply-To"], sender="leo@acme.example", answers=breach.message_id)

    assert answers(office) == []


def test_a_reply_of_an_account_manager_who_is_an_agent_stays_inside(office):
    with office.engine.begin() as connection:
        connection.execute(sa.update(contract).where(contract.c.number == "C-66").values(manager="leo@acme.example"))
    office.customer(sender="ira@initech.example")
    lapsed = next(one for one in office.sent() if one.block == "lapsed")

    office.agent("They owe us money.", lapsed.mail["Reply-To"], sender="leo@acme.example", answers=lapsed.message_id)

    assert lapsed.to == "leo@acme.example"
    assert [one for one in office.sent() if one.to == "ira@initech.example" and "money" in one.all] == []
