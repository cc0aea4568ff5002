"""``helpdesk outbox``: mails decided but not yet handed to the relay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from helpdesk.cli.opened import clock, database
from helpdesk.cli.terminal import Stopped, say, short_time, show_json, show_table


@click.group(invoke_without_command=True)
@click.option("--all", "everything", is_flag=True, help="Also those sent, failed, expired or cancelled.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_context
def outbox(context: click.Context, everything: bool, as_json: bool) -> None:
    """List the mails that wait for the relay, in order (times in UTC); retry or cancel them."""
    if context.invoked_subcommand is not None:
        return
    from helpdesk.settings import load
    from helpdesk.store import outbox as rows
    from helpdesk.store.engine import reading

    with database(load(context.obj)) as engine, reading(engine).begin() as connection:
        found = rows.listing(connection, ended=everything)
    if as_json:
        names = rows.Waiting.__dataclass_fields__
        show_json([{name: getattr(one, name) for name in names} for one in found])
    elif not found:
        say("The outbox is empty.")
    else:
        show_table(
            ("ID", "State", "To", "What", "Next try", "Said by the relay"),
            [
                (
                    str(one.id),
                    one.state,
                    one.recipient,
                    one.block,
                    short_time(one.not_before, "UTC") if one.state == "waiting" else "",
                    one.last_error,
                )
                for one in found
            ],
            folding={"To": 20, "Said by the relay": 16},
        )


@outbox.command()
@click.argument("number", metavar="[ID]", type=int, required=False)
@click.option("--all", "everything", is_flag=True, help="All that wait for their next try.")
@click.pass_obj
def retry(folder: Path, number: int | None, everything: bool) -> None:
    """Let a mail be tried now, also one that failed or expired; the running daemon does so within a second, unless its
    relay takes nothing."""
    from helpdesk.settings import load
    from helpdesk.store import outbox as rows

    if (number is None) is not everything:
        raise click.UsageError("say which mail: its ID, or --all")
    settings = load(folder)
    with database(settings) as engine, _waiting(), engine.begin() as connection:
        count = rows.retry(connection, number, clock(settings)())
    say(f"Mail {number} is tried now." if number is not None else f"{count} mails are tried now.")


@outbox.command()
@click.argument("number", metavar="ID", type=int)
@click.pass_obj
def cancel(folder: Path, number: int) -> None:
    """Never send a mail; its ticket says so, and the author of an answer is told."""
    from helpdesk.settings import load
    from helpdesk.store import outbox as rows

    settings = load(folder)
    with database(settings) as engine, _waiting(), engine.begin() as connection:
        taken = rows.cancel(connection, number, "cancelled with helpdesk outbox cancel", clock(settings)())
    say(f"Mail {number} to {taken.recipient} is cancelled.")


@contextmanager
def _waiting() -> Iterator[None]:
    """A mail that does not wait ends the command with 65."""
    from helpdesk.store.outbox import NotWaiting

    try:
        yield
    except NotWaiting as problem:
        raise Stopped(f"{problem}; helpdesk outbox --all shows them", os.EX_DATAERR) from None
