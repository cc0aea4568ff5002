from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.domain.facts import Facts, Ration
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.people import Person
from helpdesk.domain.proof import Proof, Role, TokenState
from helpdesk.domain.reading import Forwarded, Kind
from helpdesk.rules.take_forward import check
from tests.rules.facts import BOB, agent_mail, kinds, mail, reading, ticket

FORWARDED = Forwarded(Mailbox(BOB.address, "Bob"), "Printer", "", "It burns.", "He called, too.")
OPENED = ["OpenTicket", "AddEntry note", "AddEntry customer entry"]
TOLD = "Say actor done"
UNKNOWN = Person(0, "", "zoe@elsewhere.example")


def forward(found: Forwarded | None = FORWARDED, **changed: object) -> Facts:
    """Ann's proven forward of Bob's mail to the desk."""
    written = reading("Forwarded", forwarded=found, sender=Mailbox("ann@acme.example"))
    values = {"reading": written, "ticket": None, "candidates": (), "customer": BOB, "token": TokenState.NONE}
    return agent_mail(**(values | changed))


@pytest.mark.parametrize(
    ("facts", "effects"),
    [
        (forward(), [*OPENED, TOLD]),
        (forward(replace(FORWARDED, note="")), ["OpenTicket", "AddEntry customer entry", TOLD]),
        (forward(customer=UNKNOWN), [*OPENED, "Suppress customer", TOLD]),
        (forward(customer_ration=Ration(last_day=1)), [*OPENED, "Suppress customer", TOLD]),
        (forward(proof=Proof.NONE), None),
        (forward(proof=Proof.FAILED), None),
        (forward(agent=None, role=Role.CONTACT), None),
        (forward(token=TokenState.TAMPERED), None),
        (forward(token=TokenState.OTHER_TICKETS), None),
        (forward(ticket=ticket()), None),
        (forward(None), None),
        (forward(customer=None), None),
        (forward(replace(FORWARDED, text=" \n")), None),
        (forward(replace(FORWARDED, text=f"Reply to support+n{'a' * 30}@acme.example")), None),
        (forward(reading=reading("x", forwarded=FORWARDED, kind=Kind.AUTO_REPLY)), None),
        (mail(reading=reading("x", forwarded=FORWARDED)), None),
    ],
    ids=[
        "a known customer", "no words of the agent's", "an unknown author", "told enough today", "not proven", "proof failed",
        "no agent", "tampered address", "address of another ticket", "into a ticket", "no forward", "staff or ourselves",
        "nothing in it", "one of our notices", "an agent's machine", "a customer's forward",
    ],
)  # fmt: skip
def test_take_forward(facts, effects):
    verdict = check(facts)
    assert (kinds(verdict.effects) if verdict else None) == effects


def test_the_new_ticket_is_the_customers_and_not_proven():
    """Mutants: the agent becomes the requester; the customer's words count as proven."""
    facts = forward()
    verdict = check(facts)
    assert verdict is not None
    after = facts.after(verdict.effects)
    assert after.ticket is not None
    assert (after.ticket.requester, after.ticket.proven, after.ticket.subject) == (BOB, False, "Printer")
