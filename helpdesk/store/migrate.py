"""Bring a database to the newest schema, forward from every released one (Alembic, run from the code)."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

#: The newest schema; a test keeps it equal to the last file in migrations/versions.
HEAD = "0001"


def upgrade(engine: sa.Engine) -> None:
    """Make or upgrade the tables; does nothing, quickly, where they are the newest."""
    if revision(engine) == HEAD:
        return
    from alembic import command  # slow to import and seldom needed

    with engine.begin() as connection:
        one_at_a_time(connection)
        if _revision(connection) != HEAD:
            command.upgrade(_config(connection), "head")


def one_at_a_time(connection: sa.Connection) -> None:
    """Let no other daemon set up the same database until this transaction ends; SQLite sees to it by itself."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4358)")


def revision(engine: sa.Engine) -> str | None:
    """The schema that the database has, None for an empty one."""
    with engine.connect() as connection:
        return _revision(connection)


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return str(found) if found else None


def _config(connection: sa.Connection):  # type: ignore[no-untyped-def]
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
