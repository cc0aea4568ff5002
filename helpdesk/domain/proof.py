"""What shows that a sender is who he says, and what that allows."""

from __future__ import annotations

from enum import StrEnum


class Proof(StrEnum):
    """Judged when a mail is processed, never read from the text of the mail alone."""

    NONE = "none"
    FAILED = "failed"
    AMBIGUOUS = "ambiguous"
    ALIGNED = "aligned"
    BORDER = "border"
    AUTH = "auth"
    CONFIRMED = "confirmed"

    @property
    def proven(self) -> bool:
        """True where From may be believed (aligned or better)."""
        return self in (Proof.ALIGNED, Proof.BORDER, Proof.AUTH, Proof.CONFIRMED)


class Role(StrEnum):
    """Who a sender is to the tenant, if his From is true."""

    STRANGER = "stranger"
    CONTACT = "contact"
    ADMINISTRATOR = "administrator"
    PARTNER = "partner"
    AGENT = "agent"


class TokenState(StrEnum):
    """What the reply token in the address is worth to this sender on this ticket."""

    NONE = "none"
    OWN = "own"
    SOMEBODY_ELSES = "somebody else's"
    OTHER_TICKETS = "other ticket's"
    EXPIRED = "expired"
    TAMPERED = "tampered"


class CommandClass(StrEnum):
    """What kind of thing somebody wants to do."""

    FILE = "file"
    READ = "read"
    REPLY = "reply"
    NOTE = "note"
    STEER = "steer"
    MONEY = "money"
    PEOPLE = "people"
    DESTROY = "destroy"


_CUSTOMERS = (Role.CONTACT, Role.ADMINISTRATOR, Role.PARTNER)


def allowed(proof: Proof, role: Role, token: TokenState, what: CommandClass) -> bool:
    """The table of rights; whatever it does not name is refused.

    Anybody may have a mail filed. Reading needs a proven customer or agent. Everything an agent does needs a proven
    agent; a token routes and never grants, but a tampered one, or one issued for another ticket, takes every right away.
    """
    if what is CommandClass.FILE:
        return True
    if not proof.proven or token in (TokenState.TAMPERED, TokenState.OTHER_TICKETS):
        return False
    if role is Role.AGENT:
        # A right that erases waits for a confirming reply even from a proven agent.
        return what is not CommandClass.DESTROY or proof is Proof.CONFIRMED
    return role in _CUSTOMERS and what is CommandClass.READ
