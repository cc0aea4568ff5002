"""Whom a mail is from, by DKIM, SPF and DMARC, asked of a real DNS server on loopback (reliability T6, T13)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.inbound.dns import Resolver
from helpdesk.inbound.read import read
from helpdesk.inbound.verify import Verifier
from tests.servers.names import Names
from tests.servers.signing import key_name, new_key, published, signed

PEER = "192.0.2.10"
DMARC = {("_dmarc.acme.example", "TXT"): ['"v=DMARC1; p=none"']}
SPF = {("acme.example", "TXT"): ['"v=spf1 ip4:192.0.2.10 -all"']}


@pytest.fixture
def names() -> Iterator[Names]:
    server = Names()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return new_key(tmp_path_factory.mktemp("key"))


def mail(**headers: str) -> bytes:
    fields = {
        "From": "Ann <ann@acme.example>",
        "To": "support@desk.example",
        "Subject": "Pump",
        "Date": "Mon, 2 Mar 2026 10:00:00 +0000",
        "Message-ID": "<1@acme.example>",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    return head.encode() + b"\r\nIt leaks.\r\n"


def judged(names: Names, data: bytes, sender: str = "ann@acme.example", peer: str = PEER) -> tuple[Proof, str]:
    raw = RawMail(Door.SMTP, Envelope(sender, ("support@desk.example",), peer), datetime(2026, 3, 2, tzinfo=UTC), data)
    verifier = Verifier(Resolver([names.address], lifetime=0.5), ("127.0.0.1",), seconds=2)
    (found,) = verifier.judge_all([(raw, read(raw))])
    verifier.close()
    return found.proof, found.proof_why


@pytest.mark.parametrize("records", [{}, DMARC], ids=["without DMARC", "with DMARC"])
@pytest.mark.parametrize("domain", ["acme.example", "mail.acme.example"])
def test_a_signature_of_the_senders_domain_proves_him(names: Names, key: bytes, domain: str, records):
    names.records |= {key_name(domain): published(key), **records}

    proof, why = judged(names, signed(key, mail(), domain))

    assert proof is Proof.ALIGNED
    assert why.startswith(f"signed by {domain} (DKIM)")


def test_a_server_that_the_senders_domain_names_proves_him(names: Names):
    names.records |= SPF

    assert judged(names, mail())[0] is Proof.ALIGNED
    assert judged(names, mail(), peer="203.0.113.9")[0] is Proof.NONE
    assert judged(names, mail(), sender="mallory@evil.example")[0] is Proof.NONE
    assert judged(names, mail(), sender="")[0] is Proof.NONE
    assert judged(names, mail(), peer="127.0.0.1")[0] is Proof.NONE, (
        "our own border's address says nothing of the sender"
    )


def test_a_domain_that_asks_for_proof_and_has_none_is_forged(names: Names):
    names.records |= {**DMARC, **SPF}

    proof, why = judged(names, mail(), peer="203.0.113.9")

    assert proof is Proof.FAILED
    assert "acme.example" in why


def test_a_strict_policy_is_kept(names: Names, key: bytes):
    names.records |= {
        ("_dmarc.acme.example", "TXT"): ['"v=DMARC1; p=reject; adkim=s; aspf=s"'],
        ("s1._domainkey.mail.acme.example", "TXT"): published(key),
        ("mail.acme.example", "TXT"): ['"v=spf1 +all"'],
    }

    assert judged(names, signed(key, mail(), "mail.acme.example"), "x@mail.acme.example")[0] is Proof.FAILED


def test_a_sub_domain_has_the_policy_of_its_organisation(names: Names):
    names.records |= DMARC

    assert judged(names, mail(From="ann@sales.acme.example"))[0] is Proof.FAILED


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: data.replace(b"It leaks", b"It smokes"), "was changed"),
        (lambda data: data.replace(b"Subject: Pump", b"Subject: #close"), "was changed"),
        (lambda data: b"Subject: #close\r\n" + data, "2 headers Subject"),
        (lambda data: b"To: other@desk.example\r\n" + data, "2 headers To"),
        (lambda data: b"Date: Mon, 2 Mar 2026 10:00:00 +0000\r\n" + data, "2 headers Date"),
        (lambda data: b"Cc: mallory@evil.example\r\n" + data, "does not cover Cc"),
        (lambda data: b"Reply-To: mallory@evil.example\r\n" + data, "does not cover Reply-To"),
        (lambda data: data + b"#close\r\n", "was changed"),
    ],
)
def test_a_mail_that_was_changed_after_it_was_signed_proves_nothing(names: Names, key: bytes, change, why: str):
    names.records["s1._domainkey.acme.example", "TXT"] = published(key)

    proof, told = judged(names, change(signed(key, mail(), "acme.example")))

    assert proof is Proof.NONE
    assert why in told


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"length": True}, "l="),
        ({"covered": ["from", "to", "date"]}, "does not cover Subject"),
        ({"covered": ["from", "to", "subject"]}, "does not cover Date"),
        ({"covered": ["from", "subject", "date"]}, "does not cover To"),
        ({"signature_algorithm": b"rsa-sha1"}, "not safe"),
    ],
)
def test_a_signature_that_leaves_room_for_others_proves_nothing(names: Names, key: bytes, more, why: str):
    names.records["s1._domainkey.acme.example", "TXT"] = published(key)

    proof, told = judged(names, signed(key, mail(), "acme.example", **more))

    assert proof is Proof.NONE
    assert why in told


def test_somebody_elses_signature_proves_nothing(names: Names, key: bytes):
    names.records["s1._domainkey.evil.example", "TXT"] = published(key)

    assert judged(names, signed(key, mail(), "evil.example"))[0] is Proof.NONE


def test_a_short_key_proves_nothing(names: Names, tmp_path: Path):
    short = new_key(tmp_path, 512)
    names.records["s1._domainkey.acme.example", "TXT"] = published(short)

    assert judged(names, signed(short, mail(), "acme.example"))[0] is Proof.NONE


def test_one_good_signature_among_bad_ones_is_enough(names: Names, key: bytes):
    names.records["s1._domainkey.acme.example", "TXT"] = published(key)
    foreign = signed(key, mail(), "list.example")[: -len(mail())]
    old = b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=gone; h=from:subject:date:to; bh=AAAA; b=AAAA\r\n"

    assert judged(names, old + foreign + signed(key, mail(), "acme.example"))[0] is Proof.ALIGNED


def test_a_key_that_was_withdrawn_proves_nothing(names: Names, key: bytes):
    names.records["s1._domainkey.acme.example", "TXT"] = ['"v=DKIM1; p="']

    assert judged(names, signed(key, mail(), "acme.example"))[0] is Proof.NONE


@pytest.mark.parametrize("how", ["broken", "silent"])
def test_a_dns_that_does_not_answer_proves_nothing_and_is_named(names: Names, key: bytes, how: str):
    getattr(names, how).update(["s1._domainkey.acme.example", "acme.example"])

    proof, why = judged(names, signed(key, mail(), "acme.example"))

    assert proof is Proof.NONE
    assert "DNS" in why


@pytest.mark.parametrize(
    "data",
    [
        b"DKIM-Signature: \r\n" + mail(),
        b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=\xff; h=from; bh=!; b=!\r\n" + mail(),
        b"DKIM-Signature: " + b"b=" + b" " * 4000 + b"!; d=acme.example\r\n" + mail(),
        b"DKIM-Signature: v=1; d=acme.example\r\n" * 3000 + mail(),
        mail()[:-2] + b" " * 2_000_000 + b"x\r\n",
        b"DKIM-Signature: v=1; a=rsa-sha256; d=acme.example; s=s; h=from:subject:date:to; bh=AAAA; b=AAAA\r\n"
        + mail()
        + b" " * 2_000_000
        + b"x",
        b"\x00" * 1000 + mail(),
    ],
)
def test_hostile_signatures_take_no_time(names: Names, data: bytes):
    since = time.monotonic()

    assert not judged(names, data)[0].proven
    assert time.monotonic() - since < 5


def test_answers_are_remembered(names: Names, key: bytes):
    names.records["s1._domainkey.acme.example", "TXT"] = published(key)
    raw = RawMail(Door.FILE, Envelope(None, ()), datetime(2026, 3, 2, tzinfo=UTC), signed(key, mail(), "acme.example"))
    verifier = Verifier(Resolver([names.address]), ())

    found = verifier.judge_all([(raw, read(raw))] * 3)
    verifier.judge_all([(raw, read(raw))])
    verifier.close()

    assert [one.proof for one in found] == [Proof.ALIGNED] * 3
    assert names.asked["s1._domainkey.acme.example", "TXT"] <= 3
