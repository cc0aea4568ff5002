"""The story on a terminal, on paper (no terminal: plain text), or as JSON, one object a line."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, replace
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from helpdesk.cli.terminal import one_line, several_lines
from helpdesk.demo import letters
from helpdesk.demo.story import Arrived, Beat, Done, Heading, Passed, Silence, Written

WIDTH = 80
#: Lines that are shown of a mail that is read, and of one that is written; the rest can be read in the Maildir.
READ, WRITTEN = 18, 11


def show(beat: Beat) -> None:
    """Show one beat of the story, 80 columns wide."""
    match beat:
        case Heading():
            _line(f"\n{beat.number}. {beat.text}", "bold")
        case Written():
            _show_mail("is written", beat.mail, WRITTEN, "", "cyan")
        case Arrived():
            _show_mail(f"is read by {beat.reader}", beat.mail, READ, _because(beat.rule, beat.why), "green")
        case Silence():
            _line("   No mail goes out.", "yellow")
            _line(_because(beat.rule, beat.why), "dim")
        case Passed():
            local = beat.at.astimezone(ZoneInfo(beat.zone))
            _line(f"\n   The clock now says {local:%A %H:%M} ({beat.zone}).", "magenta")
        case Done():
            _line(f"   $ {beat.text}", "cyan")


def as_json(beat: Beat) -> str:
    """One beat as a JSON object on one line."""
    fields: dict[str, object] = {"beat": type(beat).__name__.lower()}
    if isinstance(beat, Written | Arrived):
        mail = beat.mail
        fields |= {name.lower(): str(mail[name] or "") for name in ("From", "To", "Subject")}
        fields["body"] = letters.text_of(mail)
    if isinstance(beat, Passed):
        beat = replace(beat, at=beat.at.astimezone(ZoneInfo(beat.zone)))
    fields |= {name: value for name, value in asdict(beat).items() if name != "mail"}
    return json.dumps(fields, default=lambda value: value.isoformat())


def _because(rule: str, why: str) -> str:
    text = f"rule {rule}: {one_line(why)}" if rule else "no rule: the desk itself"
    return textwrap.fill(text, WIDTH, initial_indent="   -> ", subsequent_indent="      ")


def _show_mail(happens: str, mail: EmailMessage, most: int, because: str, colour: str) -> None:
    head = [f"{name}: {one_line(str(mail[name] or ''))}" for name in ("From", "To", "Subject")]
    lines = list(_body(mail, most))
    if not sys.stdout.isatty():
        edge = "   | "
        shown = [*head, "", *lines]
        click.echo(f"\n   A mail {happens}:")
        click.echo("\n".join((edge + line).rstrip() for line in shown))
        if because:
            click.echo(because)
        return
    text = Text("\n".join(head) + "\n\n" + "\n".join(lines))
    text.stylize("bold", 0, len("\n".join(head)))
    console = Console(width=min(WIDTH, Console().width))
    panel = Panel(text, title=Text(happens), title_align="left", border_style=colour)
    console.print(panel)
    if because:
        _line(because, "dim")


def _body(mail: EmailMessage, most: int) -> Iterator[str]:
    """The first ``most`` lines of a mail's text, folded to the width of the screen."""
    lines = [
        part
        for line in several_lines(letters.text_of(mail)).expandtabs().split("\n")
        for part in (textwrap.wrap(line, WIDTH - 6, drop_whitespace=False) or [""])
    ]
    yield from lines[:most]
    if len(lines) > most:
        yield f"[... {len(lines) - most} more lines]"


def _line(text: str, style: str) -> None:
    colours = {"cyan", "yellow", "magenta"}
    click.secho(several_lines(text), bold=style == "bold", dim=style == "dim", fg=style if style in colours else None)
