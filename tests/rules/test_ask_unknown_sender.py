from __future__ import annotations

from helpdesk.domain.decision import Audience, Say, SetStatus
from helpdesk.domain.facts import Proposal
from helpdesk.domain.ticket import Reason, Status
from helpdesk.rules.ask_unknown_sender import check
from tests.rules.facts import GLOBEX, ZOE, mail, opened, ticket

UNKNOWN = ticket(Status.NEW, requester=ZOE)
HELD, ASK = SetStatus(Status.HELD, Reason.DETAILS), Say(Audience.CUSTOMER, "who_are_you")


def test_holds_and_asks():
    verdict = check(opened(ticket=UNKNOWN))

    assert verdict.effects == (HELD, Say(Audience.AGENT, "who_is_this", {"opened": True, "told": True}), ASK)
    assert verdict.final


def test_holds_without_asking_where_nothing_may_be_said():
    verdict = check(opened(ticket=UNKNOWN, suppressed=(Audience.CUSTOMER,)))

    assert verdict.effects == (HELD, Say(Audience.AGENT, "who_is_this", {"opened": True, "told": False}))


def test_proposes_the_holder_of_a_contract_that_the_mail_names():
    verdict = check(opened(ticket=UNKNOWN, proposal=Proposal(GLOBEX, "C-77")))

    proposed = {"opened": True, "told": True, "organisation": "Globex", "contract": "C-77"}
    assert verdict.effects == (HELD, Say(Audience.AGENT, "who_is_this", proposed), ASK)


def test_leaves_the_others_alone():
    assert check(mail()) is None
    assert check(mail(ticket=UNKNOWN)) is None
    assert check(opened()) is None
