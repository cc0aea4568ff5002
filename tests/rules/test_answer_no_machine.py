from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience, Suppress
from helpdesk.domain.reading import Kind
from helpdesk.rules.answer_no_machine import check
from tests.rules.facts import mail, reading


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.HUMAN])
def test_no_machine_gets_an_answer(kind):
    verdict = check(mail(reading=reading(kind=kind, kind_why="Auto-Submitted: auto-replied")))

    assert verdict.effects == (Suppress(Audience.CUSTOMER),)
    assert not verdict.final
    assert "Auto-Submitted: auto-replied" in verdict.why


def test_an_empty_return_path_gets_no_answer():
    assert check(mail(reading=reading(return_path=""))).effects == (Suppress(Audience.CUSTOMER),)


def test_whom_a_person_guessed_is_written_to_by_no_machine():
    assert check(mail(reading=reading(sender_problem="two From headers"))).effects == (Suppress(Audience.CUSTOMER),)


@pytest.mark.parametrize("return_path", ["bob@globex.example", None], ids=["known", "the door does not tell it"])
def test_a_person_may_be_answered(return_path):
    assert check(mail(reading=reading(return_path=return_path))) is None
