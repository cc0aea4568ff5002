"""The company that is measured: one desk, 500 customers with contracts, a border that proves them, no ration.

The customers are those of the corpus (``customers.test``); whoever connects from loopback is the border, whose word
about the sender the load generator writes above each mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

BORDER = "mx.desk.example"
SUPPORT = "help@helpdesk.test"
TENANT = "main"
CUSTOMER_DOMAIN = "customers.test"
CONTACTS = 500
CONTACTS_PER_ORGANISATION = 10

#: When a measured daemon begins, by its own clock: a Monday morning in Berlin, so that no promise is about to break.
MONDAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
#: The border's verdict as RFC 8601 writes it; the topmost line of every mail.
VERDICT = (
    f"Authentication-Results: {BORDER};\r\n"
    f"\tspf=pass smtp.mailfrom={CUSTOMER_DOMAIN};\r\n"
    f"\tdmarc=pass header.from={CUSTOMER_DOMAIN}\r\n"
).encode()

_MAIN = """
operator = "postmaster@helpdesk.test"

[database]
url = "sqlite:///helpdesk.sqlite"

[time]
offset_file = "offset"

[[listener]]
port = 0
connections_per_address = 1000

[[relay]]
name = "customers"
audience = "customers"
host = "127.0.0.1"
port = {customers}
tls = "none"

[[relay]]
name = "staff"
audience = "staff"
host = "127.0.0.1"
port = {staff}
tls = "none"

[border]
servers = ["{border}"]

[limits]
automatic_per_hour = 1000000
unproven_per_day = 1000000
same_words_per_day = 1000000
rapid_per_hour = 1000000
"""

_AGENTS = """
[alice]
name = "Alice Archer"
addresses = ["alice@helpdesk.test"]

[carol]
name = "Carol Chief"
addresses = ["carol@helpdesk.test"]
lead = true
"""

_CALENDAR = """
zone = "Europe/Berlin"
monday = "09:00-17:00"
tuesday = "09:00-17:00"
wednesday = "09:00-17:00"
thursday = "09:00-17:00"
friday = "09:00-17:00"
"""

# The promise is long, so that the thousands of tickets in a filled store wait for their answer and no reminder of
# theirs is due while something else is measured.
_DESK = """
name = "Help"
addresses = ["{support}"]
prefix = "HD"
calendar = "office"
first_agent = "alice"
manager = "mandy@helpdesk.test"

[[target]]
promise = "first_response"
within = "20 business days"
warn_at = ["50%", "80%"]
"""


@dataclass(frozen=True, slots=True)
class Relays:
    """The ports that take what the desk sends to customers and to staff."""

    customers: int
    staff: int


def write(folder: Path, relays: Relays) -> None:
    """Write the configuration folder; the clock is set to begin now."""
    for name in ("desks", "calendars"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    main = _MAIN.format(customers=relays.customers, staff=relays.staff, border=BORDER)
    (folder / "helpdesk.toml").write_text(main)
    (folder / "agents.toml").write_text(_AGENTS)
    (folder / "calendars" / "office.toml").write_text(_CALENDAR)
    (folder / "desks" / "help.toml").write_text(_DESK.format(support=SUPPORT))
    (folder / "offset").write_text(str((MONDAY - datetime.now(UTC)) / timedelta(seconds=1)))


def write_customers(folder: Path) -> None:
    """Write contacts.csv and contracts.csv: each contact of the corpus, ten to an organisation with a contract."""
    folder.mkdir(parents=True, exist_ok=True)
    contacts = ["organisation,name,address,role,language,zone"]
    contracts = ["organisation,kind,number,products,start,end,manager"]
    for number in range(CONTACTS):
        organisation, place = divmod(number, CONTACTS_PER_ORGANISATION)
        address = f"contact{number:04d}@{CUSTOMER_DOMAIN}"
        contacts.append(f"Customer {organisation},Contact {number},{address},contact,en,Europe/Berlin")
        if place == 0:
            line = f"Customer {organisation},contract,C-{organisation},Router,2020-01-01,2035-12-31,mandy@helpdesk.test"
            contracts.append(line)
    (folder / "contacts.csv").write_text("\n".join(contacts) + "\n")
    (folder / "contracts.csv").write_text("\n".join(contracts) + "\n")
