from __future__ import annotations

from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from helpdesk.store import people, tickets
from helpdesk.store.people import AgentRow
from helpdesk.store.tables import address, domain, membership, person
from tests.store.rows import NOW, TODAY, add_contract, add_organisation, add_ticket


@pytest.fixture
def connection(engine):
    with engine.begin() as opened:
        yield opened


def ends(connection, person_id, group, day):
    connection.execute(
        sa.update(membership)
        .where(membership.c.person_id == person_id, membership.c.organisation_id == group)
        .values(ends=day)
    )


def test_an_address_finds_its_person_in_any_case(connection):
    globex = add_organisation(connection, "Globex")
    bob = people.add(connection, "acme", "Bob.Miller@Globex.example", "Bob", globex)

    found = people.by_address(connection, "acme", "bob.miller@GLOBEX.EXAMPLE", TODAY)

    assert found == bob
    assert (found.address, found.organisation.name, found.role) == ("Bob.Miller@Globex.example", "Globex", "contact")


def test_people_of_another_tenant_are_unknown(connection):
    people.add(connection, "acme", "bob@globex.example", "Bob", add_organisation(connection, "Globex"))

    assert people.by_address(connection, "umbra", "bob@globex.example", TODAY) is None


@pytest.mark.parametrize(
    ("day", "member"), [(TODAY + timedelta(days=1), True), (TODAY, True), (TODAY - timedelta(days=1), False)]
)
def test_a_membership_counts_to_the_end_of_its_last_day(connection, day, member):
    globex = add_organisation(connection, "Globex")
    bob = people.add(connection, "acme", "bob@globex.example", "Bob", globex)
    ends(connection, bob.id, globex, day)

    found = people.by_address(connection, "acme", "bob@globex.example", TODAY)

    assert found.id == bob.id
    assert (found.organisation is not None) is member


def test_who_changed_the_organisation_belongs_to_the_new_one(connection):
    globex, initech = add_organisation(connection, "Globex"), add_organisation(connection, "Initech")
    bob = people.add(connection, "acme", "bob@globex.example", "Bob", globex)
    old = add_ticket(connection, bob)
    ends(connection, bob.id, globex, TODAY - timedelta(days=1))
    people.join(connection, "acme", bob.id, initech, "contact")

    moved = people.by_address(connection, "acme", "bob@globex.example", TODAY)
    new = add_ticket(connection, moved)

    assert moved.organisation.id == people.by_id(connection, bob.id).organisation.id == initech
    assert tickets.snapshot(connection, "acme", new).requester.organisation.id == initech
    assert tickets.snapshot(connection, "acme", old).requester.organisation.id == globex


def test_joining_again_renews_a_membership_and_its_role(connection):
    globex = add_organisation(connection, "Globex")
    bob = people.add(connection, "acme", "bob@globex.example", "Bob", globex)
    ends(connection, bob.id, globex, date(2020, 1, 1))

    people.join(connection, "acme", bob.id, globex, "administrator")

    found = people.by_address(connection, "acme", "bob@globex.example", TODAY)
    assert (found.organisation.id, found.role) == (globex, "administrator")


def test_a_domain_belongs_to_an_organisation_of_one_tenant(connection):
    globex = add_organisation(connection, "Globex")
    connection.execute(sa.insert(domain).values(tenant="acme", domain="globex.example", organisation_id=globex))

    assert people.by_domain(connection, "acme", "new@GLOBEX.example").id == globex
    assert people.by_domain(connection, "acme", "new@sub.globex.example") is None
    assert people.by_domain(connection, "umbra", "new@globex.example") is None


def test_contract_numbers_point_to_their_holder_only_where_they_agree(connection):
    globex, initech = add_organisation(connection, "Globex"), add_organisation(connection, "Initech")
    add_contract(connection, globex, "C-77")
    add_contract(connection, globex, "C-78")
    add_contract(connection, initech, "C-99")

    assert people.contract_holder(connection, "acme", ["x", "c-77"])[0].id == globex
    assert people.contract_holder(connection, "acme", ["c-77"])[1] == "C-77"
    assert people.contract_holder(connection, "acme", ["C-77", "C-78"])[0].id == globex
    assert people.contract_holder(connection, "acme", ["C-77", "C-99"]) is None
    assert people.contract_holder(connection, "acme", ["nothing"]) is None
    assert people.contract_holder(connection, "acme", []) is None
    assert people.contract_holder(connection, "umbra", ["C-77"]) is None


def test_contracts_come_back_whole(connection):
    globex = add_organisation(connection, "Globex")
    number = add_contract(connection, globex, "C-77", manager="mia@acme.example")

    (found,) = people.contracts_of(connection, globex)

    assert (found.id, found.number, found.products, found.manager) == (number, "C-77", ("Widget",), "mia@acme.example")
    assert (found.starts, found.ends, found.organisation_id) == (date(2026, 1, 1), date(2027, 6, 30), globex)


def test_organisations_are_found_by_name_without_case(connection):
    globex = add_organisation(connection, "Globex")
    add_organisation(connection, "Globex", tenant="umbra")

    assert [one.id for one in people.organisations(connection, "acme", ["gLOBEX", "none"])] == [globex]
    assert people.organisations(connection, "acme", []) == ()


def agent(*addresses: str, key: str = "ann", name: str = "Ann Berger", tenant: str = "acme") -> AgentRow:
    return AgentRow(tenant, key, name, addresses or ("ann@acme.example",), "en", "")


def by(connection, written, tenant="acme"):
    return people.by_address(connection, tenant, written, TODAY)


def test_agents_become_persons_once(connection):
    first = people.sync_agents(connection, [agent()], NOW)
    second = people.sync_agents(connection, [agent(name="Ann Bergmann")], NOW)

    assert first == second
    found = by(connection, "ann@acme.example")
    assert (found.id, found.agent, found.name) == (first["acme", "ann"], "ann", "Ann Bergmann")


def test_an_agent_who_left_is_ended_and_may_come_back(connection):
    ids = people.sync_agents(connection, [agent(), agent("leo@acme.example", key="leo")], NOW)
    gone = ids["acme", "ann"]

    people.sync_agents(connection, [agent("leo@acme.example", key="leo")], NOW)
    ended = connection.execute(sa.select(person.c.ended_at).where(person.c.id == gone)).scalar()
    back = people.sync_agents(connection, [agent(), agent("leo@acme.example", key="leo")], NOW)

    assert ended == NOW
    assert back["acme", "ann"] == gone
    assert connection.execute(sa.select(person.c.ended_at).where(person.c.id == gone)).scalar() is None


def test_an_agents_address_changes(connection):
    people.sync_agents(connection, [agent("ann@acme.example", "a.berger@acme.example")], NOW)
    ids = people.sync_agents(connection, [agent("berger@acme.example", "a.berger@acme.example")], NOW)

    assert by(connection, "ann@acme.example") is None
    assert by(connection, "a.berger@acme.example").id == by(connection, "berger@acme.example").id
    assert people.by_id(connection, ids["acme", "ann"]).address == "berger@acme.example"
    assert (
        connection.execute(sa.select(address.c.ended_at).where(address.c.address == "ann@acme.example")).scalar() == NOW
    )


def test_an_address_moves_from_one_agent_to_another(connection):
    people.sync_agents(connection, [agent("desk@acme.example", "ann@acme.example")], NOW)
    ids = people.sync_agents(connection, [agent("ann@acme.example"), agent("desk@acme.example", key="leo")], NOW)

    assert by(connection, "desk@acme.example").id == ids["acme", "leo"]


def test_whoever_gets_a_given_up_address_is_somebody_new(connection):
    ids = people.sync_agents(connection, [agent("old@acme.example")], NOW)
    people.sync_agents(connection, [agent("new@acme.example")], NOW)

    newcomer = people.add(connection, "acme", "old@acme.example", "")

    assert newcomer.id not in ids.values()
    assert by(connection, "old@acme.example") == newcomer
    assert newcomer.agent == ""


def test_agents_of_two_tenants_with_one_key_are_two(connection):
    ids = people.sync_agents(connection, [agent(), agent(tenant="umbra")], NOW)

    assert len(set(ids.values())) == 2
    assert by(connection, "ann@acme.example", "umbra").id == ids["umbra", "ann"]
