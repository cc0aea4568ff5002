"""``helpdesk outbox``: mails decided but not yet handed to the relay."""

from __future__ import annotations

from pathlib import Path

import click

from helpdesk.cli.opened import database
from helpdesk.cli.terminal import say, short_time, show_json, show_table


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those sent, failed or expired.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
@click.pass_obj
def outbox(folder: Path, everything: bool, as_json: bool) -> None:
    """List the mails that wait for the relay, oldest first (times in UTC)."""
    from helpdesk.settings import load
    from helpdesk.store import outbox as rows
    from helpdesk.store.engine import reading

    with database(load(folder)) as engine, reading(engine).begin() as connection:
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
