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
from helpdesk.inbound import mime, quote, read
from helpdesk.inbound import thread as threads
from helpdesk.inbound.charset import decode
from helpdesk.inbound.html import to_text

_KINDS = dict.fromkeys(("auto-reply", "out-of-office", "calendar answer", "challenge"), "auto_reply") | {
    "human": "human", "bounce": "bounce", "delayed": "bounce", "receipt": "report", "complaint": "report", "bulk": "list"
}  # fmt: skip


def _read(raw: bytes) -> Reading:
    return read.read(RawMail(Door.FILE, Envelope(None, ()), datetime(2026, 1, 1, tzinfo=UTC), raw))


def parse(raw: bytes) -> dict[str, Any]:
    """What is shown of a mail."""
    found = _read(raw)
    return {
        "subject": found.subject,
        "from_": found.claimed.address if found.claimed else "",
        "from_name": found.claimed.name if found.claimed else "",
        "to": [one.address for one in found.to],
        "text": found.text,
        "html": "\n".join(_html(raw)),
        "attachments": [(one.name, one.type, one.size) for one in found.attachments],
    }


def _html(raw: bytes) -> list[str]:
    parts = [part for part in mime.split(raw).parts if part.type == "text/html"]
    bodies = [mime.decode_body(raw[part.start : part.end], part.encoding) for part in parts]
    return [decode(body, part.params.get("charset", "")) for body, part in zip(bodies, parts, strict=True)]


def classify(raw: bytes) -> dict[str, Any]:
    """What kind of mail it is, and whom a bounce speaks of."""
    found = _read(raw)
    fates = [one for one in found.report.fates if not one.arrived] if found.report else []
    return {
        "kind": _KINDS[found.kind.value],
        "addresses": [one.original or one.recipient for one in fates if one.original or one.recipient],
        "temporary": all(one.temporary for one in fates) if fates else found.kind is Kind.DELAYED,
    }


def reply(text: str | None, html: str | None) -> str:
    """What is new in an answer."""
    return quote.divide(text if text is not None else to_text(html or ""), ())[0]


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
