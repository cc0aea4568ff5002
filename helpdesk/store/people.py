"""People, organisations and contracts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from helpdesk.domain.address import domain_of, fold
from helpdesk.domain.contract import Contract
from helpdesk.domain.people import Organisation, Person
from helpdesk.store.prepared import Prepared, insert_or_ignore
from helpdesk.store.tables import address, contract, domain, membership, organisation, person

_PERSON = (
    sa.select(
        person.c.id,
        person.c.name,
        person.c.language,
        person.c.zone,
        person.c.agent,
        membership.c.role,
        membership.c.ends,
        organisation.c.id.label("organisation_id"),
        organisation.c.name.label("organisation"),
        organisation.c.manager,
    )
    .select_from(person)
    .outerjoin(membership, membership.c.person_id == person.c.id)
    .outerjoin(organisation, organisation.c.id == membership.c.organisation_id)
)

#: The id of no organisation.
NOBODYS = 0
#: Whoever went from one organisation to another belongs to the one that did not end, or ended last.
_CURRENT_FIRST = (membership.c.ends.is_not(None), membership.c.ends.desc(), membership.c.id)


_BY_ADDRESS = Prepared(
    _PERSON.add_columns(address.c.written, address.c.unreachable_since, address.c.unreachable_why)
    .join(address, address.c.person_id == person.c.id)
    .where(
        address.c.tenant == sa.bindparam("tenant"),
        address.c.address == sa.bindparam("folded"),
        address.c.ended_at.is_(None),
    )
    .order_by(*_CURRENT_FIRST)
    .limit(1)
)
_BY_ID = Prepared(
    _PERSON.where(person.c.id == sa.bindparam("person_id"))
    .order_by(membership.c.organisation_id != sa.bindparam("organisation_id"), *_CURRENT_FIRST)
    .limit(1)
)
_WRITTEN = Prepared(
    sa.select(address.c.written, address.c.unreachable_since, address.c.unreachable_why)
    .where(address.c.person_id == sa.bindparam("person_id"))
    .order_by(address.c.ended_at.is_not(None), address.c.position, address.c.id)
    .limit(1)
)


def by_address(connection: sa.Connection, tenant: str, written: str, today: date) -> Person | None:
    """Who uses this address, believed from the address alone."""
    row = _BY_ADDRESS.first(connection, tenant=tenant, folded=fold(written))
    if row is None:
        return None
    found = _person(row, row)
    gone = row.ends is not None and row.ends < today
    return replace(found, organisation=None, role="") if gone else found


def by_id(connection: sa.Connection, person_id: int, organisation_id: int | None = None) -> Person:
    """A person whose id is in a row of ours, seen as a member of this organisation where he is or was one."""
    row = _BY_ID.first(connection, person_id=person_id, organisation_id=organisation_id or NOBODYS)
    assert row is not None
    return _person(row, _WRITTEN.first(connection, person_id=person_id))


def _person(row: Any, on_record: Any | None) -> Person:
    """``on_record`` is the row of the address, None where a person has none."""
    group = None
    if row.organisation_id is not None:
        group = Organisation(row.organisation_id, row.organisation, row.manager)
    return Person(
        id=row.id,
        name=row.name,
        address=on_record.written if on_record else "",
        organisation=group,
        role=row.role or "",
        language=row.language,
        zone=row.zone,
        agent=row.agent,
        unreachable_since=on_record.unreachable_since if on_record else None,
        unreachable_why=on_record.unreachable_why if on_record else "",
    )


def mark_unreachable(connection: sa.Connection, tenant: str, written: str, why: str, at: datetime) -> None:
    """Mail to this address came back for good; of several times the first is kept."""
    connection.execute(
        sa.update(address)
        .where(address.c.tenant == tenant, address.c.address == fold(written), address.c.unreachable_since.is_(None))
        .values(unreachable_since=at, unreachable_why=why)
    )


def mark_reachable(connection: sa.Connection, tenant: str, written: str) -> None:
    """This address takes mail again."""
    connection.execute(
        sa.update(address)
        .where(address.c.tenant == tenant, address.c.address == fold(written))
        .values(unreachable_since=None, unreachable_why="")
    )


_BY_DOMAIN = Prepared(
    sa.select(organisation)
    .join(domain, domain.c.organisation_id == organisation.c.id)
    .where(domain.c.tenant == sa.bindparam("tenant"), domain.c.domain == sa.bindparam("domain"))
)


def by_domain(connection: sa.Connection, tenant: str, written: str) -> Organisation | None:
    """The organisation that owns the domain of an address (SM5); public mail domains are never anybody's."""
    row = _BY_DOMAIN.first(connection, tenant=tenant, domain=domain_of(written))
    return Organisation(row.id, row.name, row.manager) if row else None


def add(connection: sa.Connection, tenant: str, written: str, name: str, organisation_id: int | None = None) -> Person:
    """Somebody who writes for the first time; a member where his domain told the organisation."""
    person_id = connection.execute(
        sa.insert(person).values(tenant=tenant, name=name).returning(person.c.id)
    ).scalar_one()
    given_up = sa.and_(address.c.tenant == tenant, address.c.address == fold(written), address.c.ended_at.is_not(None))
    values = {"written": written, "person_id": person_id, "position": 0, "ended_at": None}
    if not connection.execute(sa.update(address).where(given_up).values(**values)).rowcount:
        connection.execute(sa.insert(address).values(tenant=tenant, address=fold(written), **values))
    if organisation_id is not None:
        join(connection, tenant, person_id, organisation_id, "contact")
    return by_id(connection, person_id)


def join(connection: sa.Connection, tenant: str, person_id: int, organisation_id: int, role: str) -> None:
    """Make a person a member of an organisation, or give him another role in it."""
    values = {"tenant": tenant, "person_id": person_id, "organisation_id": organisation_id, "role": role}
    if not insert_or_ignore(connection, membership, values):
        connection.execute(
            sa.update(membership)
            .where(membership.c.person_id == person_id, membership.c.organisation_id == organisation_id)
            .values(role=role, ends=None)
        )


_CONTRACTS = Prepared(sa.select(contract).where(contract.c.organisation_id == sa.bindparam("organisation_id")))


def contracts_of(connection: sa.Connection, organisation_id: int) -> tuple[Contract, ...]:
    """All agreements of an organisation, whatever their dates."""
    rows = _CONTRACTS.rows(connection, organisation_id=organisation_id)
    return tuple(
        Contract(
            row.id, row.kind, row.number, row.starts, row.ends, tuple(row.products), row.manager, row.organisation_id
        )
        for row in rows
    )


def contract_holder(connection: sa.Connection, tenant: str, numbers: Sequence[str]) -> tuple[Organisation, str] | None:
    """The organisation that one of these contract numbers belongs to, where they all point to the same one."""
    if not numbers:
        return None
    rows = connection.execute(
        sa.select(organisation, contract.c.number)
        .join(contract, contract.c.organisation_id == organisation.c.id)
        .where(contract.c.tenant == tenant, contract.c.folded.in_([number.casefold() for number in numbers]))
    ).all()
    if len({row.id for row in rows}) != 1:
        return None
    return Organisation(rows[0].id, rows[0].name, rows[0].manager), rows[0].number


def organisations(connection: sa.Connection, tenant: str, names: Sequence[str]) -> tuple[Organisation, ...]:
    """Organisations by their exact names, without case."""
    if not names:
        return ()
    rows = connection.execute(
        sa.select(organisation).where(
            organisation.c.tenant == tenant, organisation.c.folded.in_([name.casefold() for name in names])
        )
    )
    return tuple(Organisation(row.id, row.name, row.manager) for row in rows)


@dataclass(frozen=True, slots=True)
class AgentRow:
    """What the settings say of an agent."""

    tenant: str
    key: str
    name: str
    addresses: tuple[str, ...]
    language: str
    zone: str


def sync_agents(connection: sa.Connection, wanted: Sequence[AgentRow], now: datetime) -> Mapping[tuple[str, str], int]:
    """Make the agents' persons as the settings say; those no longer named are ended, never deleted. Ids by (tenant, key)."""
    known = {
        (row.tenant, row.agent): row.id
        for row in connection.execute(
            sa.select(person.c.id, person.c.tenant, person.c.agent).where(person.c.agent != "")
        )
    }
    ids: dict[tuple[str, str], int] = {}
    for agent in wanted:
        values = {"name": agent.name, "language": agent.language, "zone": agent.zone, "ended_at": None}
        person_id = known.get((agent.tenant, agent.key))
        if person_id is None:
            person_id = connection.execute(
                sa.insert(person).values(tenant=agent.tenant, agent=agent.key, **values).returning(person.c.id)
            ).scalar_one()
        else:
            connection.execute(sa.update(person).where(person.c.id == person_id).values(**values))
        ids[agent.tenant, agent.key] = person_id
        _sync_addresses(connection, agent, person_id, now)
    gone = [person_id for key, person_id in known.items() if key not in ids]
    if gone:
        connection.execute(
            sa.update(person).where(person.c.id.in_(gone), person.c.ended_at.is_(None)).values(ended_at=now)
        )
    return ids


def _sync_addresses(connection: sa.Connection, agent: AgentRow, person_id: int, now: datetime) -> None:
    folded = [fold(written) for written in agent.addresses]
    for position, written in enumerate(agent.addresses):
        values = {"written": written, "person_id": person_id, "position": position, "ended_at": None}
        if not insert_or_ignore(connection, address, {"tenant": agent.tenant, "address": fold(written), **values}):
            connection.execute(
                sa.update(address)
                .where(address.c.tenant == agent.tenant, address.c.address == fold(written))
                .values(**values)
            )
    connection.execute(
        sa.update(address)
        .where(address.c.person_id == person_id, address.c.address.not_in(folded), address.c.ended_at.is_(None))
        .values(ended_at=now)
    )
