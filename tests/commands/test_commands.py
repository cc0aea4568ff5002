"""Each command done, and each refused with a line that helps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from helpdesk.commands import COMMANDS, offered
from helpdesk.commands.outcome import Done, Refused
from helpdesk.domain.decision import Assign, Audience, Confirm, Say, SetStatus, UseContract
from helpdesk.domain.proof import CommandClass
from helpdesk.domain.ticket import Reason, Status
from tests.rules.facts import DESK, FUTURE, GLOBEX, INITECH, LAPSED, VALID, ZOE, agent_mail, ticket

HELD = ticket(Status.HELD, Reason.CONTRACT)
UNKNOWN = ticket(Status.HELD, Reason.DETAILS, requester=ZOE)
NAMED = {"ticket": UNKNOWN, "organisations": (GLOBEX,)}


@pytest.mark.parametrize(
    ("word", "argument", "facts", "effects", "words"),
    [
        ("note", "", agent_mail(), (), "Nothing went to the customer"),
        ("close", "", agent_mail(), (SetStatus(Status.CLOSED), Say(Audience.CUSTOMER, "closed")), "AC-1001 is closed"),
        (
            "close",
            "solved by phone",
            agent_mail(),
            (SetStatus(Status.CLOSED, why="solved by phone"), Say(Audience.CUSTOMER, "closed")),
            "is closed",
        ),
        (
            "close",
            "",
            agent_mail(ticket=HELD),
            (SetStatus(Status.CLOSED, Reason.CONTRACT), Say(Audience.CUSTOMER, "closed")),
            "is closed",
        ),
        ("take", "", agent_mail(ticket=ticket(agent="leo")), (Assign("ann"),), "AC-1001 is yours now"),
        ("take", "", agent_mail(ticket=ticket(agent="")), (Assign("ann"),), "AC-1001 is yours now"),
        ("take", "", agent_mail(), (), "is yours already"),
        ("whole", "", agent_mail(), (Say(Audience.ACTOR, "whole_mail"),), "You asked for the last mail"),
        (
            "admit",
            "the renewal is coming",
            agent_mail(ticket=HELD),
            (
                SetStatus(Status.OPEN, why="the renewal is coming"),
                UseContract(None),
                Say(Audience.CUSTOMER, "admitted"),
            ),
            "let in (the renewal is coming)",
        ),
        (
            "confirm",
            "GLOBEX",
            agent_mail(**NAMED, contracts=(VALID,)),
            (
                Confirm(GLOBEX.id),
                SetStatus(Status.OPEN),
                UseContract(VALID.id),
                Say(Audience.CUSTOMER, "opened"),
            ),
            "zoe@elsewhere.example now belongs to Globex. The ticket is open",
        ),
        (
            "confirm",
            "Globex",
            agent_mail(**NAMED, contracts=(LAPSED,)),
            (
                Confirm(GLOBEX.id),
                SetStatus(Status.HELD, Reason.CONTRACT),
                Say(Audience.CUSTOMER, "held_contract"),
                Say(Audience.MANAGER, "lapsed"),
            ),
            "stays held: contract C-66 ended on",
        ),
        (
            "confirm",
            "Globex",
            agent_mail(**NAMED, contracts=(replace(VALID, organisation_id=INITECH.id),)),
            (
                Confirm(GLOBEX.id),
                SetStatus(Status.HELD, Reason.CONTRACT),
                Say(Audience.CUSTOMER, "held_contract"),
                Say(Audience.MANAGER, "lapsed"),
            ),
            "no contract on record",
        ),
        (
            "confirm",
            "Globex",
            agent_mail(ticket=ticket(Status.OPEN, requester=ZOE), organisations=(GLOBEX,)),
            (Confirm(GLOBEX.id),),
            "now belongs to Globex",
        ),
    ],
)
def test_done(word, argument, facts, effects, words):
    result = COMMANDS[word].run(facts, argument)

    assert isinstance(result, Done)
    assert result.effects == effects
    assert words in result.line


@pytest.mark.parametrize(
    ("word", "argument", "facts", "words"),
    [
        ("close", "", agent_mail(ticket=ticket(Status.CLOSED)), "closed already"),
        ("admit", "", agent_mail(ticket=HELD), "#admit REASON"),
        ("admit", "why not", agent_mail(), "is not held"),
        ("confirm", "", agent_mail(ticket=UNKNOWN), "#confirm ORGANISATION"),
        ("confirm", "Glubex", agent_mail(ticket=UNKNOWN), "I know no organisation called Glubex"),
        ("confirm", "Initech", agent_mail(organisations=(INITECH,)), "belongs to Globex already"),
    ],
)
def test_refused(word, argument, facts, words):
    result = COMMANDS[word].run(facts, argument)

    assert isinstance(result, Refused)
    assert words in result.line


def test_days_of_grace_count_for_whom_an_agent_confirms():
    facts = agent_mail(**NAMED, contracts=(LAPSED, FUTURE), desk=replace(DESK, grace_days=1))

    assert UseContract(LAPSED.id) in COMMANDS["confirm"].run(facts, "Globex").effects


def test_every_command_says_what_it_needs():
    for word, module in COMMANDS.items():
        assert word == module.WORD
        assert word.isalpha()
        assert word.islower()
        assert isinstance(module.CLASS, CommandClass)
    assert dict(offered())["#confirm ORGANISATION"] == COMMANDS["confirm"].MEANING
