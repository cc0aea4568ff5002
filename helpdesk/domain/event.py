"""The kinds of event in a ticket's append-only history, the only history there is."""

from __future__ import annotations

from enum import StrEnum


class EventKind(StrEnum):
    """What happened. The first four carry text and are what people call messages or notes."""

    CUSTOMER_ENTRY = "customer entry"
    THIRD_PARTY_ENTRY = "third party entry"
    ANSWER = "answer"
    NOTE = "note"
    OPENED = "opened"
    STATUS = "status"
    ASSIGNED = "assigned"
    CONTRACT = "contract"
    ANSWER_ACCEPTED = "answer accepted"
    DELIVERY_FAILED = "delivery failed"
    REMINDED = "reminded"
    REQUESTER = "requester"
    SAID = "said"


#: Kinds whose text a customer may read.
PUBLIC_ENTRIES = (EventKind.CUSTOMER_ENTRY, EventKind.THIRD_PARTY_ENTRY, EventKind.ANSWER)
