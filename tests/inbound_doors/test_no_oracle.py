"""T19 and T25: the door takes our own addresses in their plain form, relays nothing, and tells nothing about people."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from helpdesk.domain.address import untagged
from helpdesk.inbound.listener import Listener
from tests.inbound_doors.doors import MAIL, Shelf, Wire, listening, with_tls
from tests.pipeline.office import Office
from tests.servers.certificate import Certificate
from tests.store.databases import engine, postgres_engine, postgresql, sqlite, sqlite_template

__all__ = ["engine", "postgres_engine", "postgresql", "sqlite", "sqlite_template"]

RELAYED = (
    "<carol@elsewhere.example>",
    "<carol%elsewhere.example@acme.example>",
    "<support%elsewhere.example@acme.example>",
    "<elsewhere.example!carol@acme.example>",
    "<elsewhere.example!carol>",
    "<@acme.example:carol@elsewhere.example>",
    "<@acme.example,@b.example:carol@elsewhere.example>",
    "<@elsewhere.example:support@acme.example>",
    '<"carol@elsewhere.example"@acme.example>',
    '<"carol%elsewhere.example"@acme.example>',
    '<"support"@acme.example>',
    "<carol@elsewhere.example@acme.example>",
    "<support@acme.example@elsewhere.example>",
    "<support@acme.example.elsewhere.example>",
    "<support@elsewhere.acme.example>",
    "<support+carol%elsewhere.example@acme.example>",
    "<support+x!y@acme.example>",
    "<support+carol@elsewhere.example@acme.example>",
    "<support@[127.0.0.1]>",
    "<support@localhost>",
    "<nobody@acme.example>",
    "<support>",
    "carol@elsewhere.example",
)
REFUSED = "550 5.1.1 no such address here"


@pytest.fixture
def office(sqlite: sa.Engine) -> Office:
    """Two tenants with their desks, people and contracts."""
    return Office(sqlite)


@pytest.fixture
def open_door(office: Office, shelf: Shelf) -> Iterator[Listener]:
    """A listener that asks real desks which addresses are theirs."""
    with listening(shelf.keep, accepts=lambda address: office.world.desk_of(address) is not None) as door:
        yield door


@pytest.mark.parametrize("path", RELAYED)
def test_nothing_is_relayed(open_door: Listener, shelf: Shelf, path: str) -> None:
    with Wire(open_door) as wire:
        wire.greet().ask("MAIL FROM:<bob@b.example>")
        assert wire.ask(f"RCPT TO:{path}") == REFUSED
        assert wire.ask("DATA").startswith("554 5.5.1")
    assert shelf.mails == []


def test_nothing_is_relayed_for_an_agent_who_logged_in_either(
    office: Office, shelf: Shelf, certificate: Certificate
) -> None:
    options = replace(with_tls(certificate, "implicit"), kind="submission", errors=100)
    with (
        listening(
            shelf.keep, options, lambda login, _: login, lambda one: office.world.desk_of(one) is not None
        ) as door,
        Wire(door) as wire,
    ):
        wire.secure(certificate.client()).greet()
        assert wire.ask("AUTH PLAIN " + base64.b64encode(b"\0ann@acme.example\0x").decode()).startswith("235")
        wire.ask("MAIL FROM:<ann@acme.example>")
        assert {path: wire.ask(f"RCPT TO:{path}") for path in RELAYED} == dict.fromkeys(RELAYED, REFUSED)
        assert wire.ask("RCPT TO:<support@acme.example>").startswith("250")


def test_a_reply_address_tells_nothing_by_being_asked_for(office: Office, open_door: Listener, shelf: Shelf) -> None:
    """Real, forged and foreign tokens, for notes and replies: the same answers at every step."""
    office.customer()
    written = office.sent("customer", "opened")[0]
    reply_to = str(written.mail["Reply-To"]).rpartition("<")[2].strip(">")
    address, token = untagged(reply_to)
    assert address == "support@acme.example"
    assert token
    other = office.sent("agent")[0]
    note_to = str(other.mail["Reply-To"]).rpartition("<")[2].strip(">")
    local, domain = address.split("@")
    forged = token[:-1] + ("a" if token[-1] != "a" else "b")
    tried = [
        reply_to,
        reply_to.upper(),
        note_to,
        f"{local}+{forged}@{domain}",
        f"{local}+n{token[1:]}@{domain}",
        f"{local}+@{domain}",
        f"{local}+bob@{domain}",
        f"support+{token}@umbra.example",
        address,
    ]
    answers = set()
    for one in tried:
        with Wire(open_door) as wire:
            wire.greet()
            said = [wire.ask("MAIL FROM:<mallory@evil.example>"), wire.ask(f"RCPT TO:<{one}>"), wire.ask("DATA")]
            wire.say(MAIL + b".\r\n")
            answers.add((*said, wire.reply().rpartition(" ")[0]))
    assert answers == {("250 2.1.0 OK", "250 2.1.5 OK", "354 go on, end with <CRLF>.<CRLF>", "250 2.0.0 kept as")}, (
        "all alike but for the mail's own number"
    )


def test_agents_and_customers_and_strangers_are_answered_alike(open_door: Listener) -> None:
    people = ("ann@acme.example", "leo@acme.example", "uma@umbra.example", "bob@globex.example", "ira@initech.example")
    strangers = ("nobody@acme.example", "nobody@globex.example", "x@elsewhere.example")
    for asked in itertools.chain(people, strangers):
        with Wire(open_door) as wire:
            wire.greet().ask(f"MAIL FROM:<{asked}>")
            assert wire.ask(f"RCPT TO:<{asked}>") == REFUSED
            assert wire.ask("RCPT TO:<support@acme.example>") == "250 2.1.5 OK", "whoever it comes from"


@pytest.mark.parametrize("verb", ["VRFY", "EXPN"])
def test_no_command_tells_which_addresses_exist(open_door: Listener, verb: str) -> None:
    asked = (
        "support@acme.example",
        "ann@acme.example",
        "bob@globex.example",
        "nobody@acme.example",
        "ann",
        "staff",
        "",
    )
    with Wire(open_door) as wire:
        wire.greet()
        answers = {wire.ask(f"{verb} {one}".strip()) for one in asked}
    assert answers == {"252 2.1.5 send a mail and see"}
