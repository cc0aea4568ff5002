"""One From header, one mailbox, nothing left over: else nobody is believed (CVE-2023-27043 and its relatives)."""

from __future__ import annotations

import pytest

from helpdesk.domain.mail import Mailbox
from helpdesk.inbound.addresses import mailboxes, strict_sender

AMBIGUOUS = [
    [],
    [""],
    ["agent@corp.example", "evil@x.example"],
    ["agent@corp.example, evil@x.example"],
    ["agent@corp.example <evil@x.example>"],
    ["<agent@corp.example> <evil@x.example>"],
    ["<agent@corp.example> evil@x.example"],
    ["Agent <agent@corp.example>, Evil <evil@x.example>"],
    ["<agent@corp.example>evil@x.example"],
    ["alice@example.org)bob@evil.example"],
    ["alice@example.org(bob@evil.example"],
    ["agents: agent@corp.example;"],
    ["agents:;"],
    ["undisclosed-recipients: agent@corp.example, evil@x.example;"],
    ["<@route.example:agent@corp.example>"],
    ["<agent@corp.example@evil.example>"],
    ["agent@corp.example@evil.example"],
    ['"agent@corp.example"@evil.example'],
    ['"agent <evil@x.example>'],
    ["agent (comment"],
    ["<"],
    ["<>"],
    [">"],
    ["agent"],
    ["agent@"],
    ["@corp.example"],
    ["agent @ corp.example"],
    ["agent@corp..example"],
    ["agent..x@corp.example"],
    [".agent@corp.example"],
    ["agent@[192.0.2.1]"],
    ["agent@corp.example\x00"],
    ["agent@corp\u200b.example"],
    ["agent\u202e@corp.example"],
    ["=?utf-8?q?agent=40corp=2Eexample?="],
    ["=?utf-8?q?x?=@corp.example"],
    ["<<agent@corp.example>>"],
    ["agent@corp.example;"],
    [", agent@corp.example"],
    ["((((" * 1000],
    ["<" * 1000],
    ['"' * 1001],
]

CLEAR = [
    ("bob@acme.example", "bob@acme.example", ""),
    ("Bob <bob@acme.example>", "bob@acme.example", "Bob"),
    ("<bob@acme.example>", "bob@acme.example", ""),
    ('"Smith, Bob" <bob@acme.example>', "bob@acme.example", "Smith, Bob"),
    ("Smith, Bob <bob@acme.example>", "bob@acme.example", "Smith, Bob"),
    ("bob@acme.example (Bob Smith)", "bob@acme.example", "Bob Smith"),
    ("Bob Q. Smith (he (really)) <bob+tag@acme.example>", "bob+tag@acme.example", "Bob Q. Smith"),
    ('"agent@corp.example" <evil@x.example>', "evil@x.example", "agent@corp.example"),
    ("=?utf-8?q?J=C3=B6rg_=3Cevil=40x=2Eexample=3E?= <j@acme.example>", "j@acme.example", "Jörg <evil@x.example>"),
    ("Jörg <jörg@bücher.example>", "jörg@bücher.example", "Jörg"),
    ("Bob\t\t <bob@acme.example>", "bob@acme.example", "Bob"),
    ('"Bob \\"the\\" Smith" <bob@acme.example>', "bob@acme.example", 'Bob "the" Smith'),
]


@pytest.mark.parametrize("values", AMBIGUOUS, ids=lambda values: ascii(values)[:50])
def test_nobody_is_believed(values: list[str]) -> None:
    sender, problem = strict_sender(values)

    assert sender is None
    assert problem


@pytest.mark.parametrize(("value", "address", "name"), CLEAR)
def test_the_one_mailbox_is_read(value: str, address: str, name: str) -> None:
    assert strict_sender([value]) == (Mailbox(address, name), "")


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("a@x.example, B <b@x.example>", ["a@x.example", "b@x.example"]),
        ("team: a@x.example, b@x.example;, c@x.example", ["a@x.example", "b@x.example", "c@x.example"]),
        ("undisclosed-recipients:;", []),
        ("a@x.example; b@x.example", ["a@x.example", "b@x.example"]),
        ("nobody, <c@x.example>, , @, <>", ["c@x.example"]),
        ('"Doe, Jane" <jane@x.example>', ["jane@x.example"]),
        ("A <a@x.example> B <b@x.example>\tc@x.example", ["a@x.example", "b@x.example", "c@x.example"]),
        ("Doe, Jane <jane@x.example>, Roe, Rob <rob@x.example>", ["jane@x.example", "rob@x.example"]),
        ("<a@x.example;b@x.example>", ["a@x.example", "b@x.example"]),
        ("'a@x.example', [b@x.example], mailto:c@x.example", ["a@x.example", "b@x.example", "c@x.example"]),
        (
            "B <<b@x.example>>, <mailto:c@x.example>, <@r.example,@s.example:d@x.example>",
            ["b@x.example", "c@x.example", "d@x.example"],
        ),
        ('"A <a@x.example>, B <b@x.example>', ["a@x.example", "b@x.example"]),
        ('"A" <a@x.example, "B" <b@x.example>', ["a@x.example", "b@x.example"]),
        ("(open a@x.example", ["a@x.example"]),
        ("B b@x.example, c @ x.example", ["b@x.example", "c@x.example"]),
        ("=?utf-8?q?A,_B_(C)?= <a@x.example>,=?utf-8?q?D;E?= <d@x.example>", ["a@x.example", "d@x.example"]),
        ('B <"b b"@x.example>, C <c@[192.0.2.1]>', ['"b b"@x.example', "c@[192.0.2.1]"]),
        ("=?utf-8?q?a=40x=2Eexample?=, <=?utf-8?q?a@x.example?=>", []),
        (", ".join(f"u{i}@x.example" for i in range(600)), [f"u{i}@x.example" for i in range(500)]),
    ],
)
def test_recipients_are_read_tolerantly(value: str, addresses: list[str]) -> None:
    assert [mailbox.address for mailbox in mailboxes([value])] == addresses


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("Doe, Jane <j@x.example>", "Doe, Jane"),
        ("=?utf-8?q?Doe,_Jane?= <j@x.example>", "Doe, Jane"),
        ("=?utf-8?q?Jane_(Sales)?= <j@x.example>", "Jane (Sales)"),
        ('"Jane <j@x.example>', "Jane"),
        ('Jane" <j@x.example>', "Jane"),
        ("Jane j@x.example", "Jane"),
        ("Jane: Sales <j@x.example>", "Jane: Sales"),
        ("Sales: Jane <j@x.example>;", "Jane"),
        ("j@x.example (Jane)", "Jane"),
        ("Jane &amp; Co <j@x.example>", "Jane &amp; Co"),
    ],
)
def test_names_are_read_tolerantly(value: str, name: str) -> None:
    assert mailboxes([value]) == (Mailbox("j@x.example", name),)
