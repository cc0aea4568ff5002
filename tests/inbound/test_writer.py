"""Who wrote a mail whose From line names a list or a web form."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, Mailbox, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.inbound import writer
from helpdesk.inbound.read import read

GROUP = {
    "list-post": ["<https://groups.example/support/post>, <mailto:support@acme.example>"],
    "list-id": ["<support.acme.example>"],
    "x-original-sender": ["bob@globex.example"],
}
BY_LIST = Mailbox("support@acme.example", "'Bob Miller' via Support")
BOB = Mailbox("bob@globex.example", "Bob Miller")


@pytest.mark.parametrize(
    ("fields", "sender", "found"),
    [
        (GROUP, BY_LIST, BOB),
        (GROUP | {"x-original-from": ["Rob <bob@globex.example>"]}, BY_LIST, Mailbox("bob@globex.example", "Rob")),
        (GROUP, Mailbox("support@acme.example"), Mailbox("bob@globex.example")),
        ({"list-id": ["<l.x>"], "reply-to": ["Bob Miller <bob@globex.example>"]}, BY_LIST, BOB),
        ({"list-id": ["<l.x>"], "reply-to": ["bob@globex.example, support@acme.example"]}, BY_LIST, BOB),
        ({"list-id": ["<l.x>"], "reply-to": ["bob@globex.example, eve@globex.example"]}, BY_LIST, None),
        ({"list-id": ["<l.x>"]}, BY_LIST, None),
        ({"list-id": ["<l.x>"], "cc": ["Eve <eve@globex.example>, Bob Miller <bob@globex.example>"]}, BY_LIST, BOB),
        ({"list-id": ["<l.x>"], "cc": ["Eve <eve@globex.example>"]}, BY_LIST, None),
        ({"reply-to": ["bob@globex.example"]}, BY_LIST, None),
        (GROUP, Mailbox("eve@globex.example", "Eve"), None),
        (GROUP, None, None),
        ({"list-id": ["<l.x>"], "x-original-from": ["Ann <ann@acme.example> <bob@x.example>"]}, BY_LIST, None),
    ],
    ids=[
        "a group names the sender beside", "or the whole From", "its own address",
        "in Reply-To", "and itself", "two writers are none", "nobody is named",
        "in Cc, by his name", "another in Cc",
        "no list: a name is but a name", "From is the writer's own",
        "no sender", "not one mailbox",
    ],
)  # fmt: skip
def test_the_writer_behind_a_list(fields, sender, found):
    assert writer.behind_list(fields, sender) == found


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        (GROUP, "support@acme.example"),
        ({"mailing-list": ["list support@acme.example; contact support+owners@acme.example"]}, "support@acme.example"),
        ({"x-beenthere": ["help@lists.example"]}, "help@lists.example"),
        ({"list-post": ["NO"]}, ""),
        ({}, ""),
    ],
)
def test_the_address_of_a_list(fields, found):
    assert writer.list_address(fields) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Name: Bob\nE-mail: bob@globex.example\nMessage:\nIt hums.", "bob@globex.example"),
        ("From: Bob Miller <bob@globex.example>\nSubject: Hum\n\nMessage Body:\nIt hums.", "bob@globex.example"),
        ("**Ihre E-Mail-Adresse**\n\nbob@globex.example\n\n**Nachricht**\nEs brummt.", "bob@globex.example"),
        ("Your email address | bob@globex.example |", "bob@globex.example"),
        ("Courriel : bob@globex.example", "bob@globex.example"),
        ("From: Bob Miller (bob@globex.example)", "bob@globex.example"),
        ("メールアドレス：bob@globex.example", "bob@globex.example"),
        ("Email: bob@globex.example\nConfirm email: bob@globex.example", "bob@globex.example"),
        ("Email: bob@globex.example\nE-mail: eve@globex.example", None),
        ("Please write to bob@globex.example.", None),
        ("Email: none", None),
        ("Email:", None),
        ("", None),
    ],
)
def test_the_writer_that_a_form_names(text, found):
    named = writer.on_form(text)
    assert (named.address if named else None) == found


def test_a_long_text_costs_little():
    text = "E-mail " * 100_000 + "\n" * 100_000
    assert writer.on_form(text) is None


def mail(header: str, *, peer: str = "192.0.2.1", user: str = "") -> RawMail:
    door = Door.SUBMISSION if user else Door.SMTP
    envelope = Envelope("support+bnc@acme.example", ("support@acme.example",), peer, user)
    return RawMail(door, envelope, datetime(2026, 11, 23, tzinfo=UTC), f"{header}\r\n\r\nIt hums.\r\n".encode())


MUNGED = (
    "Authentication-Results: mx.acme.example; dmarc=pass header.from=acme.example\r\n"
    "From: 'Ann' via Support <support@acme.example>\r\nList-Post: <mailto:support@acme.example>\r\n"
    "X-Original-From: Ann <ann@acme.example>\r\nSubject: Hum"
)


def test_what_proves_the_list_proves_not_the_writer():
    """Mutant: the list's own domain vouches for a stranger who wrote to it in the name of somebody there."""
    found = read(mail(MUNGED), {}, ("mx.acme.example",))
    assert found.sender == Mailbox("ann@acme.example", "Ann")
    assert found.proof is Proof.AMBIGUOUS, "so that no later look at signatures changes it either"


def test_who_logged_in_is_not_somebody_else():
    header = MUNGED.replace("'Ann' via Support <support@acme.example>", "'Eve' via X <eve@globex.example>")
    found = read(mail(header, user="eve@globex.example"), {}, ())
    assert found.sender == Mailbox("eve@globex.example", "'Eve' via X")
