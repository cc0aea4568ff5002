from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience, Drop, EndQuarantine, Say, SetAside
from helpdesk.domain.facts import Ration, Waiting
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Kind, Reading
from helpdesk.rules.hear_operator import check
from tests.rules.facts import ANN, LEO, mail

WAITS, ENDED = Waiting(17, waits=True), Waiting(17, waits=False)


def orders(text: str, **changed):
    given = {"quarantine": WAITS, "by_operator": True, "reading": Reading(lead_text=text), **changed}
    return check(mail(**given))


@pytest.mark.parametrize(
    ("text", "release"), [("#release", True), ("\n #RELEASE \nThank you.", True), ("#drop\n\nIt is spam.", False)]
)
def test_the_first_line_orders(text, release):
    end, said, drop = orders(text).effects

    assert end == EndQuarantine(17, release)
    assert (said.audience, said.block) == (Audience.OPERATOR, "quarantine_done")
    assert isinstance(drop, Drop)


def test_a_lead_orders_and_is_answered_himself():
    _, said, _ = orders("#drop", by_operator=False, agent=LEO).effects

    assert said == Say(Audience.ACTOR, "done", {"lines": ("Mail 17 is dropped.",)})


@pytest.mark.parametrize("there", [WAITS, ENDED])
def test_it_is_shown_to_whoever_may_order(there):
    assert orders("#show", quarantine=there).effects[0] == Say(Audience.OPERATOR, "whole_mail")
    assert orders("#show", by_operator=False, agent=LEO, quarantine=there).effects[0] == Say(
        Audience.ACTOR, "whole_mail"
    )


@pytest.mark.parametrize("text", ["#show", "I am away until Monday."])
def test_what_ends_nothing_is_answered_so_often_and_what_does_always(text):
    """Mutant: an assistant at the operator's address without any mark circles for ever."""
    busy = Ration(last_hour=30)

    (effect,) = orders(text, ration=busy).effects
    assert isinstance(effect, Drop)
    assert len(orders("#release", ration=busy).effects) == 3


def test_an_answer_to_the_mornings_list_is_told_where_to_write():
    said, _ = orders("#release", quarantine=Waiting(0, waits=False)).effects

    assert "the address behind the one that you mean" in said.values["lines"][0]


def test_what_a_person_released_goes_on_unproven():
    assert orders("#release", proof=Proof.NONE, released=True) is None


@pytest.mark.parametrize(
    ("text", "mail_there"), [("Please release it.", WAITS), ("Yes\n#release", WAITS), ("#release", ENDED), ("", WAITS)]
)
def test_anything_else_changes_nothing_and_is_said(text, mail_there):
    effects = orders(text, quarantine=mail_there).effects

    assert [type(one) for one in effects] == [Say, Drop]


@pytest.mark.parametrize(
    "changed",
    [{"proof": Proof.NONE}, {"by_operator": False}, {"by_operator": False, "agent": ANN}],
    ids=["unproven", "somebody else", "an agent who is no lead"],
)
def test_nobody_else_orders(changed):
    (effect,) = orders("#release", **changed).effects

    assert isinstance(effect, SetAside)


def test_a_machine_orders_nothing():
    (effect,) = orders("#release", reading=Reading(kind=Kind.OUT_OF_OFFICE, lead_text="#release")).effects

    assert isinstance(effect, Drop)


def test_other_mails_go_on():
    assert check(mail()) is None
