from __future__ import annotations

import pytest

from helpdesk.domain.decision import Record
from helpdesk.domain.event import EventKind
from helpdesk.rules.stop_first_response import check
from tests.rules.facts import delivered, mail


def test_the_relays_acceptance_of_a_persons_answer_stops_it():
    verdict = check(delivered("sent"))

    assert verdict.effects == (Record(EventKind.ANSWER_ACCEPTED, {"recipient": "bob@globex.example", "event": 31}),)


@pytest.mark.parametrize(
    "facts",
    [delivered("sent", human=False), delivered("failed"), delivered("expired"), mail()],
    ids=["the acknowledgement", "refused", "expired", "no delivery"],
)
def test_nothing_else_does(facts):
    assert check(facts) is None
