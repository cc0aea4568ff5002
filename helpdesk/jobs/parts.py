"""The parts that are watched: for each, what can be wrong with it and what a person can do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Protocol

import sqlalchemy as sa

from helpdesk.domain.health import Report, as_mapping
from helpdesk.inbound.listener import Listener
from helpdesk.jobs import probe
from helpdesk.jobs.loop import Loop
from helpdesk.jobs.probe import Probe
from helpdesk.jobs.watch import Part, Standstill
from helpdesk.store import backlog, damage
from helpdesk.store.engine import reading, words_of
from helpdesk.store.writer import Writer
from helpdesk.timesource import TimeSource

#: A door is asked for its greeting so often, in seconds; one that gives none for so long needs a restart.
DOOR_SECONDS = 30.0
DOOR_LOST_SECONDS = 60.0
#: The database is read, and the disk looked at, so often, in seconds.
DATABASE_SECONDS = 5.0
DISK_SECONDS = 10.0
#: The report is written to its file so often, in seconds.
FILE_SECONDS = 2.0
#: What is due is taken up within a second; a head of a queue that stands so long is left alone, in seconds. A relay
#: is handed its mails in rounds that may take minutes.
STANDING_SECONDS = 120.0
STANDING_RELAY_SECONDS = 180.0
#: The ticker ticks each second; silent for so long, it has stopped, in seconds.
TICK_SECONDS = 30.0


class Watched(Protocol):
    """Something that tells how it is, at once."""

    def condition(self) -> str: ...

    def lost(self) -> bool: ...


def door(listener: Listener) -> tuple[Part, Probe]:
    """A listener: whether it greets who connects, and whether its thread lives."""
    options, port = listener.options, listener.port

    def ask() -> str:
        return probe.door(options.host, port, options.path, tls_at_once=options.tls == "implicit")

    asked = Probe(f"{options.kind} door", ask, DOOR_SECONDS)
    part = Part(
        f"door {options.kind} {listener.address}",
        lambda: listener.condition() or asked.condition(),
        "see the log; restart helpdesk if it does not come back",
        takes_mail=True,
        # A full door lives, and those who wait in it would be lost with it.
        lost=lambda: (
            listener.lost() or (asked.condition() != probe.FULL and asked.failing_seconds() > DOOR_LOST_SECONDS)
        ),
    )
    return part, asked


def mailbox(name: str, watcher: Watched) -> Part:
    """A watched IMAP folder."""
    advice = "see that its server runs and lets us in (host, user, password in [[mailbox]]); mail waits there meanwhile"
    return Part(f"mailbox {name}", watcher.condition, advice, lost=watcher.lost)


def lane(loop: Loop, writer: Writer) -> Part:
    """A thread that reads and handles mails."""
    advice = "see the log; the mails are kept and handled when it goes on"
    return Part(loop.name, loop.condition, advice, takes_mail=True, lost=_stuck_alone(loop, writer))


def spam_filter(condition: Callable[[], str]) -> Part:
    """rspamd, as it answered last."""
    advice = "see that it runs and takes our questions (rspamd under [spam]); mail goes on without it"
    return Part("rspamd", condition, advice)


def timers(loop: Loop, queues: Queues, writer: Writer) -> Part:
    """The thread that reminds, escalates and lets tickets go on."""
    advice = "see the log; reminders come late until it goes on"
    return Part(loop.name, lambda: loop.condition() or queues.timers, advice, lost=_stuck_alone(loop, writer))


def relay(name: str, condition: Callable[[], str], loop: Loop, queues: Queues, writer: Writer) -> Part:
    """A way out: the thread that hands mails over, and the mails that wait for it."""
    advice = "see that the relay runs and takes our mail (helpdesk outbox shows what it says); mails wait meanwhile"
    return Part(
        f"relay {name}", lambda: condition() or queues.outbox.get(name, ""), advice, lost=_stuck_alone(loop, writer)
    )


def _stuck_alone(loop: Loop, writer: Writer) -> Callable[[], bool]:
    """A thread that waits for the database is not helped by a restart, and would forget what it has in hand."""
    return lambda: loop.lost() and not writer.condition()


def database(engine: sa.Engine, queues: Queues, writer: Writer) -> tuple[list[Part], list[Probe]]:
    """Reading, writing, what waits in the rows, and the disk of a SQLite file."""
    read = Probe("database", queues.ask, DATABASE_SECONDS)
    probes = [read]
    parts = [
        Part(
            "database",
            read.condition,
            f"see that it runs and can be reached; if it is damaged, {damage.RESTORE}",
            takes_mail=True,
        ),
        Part(
            "writer",
            writer.condition,
            "see that the database can be written: its lock, its rights, its disk; mail is refused and comes again",
            takes_mail=True,
            lost=writer.lost,
        ),
        Part("mails", lambda: queues.mails, "see the log of that number; restart helpdesk", takes_mail=True),
        Part(
            "outbox",
            lambda: queues.stray,
            "give [[relay]] that name again, and let its mails leave before it is renamed",
        ),
    ]
    if engine.dialect.name == "sqlite":
        file = Path(engine.url.database or "")
        disk = Probe("disk", lambda: probe.disk(file), DISK_SECONDS)
        probes.append(disk)
        parts.append(Part("disk", disk.condition, "make room; when it is full, mail is refused and comes again"))
    return parts, probes


def report_file(file: Path, report: Callable[[], Report]) -> tuple[Part, Probe]:
    """The file that ``helpdesk health`` reads."""
    writing = Probe("health file", lambda: write_report(file, report()), FILE_SECONDS)
    advice = f"see that {file} can be written, or set health.file"
    return Part("health file", writing.condition, advice), writing


def write_report(file: Path, report: Report) -> str:
    """Replace the file by this report, whole or not at all; what is wrong, or ""."""
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_text(json.dumps({**as_mapping(report), "pid": os.getpid()}) + "\n", encoding="utf-8")
        new.replace(file)
    except OSError as problem:
        return f"cannot be written: {problem.strerror}"
    return ""


def ticker(last_tick: Callable[[], float]) -> Part:
    """What wakes the others; ``last_tick`` is when, by the monotonic clock."""

    def condition() -> str:
        silent = monotonic() - last_tick()
        return f"has not ticked for {silent:.0f} seconds" if silent > TICK_SECONDS else ""

    return Part("ticker", condition, "restart helpdesk; meanwhile things happen a few seconds late")


def templates(problems: Callable[[], Sequence[object]]) -> Part:
    """The wording, as it was last read."""

    def condition() -> str:
        found = list(problems())
        more = f" (and {len(found) - 1} more problems)" if len(found) > 1 else ""
        return f"{found[0]}{more}; the last good version stays in use" if found else ""

    return Part("templates", condition, "correct the file, run helpdesk check, then kill -HUP the daemon")


def certificates(faults: Callable[[], Sequence[str]]) -> Part:
    """The certificates of the doors, as they were last read."""

    def condition() -> str:
        found = list(faults())
        return f"{'; '.join(found)}; the last good one stays in use" if found else ""

    return Part("certificates", condition, "correct the file, then kill -HUP the daemon")


@dataclass(slots=True)
class Queues:
    """Reads the heads of all queues and remembers for how long each has stood; words are "" while it moves.

    ``mail_patience`` is in seconds and allows for mails that are slow to read.
    """

    engine: sa.Engine
    now: TimeSource
    relays: Sequence[str]
    mail_patience: float
    mails: str = ""
    timers: str = ""
    outbox: Mapping[str, str] = field(default_factory=dict)
    stray: str = ""
    _standing: dict[str, Standstill] = field(default_factory=dict)

    def ask(self) -> str:
        """Read them; "" or why the database cannot be read."""
        if words := damage.noted(self.engine):
            return f"is damaged: {words}"
        try:
            with reading(self.engine).begin() as connection:
                found = backlog.look(connection, self.now())
        except sa.exc.SQLAlchemyError as problem:
            return f"cannot be read: {words_of(problem, self.engine)}"
        clock = monotonic()
        seconds = self._stood("mail", found.mail, self.mail_patience, clock)
        self.mails = f"mail {found.mail} has been waiting to be handled for {seconds:.0f} seconds" if seconds else ""
        timer, change = (
            self._stood(name, head, STANDING_SECONDS, clock)
            for name, head in (("timer", found.timer), ("change", found.change))
        )
        waiting = max(timer, change)
        self.timers = f"something that is due has been waiting for {waiting:.0f} seconds" if waiting else ""
        self.outbox = {
            name: f"mail {found.outbox[name]} of the outbox has been due for {stood:.0f} seconds"
            for name in self.relays
            if (stood := self._stood(f"relay {name}", found.outbox.get(name), STANDING_RELAY_SECONDS, clock))
        }
        stray = sorted(set(found.outbox) - set(self.relays))
        self.stray = f"mails wait for relay {', '.join(stray)}, which the settings do not name" if stray else ""
        return ""

    def _stood(self, name: str, head: Hashable | None, patience: float, clock: float) -> float:
        standing = self._standing.setdefault(name, Standstill(patience))
        return standing.seconds(head, clock)
