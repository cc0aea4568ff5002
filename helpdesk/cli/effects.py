"""Effects in words, for people who ask why."""

from __future__ import annotations

from helpdesk.domain.decision import (
    AddEntry,
    Assign,
    ClearAddress,
    Confirm,
    Drop,
    Effect,
    EndQuarantine,
    JoinTicket,
    MarkAddress,
    OpenTicket,
    PassReport,
    Record,
    Relay,
    Say,
    SetAside,
    SetStatus,
    Suppress,
    UseContract,
)


def in_words(effect: Effect) -> str:
    """What an effect does, as a line that begins with a verb."""
    match effect:
        case OpenTicket():
            return f'opens a ticket "{effect.subject}"'
        case JoinTicket():
            joined = f"joins the ticket found by {effect.how}"
            return joined + ("; the sender becomes a participant" if effect.participant else "")
        case AddEntry():
            return f"files the mail as {effect.kind.value}"
        case SetStatus():
            reason = f" ({effect.reason.value})" if effect.reason.value else ""
            return f"sets the status to {effect.status.value}{reason}" + (f": {effect.why}" if effect.why else "")
        case Assign():
            return f"assigns it to {effect.agent}"
        case UseContract():
            return "works under no contract" if effect.contract_id is None else "works under the contract found"
        case Confirm():
            return "makes the requester a member of the organisation"
        case Say():
            return f'says "{effect.block}" to the {effect.audience.value}'
        case Relay():
            return "sends the agent's words to the customer"
        case Suppress():
            return f"says nothing automatic to the {effect.audience.value}"
        case Record():
            return f"records: {effect.kind.value}"
        case PassReport():
            return f"takes back that our mail was delivered: {effect.reason or effect.status or 'no reason given'}"
        case MarkAddress():
            return f"marks {effect.address}: mail to it comes back"
        case ClearAddress():
            return f"takes it that {effect.address} receives mail"
        case Drop():
            return f"ends here: {effect.reason}"
        case EndQuarantine():
            return f"{'releases' if effect.release else 'drops'} mail {effect.number} of the quarantine"
        case SetAside():
            return f"puts the mail into quarantine: {effect.cause}"
