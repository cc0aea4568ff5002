from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.decision import Audience, Say, SetStatus, UseContract
from helpdesk.domain.facts import Change, Ration
from helpdesk.domain.ticket import Reason, Status
from helpdesk.rules.release_renewed import check
from tests.rules.facts import DESK, FUTURE, INITECH, LAPSED, VALID, ZOE, changed, kinds, ticket

HELD = (Status.HELD, Reason.CONTRACT)


def test_a_covered_ticket_goes_on():
    verdict = check(changed(*HELD, LAPSED, VALID))

    assert verdict.effects == (
        UseContract(VALID.id),
        SetStatus(Status.OPEN),
        Say(Audience.CUSTOMER, "released"),
        Say(Audience.AGENT, "new_ticket"),
    )
    assert VALID.number in verdict.why


@pytest.mark.parametrize(
    "facts",
    [
        changed(*HELD),
        changed(*HELD, LAPSED),
        changed(*HELD, FUTURE),
        changed(*HELD, replace(VALID, organisation_id=INITECH.id)),
        changed(Status.OPEN, Reason.NONE, VALID),
        changed(Status.CLOSED, Reason.CONTRACT, VALID),
        changed(*HELD, VALID, kind="agents"),
        replace(changed(*HELD, VALID), ticket=ticket(*HELD, requester=ZOE)),
    ],
    ids=[
        "no contract", "lapsed", "not begun", "another organisation's", "open", "closed",
        "another change", "of nobody we know",
    ],
)  # fmt: skip
def test_everything_else_stays_as_it_is(facts):
    assert check(facts) is None


def test_whoever_is_known_by_now_is_told_how_his_contract_stands():
    """His request was held because nobody knew him; an import made him a member."""
    opened = check(changed(Status.HELD, Reason.DETAILS, VALID))
    still = check(changed(Status.HELD, Reason.DETAILS, LAPSED))

    assert kinds(opened.effects) == ["UseContract", "SetStatus open", "Say customer opened", "Say agent new_ticket"]
    assert kinds(still.effects) == ["SetStatus held contract", "Say customer held_contract", "Say manager lapsed"]


@pytest.mark.parametrize(
    "facts",
    [
        replace(changed(*HELD, VALID), change=Change("contract", heard=False)),
        replace(changed(*HELD, VALID), ration=Ration(20, DESK.automatic_per_hour)),
    ],
    ids=["a machine's, which was never written to", "one of many"],
)
def test_not_everybody_is_told_that_it_goes_on(facts):
    assert kinds(check(facts).effects) == ["UseContract", "SetStatus open", "Say agent new_ticket"]


def test_days_of_grace_count():
    facts = changed(*HELD, LAPSED)

    assert check(replace(facts, desk=replace(DESK, grace_days=1))).effects[0] == UseContract(LAPSED.id)


def test_a_sender_who_is_known_by_now_goes_on():
    """Imported as a contact after he wrote: nobody needs to confirm him any more."""
    verdict = check(changed(Status.HELD, Reason.DETAILS, VALID))

    assert verdict.effects[1:3] == (SetStatus(Status.OPEN), Say(Audience.CUSTOMER, "opened"))


def test_a_sender_who_is_known_by_now_without_cover_is_held_for_the_contract():
    verdict = check(changed(Status.HELD, Reason.DETAILS, LAPSED))

    assert verdict.effects == (
        SetStatus(Status.HELD, Reason.CONTRACT),
        Say(Audience.CUSTOMER, "held_contract"),
        Say(Audience.MANAGER, "lapsed"),
    )
