"""An adapter for the scorer in ``../shared/interop``: the daemon's own functions, and nothing else.

python ../shared/interop/score.py benchmarks/interop.py --failures failures.txt --json figures.json
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Kind, Reading
from helpdesk.inbound import forward as forwards
from helpdesk.inbound import quote, read
from helpdesk.inbound import thread as threads
from helpdesk.inbound.html import to_text

_KINDS = {
    Kind.HUMAN: "human",
    Kind.AUTO_REPLY: "auto_reply",
    Kind.OUT_OF_OFFICE: "auto_reply",
    Kind.BOUNCE: "bounce",
    Kind.DELAYED: "bounce",
    Kind.RECEIPT: "report",
    Kind.BULK: "list",
    Kind.COMPLAINT: "report",
}


def _read(raw: bytes) -> Reading:
    return read.read(RawMail(Door.FILE, Envelope(None, ()), datetime(2026, 1, 1, tzinfo=UTC), raw))


def parse(raw: bytes) -> dict[str, Any]:
    """What is shown of a mail."""
    found = _read(raw)
    return {
        "subject": found.subject,
        "from_": found.sender.address if found.sender else "",
        "from_name": found.sender.name if found.sender else "",
        "to": [one.address for one in found.to],
        "text": found.text,
        "html": "",
        "attachments": [(one.name, one.type, one.size) for one in found.attachments],
    }


def classify(raw: bytes) -> dict[str, Any]:
    """What kind of mail it is, and whom a bounce speaks of."""
    found = _read(raw)
    fates = found.report.fates if found.report else ()
    return {
        "kind": _KINDS[found.kind],
        "addresses": [one.original or one.recipient for one in fates if one.original or one.recipient],
        "temporary": all(one.temporary for one in fates) if fates else found.kind is Kind.DELAYED,
    }


def reply(text: str | None, html: str | None) -> str:
    """What is new in an answer."""
    shown = text if text is not None else to_text(html or "")
    return quote.divide(shown, ())[0]


def forward(text: str, subject: str) -> dict[str, Any] | None:
    """The mail that a text forwards."""
    found = forwards.find(text, subject)
    if found is None:
        return None
    sender = found.sender.address if found.sender else ""
    return {"from_": sender, "subject": found.subject, "body": found.text, "note": found.note}


def thread(messages: list[bytes]) -> list[int]:
    """Which mails belong together."""
    return threads.group([_read(raw) for raw in messages])
