"""The scratch folder, the daemon that really runs on it, its clock, and what it decided."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import sqlalchemy as sa

from helpdesk.demo.letters import Received, everything_received
from helpdesk.demo.post_office import PostOffice
from helpdesk.domain import codec
from helpdesk.domain.decision import Audience, Decision, Relay, Say, Step
from helpdesk.settings import load
from helpdesk.store.engine import connect, reading
from helpdesk.store.tables import decision, input_, outbox, spool
from helpdesk.timesource import Shifted, real

T = TypeVar("T")

#: Seconds until something that must happen counts as not happening.
PATIENCE = 30.0


class Broken(Exception):
    """The story did not go as it must; the text says what was waited for."""


@dataclass(frozen=True, slots=True)
class Reason:
    """The rule that decided, and why, in its own words."""

    rule: str
    why: str


class Stage:
    """A started desk in ``folder``; leaving the ``with`` block ends every process and thread of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mail = folder / "mail"
        self.now = Shifted(folder / "clock.offset")
        self._daemon: subprocess.Popen[bytes] | None = None
        self._engine: sa.Engine | None = None
        self._office: PostOffice | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _fault: BaseException | None, _at: TracebackType | None
    ) -> None:
        if self._office:
            self._office.stop()
        if self._engine:
            self._engine.dispose()
        if self._daemon:
            self._daemon.terminate()
            try:
                self._daemon.wait(15)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()

    def start(self) -> None:
        """Start ``helpdesk serve`` and the post office in front of it."""
        log = self.folder / "daemon.log"
        with log.open("ab") as file:
            # A session of its own: Ctrl+C is for us, and we end the daemon in order.
            self._daemon = subprocess.Popen(
                self._command("serve"), stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
            )
        found = self.until(lambda: re.search(r"helpdesk is ready.* smtp=\S+:(\d+)", log.read_text()), "the daemon")
        self.desk_port = int(found[1])
        self._office = PostOffice(self.desk_port, self.now)
        self._office.start()
        self._engine = connect(load(self.folder).database_url())

    @property
    def port(self) -> int:
        """The port where people hand their mail in."""
        assert self._office, "not started"
        return self._office.port

    def set_clock(self, at: datetime) -> None:
        """Make it so late for the desk and its people; the file is swapped, since it is read at every look at the clock."""
        draft = self.now.file.with_suffix(".new")
        draft.write_text(f"{(at - real()).total_seconds():.3f}")
        draft.replace(self.now.file)

    def import_(self, path: Path) -> None:
        """Run ``helpdesk import`` as an administrator would; raises Broken with its words where it fails."""
        done = subprocess.run(self._command("import", str(path)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise Broken(f"helpdesk import {path} ended with {done.returncode}: {done.stderr.strip()}")

    def mails(self) -> list[Received]:
        """Everything that the desk sent, oldest first."""
        return everything_received(self.mail)

    def decisions(self) -> int:
        """How many decisions were made so far."""
        rows: int = self._ask(sa.select(sa.func.count()).select_from(decision)).scalar_one()
        return rows

    def settled(self) -> bool:
        """True where nothing waits any more: no mail in, no mail out, no change."""
        waiting = (
            sa.select(sa.literal(1)).where(spool.c.done_at.is_(None)),
            sa.select(sa.literal(1)).where(input_.c.done_at.is_(None)),
            sa.select(sa.literal(1)).where(outbox.c.state == "waiting"),
        )
        return self._ask(sa.union_all(*waiting).limit(1)).first() is None

    def until(self, happens: Callable[[], T | None], what: str) -> T:
        """The first true answer of ``happens``; raises Broken where it takes too long or the daemon has ended."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := happens()):
            self.must_run()
            if time.monotonic() > deadline:
                raise Broken(f"waited {PATIENCE:.0f} s in vain for {what}")
            time.sleep(0.03)
        return answer

    def must_run(self) -> None:
        """Raises Broken where the daemon has ended."""
        if self._daemon and self._daemon.poll() is not None:
            raise Broken(f"the daemon ended with {self._daemon.returncode}")

    def last_steps(self) -> tuple[Step, ...]:
        """The rules that fired in the newest decision."""
        row = self._ask(sa.select(decision.c.decision).order_by(decision.c.id.desc()).limit(1)).first()
        return codec.load(Decision, row[0]).steps if row else ()

    def reason(self, mail: Received) -> Reason:
        """The rule that had this mail sent: the newest one of its ticket that had something to say to this reader."""
        sent = self._ask(
            sa.select(outbox.c.ticket_id, outbox.c.audience, outbox.c.block)
            .where(outbox.c.message_id == str(mail.message["Message-ID"]).strip(), outbox.c.folded == mail.address)
            .order_by(outbox.c.id.desc())
        ).first()
        if sent is None:
            return Reason("", "")
        of_ticket = decision.c.ticket_id == sent.ticket_id if sent.ticket_id else sa.true()
        rows = self._ask(sa.select(decision.c.decision).where(of_ticket).order_by(decision.c.id.desc()).limit(20))
        steps = [step for row in rows for step in codec.load(Decision, row[0]).steps]
        exact = [step for step in steps if _says(step, sent.audience, sent.block)]
        found = next(iter(exact or [step for step in steps if _says(step, sent.audience, "")]), None)
        return Reason(found.rule, found.why) if found else Reason("", "")

    def log_tail(self, lines: int = 15) -> str:
        """The last lines of the daemon's log."""
        log = self.folder / "daemon.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) if log.exists() else ""

    def _command(self, *arguments: str) -> Sequence[str]:
        return [sys.executable, "-m", "helpdesk", "--config", str(self.folder), *arguments]

    def _ask(self, query: sa.Executable) -> sa.Result[Any]:
        assert self._engine, "not started"
        with reading(self._engine).begin() as connection:
            return connection.execute(query).freeze()()


def _says(step: Step, audience: str, block: str) -> bool:
    """Whether a rule had this block (or with "" any) said to this audience; an agent's relayed words are a say, too."""
    return any(
        (isinstance(effect, Say) and effect.audience.value == audience and block in ("", effect.block))
        or (isinstance(effect, Relay) and audience == Audience.CUSTOMER.value)
        for effect in step.effects
    )
