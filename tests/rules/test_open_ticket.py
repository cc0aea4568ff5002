from __future__ import annotations

from helpdesk.domain.decision import AddEntry, OpenTicket
from helpdesk.domain.event import EventKind
from helpdesk.domain.reading import Kind
from helpdesk.rules.open_ticket import check
from tests.rules.facts import mail, reading, stranger, ticket


def test_every_request_without_a_ticket_gets_one():
    """The whole text is kept: a first mail quotes what the matter is about."""
    verdict = check(mail(reading=reading("all of it", new_text="new part")))

    assert verdict.effects == (OpenTicket("Printer"), AddEntry(EventKind.CUSTOMER_ENTRY, "all of it"))
    assert not verdict.final


def test_strangers_and_machines_get_one_too():
    for facts in (stranger(), mail(reading=reading(kind=Kind.AUTO_REPLY))):
        assert check(facts) is not None


def test_later_rules_see_the_new_ticket():
    facts = mail()

    after = facts.after(check(facts).effects)

    assert after.opened
    assert after.ticket.requester == facts.sender
    assert after.ticket.proven


def test_what_has_a_ticket_opens_none():
    assert check(mail(ticket=ticket())) is None
