from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from helpdesk.store import outbox
from helpdesk.store.engine import lease_clock
from tests.store.rows import NOW, letter


@pytest.fixture
def connection(engine):
    with engine.begin() as opened:
        yield opened


def claim(connection, relay="main", now=NOW, limit=10):
    return outbox.claim(connection, relay, now, limit)


def run_out(connection):
    connection.execute(sa.update(outbox.outbox).values(lease_until=lease_clock(connection) - 1))


def test_due_rows_of_a_relay_go_oldest_first_and_to_one(connection):
    for name, changed in {
        "first": {},
        "elsewhere": {"relay": "staff"},
        "second": {},
        "later": {"not_before": NOW + timedelta(minutes=1)},
        "third": {},
    }.items():
        outbox.add(connection, letter(f"{name}@globex.example", **changed), NOW)

    rows = [*claim(connection, limit=2), *claim(connection)]

    assert [row.recipient.partition("@")[0] for row in rows] == ["first", "second", "third"]
    assert {row.attempts for row in rows} == {1}
    assert claim(connection) == []
    assert len(claim(connection, now=NOW + timedelta(minutes=1))) == 1
    assert len(claim(connection, relay="staff")) == 1


def test_every_attempt_has_the_same_bytes(connection):
    outbox.add(connection, letter(data=b"\x00\xff exactly"), NOW)
    (taken,) = claim(connection)
    outbox.put_off(connection, taken, "451 later", NOW)

    assert claim(connection)[0].data == taken.data == b"\x00\xff exactly"


def test_a_row_ends_once(connection):
    outbox.add(connection, letter(), NOW)
    (taken,) = claim(connection)

    assert outbox.end(connection, taken, "sent", "250 ok", NOW)
    assert not outbox.end(connection, taken, "failed", "550 no", NOW)
    assert not outbox.put_off(connection, taken, "451 later", NOW)
    run_out(connection)
    assert claim(connection) == []
    (row,) = outbox.listing(connection, ended=True)
    assert (row.state, row.last_error) == ("sent", "250 ok")


def test_whoever_lost_the_lease_changes_nothing(connection):
    outbox.add(connection, letter(), NOW)
    (late,) = claim(connection)
    run_out(connection)
    (owner,) = claim(connection)

    assert not outbox.end(connection, late, "failed", "late", NOW)
    assert not outbox.put_off(connection, late, "late", NOW + timedelta(days=1))
    outbox.hand_back(connection, [late])
    assert claim(connection) == []
    assert outbox.end(connection, owner, "sent", "250 ok", NOW)


def test_a_put_off_row_waits_and_says_why(connection):
    outbox.add(connection, letter(), NOW)
    (taken,) = claim(connection)
    later = NOW + timedelta(minutes=5)

    assert outbox.put_off(connection, taken, "451 greylisted", later)

    assert claim(connection) == []
    assert outbox.next_due(connection, "main") == later
    assert outbox.listing(connection)[0].last_error == "451 greylisted"
    (again,) = claim(connection, now=later)
    assert (again.attempts, again.lease_no) == (2, taken.lease_no + 1)


def test_what_was_not_tried_counts_no_attempt(connection):
    outbox.add(connection, letter(), NOW)

    outbox.hand_back(connection, claim(connection))

    assert claim(connection)[0].attempts == 1


def test_a_starting_daemon_frees_what_the_last_one_held(connection):
    outbox.add(connection, letter(), NOW)
    claim(connection)

    outbox.drop_leases(connection)

    assert len(claim(connection)) == 1


def test_several_daemons_claim_different_rows(postgresql):
    with postgresql.begin() as connection:
        for _ in range(4):
            outbox.add(connection, letter(), NOW)

    with postgresql.begin() as one, postgresql.begin() as other:
        first, second = claim(one, limit=2), claim(other)

    assert len({row.id for row in (*first, *second)}) == len(first) + len(second) == 4


def test_rations_count_automatic_mail_to_one_address_of_one_tenant(connection):
    def ago(**span: int) -> None:
        outbox.add(connection, letter("Bob@GLOBEX.example"), NOW - timedelta(**span))

    ago(minutes=59)
    ago(minutes=61)
    ago(hours=23)
    ago(hours=25)
    outbox.add(connection, letter(kind="human"), NOW)
    outbox.add(connection, letter(tenant="umbra"), NOW)
    outbox.add(connection, letter("eve@globex.example"), NOW)
    outbox.add(connection, letter("ann@acme.example", block="unproven"), NOW)

    assert outbox.automatic_since(connection, "acme", "bob@globex.example", NOW)[:2] == (3, 1)
    assert outbox.automatic_since(connection, "acme", "ann@acme.example", NOW)[:3] == (1, 1, 1)
    assert outbox.automatic_since(connection, "acme", "zoe@globex.example", NOW)[:3] == (0, 0, 0)


def test_the_ration_does_not_forget_what_was_sent(connection):
    outbox.add(connection, letter(), NOW)
    (taken,) = claim(connection)
    outbox.end(connection, taken, "sent", "250 ok", NOW)

    assert outbox.automatic_since(connection, "acme", "bob@globex.example", NOW)[:2] == (1, 1)
