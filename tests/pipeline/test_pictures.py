"""Pictures in mails: what the text refers to, and the logos that come along with every mail of their owner."""

from __future__ import annotations

import re
from email.message import EmailMessage

from helpdesk.domain.mail import RawMail
from tests.pipeline.office import Office

LOGO = b"\x89PNG logo of globex"
SHOT = b"\x89PNG the burning printer"


def with_pictures(office: Office, words: str, *pictures: tuple[str, bytes], attached: tuple[bytes, ...] = (), **more):
    """A proven mail of Bob, or of whom ``sender`` names, whose HTML shows these pictures."""
    mail = EmailMessage()
    mail.set_content(words)
    shown = "".join(f'<img src="cid:{name}@globex.example" alt="">' for name, _ in pictures)
    mail.add_alternative(f"<p>{words}</p>{shown}", subtype="html")
    page = mail.get_payload(1)
    for name, data in pictures:
        page.add_related(data, "image", "png", cid=f"<{name}@globex.example>", filename=f"{name}.png")
    for data in attached:
        mail.add_attachment(data, maintype="image", subtype="png", filename="same.png")
    raw = office.compose("x", more.pop("sender", "bob@globex.example"), **more)
    vouched = b"Authentication-Results: mx.acme.example; dmarc=pass header.from=globex.example\r\n"
    head = raw.data.partition(b"Content-Type:")[0].replace(b"MIME-Version: 1.0\r\n", b"")
    data = vouched + head + mail.as_bytes().replace(b"\n", b"\r\n")
    return office.handle(RawMail(raw.door, raw.envelope, raw.received_at, data))


def files(sent) -> list[str]:
    return [part.get_filename() for part in sent.mail.iter_attachments()]


def test_a_logo_comes_along_once_and_the_picture_of_the_fault_each_time_it_is_new(office):
    """Mutant: every picture of every mail."""
    opened = with_pictures(office, "The printer burns.", ("logo", LOGO))
    first = office.last("agent", "new_ticket")
    assert files(first) == ["logo.png"]
    assert "logo.png (shown in the text)" in first.text

    answers = office.last("customer").message_id
    joined = with_pictures(office, "See how.", ("logo2", LOGO), ("shot", SHOT), answers=answers, subject="Re: Printer")
    assert joined.ticket_id == opened.ticket_id
    second = office.last("agent", "customer_wrote")
    assert files(second) == ["shot.png"]
    assert "logo" not in second.text
    assert "a picture that came before" in second.text

    kept = [file for event in office.history(opened) for file in event.data.get("files", ())]
    assert [(file["name"], file.get("again", False)) for file in kept] == [
        ("logo.png", False),
        ("logo2.png", True),
        ("shot.png", False),
    ]


def test_what_is_attached_on_purpose_is_shown_though_it_was_seen_before(office):
    with_pictures(office, "The printer burns.", ("logo", LOGO))
    answers = office.last("customer").message_id
    with_pictures(office, "Here is our logo to print.", attached=(LOGO,), answers=answers, subject="Re: Printer")

    assert files(office.last("agent", "customer_wrote")) == ["same.png"]


def test_another_ticket_knows_nothing_of_it(office):
    with_pictures(office, "The printer burns.", ("logo", LOGO))
    with_pictures(office, "The scanner hums.", ("logo", LOGO), subject="Scanner")

    assert files(office.last("agent", "new_ticket")) == ["logo.png"]


def test_an_agents_logo_goes_to_the_customer_once(office):
    with_pictures(office, "The printer burns.", ("shot", SHOT))
    notice = office.last("agent", "new_ticket")
    own = {"sender": "ann@acme.example", "user": "ann@acme.example", "to": notice.mail["Reply-To"]}
    sign = ("sign", b"\x89PNG acme")
    with_pictures(office, "Pour water.", sign, answers=notice.message_id, **own)
    assert files(office.last("customer", "answer")) == ["sign.png"]

    with_pictures(office, "And sand.", sign, answers=notice.message_id, **own)
    assert files(office.last("customer", "answer")) == []
    assert "And sand." in office.last("customer", "answer").text


def test_a_picture_that_an_agent_sends_reaches_the_customer_though_a_colleague_or_another_saw_it(office):
    """Mutants: a note's picture, or one that the customer himself sent, is old to everybody."""
    with_pictures(office, "The printer burns.", ("shot", SHOT))
    notice = office.last("agent", "new_ticket")
    own = {"sender": "ann@acme.example", "user": "ann@acme.example", "answers": notice.message_id}
    plan = ("plan", b"\x89PNG plan")
    note = re.search(r"support\+n[a-z2-7]+@acme\.example", notice.text)[0]
    with_pictures(office, "Look at this, Leo.", plan, to=note, **own)
    with_pictures(office, "Do it so.", plan, ("shot", SHOT), to=notice.mail["Reply-To"], **own)

    assert files(office.last("customer", "answer")) == ["plan.png", "shot.png"]
