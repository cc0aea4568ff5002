"""``helpdesk quarantine``: mails kept whole that could not be understood or trusted."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpdesk.cli.opened import clock, database
from helpdesk.cli.terminal import Stopped, indented, one_line, say, short_time, show_json, show_table, size_in_words

if TYPE_CHECKING:
    import sqlalchemy as sa

    from helpdesk.domain.mail import RawMail
    from helpdesk.settings import Settings
    from helpdesk.store.spool import SetAsideMail

#: So much of a header and of a text is shown, in octets and characters; ``--raw`` gives all.
SHOWN = 20_000


@click.group()
def quarantine() -> None:
    """List, show, release and drop mails that were set aside."""


@quarantine.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also those already released or dropped.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def list_(folder: Path, everything: bool, as_json: bool) -> None:
    """List what was set aside, oldest first (times in UTC)."""
    from helpdesk.settings import load
    from helpdesk.store import spool
    from helpdesk.store.engine import reading

    with database(load(folder)) as engine, reading(engine).begin() as connection:
        found = spool.quarantined(connection, released=everything)
    if as_json:
        names = spool.SetAsideMail.__dataclass_fields__
        show_json([{name: getattr(one, name) for name in names} for one in found])
    elif not found:
        say("Nothing is in quarantine.")
    else:
        show_table(
            ("ID", "Since", "From", "To", "Size", "Cause"),
            [
                (
                    str(one.id),
                    short_time(one.at, "UTC"),
                    _envelope_sender(one),
                    ", ".join(one.recipients),
                    size_in_words(one.size),
                    one.cause + _ended(one),
                )
                for one in found
            ],
            folding={"From": 12, "To": 12, "Cause": 20},
        )


@quarantine.command()
@click.argument("number", metavar="ID", type=int)
@click.option("--raw", is_flag=True, help="Write the mail's own bytes to stdout.")
@click.pass_obj
def show(folder: Path, number: int, raw: bool) -> None:
    """Show why a mail was set aside, its header and its text."""
    from helpdesk.settings import load
    from helpdesk.store import spool
    from helpdesk.store.engine import reading

    settings = load(folder)
    with database(settings) as engine, reading(engine).begin() as connection:
        found = _find(connection, number)
        taken = spool.load(connection, found.spool_id)
    assert taken is not None
    if raw:
        sys.stdout.buffer.write(taken.mail.data)
        return
    say(f"Mail {found.id} in quarantine since {found.at:%Y-%m-%d %H:%M} UTC")
    say(f"Cause:  {one_line(found.cause)}")
    say(f"Came:   {found.door}, from {one_line(_envelope_sender(found))} to {one_line(', '.join(found.recipients))}")
    say(f"Size:   {size_in_words(found.size)}")
    if found.released_at:
        say(f"{'Dropped' if found.dropped else 'Released'} at {found.released_at:%Y-%m-%d %H:%M} UTC")
    say()
    say(indented(_header(taken.mail.data)))
    say()
    say(indented(_text(settings, taken.mail)))


@quarantine.command()
@click.argument("number", metavar="ID", type=int)
@click.pass_obj
def release(folder: Path, number: int) -> None:
    """Let a mail be read anew; the running daemon does so within a second."""
    from helpdesk.rules.hear_agent import CLAIMS
    from helpdesk.settings import load
    from helpdesk.store import spool

    settings = load(folder)
    with database(settings) as engine, engine.begin() as connection:
        found = _find(connection, number)
        if not spool.release(connection, number, "by command line", clock(settings)()):
            raise Stopped(f"mail {found.id} was released already", os.EX_DATAERR)
    say(f"Mail {number} is released: it is read anew.")
    if found.cause.startswith(CLAIMS):
        name = found.cause.removeprefix(CLAIMS).partition(",")[0]
        say(f"Nothing proves that it is from {name}, so it is filed on the ticket and not sent to the customer.")
        say("If it should go out, ask him to send it again over the submission listener or a border that proves him.")


@quarantine.command()
@click.argument("numbers", metavar="ID...", type=int, nargs=-1, required=True)
@click.pass_obj
def drop(folder: Path, numbers: tuple[int, ...]) -> None:
    """Drop mails for good: nobody hears of them; their bytes stay in the database."""
    from helpdesk.settings import load
    from helpdesk.store import spool

    settings = load(folder)
    with database(settings) as engine, engine.begin() as connection:
        for number in numbers:
            if not spool.drop_set_aside(connection, _find(connection, number).id, "by command line", clock(settings)()):
                raise Stopped(f"mail {number} was released or dropped already; nothing was dropped", os.EX_DATAERR)
    say(f"Dropped: {', '.join(map(str, numbers))}.")


def _ended(one: SetAsideMail) -> str:
    return "" if one.released_at is None else " (dropped)" if one.dropped else " (released)"


def _find(connection: sa.Connection, number: int) -> SetAsideMail:
    from helpdesk.store import spool

    if found := spool.quarantined(connection, released=True, number=number):
        return found[0]
    raise Stopped(f"there is no mail {number} in quarantine; helpdesk quarantine list shows them", os.EX_DATAERR)


def _envelope_sender(found: SetAsideMail) -> str:
    return "unknown" if found.sender is None else found.sender or "<>"


def _header(data: bytes) -> str:
    from helpdesk.inbound.mime import read_fields

    _, body, _ = read_fields(data, 0)
    head = data[: min(body, SHOWN)].replace(b"\r\n", b"\n").rstrip(b"\n")
    return head.decode("utf-8", "backslashreplace") or "(no header)"


def _text(settings: Settings, mail: RawMail) -> str:
    """The mail's text, read in a process that may be killed: it may be here because it killed one."""
    from helpdesk.inbound.worker import Reader, Unreadable

    reader = Reader(settings.believed(), settings.main.limits.reading_seconds)
    try:
        (answer,) = reader.read_all([(mail, {})])
    finally:
        reader.close()
    return f"(the text cannot be shown: {answer.cause})" if isinstance(answer, Unreadable) else answer.text[:SHOWN]
