from __future__ import annotations

import pytest
import sqlalchemy as sa

from tests.pipeline.office import Office
from tests.store.databases import engine, postgres_engine, postgresql, sqlite, sqlite_template

__all__ = ["engine", "postgres_engine", "postgresql", "sqlite", "sqlite_template"]


@pytest.fixture
def office(engine: sa.Engine) -> Office:
    """Two tenants with their desks, people and contracts, on both engines."""
    return Office(engine)


@pytest.fixture
def desk(sqlite: sa.Engine) -> Office:
    """The same on SQLite alone, for what does not depend on the database."""
    return Office(sqlite)
