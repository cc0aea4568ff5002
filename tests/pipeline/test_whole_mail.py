"""What a notice leaves out is one command away, for the agent alone."""

from __future__ import annotations

from helpdesk.pipeline import letters
from tests.pipeline.office import Office

QUOTED = "It still burns.\n\nOn Mon, 23 Nov 2026 at 10:00, Ann <ann@acme.example> wrote:\n> Please pour water on it.\n> Ann\n"


def asked(office: Office, text: str = "#whole") -> bytes:
    """The customer's last mail as the agent got it, b"" where it came without."""
    opened = office.customer()
    told = office.last("customer")
    raw = office.compose(QUOTED, "bob@globex.example", answers=told.message_id, subject="Re: Printer")
    assert office.handle(raw).ticket_id == opened.ticket_id
    notice = office.last("agent", "customer_wrote")
    assert "pour water" not in notice.text
    before = len(office.sent("customer"))

    office.agent(text, notice.mail["Reply-To"], answers=notice.message_id)

    assert len(office.sent("customer")) == before
    found = [part.get_payload(decode=True) for part in office.last("actor").mail.iter_attachments()]
    assert found in ([], [raw.data])
    return found[0] if found else b""


def test_an_agent_gets_the_customers_last_mail_as_it_came(office):
    assert b"> Please pour water on it." in asked(office)

    answer = office.last("actor")
    assert answer.to == "ann@acme.example"
    assert "The last mail of Bob Miller" in answer.text
    assert "AC-1001.eml" in answer.text
    assert "You asked for the last mail" in answer.text


def test_one_that_is_too_large_is_named(office, monkeypatch):
    monkeypatch.setattr(letters, "ENCLOSED_BYTES", 100)

    assert asked(office) == b""
    assert "helpdesk ticket raw AC-1001" in " ".join(office.last("actor").text.split())
