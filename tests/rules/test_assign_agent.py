from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.decision import Assign
from helpdesk.rules.assign_agent import check
from tests.rules.facts import DESK, mail, opened, ticket


@pytest.mark.parametrize(
    ("first_agent", "chosen"), [("leo", "leo"), ("", "ann"), ("gone", "ann")], ids=["named", "nobody named", "has left"]
)
def test_a_new_ticket_is_always_somebodys(first_agent, chosen):
    verdict = check(opened(desk=replace(DESK, first_agent=first_agent)))

    assert verdict.effects == (Assign(chosen),)


@pytest.mark.parametrize(
    "facts",
    [mail(), mail(ticket=ticket(agent="")), opened(ticket=ticket(agent="leo")), opened(agents=())],
    ids=["no ticket", "a reply", "has one", "no agents"],
)
def test_leaves_the_others_alone(facts):
    assert check(facts) is None
