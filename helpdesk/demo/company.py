"""The invented company of the demonstration: its people, its configuration, its customers' contracts."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

DESK = "support@acme.example"
ZONE = "Europe/Berlin"
#: The company's border server, named in the settings; what it writes into Authentication-Results is believed.
BORDER = "mx.acme.example"


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who reads and writes mail; ``part`` says what he is to the desk."""

    key: str
    name: str
    address: str
    part: str


ANNA = Person("anna", "Anna Keller", "anna@acme.example", "agent")
LEA = Person("lea", "Lea Brandt", "lea@acme.example", "lead")
MAX = Person("max", "Max Oduya", "max@acme.example", "customer manager")
ADMIN = Person("admin", "Administrator", "admin@acme.example", "operator")
BOB = Person("bob", "Bob Reyes", "bob@printworks.example", "customer with a contract")
DORA = Person("dora", "Dora Lind", "dora@brightside.example", "customer whose contract has lapsed")
PEOPLE = (BOB, DORA, ANNA, LEA, MAX, ADMIN)


def first_morning(after: datetime) -> datetime:
    """Half past nine on the next Tuesday: the story needs working hours whenever it is played."""
    local = after.astimezone(ZoneInfo(ZONE))
    day = local.date() + timedelta(days=(1 - local.weekday()) % 7 or 7)
    return datetime.combine(day, time(9, 30), ZoneInfo(ZONE))


def write_configuration(folder: Path, day: date) -> Path:
    """Write what an administrator would write, and the customers' tables in ``customers/``; gives that folder."""
    _write(
        folder / "helpdesk.toml",
        f"""
        operator = "{ADMIN.address}"

        [[listener]]
        kind = "smtp"
        host = "127.0.0.1"
        port = 0                           # any free one
        hostname = "desk.acme.example"

        [[relay]]
        delivery = "maildir:mail"          # a Maildir per recipient instead of a relay

        [border]
        servers = ["{BORDER}"]

        [time]
        offset_file = "clock.offset"       # the story moves the clock
        """,
    )
    _write(
        folder / "agents.toml",
        f"""
        [{ANNA.key}]
        name = "{ANNA.name}"
        addresses = ["{ANNA.address}"]

        [{LEA.key}]
        name = "{LEA.name}"
        addresses = ["{LEA.address}"]
        lead = true
        """,
    )
    hours = "\n".join(
        f'{weekday} = "09:00-17:00"' for weekday in ("monday", "tuesday", "wednesday", "thursday", "friday")
    )
    _write(folder / "calendars" / "office.toml", f'zone = "{ZONE}"\n{hours}\n')
    _write(
        folder / "desks" / "support.toml",
        f"""
        name = "Acme Support"
        addresses = ["{DESK}"]
        prefix = "AC"
        calendar = "office"
        policy = "standard"
        first_agent = "{ANNA.key}"
        manager = "{MAX.address}"
        how_to_renew = "To renew, write to {MAX.address} or call +49 30 5550 0100."

        [[target]]
        promise = "first_response"
        within = "4 business hours"
        warn_at = ["50%", "80%"]
        """,
    )
    customers = folder / "customers"
    _write(
        customers / "contacts.csv",
        f"""
        organisation,domain,name,address,role
        Printworks,printworks.example,{BOB.name},{BOB.address},contact
        Brightside Clinic,brightside.example,{DORA.name},{DORA.address},contact
        """,
    )
    lapsed = day - timedelta(days=30)
    _write(
        customers / "contracts.csv",
        f"""
        organisation,kind,number,products,start,end,manager
        Printworks,contract,PW-7,Label printer,{day - timedelta(days=100)},{day + timedelta(days=265)},{MAX.address}
        Brightside Clinic,contract,BC-3,Scanner,{lapsed - timedelta(days=364)},{lapsed},{MAX.address}
        """,
    )
    return customers


def write_renewal(folder: Path, day: date) -> Path:
    """The renewal of the lapsed contract as the sales people would export it; gives the file."""
    file = folder / "renewal.csv"
    _write(
        file,
        f"""
        organisation,kind,number,products,start,end,manager
        Brightside Clinic,contract,BC-4,Scanner,{day},{day + timedelta(days=364)},{MAX.address}
        """,
    )
    return file


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
