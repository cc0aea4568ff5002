from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from helpdesk.domain.decision import Audience, UseContract
from helpdesk.domain.ticket import Status
from helpdesk.rules.require_contract import Options, check
from tests.rules.facts import FUTURE, INITECH, LAPSED, TODAY, VALID, kinds, mail, opened, ticket

HELD = ["SetStatus held contract", "Say manager lapsed", "Say agent held_ticket", "Say customer held_contract"]
OPEN = ["UseContract", "SetStatus open"]
LAST_DAY, FIRST_DAY = replace(VALID, ends=TODAY), replace(VALID, starts=TODAY, ends=TODAY + timedelta(days=9))


@pytest.mark.parametrize(
    ("contracts", "grace_days", "effects"),
    [
        ((VALID,), 0, OPEN),
        ((LAST_DAY,), 0, OPEN),
        ((FIRST_DAY,), 0, OPEN),
        ((LAPSED, VALID, FUTURE), 0, OPEN),
        ((LAPSED,), 0, HELD),
        ((LAPSED,), 1, OPEN),
        ((replace(LAPSED, ends=TODAY - timedelta(days=2)),), 1, HELD),
        ((FUTURE,), 30, HELD),
        ((), 30, HELD),
        ((replace(VALID, organisation_id=INITECH.id),), 0, HELD),
    ],
    ids=[
        "valid", "last day", "first day", "one of three", "ended yesterday", "last day of grace", "after grace",
        "begins tomorrow", "none", "another organisation's",
    ],
)  # fmt: skip
def test_judges_the_contract_on_the_day_of_receipt(contracts, grace_days, effects):
    verdict = check(opened(contracts=contracts), Options(grace_days))

    assert kinds(verdict.effects) == effects
    assert verdict.final is (effects is HELD)


def test_the_ticket_is_worked_under_the_contract_that_ends_last():
    later = replace(VALID, id=104, number="C-78", ends=TODAY + timedelta(days=400))

    assert check(opened(contracts=(VALID, later)), Options()).effects[0] == UseContract(104)


def test_holds_in_silence_where_nothing_may_be_said():
    verdict = check(opened(contracts=(), suppressed=(Audience.CUSTOMER,)), Options())

    assert kinds(verdict.effects) == HELD[:-1]


@pytest.mark.parametrize(
    "facts",
    [mail(), mail(ticket=ticket(Status.NEW)), opened(ticket=ticket(Status.HELD)), opened(ticket=ticket(Status.OPEN))],
    ids=["no ticket", "a reply", "held already", "let in already"],
)
def test_asks_only_once(facts):
    assert check(replace(facts, contracts=()), Options()) is None
