"""``helpdesk ingest``: take a mail from a pipe of a mail server, or from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpdesk.cli.opened import clock, database, largest_mail, read_bytes
from helpdesk.cli.terminal import Stopped
from helpdesk.domain.errors import HelpdeskError, TemporaryFailure

if TYPE_CHECKING:
    from helpdesk.settings import Settings


@click.command()
@click.argument("file", metavar="FILE|-")
@click.option("--to", "recipients", metavar="ADDRESS", multiple=True, help="Envelope recipient; may be repeated.")
@click.option("--from", "sender", metavar="ADDRESS", help='Envelope sender, "" for <>.')
@click.pass_obj
def ingest(folder: Path, file: str, recipients: tuple[str, ...], sender: str | None) -> None:
    """Keep a mail durably; the daemon, running or started later, handles it.

    Ends with 0 only once the mail is in the database. Whatever may be cured later, a broken setting too, ends with 75,
    so that a mail server keeps the mail and tries again.
    """
    try:
        _keep(folder, file, recipients, sender)
    except click.ClickException:
        raise
    except HelpdeskError as problem:
        raise TemporaryFailure(str(problem)) from problem
    except Exception as fault:
        # A mail server would bounce the mail on 70 ("an unexpected error is a 4xx, never a 5xx").
        raise TemporaryFailure(f"a fault of helpdesk itself: {type(fault).__name__}: {fault}") from fault


def _keep(folder: Path, file: str, recipients: Sequence[str], sender: str | None) -> None:
    from helpdesk.domain.mail import Door, Envelope, RawMail
    from helpdesk.settings import load
    from helpdesk.store import spool

    settings = load(folder)
    data = without_mbox_line(read_bytes(file, largest_mail(settings)))
    if not data.strip():
        raise Stopped(f"{file}: there is no mail in it", os.EX_DATAERR)
    ours = tenants(settings)
    wanted = own_addresses(ours, recipients or named_in(data))
    if recipients and len(wanted) < len(recipients):
        strange = ", ".join(one for one in recipients if one not in wanted)
        raise Stopped(f"no desk has the address {strange}; legal: {', '.join(ours)}", os.EX_DATAERR)
    if not wanted:
        raise Stopped(
            f"{file}: To, Cc and Delivered-To name no address of ours; say whom it is for with --to ADDRESS "
            f"({', '.join(ours)})",
            os.EX_DATAERR,
        )
    now = clock(settings)()
    raw = RawMail(Door.FILE, Envelope(sender, tuple(wanted)), now, data)
    with database(settings) as engine, engine.begin() as connection:
        spool.keep(connection, raw, tuple(dict.fromkeys(wanted.values())), now)


def tenants(settings: Settings) -> dict[str, str]:
    """The tenant of each folded address of our desks."""
    from helpdesk.domain.address import fold

    return {fold(address): desk.tenant for desk in settings.desks.values() for address in desk.addresses}


def own_addresses(ours: Mapping[str, str], addresses: Sequence[str]) -> dict[str, str]:
    """Those of the addresses, tagged or not, that are ours, with their tenants."""
    from helpdesk.domain.address import untagged

    return {address: ours[untagged(address)[0]] for address in addresses if untagged(address)[0] in ours}


def named_in(data: bytes) -> list[str]:
    """The addresses in Delivered-To, To and Cc of a mail."""
    from helpdesk.inbound.addresses import mailboxes
    from helpdesk.inbound.mime import read_fields

    fields, _, _ = read_fields(data, 0)
    values = [value for name in ("delivered-to", "to", "cc") for value in fields.get(name, ())]
    return [mailbox.address for mailbox in mailboxes(values)]


def without_mbox_line(data: bytes) -> bytes:
    """The mail without the ``From `` line that mail servers put above a piped one."""
    return data.partition(b"\n")[2] if data.startswith(b"From ") else data
