from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience, Suppress
from helpdesk.domain.facts import Ration
from helpdesk.domain.proof import Proof
from helpdesk.rules.ration_automatic_mail import check
from tests.rules.facts import agent_mail, mail


@pytest.mark.parametrize(
    ("proof", "ration", "suppressed"),
    [
        (Proof.NONE, Ration(), False),
        (Proof.NONE, Ration(last_day=1), True),
        (Proof.FAILED, Ration(last_day=1), True),
        (Proof.AMBIGUOUS, Ration(last_day=5, last_hour=5), True),
        (Proof.ALIGNED, Ration(last_day=100, last_hour=19), False),
        (Proof.BORDER, Ration(last_day=100, last_hour=20), True),
        (Proof.AUTH, Ration(last_day=20, last_hour=20), True),
    ],
)
def test_one_a_day_to_the_unproven_twenty_an_hour_to_the_proven(proof, ration, suppressed):
    verdict = check(mail(proof=proof, ration=ration))

    assert (verdict is not None and verdict.effects == (Suppress(Audience.CUSTOMER),)) is suppressed


def test_staff_mail_is_not_rationed():
    assert check(agent_mail(ration=Ration(1000, 1000))) is None
