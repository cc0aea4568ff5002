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
        command.upgrade(_config(connection), "head")


def revision(engine: sa.Engine) -> str | None:
    """The schema that the database has, None for an empty one."""
    with engine.connect() as connection:
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
