"""A really started daemon: ``helpdesk serve`` as a process, its doors, its clock, and the relay that it hands mail to."""

from __future__ import annotations

import io
import itertools
import json
import os
import re
import signal
import smtplib
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any

from helpdesk.cli import main as command_line
from tests.servers.ports import wait_for
from tests.stories import company as world
from tests.stories import letters
from tests.stories.company import CUSTOMERS, SUPPORT, Company, Person
from tests.stories.posts import Post

_ROOT = Path(__file__).resolve().parents[2]


class Running:
    """The daemon of one company. Everything a story may look at: people's mails, and what commands print."""

    def __init__(self, folder: Path, company: Company, post: Post, first: int = 0) -> None:
        self.folder, self.company, self.post = folder, company, post
        self.process: subprocess.Popen[bytes] | None = None
        self.ports: dict[str, int] = {}
        # From behind, since the others are taken by stories from the front.
        self._sentinels = itertools.count(CUSTOMERS - 5)
        self._numbers = itertools.count(first)
        company.write(folder)
        self.set_time(world.MONDAY)

    def start(self) -> None:
        """Start it and wait until it says that it is ready."""
        log = self.folder / "log"
        begin = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "helpdesk", "--config", str(self.folder), "serve"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=environment(),
                cwd=self.folder,
            )

        def ready() -> str:
            assert self.process is not None
            text = log.read_bytes()[begin:].decode()
            assert self.process.poll() is None, f"it ended with {self.process.returncode}:\n{text}"
            return next((line for line in text.split("\n") if "ready" in line and "=" in line), "")

        line = wait_for(ready, 30)
        self.ports = {kind: int(port) for kind, port in re.findall(r"(\w+)=\S+?:(\d+)", line)}

    def stop(self) -> None:
        """End it as an administrator does."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)
        self.process = None

    def log(self) -> str:
        """What the daemon said, for a failure's message only."""
        return (self.folder / "log").read_text(errors="replace")

    # The clock

    def set_time(self, moment: datetime) -> None:
        """Let it be ``moment`` now, and time run on from there."""
        new = self.folder / "offset.new"
        new.write_text(str((moment - datetime.now(UTC)).total_seconds()))
        new.replace(self.folder / "offset")

    # People

    def customer(self) -> Person:
        """A customer with a valid contract whom no other story of this daemon knows."""
        return world.customer(next(self._numbers))

    def customer_with_colleague(self) -> tuple[Person, Person]:
        """Two of one organisation."""
        number = next(self._numbers)
        return world.customer(number), world.colleague(number)

    def lapsed(self) -> Person:
        """A customer whose contract has ended."""
        return world.lapsed(next(self._numbers))

    # Mail in

    def deliver(self, data: bytes, sender: str | None, *recipients: str) -> None:
        """Hand a mail in at the SMTP door; ``sender`` "" is the null sender."""
        with smtplib.SMTP("127.0.0.1", self.ports["smtp"], "client.example", timeout=30) as client:
            refused = client.sendmail(sender or "", recipients or [SUPPORT], data)
        assert not refused, refused

    def submit(self, data: bytes, login: tuple[str, str], trust: ssl.SSLContext, to: str) -> None:
        """Hand a mail in at the submission door."""
        with smtplib.SMTP("localhost", self.ports["submission"], "client.example", timeout=30) as client:
            client.starttls(context=trust)
            client.login(*login)
            client.sendmail(login[0], [to], data)

    def write(self, sender: Person, subject: str, text: str, *, to: str = SUPPORT, **more: Any) -> str:
        """A person writes; the mail's Message-ID."""
        mail_id = str(more.pop("message_id", "")) or letters.new_id(sender)
        envelope = more.pop("envelope", None)
        recipients = more.pop("recipients", (to,))
        data = letters.letter(sender, subject, text, to=to, message_id=mail_id, **more)
        self.deliver(data, sender.address if envelope is None else envelope, *recipients)
        return mail_id

    def reply(self, sender: Person, parent: EmailMessage, text: str, **more: Any) -> str:
        """A person replies to a mail he got; the reply's Message-ID."""
        envelope = more.pop("envelope", None)
        data = letters.answer(sender, parent, text, **more)
        mail = letters.parsed(data)
        self.deliver(data, sender.address if envelope is None else envelope, mail["To"].addresses[0].addr_spec)
        return str(mail["Message-ID"])

    # Mail out

    def inbox(self, who: Person | str) -> list[EmailMessage]:
        """What was sent to somebody, oldest first."""
        address = who if isinstance(who, str) else who.address
        return [_opened(data)[0] for data in self.post.of(address)]

    def about(self, who: Person | str, *signs: str) -> list[EmailMessage]:
        """Those of his mails that hold all of the signs, in whatever place."""
        address = who if isinstance(who, str) else who.address
        opened = [_opened(data) for data in self.post.of(address)]
        return [mail for mail, text in opened if all(sign in text for sign in signs)]

    def wait(self, who: Person | str, *signs: str, count: int = 1, seconds: float = 15) -> EmailMessage:
        """The ``count``th of his mails with these signs, as soon as it is there."""
        try:
            return wait_for(lambda: self.about(who, *signs)[count - 1 : count], seconds, 0.05)[0]
        except AssertionError:
            seen = "\n\n".join(f"{mail['Subject']}\n{letters.says(mail)}" for mail in self.inbox(who)[-8:])
            problem = f"no mail number {count} for {who} with {signs}; his last are:\n{seen}\n\n{self.log()[-2000:]}"
            raise AssertionError(problem) from None

    def settle(self) -> None:
        """Come back when whatever the mails so far cause has gone out: mail is handled and sent in order."""
        for _ in range(2):
            number = next(self._sentinels)
            sentinel = world.customer(CUSTOMERS - 5 + number % 5)
            mark = f"sentinel-{uuid.uuid4().hex}"
            self.write(sentinel, mark, "Only so that we know that all before it is done.")
            self.wait(sentinel, mark)
            self.wait(world.ALICE, mark)

    # The command line

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run a command of the command line; what it prints. Its exit code must be ``code``.

        Within this process, since starting Python for each costs more than the stories themselves.
        """
        stdout, stderr = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
        with redirect_stdout(stdout), redirect_stderr(stderr):
            ended = command_line.run(["--config", str(self.folder), *arguments])
        said, complained = (stream.buffer.getvalue().decode() for stream in (stdout, stderr))
        assert ended == code, f"{arguments} ended with {ended}: {said}{complained}"
        return said + complained if code else said

    def json(self, *arguments: str) -> Any:
        """Run a command with --json; what it prints, parsed."""
        return json.loads(self.run(*arguments, "--json"))

    def ticket(self, reference: str) -> dict[str, Any]:
        """``helpdesk ticket show`` of one ticket."""
        found = self.json("ticket", "show", reference)
        assert isinstance(found, dict)
        return found

    def import_lines(self, *contracts: str) -> str:
        """Import lines of contracts.csv with the command line."""
        file = self.folder / "renewal.csv"
        file.write_text("\n".join(["organisation,kind,number,products,start,end,manager", *contracts, ""]))
        return self.run("import", str(file))


@contextmanager
def started(folder: Path, company: Company, post: Post, *, first: int = 0) -> Iterator[Running]:
    """A started daemon with its customers imported into every tenant, stopped afterwards; ``first`` is the first of the
    numbers that its customers get: two daemons with the same mailboxes need different ones."""
    folder.mkdir(exist_ok=True)
    running = Running(folder, company, post, first)
    world.write_customers(folder / "customers", company.desks)
    for tenant in sorted({desk.tenant for desk in company.desks}):
        running.run("import", str(folder / "customers"), "--tenant", tenant)
    try:
        running.start()
        yield running
    finally:
        running.stop()


@cache
def _opened(data: bytes) -> tuple[EmailMessage, str]:
    """A mail parsed, and everything in it; once, since stories look at the same mails again and again."""
    mail = letters.parsed(data)
    return mail, letters.everything(mail)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(_ROOT), "COLUMNS": "200"}


def pause(seconds: float) -> None:
    """Let the daemon tick; only where nothing that could be seen tells when to go on."""
    time.sleep(seconds)
