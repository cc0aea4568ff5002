"""From a ticket's events to the moments that its promises are measured by; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from helpdesk.domain.decision import Value
from helpdesk.domain.event import EventKind
from helpdesk.domain.sla import Moment, What
from helpdesk.domain.ticket import Status


@dataclass(frozen=True, slots=True)
class Happened:
    """One event, as far as promises care."""

    at: datetime
    kind: EventKind
    data: Mapping[str, Value] = field(default_factory=dict)


def first_response(events: Iterable[Happened]) -> list[Moment]:
    """When the first-response timer started, paused and stopped.

    It starts when the ticket is first open, pauses while the ticket is held, and stops when the relay has accepted a
    person's answer. Closing an unanswered ticket calls it off; reopening one starts a new round. An answer that came
    back was never one: the timer runs on as if the relay had not taken it.
    """
    events = tuple(events)
    bounced = {_delivered(event) for event in events if event.kind is EventKind.BOUNCED}
    moments: list[Moment] = []
    state = "before"
    for event in events:
        if event.kind is EventKind.ANSWER_ACCEPTED and _delivered(event) in bounced:
            continue
        if event.kind is EventKind.ANSWER_ACCEPTED and state != "answered":
            if state == "off" and moments[-1].what == "cancel":
                moments.pop()  # answered and closed in one mail: the close came first, the answer counts
            moments.append(Moment(event.at, "stop"))
            state = "answered"
        elif event.kind in (EventKind.OPENED, EventKind.STATUS) and state != "answered":
            what, state = _step(Status(str(event.data["status"])), state)
            if what:
                moments.append(Moment(event.at, what))
    return moments


def _delivered(event: Happened) -> tuple[Value, Value]:
    """The entry, and to whom it went."""
    return event.data.get("event"), event.data.get("recipient")


def _step(status: Status, state: str) -> tuple[What | None, str]:
    if status is Status.OPEN and state in ("before", "off"):
        return "start", "running"
    if status is Status.OPEN and state == "paused":
        return "resume", "running"
    if status is Status.HELD and state == "running":
        return "pause", "paused"
    if status is Status.CLOSED and state in ("running", "paused"):
        return "cancel", "off"
    return None, state
