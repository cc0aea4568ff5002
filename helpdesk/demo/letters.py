"""Mails as people's mail programs write them, and how they read the ones they get."""

from __future__ import annotations

import smtplib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, make_msgid
from functools import cached_property
from pathlib import Path

from helpdesk.demo.company import DESK, Person
from helpdesk.domain.address import domain_of


@dataclass(frozen=True)
class Received:
    """A mail in somebody's Maildir; ``key`` names it there whether it was read or not."""

    key: str
    address: str
    data: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The mail, taken apart."""
        return message_from_bytes(self.data, policy=policy.default)


def new_mail(writer: Person, subject: str, text: str, now: datetime) -> EmailMessage:
    """A mail to the desk."""
    return _mail(writer, DESK, subject, text, now)


def reply(writer: Person, parent: EmailMessage, text: str, now: datetime) -> EmailMessage:
    """An answer to ``parent`` with the new text on top and the quote below it, as most programs write it."""
    whom = str(parent["From"].addresses[0].display_name or parent["From"].addresses[0].addr_spec)
    quote = "\n".join(f"> {line}".rstrip() for line in text_of(parent).splitlines())
    mail = _mail(writer, _answered(parent), "", f"{text}\n\nOn {parent['Date']}, {whom} wrote:\n{quote}", now)
    return _in_thread(mail, parent, _re(str(parent["Subject"])))


def out_of_office(writer: Person, parent: EmailMessage, text: str, now: datetime) -> EmailMessage:
    """What a mail system answers while its user is away (RFC 3834)."""
    mail = _mail(writer, _answered(parent), "", text, now)
    mail["Auto-Submitted"] = "auto-replied"
    return _in_thread(mail, parent, f"Out of office: {_re(str(parent['Subject']))}")


def send(mail: EmailMessage, port: int, return_path: str | None = None) -> None:
    """Hand a mail to the SMTP server at this port of 127.0.0.1; raises OSError where it does not take it."""
    sender = mail["From"].addresses[0].addr_spec if return_path is None else return_path
    recipients = [one.addr_spec for one in mail["To"].addresses]
    with smtplib.SMTP(
        "127.0.0.1", port, local_hostname=domain_of(mail["From"].addresses[0].addr_spec), timeout=30
    ) as door:
        door.send_message(mail, sender, recipients)


def text_of(mail: EmailMessage) -> str:
    """The text that a reader sees first, "" where there is none."""
    part = mail.get_body(("plain",))
    return str(part.get_content()).replace("\r\n", "\n").strip("\n") if part else ""


def received(folder: Path, address: str) -> list[Received]:
    """Everything in the Maildir of an address below ``folder``, oldest first."""
    return _read((folder / address).glob("[nc][eu][wr]/*"))


def everything_received(folder: Path) -> list[Received]:
    """The mails in all Maildirs below ``folder``, oldest first."""
    return _read(folder.glob("*/[nc][eu][wr]/*"))


def _read(files: Iterable[Path]) -> list[Received]:
    """The mails in ``new`` and ``cur``; the file's name up to the colon stays when a mail program moves it (maildir(5))."""
    found = {}
    for file in files:
        try:
            mail = Received(file.name.partition(":")[0], file.parent.parent.name, file.read_bytes())
        except FileNotFoundError:
            continue  # a mail program has just moved it; it is here again at the next look
        found[mail.key] = mail
    return [found[key] for key in sorted(found)]


def _mail(writer: Person, to: str, subject: str, text: str, now: datetime) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = formataddr((writer.name, writer.address)) if writer.name else writer.address
    mail["To"] = to
    if subject:
        mail["Subject"] = subject
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = make_msgid(domain=domain_of(writer.address))
    mail.set_content(text.rstrip("\n") + "\n")
    return mail


def _in_thread(mail: EmailMessage, parent: EmailMessage, subject: str) -> EmailMessage:
    mail["Subject"] = subject
    mail["In-Reply-To"] = parent["Message-ID"]
    mail["References"] = f"{parent.get('References', '')} {parent['Message-ID']}".strip()
    return mail


def _answered(parent: EmailMessage) -> str:
    return str((parent["Reply-To"] or parent["From"]).addresses[0].addr_spec)


def _re(subject: str) -> str:
    return subject if subject.lower().startswith("re:") else f"Re: {subject}"
