"""Databases of both engines with all tables, copied from one made once per test worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from helpdesk.store import migrate
from helpdesk.store.engine import connect
from helpdesk.store.tables import metadata

if TYPE_CHECKING:
    from tests.servers.postgres import Postgres


def _made(url: str) -> None:
    engine = connect(url)
    migrate.upgrade(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and no rows."""
    file = tmp_path_factory.mktemp("template") / "helpdesk.db"
    _made(f"sqlite:///{file}")
    return file


@pytest.fixture(scope="session")
def postgres_engine(postgres: Postgres) -> Iterator[sa.Engine]:
    """A PostgreSQL database with all tables."""
    url = postgres.database()
    engine = connect(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        # No test pulls the plug of the server, so it need not wait for the disk.
        connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
    migrate.upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite(sqlite_template: Path, tmp_path: Path) -> Iterator[sa.Engine]:
    """A SQLite database that no other test uses."""
    engine = connect(f"sqlite:///{shutil.copy(sqlite_template, tmp_path / 'helpdesk.db')}")
    yield engine
    engine.dispose()


@pytest.fixture
def postgresql(postgres_engine: sa.Engine) -> Iterator[sa.Engine]:
    """A PostgreSQL database without rows; emptied afterwards, which is quicker than making one for each test."""
    yield postgres_engine
    names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
    with postgres_engine.begin() as connection:
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest) -> sa.Engine:
    """A database of each engine: every store test runs on both."""
    found: sa.Engine = request.getfixturevalue(request.param)
    return found
