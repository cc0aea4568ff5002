"""``helpdesk account``: make the line that lets somebody log in to the submission listener."""

from __future__ import annotations

import os
import sys

import click

from helpdesk.cli.terminal import Stopped
from helpdesk.domain.address import fold


@click.command()
@click.argument("address")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of stdin.")
def account(address: str, password_stdin: bool) -> None:
    """Print ADDRESS:HASH for accounts_file; asks for the password."""
    from helpdesk.store.accounts import hashed

    if not fold(address) or any(sign in address for sign in ": \t"):
        raise Stopped(f"{address} is not a mail address; legal: name@domain", os.EX_DATAERR)
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if not password:
        raise Stopped("there is no password", os.EX_DATAERR)
    click.echo(f"{fold(address)}:{hashed(password)}")
