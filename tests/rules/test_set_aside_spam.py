from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.decision import SetAside
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Reading
from helpdesk.rules.set_aside_spam import check
from tests.rules.facts import ANN, ZOE, mail, ticket

SPAM = Reading(spam="X-Spam-Flag: YES")


def test_a_condemned_mail_of_a_stranger_is_set_aside_and_answered_by_nobody():
    verdict = check(mail(sender=ZOE, reading=SPAM))

    (effect,) = verdict.effects
    assert isinstance(effect, SetAside)
    assert "X-Spam-Flag: YES" in effect.cause
    assert verdict.final


def test_a_customer_whom_nothing_proves_is_no_customer():
    assert check(mail(reading=SPAM, proof=Proof.NONE)) is not None


@pytest.mark.parametrize(
    "facts",
    [
        mail(sender=ZOE),
        mail(reading=SPAM),
        replace(mail(sender=ZOE, reading=SPAM), ticket=ticket()),
        mail(sender=ZOE, reading=SPAM, agent=ANN),
        mail(sender=ZOE, reading=SPAM, to_role=True),
        mail(sender=ZOE, reading=SPAM, released=True),
    ],
    ids=["no verdict", "a proven customer's", "on a ticket", "an agent's", "to postmaster", "released by a person"],
)
def test_others_go_on(facts):
    assert check(facts) is None
