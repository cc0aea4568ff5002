"""What stops the first-response timer, and what takes that back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from helpdesk.domain.event import EventKind
from helpdesk.domain.history import Happened, first_response

BEGUN = datetime(2026, 3, 2, 9, tzinfo=UTC)


def at(hours: int, kind: EventKind, **data: object) -> Happened:
    return Happened(BEGUN + timedelta(hours=hours), kind, data)  # type: ignore[arg-type]


OPENED = at(0, EventKind.OPENED, status="new")
OPEN = at(0, EventKind.STATUS, status="open")
ACCEPTED = at(1, EventKind.ANSWER_ACCEPTED, event=7, recipient="bob@x.example")
WAITING = at(1, EventKind.STATUS, status="waiting")
CLOSED = at(1, EventKind.STATUS, status="closed")
BOUNCED = at(3, EventKind.BOUNCED, event=7, recipient="bob@x.example")
REOPENED = at(3, EventKind.STATUS, status="open")


@pytest.mark.parametrize(
    ("events", "moments"),
    [
        ([OPENED, OPEN, ACCEPTED, WAITING], ["0 start", "1 stop"]),
        ([OPENED, OPEN, ACCEPTED, WAITING, BOUNCED, REOPENED], ["0 start"]),
        ([OPENED, OPEN, BOUNCED, ACCEPTED], ["0 start"]),
        (
            [OPENED, OPEN, ACCEPTED, BOUNCED, REOPENED, at(5, EventKind.ANSWER_ACCEPTED, event=9, recipient="bob@x.example")],
            ["0 start", "5 stop"],
        ),
        (
            [OPENED, OPEN, ACCEPTED, at(1, EventKind.ANSWER_ACCEPTED, event=7, recipient="eve@x.example"), BOUNCED],
            ["0 start", "1 stop"],
        ),
        ([OPENED, OPEN, ACCEPTED, at(3, EventKind.BOUNCED, event=8, recipient="bob@x.example")], ["0 start", "1 stop"]),
        ([OPENED, OPEN, CLOSED, ACCEPTED, BOUNCED, REOPENED], ["0 start", "1 cancel", "3 start"]),
    ],
    ids=[
        "answered", "came back", "came back before the relay's word was handled", "answered anew",
        "one of two came back", "another answer came back", "answered and closed, came back",
    ],
)  # fmt: skip
def test_an_answer_that_came_back_was_never_one(events, moments):
    found = first_response(events)

    assert [f"{(one.at - BEGUN).total_seconds() / 3600:.0f} {one.what}" for one in found] == moments
