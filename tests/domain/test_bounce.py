from __future__ import annotations

import pytest

from helpdesk.domain.bounce import Cause, blames_address, cause, status_in


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("550 5.1.1 no such user", "5.1.1"),
        ("relay refused bob@x.example: 452 4.2.2 full", "4.2.2"),
        ("5.1.10 (null MX)", "5.1.10"),
        ("550 no such user", ""),
        ("from 192.0.5.1.1 with love", ""),
        ("6.1.1", ""),
        ("", ""),
    ],
)
def test_finds_the_status_in_what_a_server_said(words, status):
    assert status_in(words) == status


@pytest.mark.parametrize(
    ("status", "means", "blamed"),
    [
        ("5.1.1", Cause.NO_MAILBOX, True),
        ("5.1.2", Cause.NO_DOMAIN, True),
        ("5.1.10", Cause.NO_DOMAIN, True),
        ("5.2.1", Cause.SWITCHED_OFF, True),
        ("5.2.2", Cause.FULL, True),
        ("4.2.2", Cause.FULL, False),
        ("5.2.3", Cause.TOO_LARGE, False),
        ("5.3.4", Cause.TOO_LARGE, False),
        ("5.7.1", Cause.REFUSED, False),
        ("4.4.7", Cause.TOO_LONG, False),
        ("5.0.0", Cause.UNKNOWN, True),
        ("5.6.0", Cause.UNKNOWN, False),
        ("5.1.7", cause("5.1.7"), False),
        ("5.1.8", cause("5.1.8"), False),
        ("", Cause.UNKNOWN, False),
    ],
)
def test_what_a_status_means_and_whether_the_next_mail_will_fare_better(status, means, blamed):
    assert cause(status) is means
    assert blames_address(status) is blamed
