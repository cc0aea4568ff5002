"""A request is held while no contract covers it, and goes on by itself when one does."""

from __future__ import annotations

import pytest

from tests.stories.company import ALICE, BRUNO, CAROL, MANDY, OPERATOR, contract_line
from tests.stories.letters import first_line, reference, says
from tests.stories.running import Running

pytestmark = pytest.mark.story


def test_a_lapsed_contract_holds_the_request_until_the_renewal_is_imported(desk: Running):
    lena = desk.lapsed()
    desk.write(lena, "Pump leaks-1", "The pump leaks.")
    held = desk.wait(lena)
    told = desk.wait(MANDY, reference(held))
    on_hold = desk.wait(ALICE, "Pump leaks-1")
    desk.settle()

    assert f"contract {lena.contract} (Router) ended on 31 January 2026" in says(held)
    assert "sales@acme.example" in says(held)
    assert lena.organisation in says(told)
    assert lena.contract in says(told)
    assert "on hold" in first_line(on_hold)
    assert len(desk.about(ALICE, "Pump leaks-1")) == 1
    assert "answer due" not in says(on_hold), "nobody is told to start"
    ticket = desk.ticket(reference(held))
    assert (ticket["status"], ticket["reason"], ticket["timers"]) == ("held", "contract", [])

    desk.import_lines(contract_line(lena, "2027-01-31", number="L-new-1"))
    goes_on = desk.wait(lena, "L-new-1")
    notice = desk.wait(ALICE, "Pump leaks-1", "answer due")
    desk.settle()

    assert reference(goes_on) == reference(held)
    assert goes_on["In-Reply-To"] == held["Message-ID"]
    assert "31 January 2027" in says(goes_on)
    assert "answer due" in first_line(notice)
    assert "The pump leaks." in says(notice), "the agent can answer without looking for the first mail"
    ticket = desk.ticket(reference(held))
    assert (ticket["status"], ticket["timers"][0]["state"]) == ("open", "running")
    assert len(desk.inbox(lena)) == 2
    for one in (BRUNO, CAROL, OPERATOR):
        assert desk.about(one, "Pump leaks-1") == []


def test_a_renewal_of_somebody_else_lets_nobody_in(desk: Running):
    lena, other = desk.lapsed(), desk.lapsed()
    desk.write(lena, "Pump leaks-2", "The pump leaks.")
    held = desk.wait(lena)

    desk.import_lines(contract_line(other, "2027-01-31", number="L-new-2"))
    desk.settle()

    assert len(desk.inbox(lena)) == 1
    assert desk.inbox(other) == []
    assert desk.ticket(reference(held))["status"] == "held"


def test_a_renewal_that_does_not_reach_today_lets_nobody_in(desk: Running):
    lena = desk.lapsed()
    desk.write(lena, "Pump leaks-3", "The pump leaks.")
    held = desk.wait(lena)

    desk.import_lines(contract_line(lena, "2026-03-01", number="L-new-3"))
    desk.settle()

    assert len(desk.inbox(lena)) == 1
    assert desk.ticket(reference(held))["status"] == "held"


def test_an_agent_lets_a_request_in_with_a_word_and_a_reason(desk: Running):
    lena = desk.lapsed()
    desk.write(lena, "Pump leaks-4", "The pump leaks.")
    held, notice = desk.wait(lena), desk.wait(ALICE, "Pump leaks-4")

    desk.reply(ALICE, notice, "#admit")
    refused = desk.wait(ALICE, reference(held), "Please give the reason")
    desk.settle()

    assert "#admit REASON" in says(refused)
    assert len(desk.inbox(lena)) == 1
    assert desk.ticket(reference(held))["status"] == "held"

    desk.reply(ALICE, notice, "#admit the renewal is signed")
    goes_on = desk.wait(lena, "one of us has decided to work on it")
    done = desk.wait(ALICE, reference(held), "is let in")
    desk.settle()

    assert "the renewal is signed" in says(done)
    assert "the renewal is signed" not in says(goes_on), "the reason stays inside"
    ticket = desk.ticket(reference(held))
    assert (ticket["status"], ticket["timers"][0]["state"]) == ("open", "running")
    assert "the renewal is signed" in str(ticket["history"])
    assert len(desk.inbox(lena)) == 2


def test_the_command_line_says_who_is_covered_by_what_and_why(desk: Running):
    bob, lena = desk.customer(), desk.lapsed()

    (covered,) = desk.json("entitlement", bob.address)
    words = desk.run("entitlement", lena.address, code=1)
    then = desk.run("entitlement", lena.address, "--on", "2026-01-31")
    stranger = desk.run("entitlement", "eve@stranger.example", code=1)

    assert covered["covered"] is True
    assert covered["organisation"] == bob.organisation
    assert bob.contract in covered["why"]
    assert "not covered" in words
    assert lena.contract in words
    assert "not covered" not in then
    assert "nobody we know" in stranger
    assert "Mine" not in stranger
    assert "Late" not in stranger
    assert desk.inbox(bob) == desk.inbox(lena) == [], "asking sends nothing"
