from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime

import pytest
import sqlalchemy as sa

from helpdesk.domain.errors import ConfigError, TemporaryFailure
from helpdesk.domain.event import EventKind
from helpdesk.store.engine import claim_file, connect, lease_clock, reading
from helpdesk.store.tables import counter, event, ticket
from helpdesk.store.tickets import add_event, history
from tests.store.rows import NOW, add_ticket


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/helpdesk", "'mysql' is not known"),
        ("helpdesk.sqlite", "is no address"),
        ("", "is no address"),
        ("sqlite://", "must name a file"),
        ("sqlite:///:memory:", "must name a file"),
        ("sqlite:////no/such/folder/helpdesk.db", "/no/such/folder does not exist"),
    ],
)
def test_a_wrong_address_is_named(url, words):
    with pytest.raises(ConfigError) as caught:
        connect(url)

    assert caught.value.key == "database.url"
    assert words in str(caught.value)


def test_sqlite_is_opened_as_durable_as_we_promise(sqlite):
    with sqlite.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }

    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_a_reader_never_waits_for_the_writer(engine):
    with engine.begin() as writing, reading(engine).begin() as other:
        writing.execute(sa.insert(counter).values(name="unseen", value=1))
        assert other.execute(sa.select(counter)).all() == []


def test_leases_are_measured_in_real_seconds(engine):
    with engine.connect() as connection:
        first = lease_clock(connection)
        time.sleep(0.02)
        second = lease_clock(connection)

    assert abs(first - time.time()) < 5
    assert 0.01 < second - first < 5


def test_text_loses_what_databases_refuse(engine):
    with engine.begin() as connection:
        number = add_ticket(connection, subject="a\x00b\ud800c")
        add_event(
            connection, tenant="acme", ticket_id=number, at=NOW, kind=EventKind.NOTE, text="\x00\udfff.",
            data={"files": ["\x00\ud800"]},
        )  # fmt: skip

        assert connection.execute(sa.select(ticket.c.subject)).scalar_one() == "ab?c"
        assert history(connection, number)[0].text == "?."


def test_an_instant_needs_a_zone(engine):
    with engine.begin() as connection:
        number = add_ticket(connection)
        with pytest.raises(sa.exc.StatementError, match="an instant needs a zone"), connection.begin_nested():
            connection.execute(
                sa.insert(event).values(tenant="acme", ticket_id=number, at=datetime(2026, 1, 1), kind="note", data={})
            )


def test_a_second_daemon_is_refused_by_name(tmp_path):
    url = f"sqlite:///{tmp_path / 'helpdesk.db'}"
    lock = claim_file(url)

    with pytest.raises(TemporaryFailure, match=rf"process {os.getpid()}\b"):
        claim_file(url)

    lock.close()
    claim_file(url).close()


def test_a_dead_daemon_holds_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'helpdesk.db'}"
    code = f"import os, sys; from helpdesk.store.engine import claim_file; lock = claim_file({url!r}); os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9

    claim_file(url).close()


def test_many_daemons_may_share_a_postgresql():
    assert claim_file("postgresql://localhost/helpdesk") is None
