"""Mails of our own writing, each read as the file beside it says; the file holds only what the mail is about."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import pytest

from helpdesk.domain.mail import Door, Envelope, Mailbox, RawMail
from helpdesk.domain.reading import Attachment, Reading
from helpdesk.inbound.read import read

MAILS = sorted((Path(__file__).parents[1] / "mails").glob("*.toml"))


def plain(value: object) -> object:
    """A value of a Reading in the words of a TOML file; fields of an attachment that say nothing are left out."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mailbox):
        return {"address": value.address, "name": value.name}
    if isinstance(value, Attachment):
        kept = (f.name for f in fields(value) if f.name not in ("start", "end", "digest"))
        return {name: getattr(value, name) for name in kept if getattr(value, name) not in ("", False)}
    return value


def given(path: Path) -> tuple[dict[str, object], Reading]:
    expected = tomllib.loads(path.read_text(encoding="utf-8"))
    case = expected.pop("given", {})
    envelope = Envelope(case.get("sender", "bea@globex.example"), ("support@acme.example",), user=case.get("user", ""))
    raw = RawMail(Door.SMTP, envelope, datetime(2026, 3, 3, tzinfo=UTC), path.with_suffix(".eml").read_bytes())
    return expected, read(raw, case.get("parents", {}), tuple(case.get("borders", ())))


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_reads_mail_as_recorded(path: Path) -> None:
    expected, reading = given(path)

    assert expected == {name: plain(getattr(reading, name)) for name in expected}


@pytest.mark.parametrize("path", MAILS, ids=lambda path: path.stem)
def test_every_mail_has_a_reason_and_an_expectation(path: Path) -> None:
    text = path.read_text(encoding="utf-8")

    assert text.startswith("# ")
    assert set(tomllib.loads(text)) - {"given"}


def test_there_are_mails() -> None:
    assert len(MAILS) >= 25
