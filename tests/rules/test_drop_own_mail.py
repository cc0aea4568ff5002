from __future__ import annotations

import pytest

from helpdesk.domain.decision import Drop
from helpdesk.domain.mail import Mailbox
from helpdesk.domain.reading import Kind
from helpdesk.rules.drop_own_mail import Options, check
from tests.rules.facts import mail, reading


@pytest.mark.parametrize(
    "changed",
    [
        {"loop_marks": ("support@acme.example",)},
        {"loop_marks": ("other@acme.example", "help@acme.example")},
        {"sender": Mailbox("support@acme.example")},
        {"sender": Mailbox("Support@ACME.example", "Bob")},
        {"sender": Mailbox("help+rabc@acme.example")},
        {"hops": 51},
    ],
    ids=[
        "our mark",
        "our mark among others",
        "from the desk",
        "in other case",
        "from a tagged second address",
        "circles",
    ],
)
def test_drops(changed):
    verdict = check(mail(reading=reading(**changed)), Options())

    assert verdict.final
    assert verdict.effects == (Drop(verdict.why),)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"loop_marks": ("support@globex.example", "acme")},
        {"sender": None},
        {"sender": Mailbox("support@globex.example")},
        {"hops": 50},
    ],
    ids=["a customer", "another desk's mark", "no sender", "a namesake elsewhere", "the last allowed hop"],
)
def test_lets_pass(changed):
    assert check(mail(reading=reading(**changed)), Options()) is None


def test_drops_what_bears_a_message_id_that_we_gave_out():
    """A list may rewrite all of a mail but that."""
    assert check(mail(ours=True), Options()).final
    assert check(mail(ours=True, reading=reading(kind=Kind.BOUNCE)), Options()) is None


def test_the_desk_says_how_many_servers_are_too_many():
    assert check(mail(reading=reading(hops=6)), Options(max_hops=5)).final
