"""What the spine needs to know of the running daemon: desks, keys, templates, ways out. Built once by ``app``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from helpdesk.domain.address import untagged
from helpdesk.domain.calendar import Calendar
from helpdesk.domain.facts import Desk, Trigger
from helpdesk.domain.people import Agent
from helpdesk.domain.sla import Target
from helpdesk.domain.token import Keys
from helpdesk.outbound.templates import Templates
from helpdesk.rules.engine import Rule


@dataclass(frozen=True, slots=True)
class RunningDesk:
    """A desk with everything bound: its facts, calendar, targets, rules by kind of input, and its agents."""

    facts: Desk
    written: str
    prefix: str
    calendar: Calendar
    targets: tuple[Target, ...]
    rules: Mapping[Trigger, tuple[Rule, ...]]
    agents: tuple[Agent, ...]
    manager: str = ""
    how_to_renew: str = ""
    print_answer_due: bool = True


@dataclass(frozen=True, slots=True)
class World:
    """All desks and what they share. ``relays`` maps "customers" and "staff" to relay names."""

    desks: Mapping[str, RunningDesk]
    keys: Keys
    templates: Templates
    operator: str
    relays: Mapping[str, str]
    give_up_after_days: int = 5
    automatic_expires_hours: int = 24
    attempts: int = 3

    def desk_of(self, address: str) -> RunningDesk | None:
        """The desk that an address, tagged or not, belongs to."""
        plain = untagged(address)[0]
        return next((desk for desk in self.desks.values() if plain in desk.facts.addresses), None) if plain else None

    def tenants_of(self, recipients: Iterable[str]) -> tuple[str, ...]:
        """The tenants that these recipients address, each once, in order."""
        found = [desk.facts.tenant for desk in map(self.desk_of, recipients) if desk]
        return tuple(dict.fromkeys(found))

    def first_desk(self, tenant: str, addresses: Iterable[str]) -> RunningDesk | None:
        """The first desk of a tenant among these addresses."""
        found = (desk for desk in map(self.desk_of, addresses) if desk and desk.facts.tenant == tenant)
        return next(found, None)
