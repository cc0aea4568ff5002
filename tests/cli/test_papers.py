"""The papers name everything there is: a command, option or setting without a line in them fails here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from helpdesk import settings
from helpdesk.cli.main import helpdesk

DOCS = Path(__file__).resolve().parents[2] / "docs"


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        yield f"{path}{name}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{path}{name} ")


@pytest.mark.parametrize(("path", "command"), [("", helpdesk), *commands(helpdesk)], ids=lambda value: str(value)[:20])
def test_command_is_in_the_papers_with_its_options(path: str, command: click.Command) -> None:
    text = (DOCS / "command-line.md").read_text()

    assert f"helpdesk {path}".strip() in text
    section = text.partition(f"## helpdesk {path.split()[0]}")[2].partition("\n## ")[0] if path else text
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert f"`{option.opts[0]}" in section, f"{path} {option.opts}"


HEADINGS = {
    "Main": "## helpdesk.toml",
    "Database": "### [database]",
    "Listener": "### [[listener]]",
    "Imap": "### [[mailbox]]",
    "Relay": "### [[relay]]",
    "Border": "### [border]",
    "Spam": "### [spam]",
    "Limits": "### [limits]",
    "Alarm": "### [[alarm]]",
    "Health": "### [health]",
    "TimeShift": "### [time]",
    "AgentSection": "## agents.toml",
    "CalendarSection": "## calendars/NAME.toml",
    "DeskSection": "## desks/NAME.toml",
    "TargetSection": "### [[target]]",
}
SECTIONS = [
    (name, kind)
    for name, kind in vars(settings).items()
    if isinstance(kind, type)
    and issubclass(kind, BaseModel)
    and kind.__module__ == settings.__name__
    and name not in ("Section", "Settings", "Secret", "Policy", "RuleSection")
]


@pytest.mark.parametrize(("name", "kind"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_setting_is_in_the_papers(name: str, kind: type[BaseModel]) -> None:
    text = (DOCS / "settings.md").read_text().partition(f"\n{HEADINGS[name]}\n")[2].partition("\n#")[0]

    assert kind.model_fields
    for key in kind.model_fields:
        assert f"`{key}`" in text, f"{name}.{key}"
