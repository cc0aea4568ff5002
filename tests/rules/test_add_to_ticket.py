from __future__ import annotations

import pytest

from helpdesk.domain.decision import AddEntry, Audience, Say
from helpdesk.domain.facts import Candidate, Proposal
from helpdesk.domain.reading import Kind
from helpdesk.domain.ticket import Reason, Status
from helpdesk.rules.add_to_ticket import check
from tests.rules.facts import GLOBEX, ZOE, kinds, mail, opened, reading, ticket

ENTRY, TELL = "AddEntry customer entry", "Say agent customer_wrote"
PROPOSAL = Proposal(GLOBEX, "C-77")


def of_stranger(status: Status = Status.HELD, reason: Reason = Reason.DETAILS):
    return ticket(status, reason, requester=ZOE, proven=False)


@pytest.mark.parametrize(
    ("facts", "effects"),
    [
        (mail(ticket=ticket(Status.OPEN)), [ENTRY, TELL]),
        (mail(ticket=ticket(Status.WAITING, Reason.CUSTOMER)), [ENTRY, "SetStatus open", TELL]),
        (mail(ticket=ticket(Status.CLOSED)), [ENTRY, "SetStatus open", TELL]),
        (mail(ticket=ticket(Status.CLOSED, Reason.CONTRACT)), [ENTRY, "SetStatus held contract", TELL]),
        (mail(ticket=ticket(Status.HELD, Reason.CONTRACT)), [ENTRY, TELL]),
        (mail(ticket=ticket(Status.CLOSED), reading=reading(kind=Kind.OUT_OF_OFFICE)), [ENTRY]),
        (mail(ticket=ticket(Status.WAITING), reading=reading(kind=Kind.AUTO_REPLY)), [ENTRY]),
        (mail(ticket=ticket(Status.WAITING), reading=reading(kind=Kind.CHALLENGE)), [ENTRY, TELL]),
        (mail(ticket=ticket(), third_party=True), ["AddEntry third party entry", TELL]),
        (mail(ticket=ticket(Status.CLOSED), third_party=True), ["AddEntry third party entry", TELL]),
        (mail(ticket=of_stranger()), [ENTRY, "Say agent who_is_this", "Say customer thanks_details"]),
        (
            mail(ticket=of_stranger(Status.CLOSED)),
            [ENTRY, "SetStatus held details", "Say agent who_is_this", "Say customer thanks_details"],
        ),
        (
            mail(ticket=of_stranger(), proposal=PROPOSAL, suppressed=(Audience.CUSTOMER,)),
            [ENTRY, "Say agent who_is_this"],
        ),
        (mail(ticket=ticket(), proposal=PROPOSAL), [ENTRY, TELL]),
    ],
    ids=[
        "open", "waiting", "closed", "closed while held", "held", "a machine reopens nothing", "a machine ends no waiting",
        "a challenge is told",
        "third party", "third party reopens nothing", "unknown sender answers", "unknown sender answers a closed one",
        "unknown sender names a contract", "a known sender names one",
    ],
)  # fmt: skip
def test_files_a_reply(facts, effects):
    verdict = check(facts)

    assert kinds(verdict.effects) == effects
    assert verdict.final


@pytest.mark.parametrize("facts", [mail(), opened()], ids=["no ticket", "a new ticket"])
def test_leaves_what_is_no_reply(facts):
    assert check(facts) is None


def test_keeps_the_new_text_only_where_there_is_some():
    def kept(**texts: str) -> str:
        verdict = check(mail(ticket=ticket(), reading=reading("whole", **texts)))
        return next(effect.text for effect in verdict.effects if isinstance(effect, AddEntry))

    assert kept(new_text="mine") == "mine"
    assert kept(new_text="") == "whole"


def test_proposes_what_a_stranger_names_and_believes_nothing():
    verdict = check(mail(ticket=of_stranger(), proposal=PROPOSAL))

    said = next(one for one in verdict.effects if isinstance(one, Say) and one.audience is Audience.AGENT)
    assert said.values == {"organisation": "Globex", "contract": "C-77"}
    assert not any(kind.startswith(("Confirm", "SetStatus")) for kind in kinds(verdict.effects))


def test_says_whether_the_ticket_was_reopened():
    said = [
        check(mail(ticket=ticket(status))).effects[-1].values["reopened"] for status in (Status.OPEN, Status.CLOSED)
    ]

    assert said == [False, True]


def test_who_writes_his_details_in_ten_mails_is_thanked_once():
    asked = of_stranger()
    facts = mail(ticket=asked, candidates=(Candidate(asked, "the reply address", thanked=True),))

    assert kinds(check(facts).effects) == [ENTRY, "Say agent who_is_this"]
