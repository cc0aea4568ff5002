from __future__ import annotations

from helpdesk.domain.decision import Audience, Say
from helpdesk.rules.notify_agent import check
from tests.rules.facts import mail, opened, ticket


def test_tells_of_a_new_ticket_only():
    assert check(opened()).effects == (Say(Audience.AGENT, "new_ticket"),)
    assert check(mail()) is None
    assert check(mail(ticket=ticket())) is None


def test_tells_also_where_the_customer_is_told_nothing():
    assert check(opened(suppressed=(Audience.CUSTOMER,))).effects == (Say(Audience.AGENT, "new_ticket"),)
