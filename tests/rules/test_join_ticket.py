from __future__ import annotations

import pytest

from helpdesk.domain.decision import JoinTicket
from helpdesk.domain.facts import Candidate
from helpdesk.domain.proof import Proof
from helpdesk.rules.join_ticket import check
from tests.rules.facts import EVE, ZOE, agent_mail, mail, stranger, ticket

ADDRESS, OURS, SEEN = "the reply address", "a mail of ours that it answers", "a mail of the ticket that it answers"
SUBJECT = "the reference in the subject"


def found(how: str, **signs: bool) -> tuple[Candidate, ...]:
    return (Candidate(ticket(), how, **signs),)


@pytest.mark.parametrize("how", [ADDRESS, OURS, SEEN, SUBJECT])
def test_whoever_is_part_of_it_joins_by_any_sign(how):
    part = ticket(participants=(EVE,))

    assert check(mail(candidates=found(how))).effects == (JoinTicket(7, how),)
    assert check(mail(sender=EVE, candidates=(Candidate(part, how),))).effects == (JoinTicket(7, how),)
    assert check(agent_mail(ticket=None, candidates=found(how))).effects == (JoinTicket(7, how),)


@pytest.mark.parametrize(
    ("facts", "participant"),
    [
        (mail(sender=EVE, candidates=found(SEEN, same_organisation=True)), True),
        (mail(sender=EVE, candidates=found(SEEN, same_organisation=True), proof=Proof.NONE), False),
        (mail(sender=EVE, candidates=found(SEEN)), False),
        (stranger(candidates=found(SEEN, named=True)), True),
        (stranger(candidates=found(SEEN)), False),
        (stranger(candidates=found(ADDRESS)), False),
        (mail(sender=ZOE, candidates=found(OURS)), False),
    ],
    ids=[
        "proven colleague", "unproven colleague", "proven, of another organisation", "named by an entry", "stranger",
        "stranger with a stolen address", "proven stranger",
    ],
)  # fmt: skip
def test_outsiders_become_participants_only_with_a_reason(facts, participant):
    verdict = check(facts)

    assert verdict.effects == (JoinTicket(7, facts.candidates[0].how, participant=participant),)
    assert facts.after(verdict.effects).third_party is not participant


@pytest.mark.parametrize(
    "facts",
    [
        stranger(candidates=found(SUBJECT)),
        stranger(candidates=found(SUBJECT, named=True)),
        mail(sender=EVE, candidates=found(SUBJECT, same_organisation=True)),
        mail(),
    ],
    ids=["stranger", "named, but by subject", "colleague by subject", "no sign"],
)
def test_a_reference_in_the_subject_lets_nobody_in(facts):
    assert check(facts) is None


def test_the_strongest_sign_counts():
    other = Candidate(ticket(id=8, reference="AC-1002"), SUBJECT)

    assert check(mail(candidates=(*found(ADDRESS), other))).effects[0].ticket_id == 7
    assert check(mail(candidates=(other, *found(ADDRESS)))).effects[0].ticket_id == 8
