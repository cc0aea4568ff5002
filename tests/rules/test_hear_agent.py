from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from helpdesk.domain.decision import AddEntry, Relay, Say
from helpdesk.domain.facts import Ration
from helpdesk.domain.proof import Proof, TokenState
from helpdesk.domain.reading import Attachment, Kind
from helpdesk.domain.ticket import Reason, Status
from helpdesk.rules.hear_agent import WARNINGS_PER_HOUR, check
from tests.rules.facts import ANN, BOB, LEO, NOW, agent_mail, kinds, mail, reading, ticket

ANSWER = ["AddEntry answer", "Relay"]
WAITING = "SetStatus waiting customer"
NOTE = "AddEntry note"
DONE = "Say actor done"
CLOSED = ["SetStatus closed", "Say customer closed"]
FILE = (Attachment("log.txt", "text/plain", 3, 0, 3),)
HELD = ticket(Status.HELD, Reason.CONTRACT)


@pytest.mark.parametrize(
    ("facts", "effects"),
    [
        (agent_mail("Switch it off."), [*ANSWER, WAITING]),
        (agent_mail("Switch it off.", ticket=ticket(agent="")), [*ANSWER, "Assign ann", WAITING]),
        (agent_mail("Switch it off.", ticket=ticket(agent="leo")), [*ANSWER, WAITING]),
        (agent_mail("Switch it off.", ticket=HELD), ANSWER),
        (agent_mail("Switch it off.", ticket=ticket(Status.CLOSED)), ANSWER),
        (agent_mail("", reading=reading("", attachments=FILE)), [*ANSWER, WAITING]),
        (agent_mail("#note call him\nfirst"), [NOTE, DONE]),
        (agent_mail("call him first", purpose="n"), [NOTE]),
        (agent_mail("call him", purpose="n", ticket=ticket(agent="leo")), [NOTE, "Say agent note_added"]),
        (agent_mail("#close"), [*CLOSED, DONE]),
        (agent_mail("All done.\n\n#close"), [*ANSWER, WAITING, *CLOSED, DONE]),
        (agent_mail("#note paid\n#close"), [NOTE, *CLOSED, DONE]),
        (agent_mail("#take", ticket=ticket(agent="leo")), ["Assign ann", DONE]),
        (agent_mail("#admit renewal is coming", ticket=HELD),
         ["SetStatus open", "UseContract", "Say customer admitted", DONE]),
        (agent_mail("#close\n#close"), ["Drop", "Say actor refused_command"]),
        (agent_mail("#admit because"), ["Drop", "Say actor refused_command"]),
        (agent_mail("#clsoe"), ["Drop", "Say actor refused_command"]),
        (agent_mail("Fine.\n#note do not tell him\nBye."), ["Drop", "Say actor refused_command"]),
        (agent_mail(""), ["Drop", "Say actor returned"]),
        (agent_mail(ticket=None, candidates=()), ["Drop", "Say actor returned"]),
        (agent_mail(token=TokenState.TAMPERED), ["Drop", "Say actor returned"]),
        (agent_mail("#note x", token=TokenState.OTHER_TICKETS), ["Drop", "Say actor returned"]),
        (agent_mail(token=TokenState.SOMEBODY_ELSES), [*ANSWER, WAITING]),
        (agent_mail(reading=reading("Away", kind=Kind.OUT_OF_OFFICE)), ["Drop"]),
    ],
    ids=[
        "answer", "first to answer", "answers for a colleague", "answer to a held one", "answer to a closed one",
        "only a file", "note", "note by address", "note for a colleague", "close", "answer and close", "note and close",
        "take", "admit", "close twice", "admit what is not held", "misspelt", "note in the middle", "no new text",
        "no ticket", "tampered address", "address of another ticket", "a colleague's address", "out of office",
    ],
)  # fmt: skip
def test_does_what_a_proven_agent_says(facts, effects):
    verdict = check(facts)

    assert kinds(verdict.effects) == effects
    assert verdict.final


@pytest.mark.parametrize("proof", [proof for proof in Proof if not proof.proven])
@pytest.mark.parametrize("text", ["Switch it off.", "#close", "#note x", "#take", "#confirm Globex", ""])
def test_keeps_what_nothing_proves_and_tells_agent_and_operator(proof, text):
    verdict = check(agent_mail(text, proof=proof))

    assert kinds(verdict.effects) == ["SetAside", "Say actor unproven", "Say operator unproven_agent"]
    assert verdict.final


def test_a_flood_of_forged_mails_tells_only_so_many_times():
    told = [
        len(check(agent_mail(proof=Proof.NONE, ration=Ration(warned=warned))).effects) > 1
        for warned in (0, WARNINGS_PER_HOUR - 1, WARNINGS_PER_HOUR, 100)
    ]

    assert told == [True, True, False, False]


def test_relays_the_words_without_the_commands():
    verdict = check(agent_mail("#take\n\nSwitch it off.\n\nAnn", ticket=ticket(agent="leo")))

    relayed = [effect.text for effect in verdict.effects if isinstance(effect, Relay)]
    assert relayed == ["Switch it off.\n\nAnn"]


def test_a_note_has_its_argument_and_the_text_below():
    verdict = check(agent_mail("#note call him\nbefore ten"))

    assert verdict.effects[0].text == "call him\nbefore ten"
    assert isinstance(verdict.effects[0], AddEntry)


def test_commands_see_what_those_before_them_did():
    """A ticket that the first line takes is the writer's own for the second."""
    verdict = check(agent_mail("#take\n#take", ticket=ticket(agent="leo")))

    assert kinds(verdict.effects) == ["Assign ann", DONE]
    said = verdict.effects[-1]
    assert isinstance(said, Say)
    assert [line.split(" yours ")[1].split()[0] for line in said.values["lines"]] == ["now:", "already."]


def test_a_refused_command_undoes_all_that_the_mail_wanted():
    verdict = check(agent_mail("Here you are.\n#admit because"))

    assert "Relay" not in kinds(verdict.effects)


def test_leaves_customers_alone():
    assert check(mail(ticket=ticket())) is None


@pytest.mark.parametrize("agent", [ANN, LEO])
def test_says_who_answered_and_by_what_proof(agent):
    facts = replace(agent_mail(), agent=agent)

    assert check(facts).why == f"{agent.name} (auth): an answer to the customer"


@pytest.mark.parametrize(
    ("ration", "kept"),
    [
        (Ration(warned=2, last_at=NOW), False),
        (Ration(warned=3, last_at=NOW), True),
        (Ration(warned=3, last_at=NOW - timedelta(minutes=6)), False),
        (Ration(warned=20, last_at=NOW - timedelta(minutes=6)), True),
    ],
)
def test_an_address_that_sends_back_what_comes_back_is_not_written_to_for_ever(ration, kept):
    """Kept for the operator to see, since it may be a person after all."""
    effects = kinds(check(agent_mail("#clsoe", ration=ration)).effects)

    assert effects == (["SetAside", "Say operator quarantined"] if kept else ["Drop", "Say actor refused_command"])


def test_an_answer_to_an_address_whose_mail_came_back_goes_out_with_a_warning():
    lost = replace(BOB, unreachable_since=NOW, unreachable_why="550 5.1.1 no such user")

    effects = check(agent_mail(ticket=ticket(requester=lost))).effects

    assert [kind for kind in kinds(effects) if kind.startswith(("Relay", "Say"))] == ["Relay", "Say actor came_back"]
    noted = kinds(check(agent_mail("#note call him", ticket=ticket(requester=lost))).effects)
    assert "Say actor came_back" not in noted
