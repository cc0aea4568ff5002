"""Fill a store with tickets, through the pipeline but without the doors.

    python -m benchmarks.fill --tickets 50000 FOLDER

Every mail is kept in the spool, claimed, read in the reading process, handled by the rules, and what is said goes
through the outbox to a relay that takes everything. Batches are large and there is no SMTP; nothing else is left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import sqlalchemy as sa

from benchmarks import company, filled, running
from benchmarks.load import bordered
from benchmarks.tools import VARIABLE, perf_folder, shared_folder
from helpdesk.app import App, build
from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.worker import Reader, Unreadable
from helpdesk.outbound.transport import Accepted
from helpdesk.pipeline import handle
from helpdesk.store import outbox, spool
from helpdesk.store.engine import reading as for_reading
from helpdesk.store.spool import Spooled

#: The tickets were opened within so long before the measured daemon's clock begins.
PERIOD = timedelta(days=10)
BATCH = 200
#: A line says how far it is after so many batches.
PROGRESS = 25


class Nowhere:
    """A relay that takes everything at once."""

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        return Accepted("250 2.0.0 taken")

    def close(self) -> None:
        """Nothing is held open."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Mails that were claimed together and are being read."""

    at: datetime
    claimed: Sequence[Spooled]
    read: Future[list[Reading | Unreadable]]


class Filler:
    """Takes mails through the pipeline; reading one batch goes on while the one before is handled."""

    def __init__(self, app: App) -> None:
        self._app, self._world = app, app.world()
        border = app.settings.main.border
        self._reader = Reader(border.servers, peers=border.peers)
        self._reading = ThreadPoolExecutor(1)
        self._relay = Nowhere()

    def begin(self, mails: Sequence[Any], at: datetime) -> Batch:
        """Keep and claim mails, and let them be read."""
        with self._app.engine.begin() as connection:
            for mail in mails:
                envelope = Envelope(mail.frm, (mail.to,), "127.0.0.1")
                spool.keep(connection, RawMail(Door.SMTP, envelope, at, mail.raw), [company.TENANT], at)
            claimed = spool.claim(connection, len(mails))
        with for_reading(self._app.engine).begin() as connection:
            jobs = [(taken.mail, handle.parents_of(connection, taken)) for taken in claimed]
        return Batch(at, claimed, self._reading.submit(self._reader.read_all, jobs))

    def finish(self, batch: Batch) -> None:
        """Handle what was read, and hand over what was said."""
        with self._app.engine.begin() as connection:
            for taken, found in zip(batch.claimed, batch.read.result(), strict=True):
                if isinstance(found, Unreadable):
                    raise RuntimeError(f"a mail of the corpus was not read: {found.cause}")
                handle.handle_mail(connection, self._world, taken, found, batch.at)
            self._deliver(connection, batch.at)

    def close(self) -> None:
        self._reading.shutdown()
        self._reader.close()

    def _deliver(self, connection: sa.Connection, at: datetime) -> None:
        for relay in self._world.relays.values():
            while rows := outbox.claim(connection, relay, at, BATCH):
                for taken in rows:
                    accepted = self._relay.send(taken.sender, taken.recipient, taken.data)
                    outbox.end(connection, taken, "sent", accepted.reply, at)


def fill(folder: Path, perf: Path, tickets: int, attachment_kilobytes: int = 200) -> None:
    """Make a folder with a company and so many tickets; says on stderr how far it is and how fast it was."""
    nowhere = company.Relays(1, 1)  # Rewritten by whoever starts a daemon on it; until then nobody listens there.
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty, and holds no finished fill with the tables of today: remove it")
    running.prepare(folder, nowhere)
    begin = time.monotonic()
    app = build(folder)
    filler = Filler(app)
    done, opened = 0, 0
    waiting: Batch | None = None
    with filled.opened_file(folder).open("w") as openings:
        for number, (mails, new) in enumerate(_batches(perf, tickets, attachment_kilobytes, openings)):
            at = company.MONDAY - PERIOD * (1 - opened / tickets)
            batch = filler.begin(mails, at)
            if waiting:
                filler.finish(waiting)
            waiting, done, opened = batch, done + len(mails), opened + new
            if number % PROGRESS == 0:
                print(f"{opened:,} tickets, {done:,} mails, {time.monotonic() - begin:.0f} s", file=sys.stderr)
        if waiting:
            filler.finish(waiting)
    filler.close()
    app.engine.dispose()
    _check(folder, done, opened)
    seconds = time.monotonic() - begin
    filled.mark_done(folder, opened, done, seconds)
    print(f"{opened:,} tickets of {done:,} mails in {seconds:.0f} s: {opened / seconds:.0f} tickets/s", file=sys.stderr)


def _check(folder: Path, mails: int, tickets: int) -> None:
    found = running.counts(folder)
    if (found.entries, found.tickets, found.waiting) != (mails, tickets, 0):
        raise RuntimeError(f"{mails} mails of {tickets} new tickets became {found}")


def _batches(perf: Path, tickets: int, kilobytes: int, openings: IO[str]) -> Iterator[tuple[list[Any], int]]:
    """Mails of the corpus until so many tickets are opened, in batches with the number of new tickets in each."""
    sys.path.insert(0, str(perf))
    corpus = importlib.import_module("corpus")
    sys.path.remove(str(perf))
    # 60 % of the corpus open a ticket, more at its beginning: twice the tickets is more than enough.
    mails = bordered(
        corpus.gen(2 * tickets, filled.SEED, company.SUPPORT, attach_bytes=kilobytes * 1024), {}, filled.SEED
    )
    left = tickets
    while left:
        batch: list[Any] = []
        new = 0
        while len(batch) < BATCH and new < left:
            mail = next(mails)
            batch.append(mail)
            if not mail.reply:
                new += 1
                openings.write(json.dumps([mail.msgid, mail.frm]) + "\n")
        left -= new
        yield batch, new


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=lambda text: Path(text).absolute(), help="new or empty")
    parser.add_argument("--tickets", type=int, default=50_000)
    parser.add_argument("--attachment-kb", type=int, default=200, help="size of the attachments (%(default)s)")
    parser.add_argument("--shared", type=Path, default=shared_folder(), help=f"with perf/ ({VARIABLE}, else ../shared)")
    options = parser.parse_args()
    try:
        fill(options.folder, perf_folder(options.shared), options.tickets, options.attachment_kb)
    except (FileNotFoundError, FileExistsError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
