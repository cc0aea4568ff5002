"""Only the topmost Authentication-Results of a border server counts, and only what is aligned with From."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from helpdesk.domain.mail import Door, Envelope, Mailbox, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.inbound.authenticate import GOOGLE, MICROSOFT_365, aligned, judge
from helpdesk.inbound.read import read
from helpdesk.inbound.worker import Reader
from helpdesk.settings import Border

SENDER = Mailbox("agent@corp.example")
ENVELOPE = Envelope("agent@corp.example", ("support@acme.example",))

RESULTS = [
    ("mx.us.example; dmarc=pass header.from=corp.example", Proof.BORDER),
    ("MX.us.example 1; dmarc=pass (p=none) header.from=CORP.example", Proof.BORDER),
    ("mx.us.example; dmarc = pass header.from = corp.example", Proof.BORDER),
    ("mx.us.example; dkim=pass header.d=mail.corp.example", Proof.BORDER),
    ("mx.us.example; dkim=pass header.i=@corp.example header.s=x header.b=abc=", Proof.BORDER),
    ("mx.us.example; spf=pass smtp.mailfrom=agent@corp.example", Proof.BORDER),
    ("mx.us.example; spf=pass smtp.mailfrom=corp.example; dkim=fail header.d=corp.example", Proof.BORDER),
    ("mx.us.example; dkim=pass header.d=other.example; dkim=pass header.d=corp.example", Proof.BORDER),
    ("mx.us.example; dmarc=fail header.from=corp.example; dkim=pass header.d=corp.example", Proof.FAILED),
    ("mx.us.example; dmarc=fail header.from=corp.example; dmarc=pass header.from=corp.example", Proof.FAILED),
    ("mx.us.example; spf=fail smtp.mailfrom=agent@corp.example; dkim=none", Proof.FAILED),
    ("mx.us.example; spf=softfail smtp.mailfrom=corp.example", Proof.FAILED),
    ("mx.us.example; dmarc=pass header.from=evil.example", Proof.NONE),
    ("mx.us.example; dmarc=pass", Proof.NONE),
    ("mx.us.example; dkim=pass header.d=evil.example header.i=@corp.example", Proof.NONE),
    ("mx.us.example; dkim=pass header.d=example", Proof.NONE),
    ("mx.us.example; spf=pass smtp.mailfrom=agent@evil.example", Proof.NONE),
    ('mx.us.example; spf=pass smtp.mailfrom="agent@corp.example"@evil.example', Proof.NONE),
    ('mx.us.example; spf=pass smtp.mailfrom="a; dmarc=pass header.from=corp.example"@evil.example', Proof.NONE),
    ("mx.us.example; spf=pass smtp.mailfrom=", Proof.NONE),
    ("mx.us.example; (dmarc=pass header.from=corp.example)", Proof.NONE),
    ("mx.us.example; ((x) dmarc=pass header.from=corp.example", Proof.NONE),
    ("mx.us.example; reason=dmarc=pass header.from=corp.example", Proof.NONE),
    ("mx.us.example; none", Proof.NONE),
    ("mx.us.example; dmarc=none header.from=corp.example; spf=temperror smtp.mailfrom=corp.example", Proof.NONE),
    ("other.example; dmarc=pass header.from=corp.example", Proof.NONE),
    ("mx.us.example.evil.example; dmarc=pass header.from=corp.example", Proof.NONE),
    ("(mx.us.example) other.example; dmarc=pass header.from=corp.example", Proof.NONE),
    ("dmarc=pass header.from=corp.example", Proof.NONE),
    ("", Proof.NONE),
    (";;;;", Proof.NONE),
    ("(" * 5000, Proof.NONE),
    ('"' * 5001, Proof.NONE),
]


@pytest.mark.parametrize(("value", "proof"), RESULTS, ids=lambda value: str(value)[:70])
def test_judges_results_of_the_border(value: str, proof: Proof) -> None:
    judged, why = judge({"authentication-results": [value]}, ENVELOPE, SENDER, "", ("mx.us.example",))

    assert judged is proof
    assert why


def test_only_the_topmost_result_counts() -> None:
    good = "mx.us.example; dmarc=pass header.from=corp.example"
    fields = {"authentication-results": ["other.example; none", good]}

    assert judge(fields, ENVELOPE, SENDER, "", ("mx.us.example",))[0] is Proof.NONE


def test_without_border_nothing_is_believed() -> None:
    fields = {"authentication-results": ["mx.us.example; dmarc=pass header.from=corp.example"]}

    assert judge(fields, ENVELOPE, SENDER, "", ())[0] is Proof.NONE


def test_a_login_counts_for_its_own_address_only() -> None:
    login = Envelope("x@corp.example", (), user="AGENT@corp.example")

    assert judge({}, login, SENDER, "", ())[0] is Proof.AUTH
    assert judge({}, login, Mailbox("boss@corp.example"), "", ())[0] is Proof.FAILED
    assert judge({}, login, None, "2 From headers", ()) == (Proof.AMBIGUOUS, "2 From headers")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("corp.example", "CORP.example.", True),
        ("mail.corp.co.uk", "corp.co.uk", True),
        ("a.co.uk", "b.co.uk", False),
        ("co.uk", "a.co.uk", False),
        ("notcorp.example", "corp.example", False),
        ("", "", False),
        ("corp\uff0ecom", "corp.com", False),
    ],
)
def test_alignment_is_by_organisation(one: str, other: str, same: bool) -> None:
    assert aligned(one, other) is same


INTERNAL = "X-MS-Exchange-Organization-AuthAs: Internal"


@pytest.mark.parametrize(
    ("borders", "headers", "proof"),
    [
        ((MICROSOFT_365, "@acme.example"), [INTERNAL], Proof.BORDER),
        ((MICROSOFT_365, "@globex.example"), [INTERNAL], Proof.NONE),
        ((MICROSOFT_365,), [INTERNAL], Proof.NONE),
        ((MICROSOFT_365, "@acme.example"), [INTERNAL.replace("Internal", "Anonymous")], Proof.NONE),
        ((MICROSOFT_365, "@acme.example"), [INTERNAL, INTERNAL], Proof.NONE),
        ((MICROSOFT_365, "@acme.example"), [], Proof.NONE),
        (("mx.acme.example",), [INTERNAL], Proof.NONE),
        ((), [INTERNAL], Proof.NONE),
    ],
    ids=[
        "internal",
        "a customer's domain",
        "no domain of ours",
        "from outside",
        "twice",
        "no stamp",
        "another border",
        "nobody is believed",
    ],
)
def test_a_tenants_stamp_counts_only_where_the_settings_name_it(borders, headers, proof):
    data = "\r\n".join(["From: ann@acme.example", *headers, "Subject: x", "", "x"]).encode()
    envelope = Envelope("ann@acme.example", ("support@acme.example",))

    assert read(RawMail(Door.IMAP, envelope, datetime(2026, 3, 3, tzinfo=UTC), data), {}, borders).proof is proof


GOOGLES = "mx.us.example; dkim=pass header.i=@{name}.20230601.gappssmtp.com header.s=20230601 header.b=abc"


@pytest.mark.parametrize(
    ("address", "result", "proof"),
    [
        ("agent@corp.example", GOOGLES.format(name="corp-example"), Proof.BORDER),
        ("agent@Corp.example", GOOGLES.format(name="corp-example"), Proof.BORDER),
        ("agent@corp.example", GOOGLES.format(name="other-example"), Proof.NONE),
        # Somebody else's corp-one.example, or one.example with a host corp, has the same name.
        ("agent@corp.one.example", GOOGLES.format(name="corp-one-example"), Proof.NONE),
        ("agent@corp-one.example", GOOGLES.format(name="corp-one-example"), Proof.NONE),
        ("agent@corp.example", GOOGLES.format(name="corp-example").replace("dkim", "spf"), Proof.NONE),
        ("agent@corp.example", GOOGLES.format(name="corp-example") + " header.d=evil.example", Proof.NONE),
        ("agent@corp.example", "mx.us.example; dkim=pass header.d=corp-example.20230601.evil.example", Proof.NONE),
        ("agent@corp.example", GOOGLES.format(name="corp-example") + "; dmarc=fail header.from=corp.example", Proof.FAILED),
    ],
)  # fmt: skip
def test_google_signs_for_a_tenant_in_its_own_name(address: str, result: str, proof: Proof) -> None:
    """Mutants: dots read back from hyphens; any name at gappssmtp.com."""
    fields = {"authentication-results": [result]}

    assert judge(fields, ENVELOPE, Mailbox(address), "", ("mx.us.example", GOOGLE))[0] is proof
    if proof is Proof.BORDER:
        assert judge(fields, ENVELOPE, Mailbox(address), "", ("mx.us.example",))[0] is Proof.NONE
        assert judge(fields, ENVELOPE, Mailbox(address), "", (GOOGLE,))[0] is Proof.NONE


SIGNED = "Authentication-Results: " + GOOGLES.format(name="acme-example")


@pytest.mark.parametrize(
    ("border", "header"),
    [(Border(tenant="microsoft365"), INTERNAL), (Border(servers=("mx.us.example",), tenant="google"), SIGNED)],
    ids=["microsoft", "google"],
)
@pytest.mark.parametrize(
    ("door", "proof"), [(Door.IMAP, Proof.BORDER), (Door.SMTP, Proof.NONE), (Door.FILE, Proof.NONE)]
)
def test_a_tenants_stamp_counts_only_in_its_own_mailbox(border, header, door, proof):
    """Whoever hands a mail to another door may write that line."""
    reader = Reader(border.believed(["support@acme.example"]))
    data = f"From: ann@acme.example\r\n{header}\r\n\r\nx".encode()
    envelope = Envelope("ann@acme.example", ("support@acme.example",), "127.0.0.1")

    (found,) = reader.read_all([(RawMail(door, envelope, datetime(2026, 3, 3, tzinfo=UTC), data), {})])
    reader.close()

    assert found.proof is proof


@pytest.mark.parametrize("name", [MICROSOFT_365, GOOGLE, "@acme.example"])
def test_our_own_words_for_a_tenant_are_no_server(name):
    """Mutant: whoever writes them into Authentication-Results is a border."""
    header = f"Authentication-Results: {name}; dkim=pass header.d=acme.example"
    data = f"From: ann@acme.example\r\n{header}\r\n\r\nx".encode()
    raw = RawMail(Door.IMAP, Envelope("x@evil.example", ()), datetime(2026, 3, 3, tzinfo=UTC), data)

    assert read(raw, {}, (MICROSOFT_365, GOOGLE, "@acme.example")).proof is Proof.NONE
