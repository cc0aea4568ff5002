"""``helpdesk import``: contacts and contracts from CSV files."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from helpdesk.cli.opened import clock, database, read_bytes
from helpdesk.cli.terminal import Stopped, one_line, say, show_json

if TYPE_CHECKING:
    import sqlalchemy as sa

    from helpdesk.domain.tables import ContactRow, ContractRow, Problem
    from helpdesk.settings import Settings
    from helpdesk.store.importing import Imported

#: A table beyond this size, in bytes, is none that a person keeps.
LARGEST = 64 * 1024 * 1024


@dataclass(slots=True)
class _Tables:
    """The rows of all files, each with the name of its file, and everything that is wrong with them."""

    contacts: list[tuple[str, ContactRow]] = field(default_factory=list)
    contracts: list[tuple[str, ContractRow]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@click.command(name="import")
@click.argument("path", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--tenant", default="", help="Whose customers these are; needed where the desks have several tenants.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, do nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as a JSON object.")
@click.pass_obj
def import_(folder: Path, path: Path, tenant: str, dry_run: bool, as_json: bool) -> None:
    """Take over contacts and contracts from a CSV file, or from every CSV file of a folder.

    What a file holds is told by its column names. If any line has a problem, all problems are listed and nothing is
    imported. Importing the same files again changes nothing.
    """
    from helpdesk.settings import load

    settings = load(folder)
    whose = _tenant(settings, tenant)
    tables = _read(_files(path))
    with database(settings) as engine, engine.connect() as connection, connection.begin() as transaction:
        imported = _take_over(connection, settings, whose, tables)
        if dry_run:
            transaction.rollback()
    if as_json:
        counts = {kind: asdict(count) for kind, count in imported.counts.items()}
        show_json({**counts, "tickets_woken": imported.woken, "dry_run": dry_run})
        return
    for kind, count in imported.counts.items():
        say(f"{kind:<14} {count.new} new, {count.changed} changed, {count.unchanged} unchanged")
    if imported.woken:
        say(f"{imported.woken} held tickets look for a contract again.")
    if dry_run:
        say("This was a dry run: nothing was written.")


def _tenant(settings: Settings, wanted: str) -> str:
    known = sorted({desk.tenant for desk in settings.desks.values()})
    if wanted in known:
        return wanted
    if wanted:
        raise Stopped(f"no desk belongs to the tenant {wanted}; legal: {', '.join(known)}", os.EX_DATAERR)
    if len(known) > 1:
        raise click.UsageError(f"say whose customers these are with --tenant; legal: {', '.join(known)}")
    return known[0]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(path.glob("*.csv"))
    if not files:
        raise Stopped(f"{path}: there is no CSV file in this folder", os.EX_NOINPUT)
    return files


def _read(files: Sequence[Path]) -> _Tables:
    from helpdesk.domain.tables import decode, read_contacts, read_contracts

    tables = _Tables()
    for file in files:
        text, name = decode(read_bytes(str(file), LARGEST)), str(file)
        if _holds_contracts(text):
            agreements = read_contracts(text, name)
            tables.contracts += [(name, row) for row in agreements.rows]
            tables.problems += agreements.problems
        else:
            contacts = read_contacts(text, name)
            tables.contacts += [(name, row) for row in contacts.rows]
            tables.problems += contacts.problems
    return tables


def _holds_contracts(text: str) -> bool:
    """True where the first line names columns that only contracts have; what is wrong with it is the reader's to say."""
    names = next((line for line in text.splitlines() if line.strip()), "")
    columns = {cell.strip().lower() for cell in next(csv.reader([names.replace(";", ",")]), [])}
    return bool(columns & {"kind", "number", "start", "end"}) and "address" not in columns


def _take_over(connection: sa.Connection, settings: Settings, tenant: str, tables: _Tables) -> Imported:
    from helpdesk.store import importing

    desks = [desk for desk in settings.desks.values() if desk.tenant == tenant]
    found = [
        *tables.problems,
        *_own_addresses(settings, tables),
        *importing.conflicts(connection, tenant, tables.contacts, tables.contracts),
    ]
    if problems := list(dict.fromkeys(map(str, found))):
        for problem in problems:
            click.echo(one_line(problem), err=True)
        raise Stopped(f"nothing was imported: {len(problems)} problem{'s' * (len(problems) > 1)}", os.EX_DATAERR)
    now = clock(settings)()
    return importing.take_over(
        connection,
        tenant,
        [row for _, row in tables.contacts],
        [row for _, row in tables.contracts],
        now.astimezone(ZoneInfo(settings.calendars[desks[0].calendar].zone)).date(),
        now,
    )


def _own_addresses(settings: Settings, tables: _Tables) -> list[Problem]:
    """Contacts whose address is a desk's or an agent's: mail would go round in circles."""
    from helpdesk.domain.address import fold
    from helpdesk.domain.tables import Problem

    ours = {fold(one): f"desk {key}" for key, desk in settings.desks.items() for one in desk.addresses}
    ours |= {fold(one): f"agent {key}" for key, agent in settings.agents.items() for one in agent.addresses}
    return [
        Problem(file, row.line, "address", row.address, f"is an address of {ours[fold(row.address)]}", "a contact's")
        for file, row in tables.contacts
        if fold(row.address) in ours
    ]
