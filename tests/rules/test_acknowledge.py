from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience
from helpdesk.domain.ticket import Status
from helpdesk.rules.acknowledge import check
from tests.rules.facts import kinds, mail, opened, ticket

SILENT = (Audience.CUSTOMER,)


@pytest.mark.parametrize(
    ("facts", "effects"),
    [
        (opened(ticket=ticket(Status.OPEN)), ["Say customer opened"]),
        (opened(ticket=ticket(Status.NEW)), ["SetStatus open", "Say customer opened"]),
        (opened(ticket=ticket(Status.NEW), suppressed=SILENT), ["SetStatus open"]),
    ],
    ids=["covered already", "no rule about contracts came before", "suppressed: open all the same"],
)
def test_says_that_the_request_arrived(facts, effects):
    verdict = check(facts)

    assert kinds(verdict.effects) == effects
    assert not verdict.final


@pytest.mark.parametrize(
    "facts",
    [mail(), mail(ticket=ticket(Status.OPEN)), opened(ticket=ticket(Status.OPEN), suppressed=SILENT)],
    ids=["no ticket", "a reply", "suppressed"],
)
def test_has_nothing_to_say(facts):
    assert check(facts) is None
