"""Insert where it is not there yet: the one statement that the two databases spell in their own modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_ignore(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False where a unique key says that it exists already."""
    if connection.dialect.name == "sqlite":
        done = connection.execute(sqlite.insert(table).values(**values).on_conflict_do_nothing())
    else:
        # psycopg's count is kept only on demand where SQLAlchemy asks for the new id by itself.
        statement = postgresql.insert(table).values(**values).on_conflict_do_nothing()
        done = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return done.rowcount == 1
