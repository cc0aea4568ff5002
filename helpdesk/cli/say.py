"""``helpdesk say``: write to the running demonstration as one of its people, or as a stranger."""

from __future__ import annotations

import os
import smtplib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from helpdesk.cli.terminal import Stopped, say
from helpdesk.domain.address import fold

if TYPE_CHECKING:
    from helpdesk.demo.company import Person


@click.command(name="say")
@click.argument("name")
@click.argument("text")
@click.option("--reply", "replies", is_flag=True, help="Answer the last mail that this person got.")
@click.option("--subject", default="", help="Subject of a new mail; otherwise the first words of the text.")
def say_(name: str, text: str, replies: bool, subject: str) -> None:
    """Write TEXT to the desk of the running demo as NAME: bob, dora, anna, lea, max, or any other address."""
    from helpdesk.demo import letters, running
    from helpdesk.timesource import Shifted

    here = running.find()
    if here is None:
        raise Stopped("no demo is running; start one in another terminal with ./run demo", os.EX_UNAVAILABLE)
    writer = _person(name)
    now = Shifted(Path(here.folder) / "clock.offset")()
    if replies:
        got = letters.received(Path(here.folder) / "mail", writer.address)
        if not got:
            raise Stopped(f"{writer.address} has got no mail yet that could be answered", os.EX_DATAERR)
        mail = letters.reply(writer, got[-1].message, text, now)
    else:
        mail = letters.new_mail(writer, " ".join(subject.split()) or _first_words(text), text, now)
    try:
        letters.send(mail, here.port)
    except (OSError, smtplib.SMTPException) as problem:
        raise Stopped(f"the demo did not take the mail: {problem}", os.EX_UNAVAILABLE) from None
    say(f"{writer.address} wrote to {mail['To']}: {mail['Subject']}")


def _person(name: str) -> Person:
    from helpdesk.demo.company import PEOPLE, Person

    for one in PEOPLE:
        if name.lower() in (one.key, one.address):
            return one
    if not fold(name):
        legal = ", ".join(one.key for one in PEOPLE)
        raise Stopped(f"nobody is called {name}; legal: {legal}, or a mail address", os.EX_DATAERR)
    return Person("", "", name, "stranger")


def _first_words(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 50 else words[:50].rsplit(" ", 1)[0] + " ..."
