"""Take over contact and contract rows: new ones are added, known ones changed where they differ, nothing is deleted.

What is known is read once, so that importing the same files again reads and writes nothing more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from helpdesk.domain.address import fold
from helpdesk.domain.facts import Trigger
from helpdesk.domain.tables import ContactRow, ContractRow, Problem
from helpdesk.store import inputs, tickets
from helpdesk.store.tables import address, contract, domain, membership, organisation, person


@dataclass(slots=True)
class Count:
    """How many rows of one kind were added, changed, or there already."""

    new: int = 0
    changed: int = 0
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did; ``woken`` counts the held tickets that look for a contract again."""

    counts: Mapping[str, Count]
    woken: int


@dataclass(slots=True)
class _Known:
    """What the database has of a tenant, by what the files call it."""

    organisations: dict[str, int]
    names: dict[int, str]
    domains: dict[str, int]
    people: dict[str, Any]
    memberships: dict[int, list[Any]]
    contracts: dict[tuple[str, date], Any]
    counts: dict[str, Count] = field(
        default_factory=lambda: {kind: Count() for kind in ("organisations", "domains", "contacts", "contracts")}
    )


def conflicts(
    connection: sa.Connection,
    tenant: str,
    contacts: Sequence[tuple[str, ContactRow]],
    contracts: Sequence[tuple[str, ContractRow]],
) -> list[Problem]:
    """What cannot be taken over because other lines or the database say otherwise; each row comes with its file."""
    known = _known(connection, tenant)
    problems = [*_said_twice(contacts, lambda row: fold(row.address), "address")]
    problems += _said_twice(contracts, lambda row: (row.number.casefold(), row.start), "number")
    domains: dict[str, str] = {name: known.names[group] for name, group in known.domains.items()}
    for file, row in contacts:
        owner = known.people.get(fold(row.address))
        if owner is not None and owner.agent:
            problems.append(
                Problem(file, row.line, "address", row.address, f"is an address of agent {owner.agent}", "a contact's")
            )
        if row.domain:
            holder = domains.setdefault(row.domain, row.organisation)
            if holder.casefold() != row.organisation.casefold():
                problems.append(
                    Problem(file, row.line, "domain", row.domain, f"belongs to {holder!r}", "one organisation for each")
                )
    holders = {number: known.names[old.organisation_id] for (number, _), old in known.contracts.items()}
    for file, agreement in contracts:
        holder = holders.get(agreement.number.casefold(), agreement.organisation)
        if holder.casefold() != agreement.organisation.casefold():
            problems.append(
                Problem(
                    file, agreement.line, "number", agreement.number, f"belongs to {holder!r}", "a number of its own"
                )
            )
    return problems


def _said_twice(rows: Sequence[tuple[str, Any]], key: Callable[[Any], object], column: str) -> list[Problem]:
    """Lines that name the same thing and say different things of it."""
    first: dict[object, tuple[str, Any]] = {}
    problems = []
    for file, row in rows:
        other_file, other = first.setdefault(key(row), (file, row))
        same = all(getattr(row, name) == getattr(other, name) for name in row.__dataclass_fields__ if name != "line")
        if not same:
            where = f"line {other.line}" + ("" if other_file == file else f" of {other_file}")
            problems.append(
                Problem(file, row.line, column, getattr(row, column), f"is in {where} already, with other values")
            )
    return problems


def take_over(
    connection: sa.Connection,
    tenant: str,
    contacts: Sequence[ContactRow],
    contracts: Sequence[ContractRow],
    today: date,
    now: datetime,
) -> Imported:
    """Write the rows, which have no ``conflicts``; held tickets of organisations with news in contracts are woken.

    A person whose row names another organisation than the database belongs to the new one from ``today`` on.
    """
    known = _known(connection, tenant)
    for row in contacts:
        group = _organisation(connection, tenant, known, row.organisation)
        _domain(connection, tenant, known, row.domain, group)
        _contact(connection, tenant, known, row, group, today)
    renewed: dict[int, None] = {}
    for agreement in contracts:
        group = _organisation(connection, tenant, known, agreement.organisation)
        if _contract(connection, tenant, known, agreement, group):
            renewed[group] = None
    woken = [ticket for group in renewed for ticket in tickets.held_for_contract(connection, group)]
    woken += tickets.adopt_members(connection, tenant)
    for ticket in woken:
        inputs.add(connection, tenant, Trigger.CHANGE.value, ticket, {"kind": "contract"}, now)
    return Imported(known.counts, len(woken))


def _known(connection: sa.Connection, tenant: str) -> _Known:
    groups = connection.execute(sa.select(organisation).where(organisation.c.tenant == tenant)).all()
    people = connection.execute(
        sa.select(address.c.address, address.c.ended_at.label("address_ended"), person)
        .join(person, person.c.id == address.c.person_id)
        .where(address.c.tenant == tenant)
    ).all()
    members: dict[int, list[Any]] = {}
    for row in connection.execute(sa.select(membership).where(membership.c.tenant == tenant)):
        members.setdefault(row.person_id, []).append(row)
    agreements = connection.execute(sa.select(contract).where(contract.c.tenant == tenant)).all()
    return _Known(
        organisations={row.folded: row.id for row in groups},
        names={row.id: row.name for row in groups},
        domains={
            row.domain: row.organisation_id
            for row in connection.execute(sa.select(domain).where(domain.c.tenant == tenant))
        },
        people={row.address: row for row in people},
        memberships=members,
        contracts={(row.folded, row.starts): row for row in agreements},
    )


def _organisation(connection: sa.Connection, tenant: str, known: _Known, name: str) -> int:
    folded = name.casefold()
    if folded not in known.organisations:
        known.organisations[folded] = _insert(connection, organisation, tenant=tenant, name=name, folded=folded)
        known.counts["organisations"].new += 1
    return known.organisations[folded]


def _domain(connection: sa.Connection, tenant: str, known: _Known, name: str, group: int) -> None:
    if name and name not in known.domains:
        _insert(connection, domain, tenant=tenant, domain=name, organisation_id=group)
        known.domains[name] = group
        known.counts["domains"].new += 1


def _contact(connection: sa.Connection, tenant: str, known: _Known, row: ContactRow, group: int, today: date) -> None:
    old = known.people.get(fold(row.address))
    if old is None:
        person_id = _insert(connection, person, tenant=tenant, name=row.name, language=row.language, zone=row.zone)
        _insert(connection, address, tenant=tenant, address=fold(row.address), written=row.address, person_id=person_id)
        known.people[fold(row.address)] = connection.execute(
            sa.select(address.c.ended_at.label("address_ended"), person)
            .join(person, person.c.id == address.c.person_id)
            .where(person.c.id == person_id)
        ).one()
        _member(connection, tenant, known, person_id, group, row.role.value, today)
        known.counts["contacts"].new += 1
        return
    # An empty cell says nothing about language and zone; only a file that names one changes them.
    wanted = {"name": row.name, "language": row.language or old.language, "zone": row.zone or old.zone}
    changed = _update(connection, person, old.id, old, wanted)
    if old.address_ended is not None:
        mine = sa.and_(address.c.tenant == tenant, address.c.address == fold(row.address))
        connection.execute(sa.update(address).where(mine).values(ended_at=None))
        changed = True
    changed = _member(connection, tenant, known, old.id, group, row.role.value, today) or changed
    _count(known, "contacts", changed=changed)


def _member(
    connection: sa.Connection, tenant: str, known: _Known, person_id: int, group: int, role: str, today: date
) -> bool:
    """Make him a member of this organisation alone; True where he was not already."""
    changed = False
    mine = None
    for old in known.memberships.get(person_id, ()):
        if old.organisation_id == group:
            mine = old
        elif old.ends is None or old.ends >= today:
            changed = _update(connection, membership, old.id, old, {"ends": today - timedelta(days=1)})
    if mine is None:
        _insert(connection, membership, tenant=tenant, person_id=person_id, organisation_id=group, role=role)
        changed = True
    else:
        changed = _update(connection, membership, mine.id, mine, {"role": role, "ends": None}) or changed
    if changed:
        rows = connection.execute(sa.select(membership).where(membership.c.person_id == person_id))
        known.memberships[person_id] = list(rows)
    return changed


def _contract(connection: sa.Connection, tenant: str, known: _Known, row: ContractRow, group: int) -> bool:
    """True where the contract is new or changed."""
    key = (row.number.casefold(), row.start)
    values = {
        "kind": row.kind,
        "number": row.number,
        "products": list(row.products),
        "ends": row.end,
        "manager": row.manager,
    }
    old = known.contracts.get(key)
    if old is not None:
        changed = _update(connection, contract, old.id, old, values)
        _count(known, "contracts", changed=changed)
        return changed
    new = _insert(connection, contract, tenant=tenant, organisation_id=group, folded=key[0], starts=row.start, **values)
    known.contracts[key] = connection.execute(sa.select(contract).where(contract.c.id == new)).one()
    known.counts["contracts"].new += 1
    return True


def _insert(connection: sa.Connection, table: sa.Table, **values: object) -> int:
    return int(connection.execute(sa.insert(table).values(**values).returning(table.c.id)).scalar_one())


def _update(connection: sa.Connection, table: sa.Table, row_id: int, old: Any, wanted: Mapping[str, object]) -> bool:
    """Write the values that differ from the old row; True where any does."""
    differing = {name: value for name, value in wanted.items() if getattr(old, name) != value}
    if differing:
        connection.execute(sa.update(table).where(table.c.id == row_id).values(**differing))
    return bool(differing)


def _count(known: _Known, kind: str, *, changed: bool) -> None:
    if changed:
        known.counts[kind].changed += 1
    else:
        known.counts[kind].unchanged += 1
