"""A company that gives support, written into a configuration folder: desks, agents, hours and customers.

Customers come in numbers, so that each story takes one that no other story knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

BORDER = "mx.acme.example"
SUPPORT = "support@acme.example"
OPERATOR = "postmaster@acme.example"

#: Monday, 2 March 2026, 10:00 in Sydney, an hour after the office opened.
MONDAY = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
CUSTOMERS = 40
SQLITE = "sqlite:///helpdesk.sqlite"
#: Stories write from a few addresses, and often the same.
NO_RATION = "automatic_per_hour = 1000\nsame_words_per_day = 1000\nrapid_per_hour = 1000"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes and reads mail."""

    name: str
    address: str
    organisation: str = ""
    contract: str = ""


ALICE = Person("Alice Archer", "alice@acme.example")
BRUNO = Person("Bruno Bauer", "bruno@acme.example")
CAROL = Person("Carol Chief", "carol@acme.example")
MANDY = Person("", "mandy@acme.example")


def customer(number: int) -> Person:
    """A contact of an organisation with a contract until the end of 2029; lives in Berlin."""
    return Person(f"Bob Miller {number}", f"bob@mine{number}.example", f"Mine {number}", f"C-{7000 + number}")


def colleague(number: int) -> Person:
    """Another contact of the same organisation."""
    return Person(f"Cora Cook {number}", f"cora@mine{number}.example", f"Mine {number}", f"C-{7000 + number}")


def lapsed(number: int) -> Person:
    """A contact of an organisation whose contract ended on 31 January 2026."""
    return Person(f"Lena Late {number}", f"lena@late{number}.example", f"Late {number}", f"L-{8000 + number}")


@dataclass(frozen=True, slots=True)
class Desk:
    """One support address; ``first_agent`` is the key of an agent."""

    key: str
    name: str
    address: str
    prefix: str
    first_agent: str
    tenant: str = "main"


ACME = Desk("acme", "Acme Support", SUPPORT, "AC", "alice")


@dataclass(frozen=True, slots=True)
class Agent:
    """A line of agents.toml."""

    key: str
    person: Person
    lead: bool = False
    tenant: str = "main"


STAFF = (Agent("alice", ALICE), Agent("bruno", BRUNO), Agent("carol", CAROL, lead=True))

_DESK = """
name = "{desk.name}"
addresses = ["{desk.address}"]
tenant = "{desk.tenant}"
prefix = "{desk.prefix}"
calendar = "sydney-office"
first_agent = "{desk.first_agent}"
manager = "mandy@acme.example"
how_to_renew = "Please write to sales@acme.example."

[[target]]
promise = "first_response"
within = "8 business hours"
warn_at = ["50%", "80%"]
"""

_CALENDAR = """
zone = "Australia/Sydney"
monday = "09:00-17:00"
tuesday = "09:00-17:00"
wednesday = "09:00-17:00"
thursday = "09:00-17:00"
friday = "09:00-17:00"
"""


@dataclass(frozen=True, slots=True)
class Company:
    """What the configuration says; ``more`` is put at the end of helpdesk.toml, ``policy`` at the end of each desk."""

    desks: Sequence[Desk] = (ACME,)
    staff: Sequence[Agent] = STAFF
    more: str = ""
    limits: str = ""
    submission: bool = False
    folder_of_certificate: Path | None = None
    database: str = SQLITE
    megabytes: int = 35
    relay_port: int = 0
    policy: str = ""
    border: str = f'servers = ["{BORDER}"]'

    def write(self, folder: Path) -> None:
        """Write the whole folder."""
        for name in ("desks", "calendars"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "helpdesk.toml").write_text(self._main())
        (folder / "calendars" / "sydney-office.toml").write_text(_CALENDAR)
        for desk in self.desks:
            (folder / "desks" / f"{desk.key}.toml").write_text(_DESK.format(desk=desk) + self.policy)
        self.write_agents(folder, self.staff)

    def write_agents(self, folder: Path, staff: Sequence[Agent]) -> None:
        """Write agents.toml."""
        lines = []
        for agent in staff:
            lines += [f"[{agent.key}]", f'name = "{agent.person.name}"', f'addresses = ["{agent.person.address}"]']
            lines += [f'tenant = "{agent.tenant}"', f"lead = {str(agent.lead).lower()}", ""]
        (folder / "agents.toml").write_text("\n".join(lines))

    def _main(self) -> str:
        parts = [
            f'operator = "{OPERATOR}"',
            "[time]",
            'offset_file = "offset"',
            "[database]",
            f'url = "{self.database}"',
            "[[listener]]",
            "port = 0",
            f"max_megabytes = {self.megabytes}",
            "connections_per_address = 100",
        ]
        if self.submission:
            assert self.folder_of_certificate is not None
            parts += ["[[listener]]", 'kind = "submission"', "port = 0", 'accounts_file = "accounts"']
            parts += ['tls = "starttls"', f'certificate = "{self.folder_of_certificate / "cert.pem"}"']
            parts += [f'key = "{self.folder_of_certificate / "key.pem"}"']
        parts += ["[[relay]]", 'host = "127.0.0.1"', f"port = {self.relay_port}", 'tls = "none"']
        parts += ["[border]", self.border, "[limits]", self.limits or NO_RATION]
        return "\n".join([*parts, self.more, ""])


def write_customers(folder: Path, desks: Sequence[Desk] = ()) -> None:
    """Write contacts.csv and contracts.csv of everybody above, but whose address is that of a desk here."""
    ours = {desk.address for desk in desks}
    folder.mkdir(exist_ok=True)
    contacts = ["organisation,domain,name,address,role,language,zone"]
    contracts = ["organisation,kind,number,products,start,end,manager"]
    for number in range(CUSTOMERS):
        for one in (customer(number), colleague(number), lapsed(number)):
            domain = one.address.partition("@")[2]
            if one.address in ours:
                continue
            contacts.append(f"{one.organisation},{domain},{one.name},{one.address},contact,en,Europe/Berlin")
        contracts.append(contract_line(customer(number), "2029-12-31"))
        contracts.append(contract_line(lapsed(number), "2026-01-31"))
    (folder / "contacts.csv").write_text("\n".join(contacts) + "\n")
    (folder / "contracts.csv").write_text("\n".join(contracts) + "\n")


def contract_line(one: Person, end: str, number: str = "") -> str:
    """A line of contracts.csv."""
    return f"{one.organisation},contract,{number or one.contract},Router,2020-01-01,{end},{MANDY.address}"
