"""What the spine needs to know of the running daemon: desks, keys, templates, ways out. Built once by ``app``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from helpdesk.domain.address import domain_of, fold, untagged
from helpdesk.domain.calendar import Calendar
from helpdesk.domain.facts import Desk, Trigger
from helpdesk.domain.people import Agent
from helpdesk.domain.sla import Target
from helpdesk.domain.token import Keys
from helpdesk.outbound.templates import Templates
from helpdesk.rules.engine import Rule

#: Mailboxes that every domain has (RFC 2142 sections 4 and 5), and the one that needs no domain (RFC 5321 section 4.5.1).
ROLES = ("abuse", "postmaster")
BARE_ROLE = "postmaster"


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
    """All desks and what they share. ``relays`` maps "customers" and "staff" to relay names.

    ``own_return_paths`` says that each answer leaves with a return path of its own.
    """

    desks: Mapping[str, RunningDesk]
    keys: Keys
    templates: Templates
    operator: str
    relays: Mapping[str, str]
    give_up_after_days: int = 5
    automatic_expires_hours: int = 24
    attempts: int = 3
    own_return_paths: bool = True

    def desk_of(self, address: str) -> RunningDesk | None:
        """The desk that an address, tagged or not, belongs to; for a role address the first desk of its domain."""
        return self._own_desk_of(address) or self._role_desk_of(address)

    def is_role(self, address: str) -> bool:
        """Whether it is postmaster or abuse at a domain of ours (RFC 2142), and no desk names it as its own."""
        return self._own_desk_of(address) is None and self._role_desk_of(address) is not None

    def _own_desk_of(self, address: str) -> RunningDesk | None:
        plain = untagged(address)[0]
        return next((desk for desk in self.desks.values() if plain in desk.facts.addresses), None) if plain else None

    def _role_desk_of(self, address: str) -> RunningDesk | None:
        if address.lower() == BARE_ROLE:
            return next(iter(self.desks.values()), None)
        local, _, domain = fold(address).rpartition("@")
        if local not in ROLES:
            return None
        ours = (desk for desk in self.desks.values() if any(domain_of(one) == domain for one in desk.facts.addresses))
        return next(ours, None)

    def tenants_of(self, recipients: Iterable[str]) -> tuple[str, ...]:
        """The tenants that these recipients address, each once, in order."""
        found = [desk.facts.tenant for desk in map(self.desk_of, recipients) if desk]
        return tuple(dict.fromkeys(found))

    def first_desk(self, tenant: str, addresses: Iterable[str]) -> RunningDesk | None:
        """The first desk of a tenant among these addresses; a role address counts where none is a desk's own."""
        named = list(addresses)
        desks = (*map(self._own_desk_of, named), *map(self._role_desk_of, named))
        return next((desk for desk in desks if desk and desk.facts.tenant == tenant), None)
