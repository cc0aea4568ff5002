from __future__ import annotations

import pytest

from helpdesk.domain.decision import MarkAddress
from helpdesk.rules.mark_address import check
from tests.rules.facts import delivered, mail

NO_USER = "550 5.1.1 no such user"


@pytest.mark.parametrize(
    ("outcome", "status", "reason", "marked"),
    [
        ("bounced", "5.1.1", "no such user", True),
        ("bounced", "", NO_USER, True),
        ("failed", "", NO_USER, True),
        ("bounced", "5.2.2", "full", True),
        ("bounced", "5.4.4", "", True),
        ("bounced", "4.4.7", "tried for five days", False),
        ("bounced", "5.7.1", "we think this is spam", False),
        ("bounced", "5.3.4", "too big", False),
        ("bounced", "5.2.3", "too big", False),
        ("bounced", "5.6.1", "", False),
        ("bounced", "", "something went wrong", False),
        ("expired", "", NO_USER, False),
        ("sent", "", "250 2.1.5 ok", False),
    ],
)
def test_marks_an_address_that_takes_no_mail_for_good(outcome, status, reason, marked):
    verdict = check(delivered(outcome, status=status, reason=reason))

    assert (verdict.effects if verdict else ()) == (
        (MarkAddress("bob@globex.example", reason or status),) if marked else ()
    )


def test_an_address_of_ours_is_no_customers():
    assert check(delivered("failed", human=False, reason=NO_USER, audience="agent")) is None


def test_leaves_mails_alone():
    assert check(mail()) is None
