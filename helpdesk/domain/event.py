"""The kinds of event in a ticket's append-only history, the only history there is."""

from __future__ import annotations

from enum import StrEnum


class EventKind(StrEnum):
    """What happened. The first four, and a report of a mail system, carry text; people call them messages or notes."""

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
    BOUNCED = "bounced"
    REPORT = "report"
    REMINDED = "reminded"
    REQUESTER = "requester"
    SAID = "said"


#: Kinds whose text a customer may read.
PUBLIC_ENTRIES = (EventKind.CUSTOMER_ENTRY, EventKind.THIRD_PARTY_ENTRY, EventKind.ANSWER)
