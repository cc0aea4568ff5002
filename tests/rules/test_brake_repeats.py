from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.decision import Audience, Suppress
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Kind
from helpdesk.rules.brake_repeats import Options, check
from tests.rules.facts import DESK, agent_mail, kinds, mail, reading


@pytest.mark.parametrize(("repeats", "limit", "silent"), [(0, 1, False), (1, 1, True), (9, 1, True), (9, 10, False)])
def test_the_same_words_again_get_no_answer_and_are_kept(repeats, limit, silent):
    facts = mail(repeats=repeats, desk=replace(DESK, same_words_per_day=limit))

    verdict = check(facts, Options())

    assert (verdict.effects if verdict else ()) == ((Suppress(Audience.CUSTOMER),) if silent else ())
    assert verdict is None or not verdict.final


@pytest.mark.parametrize(("repeats", "stopped"), [(0, False), (1, False), (2, True)])
def test_an_agents_same_words_on_one_ticket_are_not_sent_for_ever(repeats, stopped):
    verdict = check(agent_mail(repeats=repeats), Options())

    assert (kinds(verdict.effects) if verdict else []) == (["SetAside", "Say operator quarantined"] if stopped else [])
    assert verdict is None or verdict.final


@pytest.mark.parametrize(
    "facts",
    [
        agent_mail(repeats=9, proof=Proof.NONE),
        agent_mail(repeats=9, reading=reading(kind=Kind.OUT_OF_OFFICE)),
    ],
    ids=["what is believed of nobody", "a machine that says so"],
)
def test_leaves_to_others_what_is_not_relayed_anyway(facts):
    assert check(facts, Options()) is None
