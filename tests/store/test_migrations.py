from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from helpdesk.store import migrate
from helpdesk.store.engine import connect
from helpdesk.store.tables import counter, metadata

VERSIONS = Path(migrate.__file__).parent / "migrations" / "versions"


def test_migrations_from_nothing_give_the_tables_of_the_code(store_url):
    engine = connect(store_url)
    assert migrate.revision(engine) is None

    migrate.upgrade(engine)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []
    assert migrate.revision(engine) == migrate.HEAD
    engine.dispose()


def test_head_is_the_newest_file():
    newest = max(file.name for file in VERSIONS.glob("[0-9]*.py"))

    assert newest.partition("_")[0] == migrate.HEAD


def test_upgrading_twice_does_no_harm(engine):
    with engine.begin() as connection:
        connection.execute(sa.insert(counter).values(name="kept", value=7))

    migrate.upgrade(engine)

    with engine.connect() as connection:
        assert connection.execute(sa.select(counter.c.value)).scalars().all() == [7]


def test_every_table_of_customers_has_a_tenant():
    """The others hang on a row that has one, or hold nothing of anybody."""
    without = {table.name for table in metadata.sorted_tables if "tenant" not in table.c}

    assert without == {"raw", "sighting", "counter", "participant", "named", "reminder", "outbox_mail"}
