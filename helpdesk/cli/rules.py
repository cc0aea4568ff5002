"""``helpdesk rules``: what may stand in a desk's policy."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from helpdesk.cli.terminal import say, show_json


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def rules(as_json: bool) -> None:
    """List the rules for each kind of input, with their options."""
    from helpdesk.domain.facts import Trigger
    from helpdesk.rules import named

    found = [_described(trigger.value, name, module) for trigger in Trigger for name, module in named(trigger).items()]
    if as_json:
        show_json(found)
        return
    before = ""
    for one in found:
        if one["trigger"] != before:
            say(("\n" if before else "") + f"[[on_{one['trigger']}]]")
            before = one["trigger"]
        say(f"  {one['rule']}")
        say(f"      {one['meaning']}")
        for option, default in one["options"].items():
            say(f"      option {option} = {str(default).lower() if isinstance(default, bool) else repr(default)}")


def _described(trigger: str, name: str, module: Any) -> dict[str, Any]:
    kind = getattr(module, "Options", None)
    options = {field.name: field.default for field in dataclasses.fields(kind)} if kind else {}
    meaning = (module.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    return {"trigger": trigger, "rule": name, "meaning": meaning, "options": options}
