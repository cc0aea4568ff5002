from __future__ import annotations

import pytest

from helpdesk.domain.decision import Record
from helpdesk.domain.event import EventKind
from helpdesk.rules.stop_first_response import check
from tests.rules.facts import EVE, delivered, mail, ticket


def test_the_relays_acceptance_of_a_persons_answer_stops_it():
    verdict = check(delivered("sent"))

    assert verdict.effects == (Record(EventKind.ANSWER_ACCEPTED, {"recipient": "bob@globex.example", "event": 31}),)


def test_a_participants_copy_does_not():
    """The requester's own may have come back."""
    seen = ticket(participants=(EVE,))

    assert check(delivered("sent", ticket=seen, recipient=EVE.address)) is None
    assert check(delivered("sent", ticket=seen, recipient=seen.requester.address)) is not None


@pytest.mark.parametrize(
    "facts",
    [delivered("sent", human=False), delivered("failed"), delivered("expired"), mail()],
    ids=["the acknowledgement", "refused", "expired", "no delivery"],
)
def test_nothing_else_does(facts):
    assert check(facts) is None
