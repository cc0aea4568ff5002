"""A desk with paying customers, written into a folder: what a started daemon needs, and the mails that people send it.

Every mail carries a mark of its own in subject and text, so that it can be found again in tickets and in the sink.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from helpdesk.cli import main as command_line

DESK = "support@desk.example"
AGENT = "alice@desk.example"
TAKER = "bruno@desk.example"
BORDER = "border.desk.example"
CUSTOMERS = 20

_MAIN = """
operator = "postmaster@desk.example"
keys_file = "helpdesk.keys"
[database]
url = "{database}"
[[listener]]
port = {port}
[[relay]]
host = "127.0.0.1"
port = {relay_port}
tls = "none"
[border]
servers = ["{border}"]
[limits]
automatic_per_hour = 1000000
same_words_per_day = 1000000
rapid_per_hour = 1000000
"""
_MAILBOX = """
[[mailbox]]
name = "support"
host = "127.0.0.1"
port = {port}
tls = "none"
user = "{user}"
password_file = "mailbox.password"
desk_address = "{desk}"
idle_seconds = 5
"""
_AGENTS = """
[alice]
name = "Alice Archer"
addresses = ["{agent}"]
lead = true
[bruno]
name = "Bruno Bauer"
addresses = ["{taker}"]
"""
_CALENDAR = """
zone = "Europe/Berlin"
monday = "09:00-17:00"
tuesday = "09:00-17:00"
wednesday = "09:00-17:00"
thursday = "09:00-17:00"
friday = "09:00-17:00"
"""
_DESK = """
name = "Desk Support"
addresses = ["{desk}"]
prefix = "DS"
calendar = "office"
first_agent = "alice"
[[target]]
promise = "first_response"
within = "8 business hours"
"""


@dataclass(frozen=True, slots=True)
class Imap:
    """The mailbox that the desk watches."""

    port: int
    user: str
    password: str


def write(folder: Path, *, port: int, relay_port: int, database: Path | str, imap: Imap | None = None) -> None:
    """Write the configuration, make the database and import customers with valid contracts.

    ``database`` is a SQLite file or the address of another database.
    """
    for name in ("desks", "calendars", "customers"):
        (folder / name).mkdir(parents=True)
    url = database if isinstance(database, str) else f"sqlite:///{database}"
    main = _MAIN.format(port=port, relay_port=relay_port, border=BORDER, database=url)
    if imap:
        main += _MAILBOX.format(port=imap.port, user=imap.user, desk=DESK)
        secret = folder / "mailbox.password"
        secret.write_text(imap.password)
        secret.chmod(0o600)
    (folder / "helpdesk.toml").write_text(main)
    (folder / "agents.toml").write_text(_AGENTS.format(agent=AGENT, taker=TAKER))
    (folder / "calendars" / "office.toml").write_text(_CALENDAR)
    (folder / "desks" / "desk.toml").write_text(_DESK.format(desk=DESK))
    contacts = ["organisation,domain,name,address,role,language,zone"]
    contracts = ["organisation,kind,number,products,start,end,manager"]
    for number in range(CUSTOMERS):
        address = customer(number)
        domain = address.rpartition("@")[2]
        contacts.append(f"Company {number},{domain},Anna Number {number},{address},contact,en,Europe/Berlin")
        contracts.append(f"Company {number},contract,CN-{number:04d},Router,2020-01-01,2099-12-31,{AGENT}")
    (folder / "customers" / "contacts.csv").write_text("\n".join(contacts) + "\n")
    (folder / "customers" / "contracts.csv").write_text("\n".join(contracts) + "\n")
    # Within this process, since starting Python costs more than the import.
    said = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with redirect_stdout(said), redirect_stderr(said):
        code = command_line.run(["--config", str(folder), "import", str(folder / "customers")])
    assert code == 0, said.buffer.getvalue().decode()


def helpdesk(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the helpdesk to its end."""
    command = [sys.executable, "-m", "helpdesk", "--config", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment())


def environment() -> dict[str, str]:
    """The environment of a child, which finds both the product and the tests."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}


def customer(number: int) -> str:
    """The address of a customer; there are ``CUSTOMERS`` of them, in turn."""
    return f"anna@customer{number % CUSTOMERS}.example"


def mark(number: int) -> str:
    """What a mail can be found by."""
    return f"mark-{number:06d}"


def mail_id(number: int) -> str:
    """The Message-ID of a mail, the same at every attempt to send it."""
    return f"<{mark(number)}@mua.example>"


def request(number: int, size: int = 0) -> bytes:
    """A customer's new request, proven by the border's word; ``size`` octets of text more."""
    lines = [f"The light is red: {mark(number)}.", *(["x" * 70] * (size // 72))]
    return _mail(number, customer(number), DESK, f"Request {mark(number)}", lines)


def answer(number: int, to: str, parent: str) -> bytes:
    """An agent's answer to a notice about a ticket."""
    return _mail(number, AGENT, to, "Re: your request", [f"Switch it off and on: {mark(number)}."], parent)


def take(number: int, parent: str) -> bytes:
    """Another agent makes the ticket his own."""
    return _mail(number, TAKER, DESK, f"Re: your request {mark(number)}", ["#take"], parent)


def _mail(number: int, sender: str, to: str, subject: str, lines: list[str], parent: str = "") -> bytes:
    domain = sender.rpartition("@")[2]
    head = [
        f"Authentication-Results: {BORDER}; dmarc=pass header.from={domain}",
        f"From: {sender}",
        f"To: {to}",
        f"Subject: {subject}",
        f"Message-ID: {mail_id(number)}",
        "Date: Mon, 02 Mar 2026 10:00:00 +0100",
        *([f"In-Reply-To: {parent}"] if parent else []),
    ]
    return "\r\n".join([*head, "", *lines, ""]).encode("ascii")
