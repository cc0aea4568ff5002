"""Start the real daemon as ``helpdesk serve`` does, and say on a board which phase its threads are in.

    python -m tests.deaths.launch CONFIGDIR [--board FILE] [--threads FILE] [--mutant NAME] [--lease SECONDS]
                                            [--busy SECONDS] [--again SECONDS] [--poison]

Functions of the product are wrapped, never replaced, except by a mutant: that is a daemon with one promise broken, which
the tests must catch. The product knows nothing of this.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.deaths.phases import Board

if TYPE_CHECKING:
    from helpdesk.app import App

#: Mutants that make SQLite sync less than promised.
SYNCHRONOUS = {"no-fsync": "OFF", "fsync-at-checkpoints-only": "NORMAL"}
MUTANTS = (
    *SYNCHRONOUS,
    "early-250",
    "forgetful",
    "250-whatever-happens",
    "no-fence",
    "uncounted",
    "all-at-once",
    "careless",
    "trusting",
)
#: Pages of 16 KB after which the write-ahead log is moved over; the product waits for ten times as many.
CHECKPOINT_PAGES = 100
#: So much memory a process gets that reads poison, in bytes.
READER_BYTES = 512 * 1024 * 1024
#: The early 250 comes so many seconds before the mail is written down.
EARLY_SECONDS = 0.05


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--board", type=Path)
    parser.add_argument("--mutant", choices=MUTANTS)
    parser.add_argument("--threads", type=Path, help="list the threads here once all run")
    parser.add_argument("--lease", type=float, help="claims last so many seconds")
    parser.add_argument("--silent", type=int, help="PostgreSQL bears silence within a transaction for so many seconds")
    parser.add_argument("--busy", type=float, help="the database's lock is waited for so many seconds")
    parser.add_argument("--look", type=float, help="the database is asked how it is every so many seconds")
    parser.add_argument(
        "--again", type=float, help="what the database did not take is offered again after so many seconds"
    )
    parser.add_argument("--poison", action="store_true", help="some mails kill their reading process")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.INFO)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    stop, parent = threading.Event(), os.getppid()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())

    from helpdesk.app import Daemon, build

    board = Board(chosen.board) if chosen.board else None
    if board is not None:
        watch(board)
    if chosen.mutant == "early-250":
        acknowledge_early(board)
    if chosen.mutant in BROKEN:
        BROKEN[chosen.mutant]()
    if chosen.lease is not None:
        shorten_leases(chosen.lease)
    if chosen.silent is not None:
        bear_silence(chosen.silent)
    if chosen.busy is not None:
        wait_less(chosen.busy)
    if chosen.look is not None:
        look_often(chosen.look)
    if chosen.again is not None:
        try_again_soon(chosen.again)
    if chosen.poison:
        take_poison()
    app = build(chosen.folder)
    checkpoint_often(app)
    if chosen.mutant in SYNCHRONOUS:
        sync_less(app, SYNCHRONOUS[chosen.mutant])
    daemon = Daemon(app)
    daemon.start()
    logging.info("ready")
    if chosen.threads:
        new = chosen.threads.with_suffix(".new")
        new.write_text(json.dumps({thread.name: thread.native_id for thread in threading.enumerate()}))
        new.replace(chosen.threads)
    while not stop.wait(1):
        if os.getppid() != parent:  # the test run itself was killed
            break
    daemon.stop()
    logging.info("stopped")
    return 0


def watch(board: Board) -> None:
    """Wrap what begins and ends each phase."""
    from helpdesk.app import Daemon
    from helpdesk.domain.mail import Door
    from helpdesk.inbound.imap import MailboxWatcher
    from helpdesk.inbound.smtp import Session
    from helpdesk.jobs.deliver import Deliverer
    from helpdesk.jobs.handle import Lane
    from helpdesk.outbound.smtp import Relay
    from helpdesk.store import spool

    keep_row, claim, answer, keep = spool.keep, spool.claim, Session._keep, Daemon.keep
    turn, handle, settle = Lane.turn, Lane._handle, Lane._settle

    def keep_row_seen(connection: Any, kept: Any, *rest: Any) -> list[int]:
        if kept.door is Door.SMTP:
            board.enter("spool", id(kept))
        return keep_row(connection, kept, *rest)

    async def answer_seen(session: Any, raw: Any, identity: str) -> None:
        try:
            await answer(session, raw, identity)
        finally:
            board.leave("spool", id(raw))

    def keep_seen(daemon: Any, raw: Any) -> None:
        keep(daemon, raw)
        if raw.door is Door.IMAP:
            board.enter("imap-move", threading.get_ident())

    def claim_seen(connection: Any, limit: int, *, retries: bool = False) -> Any:
        rows = claim(connection, limit, retries=retries)
        if rows:
            board.enter("reading", retries)
        return rows

    def handle_seen(lane: Any, batch: Any, readings: Any) -> None:
        board.leave("reading", lane._retries)
        board.enter("batch", lane._retries)
        handle(lane, batch, readings)

    def turn_seen(lane: Any) -> bool:
        try:
            return bool(turn(lane))
        finally:
            board.leave("reading", lane._retries)

    def settle_seen(lane: Any) -> None:
        settle(lane)
        board.leave("batch", lane._retries)

    spool.keep, spool.claim = keep_row_seen, claim_seen  # type: ignore[assignment]
    Session._keep, Daemon.keep = answer_seen, keep_seen  # type: ignore[method-assign,assignment]
    Lane.turn, Lane._handle, Lane._settle = turn_seen, handle_seen, settle_seen  # type: ignore[method-assign]
    MailboxWatcher._take = _left_after(board, "imap-move", MailboxWatcher._take)  # type: ignore[method-assign]
    Relay.send = _entered_before(board, "relay", Relay.send)  # type: ignore[method-assign]
    Deliverer._try = _left_after(board, "relay", Deliverer._try)  # type: ignore[method-assign]


def _entered_before(board: Board, phase: str, function: Any) -> Any:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **more: Any) -> Any:
        board.enter(phase, threading.get_ident())
        return function(*arguments, **more)

    return wrapped


def _left_after(board: Board, phase: str, function: Any) -> Any:
    @functools.wraps(function)
    def wrapped(*arguments: Any, **more: Any) -> Any:
        try:
            return function(*arguments, **more)
        finally:
            board.leave(phase, threading.get_ident())

    return wrapped


def acknowledge_early(board: Board | None) -> None:
    """The mutant that says 250, and lets an IMAP mail be moved, before the mail is durable."""
    from helpdesk.app import Daemon

    begin_keeping = Daemon.begin_keeping

    def early(daemon: Any, raw: Any) -> Future[list[int]]:
        def later() -> None:
            if board is not None:
                board.enter("spool", raw.data)
            time.sleep(EARLY_SECONDS)
            begin_keeping(daemon, raw).result()
            if board is not None:
                board.leave("spool", raw.data)

        threading.Thread(target=later, daemon=True).start()
        return _done()

    Daemon.begin_keeping = early  # type: ignore[method-assign,assignment]


def _done() -> Future[list[int]]:
    done: Future[list[int]] = Future()
    done.set_result([])
    return done


def forget() -> None:
    """The mutant that takes every mail for a new one."""
    from helpdesk.store import spool

    remember = spool.remember

    def remembered(*arguments: Any) -> None:
        remember(*arguments)

    spool.remember = remembered  # type: ignore[assignment]
    spool._seen_before = lambda connection, kept: False


def acknowledge_whatever_happens() -> None:
    """The mutant that says 250 also where the database did not take the mail."""
    from helpdesk.app import Daemon

    begin_keeping = Daemon.begin_keeping

    def hopeful(daemon: Any, raw: Any) -> Future[list[int]]:
        told: Future[list[int]] = Future()
        begin_keeping(daemon, raw).add_done_callback(lambda _: told.set_result([]))
        return told

    Daemon.begin_keeping = hopeful  # type: ignore[method-assign,assignment]


def finish_without_fence() -> None:
    """The mutant that finishes a mail, and writes down the fate of an outgoing one, whoever owns it by now."""
    import sqlalchemy as sa

    from helpdesk.store import outbox, spool
    from helpdesk.store.prepared import Prepared
    from helpdesk.store.tables import outbox as outgoing
    from helpdesk.store.tables import spool as rows

    def finish(connection: Any, taken: Any, outcome: str, why: str, ticket_id: int | None, now: Any) -> None:
        connection.execute(
            rows.update()
            .where(rows.c.id == taken.id)
            .values(done_at=now, outcome=outcome, outcome_why=why, ticket_id=ticket_id, lease_until=None)
        )

    spool.finish = finish
    end = sa.update(outgoing).where(outgoing.c.id == sa.bindparam("row_id")).values(lease_until=sa.null())
    outbox._END = Prepared(end, ("state", "last_error", "ended_at"))


def count_no_attempt() -> None:
    """The mutant whose count of attempts does not outlive the attempt."""
    from helpdesk.store import spool
    from helpdesk.store.tables import spool as rows

    claim = spool.claim

    def uncounted(connection: Any, limit: int, *, retries: bool = False) -> Any:
        # 1, not 0: with 0 the fast lane would take it at once again, which is another fault.
        taken = claim(connection, limit, retries=retries)
        connection.execute(rows.update().where(rows.c.id.in_([one.id for one in taken])).values(attempts=1))
        return taken

    spool.claim = uncounted


def lock_nothing() -> None:
    """The mutant that waits for no other daemon, neither at the start nor before it changes a ticket."""
    import sqlalchemy as sa

    from helpdesk.store import migrate, tickets
    from helpdesk.store.prepared import Prepared

    migrate.one_at_a_time = lambda connection: None
    tickets._LOCK = Prepared(sa.select(sa.literal_column("1").label("nothing")))


def notice_no_damage() -> None:
    """The mutant that goes on with a damaged database as long as SQLite lets it."""
    from helpdesk.store import damage

    damage.is_damage = lambda problem: False
    damage.LogCheck.compare = lambda self: None  # type: ignore[method-assign]


def trust_the_log() -> None:
    """The mutant that goes on behind whatever the log shows at its start."""
    from helpdesk.store import engine

    engine.write_log_anew = lambda engine: None


BROKEN = {
    "forgetful": forget,
    "250-whatever-happens": acknowledge_whatever_happens,
    "no-fence": finish_without_fence,
    "uncounted": count_no_attempt,
    "all-at-once": lock_nothing,
    "careless": notice_no_damage,
    "trusting": trust_the_log,
}


def shorten_leases(seconds: float) -> None:
    """Let claims end sooner than in real life, so that a test need not wait a minute."""
    from helpdesk.jobs import deliver, handle
    from helpdesk.store import outbox, spool

    spool.LEASE_SECONDS = handle.LEASE_SECONDS = seconds
    outbox.LEASE_SECONDS = deliver.LEASE_SECONDS = seconds


def bear_silence(seconds: int) -> None:
    """Let PostgreSQL end the session of a paused daemon sooner, or later, than in real life."""
    from helpdesk.store import engine

    engine.SILENT_SECONDS = seconds


def wait_less(seconds: float) -> None:
    """Give up on a locked database sooner than in real life."""
    from helpdesk.store import engine

    engine.BUSY_SECONDS = seconds  # type: ignore[assignment]


def look_often(seconds: float) -> None:
    """Ask the database how it is more often than in real life."""
    from helpdesk.jobs import parts

    parts.DATABASE_SECONDS = seconds


def try_again_soon(seconds: float) -> None:
    """Offer what the database did not take sooner than in real life, so that a test meets many such faults."""
    from helpdesk.jobs import deliver, handle, loop

    loop.PAUSE_SECONDS = handle.DATABASE_SECONDS = deliver.DATABASE_SECONDS = seconds


def take_poison() -> None:
    """Let the reading process obey the mails of ``poison.py``."""
    import helpdesk.app
    from tests.deaths.poison import read

    # Less memory than in real life, so that a mail that takes all of it does so within its second.
    reader = functools.partial(helpdesk.app.Reader, read=read, memory_bytes=READER_BYTES)
    helpdesk.app.Reader = reader  # type: ignore[misc,assignment]


def checkpoint_often(app: App) -> None:
    """Let few mails fill the write-ahead log, so that deaths and power cuts meet checkpoints too."""
    import sqlalchemy as sa

    if app.engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(app.engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")

    app.engine.dispose()


def sync_less(app: App, synchronous: str) -> None:
    """The mutant that lets the kernel write when it likes."""
    import sqlalchemy as sa

    @sa.event.listens_for(app.engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA synchronous={synchronous}")

    app.engine.dispose()
    with app.engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    assert found == {"OFF": 0, "NORMAL": 1}[synchronous]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
