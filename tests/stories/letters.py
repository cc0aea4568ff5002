"""Mails as people's programs write them, and what a reader sees of one."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from email import message_from_bytes, policy
from email.message import EmailMessage

from tests.stories.company import BORDER, SUPPORT, Person


def new_id(sender: Person | str) -> str:
    """A Message-ID as the sender's own system makes it."""
    address = sender if isinstance(sender, str) else sender.address
    return f"<{uuid.uuid4().hex}@{address.rpartition('@')[2]}>"


def letter(
    sender: Person,
    subject: str,
    text: str,
    *,
    to: str = SUPPORT,
    proven: bool = True,
    headers: Mapping[str, str] | None = None,
    message_id: str = "",
    files: Mapping[str, bytes] | None = None,
) -> bytes:
    """A mail; ``proven`` puts the border's word on top of it, as the border does for senders whose domain vouches."""
    mail = EmailMessage(policy=policy.SMTP)
    mail["From"] = f"{sender.name} <{sender.address}>" if sender.name else sender.address
    mail["To"] = to
    mail["Subject"] = subject
    mail["Message-ID"] = message_id or new_id(sender)
    mail["Date"] = "Mon, 02 Mar 2026 10:00:00 +1100"
    for name, value in (headers or {}).items():
        mail[name] = value
    mail.set_content(text)
    for name, content in (files or {}).items():
        mail.add_attachment(content, maintype="application", subtype="octet-stream", filename=name)
    return (vouched(sender.address) if proven else b"") + mail.as_bytes()


def vouched(address: str, result: str = "pass", server: str = BORDER) -> bytes:
    """The header that a border server writes on top."""
    domain = address.rpartition("@")[2]
    return f"Authentication-Results: {server}; dmarc={result} header.from={domain}\r\n".encode()


def answer(sender: Person, parent: EmailMessage, text: str, **more: object) -> bytes:
    """A reply as mail programs write it: to Reply-To, threaded, the answered text quoted below."""
    quoted = "\n".join(f"> {line}" for line in words(parent).split("\n"))
    headers = {"In-Reply-To": parent["Message-ID"], **(more.pop("headers", None) or {})}  # type: ignore[dict-item]
    subject = str(more.pop("subject", "")) or f"Re: {parent['Subject']}"
    to = str(more.pop("to", "")) or str(parent["Reply-To"] or parent["From"])
    whole = f"{text}\n\nOn Mon, 2 Mar 2026 at 10:00, {parent['From']} wrote:\n{quoted}\n"
    return letter(sender, subject, whole, to=to, headers=headers, **more)  # type: ignore[arg-type]


def parsed(data: bytes) -> EmailMessage:
    """The mail as Python's own parser sees it."""
    mail = message_from_bytes(data, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def words(mail: EmailMessage) -> str:
    """The plain text that a reader sees."""
    part = mail.get_body(("plain",))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""


def says(mail: EmailMessage) -> str:
    """The plain text in one line: where it is wrapped does not matter."""
    return " ".join(words(mail).split())


def everything(mail: EmailMessage) -> str:
    """Headers and all texts in one string, decoded: what must not be in a mail must not be in this."""
    texts = [f"{name}: {value}" for name, value in mail.items()]
    for part in mail.walk():
        if part.get_content_maintype() == "text":
            texts += [str(part.get_content()), " ".join(str(part.get_content()).split())]
        texts.append(str(part.get_filename() or ""))
    return "\n".join(texts)


def files(mail: EmailMessage) -> dict[str, bytes]:
    """Attached files by name."""
    return {str(part.get_filename()): part.get_payload(decode=True) for part in mail.iter_attachments()}  # type: ignore[misc]


def reference(mail: EmailMessage) -> str:
    """The ticket that a mail of ours names in its subject."""
    found = re.search(r"\[([A-Z]+-\d+)\]", str(mail["Subject"]))
    assert found, f"no reference in {mail['Subject']!r}"
    return found[1]


def first_line(mail: EmailMessage) -> str:
    """The first line that a reader sees."""
    return next(line for line in words(mail).split("\n") if line.strip())


def author(mail: EmailMessage) -> str:
    """Whom a reader sees as the sender."""
    mailbox = mail["From"].addresses[0]
    return f"{mailbox.display_name} <{mailbox.addr_spec}>"
