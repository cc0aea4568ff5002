"""Is this covered, by what, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Contract:
    """An agreement of an organisation; both dates are inclusive."""

    id: int
    kind: str
    number: str
    starts: date
    ends: date
    products: tuple[str, ...] = ()
    manager: str = ""
    organisation_id: int = 0


class Cover(StrEnum):
    """The answer in one word; ``grace`` is covered, but only by the days of grace."""

    VALID = "valid"
    GRACE = "grace"
    LAPSED = "lapsed"
    FUTURE = "future"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Entitlement:
    """The answer and the contract it rests on: the valid one that ends last, else the one nearest to the day."""

    cover: Cover
    contract: Contract | None = None

    @property
    def covered(self) -> bool:
        return self.cover in (Cover.VALID, Cover.GRACE)

    def why(self) -> str:
        """The reason in words, without the day it was judged on."""
        if self.contract is None:
            return "no contract on record"
        named = f"{self.contract.kind} {self.contract.number}"
        match self.cover:
            case Cover.VALID:
                return f"{named} is valid until {self.contract.ends.isoformat()}"
            case Cover.GRACE:
                return f"{named} ended on {self.contract.ends.isoformat()}, within the days of grace"
            case Cover.FUTURE:
                return f"{named} begins on {self.contract.starts.isoformat()}"
            case _:
                return f"{named} ended on {self.contract.ends.isoformat()}"


def entitlement(contracts: Sequence[Contract], day: date, grace_days: int = 0) -> Entitlement:
    """Judge cover on a local date of the desk's calendar zone; either kind of contract is enough (SM1)."""
    latest = sorted(contracts, key=lambda contract: (contract.ends, contract.number), reverse=True)
    begun = [contract for contract in latest if contract.starts <= day]
    for contract in begun:
        if contract.ends >= day:
            return Entitlement(Cover.VALID, contract)
    for contract in begun:
        if contract.ends + timedelta(days=grace_days) >= day:
            return Entitlement(Cover.GRACE, contract)
    if begun:
        return Entitlement(Cover.LAPSED, begun[0])
    if latest:
        return Entitlement(Cover.FUTURE, min(latest, key=lambda contract: contract.starts))
    return Entitlement(Cover.NONE)
