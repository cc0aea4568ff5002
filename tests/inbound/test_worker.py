"""A mail that kills, hangs or swells costs only itself: the mails around it are read, in their order."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime

import pytest

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.read import read
from helpdesk.inbound.worker import Reader, Unreadable


def mail(subject: str) -> RawMail:
    data = f"From: bea@globex.example\nSubject: {subject}\n\nhello\n".encode()
    return RawMail(Door.SMTP, Envelope("bea@globex.example", ()), datetime(2026, 3, 3, tzinfo=UTC), data)


def touchy_read(raw: RawMail, parents: Mapping[str, str], borders: tuple[str, ...]) -> Reading:
    """Reads like the real one, but does what the subject says."""
    reading = read(raw, parents, borders)
    if reading.subject == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if reading.subject == "hang":
        while True:
            pass
    if reading.subject == "swell":
        bytearray(4 * 1024**3)
    if reading.subject == "raise":
        raise RuntimeError("odd")
    return reading


@pytest.mark.parametrize(
    ("subject", "cause"),
    [
        ("kill", "killed the reading process"),
        ("hang", "took longer than 1 s"),
        ("swell", "took too much memory"),
        ("raise", "stopped the reader: RuntimeError"),
    ],
)
def test_a_bad_mail_costs_only_itself(subject: str, cause: str) -> None:
    jobs = [(mail(text), {}) for text in ("one", subject, "two", "three", subject, "four")]
    with closing(Reader(timeout_seconds=1, read=touchy_read)) as reader:
        answers = reader.read_all(jobs)
        later = reader.read_all([(mail("later"), {})])

    shown = [answer.cause if isinstance(answer, Unreadable) else answer.subject for answer in answers + later]
    assert shown == ["one", cause, "two", "three", cause, "four", "later"]


def test_reads_as_in_the_same_process() -> None:
    raw, parents = mail("Re: x"), {"<m@acme.example>": "text"}
    with closing(Reader(borders=("mx.acme.example",))) as reader:
        assert reader.read_all([(raw, parents)]) == [read(raw, parents, ("mx.acme.example",))]
        assert reader.read_all([]) == []


def test_a_bomb_is_never_handed_over() -> None:
    raw = mail("x")
    bomb = RawMail(raw.door, raw.envelope, raw.received_at, b"Content-Type: message/rfc822\n\n" * 2000)
    with closing(Reader(read=touchy_read)) as reader:
        answers = reader.read_all([(bomb, {}), (raw, {})])

    assert answers[0] == Unreadable("parts nested more than 50 deep", final=True)
    assert isinstance(answers[1], Reading)


def test_a_hop_is_quick() -> None:
    with closing(Reader()) as reader:
        reader.read_all([(mail("warm"), {})])
        started = time.monotonic()
        for _ in range(50):
            reader.read_all([(mail("x"), {})])

        # About 1 ms on a quiet machine.
        assert (time.monotonic() - started) / 50 < 0.1


def test_the_process_can_be_closed_and_used_again() -> None:
    reader = Reader()
    reader.close()

    with closing(reader):
        assert isinstance(reader.read_all([(mail("x"), {})])[0], Reading)


def test_a_process_that_does_not_start_is_no_fault_of_the_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """During an upgrade, or without memory, no mail may be blamed for it."""
    with closing(Reader()) as reader, monkeypatch.context() as changed:
        changed.setattr(sys, "executable", "/nonexistent/python")
        with pytest.raises(TemporaryFailure, match="does not start"):
            reader.read_all([(mail("x"), {})])
        changed.setattr(sys, "executable", shutil.which("false"))
        with pytest.raises(TemporaryFailure, match="does not start"):
            reader.read_all([(mail("x"), {})])
        changed.undo()
        assert isinstance(reader.read_all([(mail("x"), {})])[0], Reading)
