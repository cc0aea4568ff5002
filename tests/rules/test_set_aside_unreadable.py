from __future__ import annotations

import pytest

from helpdesk.domain.decision import Audience, Say, SetAside
from helpdesk.domain.reading import Kind
from helpdesk.rules.set_aside_unreadable import check
from tests.rules.facts import mail, reading


@pytest.mark.parametrize(
    ("problem", "cause"),
    [("two From headers", "two From headers"), ("", "the mail does not say whom it is from")],
)
def test_sets_aside_and_tells_the_operator(problem, cause):
    verdict = check(mail(reading=reading(sender=None, sender_problem=problem)))

    assert verdict.effects == (SetAside(cause), Say(Audience.OPERATOR, "quarantined", {"cause": cause}))
    assert verdict.final


@pytest.mark.parametrize("kind", [Kind.BOUNCE, Kind.DELAYED, Kind.RECEIPT])
def test_reports_need_no_sender(kind):
    assert check(mail(reading=reading(sender=None, kind=kind))) is None


def test_a_mail_with_a_sender_passes():
    assert check(mail()) is None
