"""S29: postmaster and abuse of our domains are read by a person and answered by no machine (RFC 2142)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from helpdesk.domain.mail import Door
from helpdesk.domain.ticket import Status
from helpdesk.pipeline import gather
from helpdesk.store import spool
from tests.pipeline.office import Office


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("postmaster@acme.example", "acme"),
        ("Abuse@ACME.example", "acme"),
        ("postmaster@umbra.example", "umbra"),
        ("abuse@umbra.example", "umbra"),
        ("postmaster", "acme"),
        ("POSTMASTER", "acme"),
    ],
)
def test_they_belong_to_the_first_desk_of_the_domain(desk: Office, address: str, key: str) -> None:
    found = desk.world.desk_of(address)
    assert found is not None
    assert found.facts.key == key
    assert desk.world.is_role(address)
    assert desk.world.tenants_of([address]) == (key,)


@pytest.mark.parametrize(
    "address",
    [
        "postmaster@globex.example",
        "abuse@elsewhere.example",
        "abuse",
        "abuse+x@acme.example",
        "hostmaster@acme.example",
        "postmaster@mail.acme.example",
        "postmaster@",
        "@acme.example",
        "",
    ],
)
def test_others_are_none_of_ours(desk: Office, address: str) -> None:
    assert desk.world.desk_of(address) is None
    assert not desk.world.is_role(address)


def test_a_desk_may_have_one_of_them_as_its_own(desk: Office) -> None:
    acme, umbra = desk.world.desks["acme"], desk.world.desks["umbra"]
    abuse = replace(umbra, facts=replace(umbra.facts, addresses=("abuse@acme.example",)))
    world = replace(desk.world, desks={"acme": acme, "umbra": abuse})
    assert world.desk_of("abuse@acme.example") is abuse
    assert not world.is_role("abuse@acme.example")
    assert world.desk_of("postmaster@acme.example") is acme


@pytest.mark.parametrize("sender", ["rita@stranger.example", "bob@globex.example", "ira@initech.example"])
@pytest.mark.parametrize("to", ["abuse@acme.example", "postmaster@acme.example"])
def test_whoever_writes_gets_no_answer_and_an_agent_reads_it(desk: Office, sender: str, to: str) -> None:
    """A stranger is not asked who he is, a lapsed customer not told to renew. Mutant: the rule does not look."""
    outcome = desk.customer("Your machine sends spam.", sender, to=to)

    ticket = desk.ticket(outcome)
    assert (ticket.desk, ticket.status) == ("acme", Status.OPEN)
    assert {one.audience for one in desk.sent()} == {"agent"}
    assert "Your machine sends spam." in desk.last("agent", "new_ticket").text


def test_who_writes_to_the_desk_as_well_is_answered(desk: Office) -> None:
    raw = desk.compose(
        "The printer burns.",
        "bob@globex.example",
        to="postmaster@acme.example, support@acme.example",
        headers={"Authentication-Results": "mx.acme.example; dmarc=pass header.from=globex.example"},
    )
    both = ("postmaster@acme.example", "support@acme.example")
    desk.handle(replace(raw, envelope=replace(raw.envelope, recipients=both)))
    assert [one.block for one in desk.sent("customer")] == ["opened"]


@pytest.mark.parametrize(
    ("door", "envelope", "to", "role"),
    [
        (Door.SMTP, ["postmaster@acme.example"], "support@acme.example", True),
        (Door.SMTP, ["support@acme.example"], "postmaster@acme.example", False),
        (Door.SMTP, ["postmaster"], "somebody@else.example", True),
        (Door.LMTP, ["abuse@acme.example", "postmaster@umbra.example"], "x@y.example", True),
        (Door.LMTP, ["abuse@umbra.example", "support@acme.example"], "x@y.example", False),
        (Door.IMAP, ["support@acme.example"], "postmaster@acme.example", True),
        (Door.IMAP, ["support@acme.example"], "list@elsewhere.example", False),
        (Door.IMAP, ["support@acme.example"], "abuse@acme.example, support@acme.example", False),
    ],
)
def test_the_envelope_counts_and_in_a_mailbox_the_header(
    desk: Office, door: Door, envelope: Sequence[str], to: str, role: bool
) -> None:
    raw = desk.compose("Hello.", "rita@stranger.example", to="support@acme.example")
    data = raw.data.replace(b"To: support@acme.example", f"To: {to}".encode())
    raw = replace(raw, door=door, data=data, envelope=replace(raw.envelope, recipients=tuple(envelope)))
    with desk.engine.begin() as connection:
        spool.keep(connection, raw, ("acme",), desk.now)
        (taken,) = spool.claim(connection, 1)
    seen = desk.read(taken)
    with desk.engine.begin() as connection:
        facts = gather.mail(connection, desk.world, desk.world.desks["acme"], taken, seen, desk.now)
    assert facts.to_role is role


def test_its_reply_goes_on_as_in_any_ticket(desk: Office) -> None:
    """The agent answers, the reporter's reply joins the ticket by the reply address."""
    outcome = desk.mail("Your machine sends spam.", "rita@stranger.example", to="abuse@acme.example")
    notice = desk.last("agent", "new_ticket")
    desk.agent("Thank you, it is off the net.", str(notice.mail["Reply-To"]))
    answer = desk.sent("customer")[-1]
    assert answer.to == "rita@stranger.example"
    assert "off the net" in answer.text
    again = desk.mail("Thanks!", "rita@stranger.example", to=str(answer.mail["Reply-To"]))
    assert again.ticket_id == outcome.ticket_id
