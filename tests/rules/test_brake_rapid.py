from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from helpdesk.domain.decision import Audience, Suppress
from helpdesk.domain.facts import Ration
from helpdesk.rules.brake_rapid import Options, check
from tests.rules.facts import DESK, NOW, agent_mail, mail


@pytest.mark.parametrize(
    ("mails", "minutes", "silent"),
    [(0, 0, False), (1, 0, False), (2, 0, True), (2, 5, True), (2, 6, False), (19, 6, False), (19, 1, True)],
)
def test_who_writes_at_once_after_each_of_our_mails_is_a_machine(mails, minutes, silent):
    ration = Ration(mails, mails, 0, NOW - timedelta(minutes=minutes) if mails else None)

    verdict = check(mail(ration=ration), Options())

    assert (verdict.effects if verdict else ()) == ((Suppress(Audience.CUSTOMER),) if silent else ())


def test_the_settings_say_how_many():
    facts = mail(ration=Ration(9, 9, 0, NOW), desk=replace(DESK, rapid_per_hour=10))

    assert check(facts, Options()) is None


def test_staff_mail_is_not_rationed():
    assert check(agent_mail(ration=Ration(9, 9, 0, NOW)), Options()) is None
