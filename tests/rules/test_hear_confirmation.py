from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from helpdesk.domain.decision import Audience, Drop, EndQuarantine, Say
from helpdesk.domain.facts import Ration, Waiting
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Kind
from helpdesk.rules.hear_agent import RETURNS_PER_HOUR
from helpdesk.rules.hear_confirmation import check
from tests.rules.facts import NOW, agent_mail, mail, reading

WAITS = Waiting(17, waits=True, since=NOW - timedelta(hours=1))


def confirming(text: str, **changed):
    return check(agent_mail(text, **{"confirming": WAITS, "proof": Proof.NONE, **changed}))


@pytest.mark.parametrize("text", ["#send", "\n #SEND \nThanks, Ann"])
def test_his_word_sends_it(text):
    end, drop = confirming(text).effects

    assert end == EndQuarantine(17, release=True, confirmed=True)
    assert isinstance(drop, Drop)


def test_it_is_not_his():
    end, said, drop = confirming("#drop").effects

    assert end == EndQuarantine(17, release=False)
    assert (said.audience, said.block) == (Audience.ACTOR, "done")
    assert isinstance(drop, Drop)


@pytest.mark.parametrize(
    ("text", "waiting"),
    [
        ("Yes, that was me.", WAITS),
        ("Yes\n#send", WAITS),
        ("#send it please", WAITS),
        ("", WAITS),
        ("#send", replace(WAITS, waits=False)),
        ("#send", replace(WAITS, since=NOW - timedelta(hours=24, seconds=1))),
    ],
    ids=["no order", "not first", "not alone", "nothing", "a second time", "a day later"],
)
def test_anything_else_sends_nothing_and_is_said(text, waiting):
    effects = confirming(text, confirming=waiting).effects

    assert [type(one) for one in effects] == [Drop, Say]
    assert effects[1].block == "returned"


def test_a_reply_that_fails_its_own_domains_policy_confirms_nothing():
    effects = confirming("#send", proof=Proof.FAILED).effects

    assert [type(one) for one in effects] == [Drop, Say]


def test_a_machine_confirms_nothing():
    """Mutant: an absence assistant without marks aside, any answer from the address is his word."""
    (effect,) = confirming("#send", reading=reading("#send", kind=Kind.OUT_OF_OFFICE)).effects

    assert isinstance(effect, Drop)


def test_who_answers_again_and_again_is_not_answered():
    effects = confirming("What is this?", ration=Ration(warned=RETURNS_PER_HOUR)).effects

    assert not [one for one in effects if isinstance(one, Say) and one.audience is Audience.ACTOR]


def test_other_mails_go_on():
    assert check(mail()) is None
    assert check(mail(confirming=WAITS)) is None, "no agent"
