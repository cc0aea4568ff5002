from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.decision import ClearAddress
from helpdesk.domain.proof import Proof
from helpdesk.rules.clear_address import check
from tests.rules.facts import BOB, NOW, mail

LOST = replace(BOB, unreachable_since=NOW, unreachable_why="550 5.1.1 no such user")


def test_who_proves_that_he_writes_from_an_address_can_be_reached_there():
    verdict = check(mail(sender=LOST))

    assert verdict.effects == (ClearAddress(BOB.address),)
    assert mail(sender=LOST).after(verdict.effects).sender == BOB


@pytest.mark.parametrize("facts", [mail(sender=LOST, proof=Proof.NONE), mail(), mail(sender=None)])
def test_nothing_else_says_so(facts):
    assert check(facts) is None
