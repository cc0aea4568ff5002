"""Open the database: SQLite with the durability we promise, or PostgreSQL; and the lock of the one SQLite daemon.

SQLite: WAL with synchronous=FULL (a commit survives power loss), foreign keys, BEGIN IMMEDIATE (a read that later writes
never fails with BUSY_SNAPSHOT; reliability M16).
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import IO, Any

import sqlalchemy as sa

from helpdesk.domain.errors import ConfigError, HelpdeskError, TemporaryFailure
from helpdesk.store import damage
from helpdesk.store.damage import LogCheck

#: How long a writer waits for another process's lock, in seconds (F10).
BUSY_SECONDS = 30
#: After a kill the last of a daemon's processes may hold its lock for so long, in seconds.
DYING_SECONDS = 1.0
#: PostgreSQL ends the session of a daemon that is silent within a transaction for so long, in seconds: a machine that is
#: paused would keep its locks, and the other daemons waiting, until it comes back (F4).
SILENT_SECONDS = 30
#: A log that is written anew is written in pieces of so many octets.
ANEW_OCTETS = 1 << 20
#: Large pages, since most of what is written is whole mails: half the writes a mail. The write-ahead log is moved over after
#: 16 MB. The page size of a file that is there already stays.
PRAGMAS = (
    "page_size=16384",
    "wal_autocheckpoint=1000",
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "cache_size=-16000",
)


def connect(url: str) -> sa.Engine:
    """An engine for ``sqlite:///PATH`` or ``postgresql://...``; raises ConfigError for any other address."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed)
    raise ConfigError(
        "helpdesk.toml", "database.url", f"'{parsed.drivername}' is not known", "sqlite:///PATH, postgresql://..."
    )


def _parse(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise ConfigError(
            "helpdesk.toml", "database.url", "is no address", "sqlite:///PATH, postgresql://..."
        ) from None


def _postgresql(url: sa.URL) -> sa.Engine:
    driven = url.set(drivername="postgresql+psycopg")
    engine = sa.create_engine(driven, pool_pre_ping=True, pool_size=8, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute(f"SET idle_in_transaction_session_timeout = '{SILENT_SECONDS}s'")
        connection.commit()

    return engine


def _sqlite(url: sa.URL) -> sa.Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigError("helpdesk.toml", "database.url", "must name a file", "sqlite:///PATH")
    folder = Path(url.database).parent
    if not folder.is_dir():
        raise ConfigError("helpdesk.toml", "database.url", f"the folder {folder} does not exist")
    file = Path(url.database)
    damage.refuse(file)
    journal = LogCheck.of(file)
    arguments = {"timeout": BUSY_SECONDS, "check_same_thread": False}
    engine = sa.create_engine(url, connect_args=arguments, hide_parameters=True)

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        journal.compare()

    @sa.event.listens_for(engine, "handle_error")
    def failed(context: sa.ExceptionContext) -> None:
        damage.note(engine, context.original_exception)
        if _is_read_only(context.original_exception):
            # SQLite opened the file without the right to write, and would go on so for as long as it is open.
            context.is_disconnect, context.invalidate_pool_on_disconnect = True, False
            if context.execution_context is not None:
                # A statement that is left would keep the file open beyond its connection's end.
                context.execution_context.cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        reading = connection.get_execution_options().get("helpdesk_reads", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _is_read_only(problem: BaseException) -> bool:
    return getattr(problem, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_READONLY


def is_fault_of_database(problem: BaseException) -> bool:
    """Whether the database failed, whatever it was asked for: no row, mail or ticket is to blame."""
    if not isinstance(problem, sa.exc.DBAPIError):
        return False
    own = isinstance(problem, sa.exc.OperationalError) or type(problem) is sa.exc.DatabaseError
    return own or problem.connection_invalidated or damage.is_damage(problem)


def prove_writable(connection: sa.Connection) -> None:
    """Make the commit of this transaction a write, and fail where none is possible, whatever else is in it.

    A transaction that changed nothing succeeds on a disk that is full or read-only, too.
    """
    if connection.dialect.name == "sqlite":
        version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        connection.exec_driver_sql(f"PRAGMA user_version = {int(version)}")
    else:
        connection.exec_driver_sql("SELECT pg_current_xact_id()")


def write_log_anew(engine: sa.Engine) -> None:
    """Let nothing rest on what a failed sync of SQLite's log left behind; for the start of the one daemon on the file.

    The kernel forgets what it could not write, but goes on showing it: a transaction that was undone because its sync
    failed may look whole to whoever reads the log after a death, and what is committed behind it would be lost with it
    when the power fails. So all that the log shows is written once more, and synced. Raises TemporaryFailure where that
    cannot be done.
    """
    if engine.dialect.name != "sqlite":
        return
    journal = Path(f"{engine.url.database}-wal")
    with engine.begin(), _writing(journal):  # nobody else writes meanwhile
        if not journal.exists():
            return
        with journal.open("r+b") as opened:
            place = 0
            while octets := os.pread(opened.fileno(), ANEW_OCTETS, place):
                place += os.pwrite(opened.fileno(), octets, place)
            os.fsync(opened.fileno())


def reading(engine: sa.Engine) -> sa.Engine:
    """The same engine for transactions that only read, which never wait for the writer."""
    return engine.execution_options(helpdesk_reads=True)


def words_of(problem: Exception, engine: sa.Engine) -> str:
    """What a database says of itself, on one line; only the kind of a fault whose text may hold a customer's words."""
    if isinstance(problem, HelpdeskError):
        return str(problem)
    kind = type(problem).__name__
    told = (sa.exc.OperationalError, sa.exc.InternalError, sa.exc.InterfaceError)
    if not isinstance(problem, told) and type(problem) is not sa.exc.DatabaseError:
        return kind
    lines = str(problem.orig).strip().splitlines()
    words = lines[0] if lines else kind
    return words.replace(engine.url.password, "***") if engine.url.password else words


def lease_clock(connection: sa.Connection) -> float:
    """Seconds by the database's own clock, the one that leases are measured with on every machine."""
    if connection.dialect.name == "sqlite":
        statement = "SELECT (julianday('now') - 2440587.5) * 86400.0"
    else:
        statement = "SELECT extract(epoch from clock_timestamp())"
    return float(connection.exec_driver_sql(statement).scalar_one())


def _locked(file: IO[str]) -> bool:
    """Take the lock; one that a dying daemon still holds is waited for."""
    until = monotonic() + DYING_SECONDS
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if monotonic() > until:
                return False
            sleep(DYING_SECONDS / 20)
        else:
            return True


def claim_file(url: str) -> IO[str] | None:
    """Make this process the one daemon on a SQLite file; None for PostgreSQL, which takes many.

    Raises TemporaryFailure naming the other daemon's process id while one runs, and where nothing can be written. The
    lock ends with the process.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    file = Path(f"{parsed.database}.lock")
    with _writing(file):
        lock = file.open("a+", encoding="utf-8")  # held for the life of the process
    if not _locked(lock):
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise TemporaryFailure(
            f"another helpdesk (process {owner}) already runs on {parsed.database}; stop it first, "
            "or use PostgreSQL for several daemons"
        ) from None
    with _writing(file):
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
    return lock


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise TemporaryFailure(
            f"{file} cannot be written: {problem.strerror}; see that the folder's disk and rights let helpdesk write there"
        ) from problem
