"""Damage is told from other faults, remembered beside the file, and a log that SQLite took up whole is none."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from helpdesk.domain.errors import ConfigError
from helpdesk.store import damage
from helpdesk.store.damage import LogCheck
from helpdesk.store.engine import connect, is_fault_of_database

#: Leaves a file with a log, and the log's index, as a killed daemon does; the argument says what is moved over before.
KILLED = """
import os, sqlite3, sys
one = sqlite3.connect(sys.argv[1], isolation_level=None)
one.execute("PRAGMA journal_mode=WAL")
one.execute("CREATE TABLE t (x)")
for _ in range(9):
    one.execute("INSERT INTO t VALUES (randomblob(3000))")
if sys.argv[2]:
    one.execute(f"PRAGMA wal_checkpoint({sys.argv[2]})")
os._exit(9)
"""


def _killed(file: Path, moved: str = "") -> Path:
    subprocess.run([sys.executable, "-c", KILLED, str(file), moved], check=False)
    return file.with_name(f"{file.name}-wal")


def _open(file: Path) -> None:
    engine = connect(f"sqlite:///{file}")
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM t").scalar()
    engine.dispose()


def _sqlite_error(code: int) -> sa.exc.DBAPIError:
    fault = sqlite3.DatabaseError("x")
    fault.sqlite_errorcode = code
    return sa.exc.DatabaseError("SELECT", None, fault)


@pytest.mark.parametrize(
    ("problem", "damaged", "databases"),
    [
        (_sqlite_error(sqlite3.SQLITE_CORRUPT), True, True),
        (_sqlite_error(sqlite3.SQLITE_CORRUPT | 1 << 8), True, True),
        (_sqlite_error(sqlite3.SQLITE_NOTADB), True, True),
        (_sqlite_error(sqlite3.SQLITE_FULL), False, True),
        (sa.exc.InternalError("SELECT", None, psycopg.errors.DataCorrupted()), True, True),
        (sa.exc.InternalError("SELECT", None, psycopg.errors.InFailedSqlTransaction()), False, False),
        (sa.exc.OperationalError("SELECT", None, Exception("locked")), False, True),
        (sa.exc.IntegrityError("SELECT", None, sqlite3.IntegrityError("x")), False, False),
        (ValueError("x"), False, False),
    ],
)
def test_damage_and_faults_of_the_database_are_told_from_others(problem, damaged, databases):
    assert damage.is_damage(problem) is damaged
    assert is_fault_of_database(problem) is databases


def test_damage_is_remembered_until_a_person_takes_the_mark_away(tmp_path):
    file = tmp_path / "helpdesk.sqlite"
    engine = connect(f"sqlite:///{file}")
    assert damage.noted(engine) == ""

    damage.note(engine, sqlite3.OperationalError("disk full"))
    assert damage.noted(engine) == ""
    damage.note(engine, _sqlite_error(sqlite3.SQLITE_CORRUPT))
    assert damage.noted(engine) == "x"
    with pytest.raises(ConfigError, match="is damaged"):
        connect(f"sqlite:///{file}")

    (tmp_path / "helpdesk.sqlite.damaged").unlink()
    connect(f"sqlite:///{file}")


@pytest.mark.parametrize("moved", ["", "PASSIVE", "TRUNCATE"])
def test_a_log_that_a_kill_left_is_taken_up(tmp_path, moved):
    file = tmp_path / "helpdesk.sqlite"
    _killed(file, moved)

    _open(file)
    assert list(tmp_path.glob("*.damaged*")) == []


def test_a_log_that_is_gone_is_no_loss_where_all_of_it_is_in_the_file(tmp_path):
    file = tmp_path / "helpdesk.sqlite"
    _killed(file, "PASSIVE").unlink()

    _open(file)


def test_a_log_that_is_cut_is_named_and_kept(tmp_path):
    file = tmp_path / "helpdesk.sqlite"
    log = _killed(file)
    os.truncate(log, log.stat().st_size - 1)
    left = log.read_bytes()

    with pytest.raises(ConfigError, match=r"\d of \d+ pages of its write-ahead log cannot be read"):
        _open(file)
    assert (tmp_path / "helpdesk.sqlite.damaged-wal").read_bytes() == left
    with pytest.raises(ConfigError, match="is damaged"):
        connect(f"sqlite:///{file}")


def test_a_log_begun_anew_meanwhile_is_no_loss(tmp_path):
    """Somebody else writes between our look at the index and our first connection."""
    file = tmp_path / "helpdesk.sqlite"
    _killed(file)
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("INSERT INTO t VALUES (1)")
        check = LogCheck(file)
        other.execute("PRAGMA wal_checkpoint(RESTART)")
        other.execute("INSERT INTO t VALUES (1)")
        check.compare()
