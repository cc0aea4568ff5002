"""SPF as RFC 7208 says, by a real DNS server on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpdesk.inbound import spf
from helpdesk.inbound.dns import Resolver
from tests.servers.names import Names

PEER, PEER6 = "192.0.2.10", "2001:db8::10"


@pytest.fixture
def names() -> Iterator[Names]:
    server = Names()
    yield server
    server.stop()


def text(value: str) -> list[str]:
    return ['"' + value + '"']


def zone(record: str) -> dict[tuple[str, str], list[str]]:
    """The record of a.example, and what it may lead to."""
    return {
        ("a.example", "TXT"): text(record),
        ("a.example", "A"): [PEER],
        ("a.example", "AAAA"): [PEER6],
        ("a.example", "MX"): ["20 mx2.a.example.", "10 mx1.a.example."],
        ("mx1.a.example", "A"): ["192.0.2.11"],
        ("mx2.a.example", "A"): [PEER],
        ("b.example", "TXT"): text("v=spf1 ip4:192.0.2.0/28 -all"),
        ("no.example", "TXT"): text("nothing of the kind"),
        ("loop.example", "TXT"): text("v=spf1 include:loop.example -all"),
        ("bob._at.a.example", "A"): ["127.0.0.2"],
        ("10.2.0.192.rev.a.example", "A"): ["127.0.0.2"],
    }


CASES = [
    ("v=spf1 ip4:192.0.2.10 -all", PEER, "pass"),
    ("v=spf1 ip4:192.0.2.0/28 -all", PEER, "pass"),
    ("v=spf1 ip4:198.51.100.0/24 -all", PEER, "fail"),
    ("v=spf1 ip4:198.51.100.0/24 ~all", PEER, "softfail"),
    ("v=spf1 ip4:198.51.100.0/24 ?all", PEER, "neutral"),
    ("v=spf1 ip4:198.51.100.0/24", PEER, "neutral"),
    ("V=SPF1 IP4:192.0.2.10 -ALL", PEER, "pass"),
    ("v=spf1 ip6:2001:db8::/32 -all", PEER6, "pass"),
    ("v=spf1 ip6:2001:db8::/32 -all", PEER, "fail"),
    ("v=spf1 ip4:192.0.2.10 -all", "::ffff:192.0.2.10", "pass"),
    ("v=spf1 a -all", PEER, "pass"),
    ("v=spf1 a -all", PEER6, "pass"),
    ("v=spf1 a:a.example/24 -all", "192.0.2.200", "pass"),
    ("v=spf1 a/24//64 -all", "2001:db8::ffff", "pass"),
    ("v=spf1 mx -all", PEER, "pass"),
    ("v=spf1 mx:a.example -all", "192.0.2.12", "fail"),
    ("v=spf1 include:b.example -all", PEER, "pass"),
    ("v=spf1 include:b.example -all", "203.0.113.1", "fail"),
    ("v=spf1 -include:b.example +all", PEER, "fail"),
    ("v=spf1 include:no.example -all", PEER, "permerror"),
    ("v=spf1 redirect=b.example", PEER, "pass"),
    ("v=spf1 redirect=no.example", PEER, "permerror"),
    ("v=spf1 include:loop.example -all", PEER, "permerror"),
    ("v=spf1 exists:%{l}._at.%{d} -all", PEER, "pass"),
    ("v=spf1 exists:%{ir}.rev.%{o} -all", PEER, "pass"),
    ("v=spf1 exists:%{ir}.rev.%{d2} -all", "192.0.2.77", "fail"),
    ("v=spf1 exists:%{x}.a.example -all", PEER, "permerror"),
    ("v=spf1 ptr -all", PEER, "fail"),
    ("v=spf1 ip4:192.0.2.10 nonsense -all", PEER, "permerror"),
    ("v=spf1 ip4:999.0.2.10 -all", PEER, "permerror"),
    ("v=spf1 exp=why.a.example ip4:192.0.2.10 -all", PEER, "pass"),
    ("v=spf10 +all", PEER, "none"),
    ("v=spf1 a:u.example a:v.example a:w.example +all", PEER, "permerror"),
    ("v=spf1 " + " ".join(f"a:mx1.a.example/{n}" for n in range(22, 33)) + " +all", "203.0.113.9", "permerror"),
    ("v=spf1 +all", "not an address", "none"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "peer", "verdict"), CASES)
def test_what_a_record_says_of_a_machine(names: Names, record: str, peer: str, verdict: str):
    names.records.update(zone(record))

    assert spf.check(peer, "bob@a.example", Resolver([names.address])) == verdict


def test_two_records_are_none(names: Names):
    names.records["a.example", "TXT"] = ['"v=spf1 +all"', '"v=spf1 -all"']

    assert spf.check(PEER, "bob@a.example", Resolver([names.address])) == "permerror"


def test_a_dns_that_does_not_answer_is_no_verdict(names: Names):
    names.broken.add("a.example")
    names.silent.add("b.example")

    resolver = Resolver([names.address], lifetime=0.5)
    assert spf.check(PEER, "bob@a.example", resolver) == "temperror"
    assert spf.check(PEER, "bob@b.example", resolver) == "temperror"


@pytest.mark.parametrize(
    "sender", ["", "bob", "bob@" + "x" * 70 + ".example", "bob@..", "bob@ä.example", "b@\x00.example"]
)
def test_odd_senders_raise_nothing(names: Names, sender: str):
    assert spf.check(PEER, sender, Resolver([names.address])) in ("none", "temperror")
