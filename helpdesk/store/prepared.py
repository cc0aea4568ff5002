"""Statements of the hot path, compiled once and run on the driver's own cursor.

SQLAlchemy Core builds and compiles a statement anew, or looks it up by a key that it computes anew, at each call: with some
thirty statements a mail that was most of a mail's cost (245 microseconds for an insert, 20 here). What is in the
statement stays Core; its values are bound by name. Lists of values (``IN``) cannot be bound, they stay with Core.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from helpdesk.store import damage

_Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class _Compiled:
    """SQL for one dialect; ``binds`` are name, value of a constant, conversion, whether it is a constant."""

    sql: str
    binds: tuple[tuple[str, Any, _Convert | None, bool], ...]
    positional: bool
    row: Callable[[Sequence[Any]], Any]


class Prepared:
    """One statement. ``make`` gives it, for the dialect of this name where the databases spell it differently.

    Parameters are ``sa.bindparam("name")`` in the statement and keyword arguments of the call; columns of an insert or
    update without a value become parameters of their own name if they are listed in ``columns``.
    """

    def __init__(self, make: Callable[[str], sa.ClauseElement] | sa.ClauseElement, columns: Sequence[str] = ()) -> None:
        self._make, self._columns = make, list(columns)
        self._compiled: dict[str, _Compiled] = {}

    def rows(self, connection: sa.Connection, **values: Any) -> list[Any]:
        """All rows, each with its columns as attributes."""
        cursor, compiled = self._execute(connection, values)
        rows = [compiled.row(row) for row in cursor.fetchall()]
        cursor.close()
        return rows

    def first(self, connection: sa.Connection, **values: Any) -> Any | None:
        """The first row, or None."""
        cursor, compiled = self._execute(connection, values)
        row = cursor.fetchone()
        cursor.close()
        return None if row is None else compiled.row(row)

    def scalar(self, connection: sa.Connection, **values: Any) -> Any:
        """The first column of the first row; None where there is none."""
        row = self.first(connection, **values)
        return None if row is None else row[0]

    def run(self, connection: sa.Connection, **values: Any) -> int:
        """Carry out a statement that gives no rows; how many it touched."""
        cursor, _ = self._execute(connection, values)
        count: int = cursor.rowcount
        cursor.close()
        return count

    def _execute(self, connection: sa.Connection, values: dict[str, Any]) -> tuple[Any, _Compiled]:
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name) or self._compile(dialect)
        if not connection.in_transaction():
            connection.begin()
        named = [
            constant if fixed else values[name] if convert is None else convert(values[name])
            for name, constant, convert, fixed in compiled.binds
        ]
        parameters = named if compiled.positional else dict(zip((b[0] for b in compiled.binds), named, strict=True))
        cursor = connection.connection.cursor()
        try:
            cursor.execute(compiled.sql, parameters)
        except dialect.loaded_dbapi.Error as error:
            _raise(connection, compiled.sql, error, cursor)
        return cursor, compiled

    def _compile(self, dialect: sa.Dialect) -> _Compiled:
        statement = self._make(dialect.name) if callable(self._make) else self._make
        made: Any = statement.compile(dialect=dialect, column_keys=self._columns or None)
        names = made.positiontup if made.positional else list(made.binds)
        binds = tuple(_bind(made, name, dialect) for name in names)
        columns = list(getattr(statement, "exported_columns", ()))
        found = self._compiled[dialect.name] = _Compiled(made.string, binds, made.positional, _row(columns, dialect))
        return found


def insert(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> int:
    """Insert a row; its id."""
    row: int = _insert(table, tuple(values)).scalar(connection, **values)
    return row


def insert_or_ignore(connection: sa.Connection, table: sa.Table, values: Mapping[str, Any]) -> bool:
    """Insert a row; False where a unique key says that it exists already."""
    return _insert_or_ignore(table, tuple(values)).run(connection, **values) == 1


def update(connection: sa.Connection, table: sa.Table, row_id: int, values: Mapping[str, Any]) -> int:
    """Change columns of the row with this id; how many rows that were."""
    return _update(table, tuple(values)).run(connection, row_id=row_id, **values)


@cache
def _insert(table: sa.Table, columns: tuple[str, ...]) -> Prepared:
    return Prepared(sa.insert(table).returning(table.c.id), columns)


@cache
def _insert_or_ignore(table: sa.Table, columns: tuple[str, ...]) -> Prepared:
    # The one statement that the two databases spell in their own modules.
    modules = {"sqlite": sqlite, "postgresql": postgresql}
    return Prepared(lambda name: modules[name].insert(table).on_conflict_do_nothing(), columns)


@cache
def _update(table: sa.Table, columns: tuple[str, ...]) -> Prepared:
    return Prepared(sa.update(table).where(table.c.id == sa.bindparam("row_id")), columns)


def _bind(made: Any, name: str, dialect: sa.Dialect) -> tuple[str, Any, _Convert | None, bool]:
    bind = made.binds[name]
    convert = bind.type.dialect_impl(dialect).bind_processor(dialect)
    if bind.required or bind.value is None:
        return name, None, convert, False
    return name, convert(bind.value) if convert else bind.value, None, True


def _row(columns: Sequence[Any], dialect: sa.Dialect) -> Callable[[Sequence[Any]], Any]:
    """Turn what the driver gives into a named tuple."""
    kind: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
    converts = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
    changed = [(number, convert) for number, convert in enumerate(converts) if convert is not None]

    def make(row: Sequence[Any]) -> Any:
        if not changed:
            return kind._make(row)
        cells = list(row)
        for number, convert in changed:
            cells[number] = convert(cells[number])
        return kind._make(cells)

    return make


def _raise(connection: sa.Connection, sql: str, error: Exception, cursor: Any) -> None:
    """The driver's error as SQLAlchemy's, so that callers need to know one family; a lost connection is given up."""
    dialect = connection.dialect
    damage.note(connection.engine, error)
    lost = dialect.is_disconnect(error, connection.connection, cursor)  # type: ignore[arg-type]
    if lost:
        connection.invalidate(error)
    raise sa.exc.DBAPIError.instance(
        sql,
        None,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=dialect,
    ) from error
