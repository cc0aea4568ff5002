"""Who may do what: every combination of proof, role, token and command class, against the words of the design.

The oracle knows only words. What it says, sentence by sentence:

- "Rights need proof": without one of the four proving proofs nothing is allowed but having a mail filed.
- "A token routes, it grants nothing": no state of it adds a right; a tampered one and another ticket's take all away.
- Commands are those of a proven agent; what destroys waits for his confirming reply.
- A proven customer may read; a stranger, proven or not, is a stranger.
"""

from __future__ import annotations

from itertools import product

import pytest

from helpdesk.domain.decision import AddEntry, Assign, Confirm, Decision, Relay, SetStatus
from helpdesk.domain.event import EventKind
from helpdesk.domain.facts import Candidate
from helpdesk.domain.proof import CommandClass, Proof, Role, TokenState, allowed
from helpdesk.domain.ticket import Reason, Status
from helpdesk.rules.engine import decide
from tests.rules.facts import ANN, ANN_AS_PERSON, BOB, GLOBEX, VALID, ZOE, agent_mail, reading, ticket
from tests.rules.policy import ON_MAIL

PROVING = ["aligned", "border", "auth", "confirmed"]
SPOILT = ["tampered", "other ticket's"]
GRANTED_TO_PROVEN = {
    "stranger": "",
    "contact": "read",
    "administrator": "read",
    "partner": "read",
    "agent": "read reply note steer money people",
}


def oracle(proof: str, role: str, token: str, what: str) -> bool:
    if what == "file":
        return True
    if proof not in PROVING or token in SPOILT:
        return False
    if what == "destroy":
        return role == "agent" and proof == "confirmed"
    return what in GRANTED_TO_PROVEN[role].split()


MATRIX = list(product(Proof, Role, TokenState, CommandClass))


def test_rights_are_what_the_design_says():
    assert len(MATRIX) == 7 * 5 * 6 * 8
    wrong = [case for case in MATRIX if allowed(*case) is not oracle(*(part.value for part in case))]

    assert wrong == []


#: What a mail asks for, and which effect would show that it was done.
ASKED = {
    "reply": ("Switch it off.", lambda effect: isinstance(effect, Relay)),
    "note": ("#note call him", lambda effect: isinstance(effect, AddEntry) and effect.kind is EventKind.NOTE),
    "steer": ("#take", lambda effect: isinstance(effect, Assign)),
    "people": ("#confirm Globex", lambda effect: isinstance(effect, Confirm)),
}


def written(text: str, proof: Proof, role: Role, token: TokenState) -> Decision:
    """What the whole standard policy decides about a mail on an unknown sender's held ticket, assigned to nobody."""
    held = ticket(Status.HELD, Reason.DETAILS, requester=ZOE, agent="leo")
    sender = {Role.AGENT: ANN_AS_PERSON, Role.STRANGER: ZOE}.get(role, BOB)
    facts = agent_mail(
        text,
        proof=proof,
        role=role,
        token=token,
        reading=reading(text, proof=proof),
        sender=sender,
        agent=ANN if role is Role.AGENT else None,
        ticket=None,
        candidates=(Candidate(held, "the reply address"),),
        organisations=(GLOBEX,),
        contracts=(VALID,),
    )
    return decide(facts, ON_MAIL)


@pytest.mark.parametrize("what", ASKED)
def test_the_policy_does_what_the_rights_allow_and_nothing_else(what):
    text, shows = ASKED[what]
    for proof, role, token in product(Proof, Role, TokenState):
        done = any(shows(effect) for effect in written(text, proof, role, token).effects)

        assert done is oracle(proof.value, role.value, token.value, what), (proof, role, token)


def test_whatever_is_not_allowed_changes_nothing_of_the_ticket():
    for (text, _), proof, role, token in product(ASKED.values(), Proof, Role, TokenState):
        if oracle(proof.value, role.value, token.value, "steer"):
            continue
        effects = written(text, proof, role, token).effects
        assert not [one for one in effects if isinstance(one, Relay | Assign | Confirm | SetStatus)], (
            proof,
            role,
            token,
        )
