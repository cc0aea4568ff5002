"""What the commands open: the database that the settings name, and the mail files they are given."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from helpdesk.cli.terminal import Stopped, one_line
from helpdesk.domain.errors import ConfigError, TemporaryFailure

if TYPE_CHECKING:
    import sqlalchemy as sa

    from helpdesk.settings import Settings
    from helpdesk.timesource import TimeSource


@contextmanager
def database(settings: Settings) -> Iterator[sa.Engine]:
    """The database with its newest tables; whatever it refuses inside the block is a TemporaryFailure."""
    from helpdesk.store import migrate
    from helpdesk.store.engine import connect

    try:
        engine = connect(settings.database_url())
    except ModuleNotFoundError as missing:
        raise ConfigError(
            str(settings.folder / "helpdesk.toml"),
            "database.url",
            f"needs the package {missing.name}: pip install 'helpdesk[postgres]'",
        ) from None
    with database_faults():
        try:
            migrate.upgrade(engine)
            yield engine
        finally:
            engine.dispose()


@contextmanager
def database_faults() -> Iterator[None]:
    """Turn what a database refuses into a TemporaryFailure in its own words; into a ConfigError where it is damaged."""
    import sqlalchemy as sa

    from helpdesk.store import damage

    try:
        yield
    except (sa.exc.OperationalError, sa.exc.DatabaseError) as fault:
        if damage.is_damage(fault):
            raise ConfigError("the database", "", f"is damaged ({fault.orig}): {damage.RESTORE}") from fault
        raise TemporaryFailure(f"the database cannot be used: {one_line(str(fault.orig).strip())}") from fault


def clock(settings: Settings) -> TimeSource:
    """The time source that the daemon of these settings uses."""
    from helpdesk.timesource import Shifted, real

    offset = settings.main.time.offset_file
    return Shifted(offset) if offset else real


def read_bytes(name: str, limit: int) -> bytes:
    """The bytes of a file, or of stdin for ``-``; exit code 66 where there is none, 65 beyond ``limit`` bytes."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(limit + 1)
    except OSError as problem:
        raise Stopped(f"{name}: {problem.strerror}", os.EX_NOINPUT) from None
    if len(data) > limit:
        raise Stopped(f"{name}: is larger than the limit of {limit // 1024 // 1024} MB", os.EX_DATAERR)
    return data


def largest_mail(settings: Settings) -> int:
    """The size in bytes up to which some door of ours takes a mail."""
    main = settings.main
    limits = [one.max_megabytes for one in main.listener] + [one.max_megabytes for one in main.mailbox]
    return max(limits, default=35) * 1024 * 1024
