"""Start the real daemon as ``helpdesk serve`` does, and say on a board which phase its threads are in.

    python -m tests.deaths.launch CONFIGDIR [--board FILE] [--mutant NAME]

Functions of the product are wrapped, never replaced, except by a mutant: that is a daemon with one promise broken, which
the tests must catch. The product knows nothing of this.
"""

from __future__ import annotations

import argparse
import functools
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.deaths.phases import Board

if TYPE_CHECKING:
    from helpdesk.app import App

#: Mutants that make SQLite sync less than promised.
SYNCHRONOUS = {"no-fsync": "OFF", "fsync-at-checkpoints-only": "NORMAL"}
MUTANTS = (*SYNCHRONOUS, "early-250", "forgetful")
#: The early 250 comes so many seconds before the mail is written down.
EARLY_SECONDS = 0.05


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--board", type=Path)
    parser.add_argument("--mutant", choices=MUTANTS)
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
    if chosen.mutant == "forgetful":
        forget()
    app = build(chosen.folder)
    if chosen.mutant in SYNCHRONOUS:
        sync_less(app, SYNCHRONOUS[chosen.mutant])
    daemon = Daemon(app)
    daemon.start()
    logging.info("ready")
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
    turn, handle = Lane.turn, Lane._handle

    def keep_row_seen(connection: Any, kept: Any, *rest: Any) -> None:
        if kept.door is Door.SMTP:
            board.enter("spool", id(kept))
        keep_row(connection, kept, *rest)

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
            board.leave("batch", lane._retries)

    spool.keep, spool.claim = keep_row_seen, claim_seen  # type: ignore[assignment]
    Session._keep, Daemon.keep = answer_seen, keep_seen  # type: ignore[method-assign,assignment]
    Lane.turn, Lane._handle = turn_seen, handle_seen  # type: ignore[method-assign,assignment]
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

    keep = Daemon.keep

    def early(daemon: Any, raw: Any) -> None:
        def later() -> None:
            if board is not None:
                board.enter("spool", raw.data)
            time.sleep(EARLY_SECONDS)
            keep(daemon, raw)
            if board is not None:
                board.leave("spool", raw.data)

        threading.Thread(target=later, daemon=True).start()

    Daemon.keep = early  # type: ignore[method-assign,assignment]


def forget() -> None:
    """The mutant that takes every mail for a new one."""
    from helpdesk.store import spool

    remember = spool.remember

    def remembered(*arguments: Any) -> None:
        remember(*arguments)

    spool.remember = remembered  # type: ignore[assignment]
    spool._seen_before = lambda connection, kept: False


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
