"""Whatever we wrote to an agent stays with him, however his mail program quotes it below or above his answer."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from datetime import timedelta

import pytest

from helpdesk.inbound.html import to_text
from helpdesk.inbound.quote import divide

SAYS = "On Mon, 2 Mar 2026 at 10:00, Acme Support <support@acme.example> wrote:"
BLOCK = "From: Acme Support <support@acme.example>\nSent: Monday, 2 March 2026 10:00\nTo: Ann\nSubject: Re: Printer\n"


def _marked(text: str, mark: str = "> ") -> str:
    return "\n".join(f"{mark}{line}".rstrip() for line in text.split("\n"))


def _folded(text: str, width: int) -> str:
    return "\n".join(piece for line in text.split("\n") for piece in textwrap.wrap(line, width) or [""])


STYLES: dict[str, Callable[[str, str], str]] = {
    "marked": lambda text, html: f"{SAYS}\n{_marked(text)}",
    "without who wrote it": lambda text, html: _marked(text),
    "twice": lambda text, html: f"{SAYS}\n{_marked(text, '>> ')}",
    "folded anew": lambda text, html: f"{SAYS}\n{_marked(_folded(text, 50))}",
    "folded wide": lambda text, html: f"{SAYS}\n{_marked(_folded(text.replace(chr(10), ' '), 76))}",
    "Outlook, in text": lambda text, html: f"{BLOCK}\n{text}",
    "Outlook, folded": lambda text, html: f"{BLOCK}\n{_folded(text, 60)}",
    "Original message": lambda text, html: f"-----Original Message-----\n{BLOCK}\n{text}",
    "Gmail": lambda text, html: to_text(
        f'<div class="gmail_quote"><div class="gmail_attr">{SAYS}<br></div><blockquote class="gmail_quote">{html}'
        "</blockquote></div>"
    ),
    "Outlook, in HTML": lambda text, html: to_text(
        f'<div style="border:none;border-top:solid #E1E1E1 1.0pt"><p><b>From:</b> Acme<br><b>Sent:</b> '
        f"Monday, 2 March 2026 10:00<br><b>To:</b> Ann<br><b>Subject:</b> Re: Printer</p></div>{html}"
    ),
    "bare": lambda text, html: text,
    "a bare blockquote": lambda text, html: to_text(f"<p>{SAYS}</p><blockquote type=cite>{html}</blockquote>"),
}  # fmt: skip


def notices(office):
    """One of each kind that an agent answers: new, added to, held, unknown, reminded, done."""
    office.customer("The printer is on fire.\n\nWhat shall I do?\n\nBob")
    answers = office.last("customer").message_id
    office.customer("It still burns.", answers=answers, subject="Re: Printer")
    office.customer("My scanner hums.", sender="ira@initech.example")
    office.customer("I know nobody.", sender="zoe@elsewhere.example")
    office.due(hours=30)
    office.due(hours=30)
    office.agent("#take", office.last("agent", "new_ticket").mail["Reply-To"])
    office.now += timedelta(minutes=20)
    kinds = {}
    for sent in office.sent():
        if sent.audience in ("agent", "lead", "actor"):
            kinds.setdefault(sent.block, sent)
    return kinds


@pytest.mark.parametrize("answer", ["#take", "Pour water on it, please."])
@pytest.mark.parametrize("style", STYLES)
def test_only_the_answer_is_new(office, style, answer):
    """Mutants: what a program changed in our text is taken for an answer between our lines, and goes to the customer."""
    found = notices(office)
    assert len(found) >= 6, found.keys()
    for block, sent in found.items():
        html = sent.mail.get_body(("html",)).get_content()
        ours = sent.text.replace("\r\n", "\n")
        quoted = STYLES[style](ours.strip("\n"), html)
        assert divide(f"{answer}\n\n{quoted}\n", [ours], secret=True)[0] == answer, block
        # From whom the text was not found any more, nothing is known of it.
        if style != "bare":
            assert divide(f"{answer}\n\n{quoted}\n")[0] == answer, block
