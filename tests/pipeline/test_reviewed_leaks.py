"""Ways in which an agent's mail could have reached the wrong reader, or gone unheard; each was seen to happen once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from helpdesk.domain.event import EventKind
from helpdesk.domain.history import Happened, first_response


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
