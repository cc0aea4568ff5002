"""What goes to a terminal: words, tables, JSON. Text of mails never steers the terminal that shows it (T45)."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

# Control characters (ECMA-48 C0 and C1), line separators, those that turn the writing direction, lone surrogates.
_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


class Stopped(click.ClickException):
    """A command that ends with words on stderr and this exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def several_lines(text: str) -> str:
    r"""The text with line breaks and tabs as they are, and whatever else would steer a terminal written out.

    >>> several_lines("red\x1b[31m alert")
    'red\\x1b[31m alert'
    """
    return _STEERING.sub(_written_out, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    r"""The same on one line.

    >>> one_line("first\nsecond")
    'first\\nsecond'
    """
    return re.sub("[\t\n]", _written_out, _STEERING.sub(_written_out, text))


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def say(text: str = "") -> None:
    """Write lines to stdout."""
    click.echo(several_lines(text))


def indented(text: str, by: str = "    ") -> str:
    """Every line of a text moved to the right, fit for a terminal."""
    return "\n".join(by + line if line else "" for line in several_lines(text).split("\n"))


def show_json(value: object) -> None:
    """Write JSON in ASCII to stdout; instants become UTC with a Z."""
    click.echo(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return str(value)


def show_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, folding: Mapping[str, int] | None = None
) -> None:
    """Write a table; on a terminal it fits the width, elsewhere every row is one plain line.

    ``folding`` are the columns that give way on a narrow terminal, with their smallest width; the others never wrap.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in columns:
        smallest = (folding or {}).get(name)
        table.add_column(name, overflow="fold", no_wrap=smallest is None or not terminal, min_width=smallest)
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console = Console(markup=False, highlight=False, emoji=False, width=None if terminal else 2000)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().rstrip("\n").split("\n"):
        click.echo(line.rstrip())


def local_time(at: datetime, zone: str) -> str:
    """An instant as the people of a zone say it: ``Tue 24 Nov 2026 09:00 AEDT``."""
    return at.astimezone(ZoneInfo(zone)).strftime("%a %d %b %Y %H:%M %Z")


def short_time(at: datetime, zone: str) -> str:
    """The same for tables: ``24 Nov 09:00``."""
    return at.astimezone(ZoneInfo(zone)).strftime("%d %b %H:%M")


def size_in_words(octets: int) -> str:
    """``120 bytes``, ``34 kB`` or ``5.1 MB``."""
    if octets < 1000:
        return f"{octets} bytes"
    return f"{octets / 1000:.0f} kB" if octets < 1_000_000 else f"{octets / 1_000_000:.1f} MB"
