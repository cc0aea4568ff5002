"""``helpdesk health``: how the running daemon is, part by part."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from helpdesk.cli.terminal import Stopped, say, several_lines, show_json, show_table

#: A daemon that has not written its report for so long hangs or is gone, in seconds.
STALE_SECONDS = 30.0
#: The exit code where some part is in trouble.
TROUBLE = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_obj
def health(folder: Path, as_json: bool) -> int:
    """Show how the running daemon is; ends with 1 if a part is in trouble, with 69 if the daemon does not run."""
    from helpdesk.settings import load

    report = read_report(load(folder).main.health.file)
    parts: list[dict[str, Any]] = report["parts"]
    troubles = [part for part in parts if not part["well"]]
    if as_json:
        show_json(report)
    else:
        show_table(
            ("Part", "State", "Since"),
            [(part["name"], part["words"] or "well", part["since"] or "") for part in [*troubles, *_well(parts)]],
            folding={"State": 20},
        )
        for part in troubles:
            if part["advice"]:
                say(f"{part['name']}: {several_lines(part['advice'])}")
    return TROUBLE if troubles else 0


def _well(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [part for part in parts if part["well"]]


def read_report(file: Path) -> dict[str, Any]:
    """What the daemon wrote last; exit code 69 where it has not for too long, or never did."""
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        age = datetime.now(UTC) - datetime.fromisoformat(report["at"])
    except FileNotFoundError:
        raise Stopped("the daemon does not run", os.EX_UNAVAILABLE) from None
    except PermissionError:
        raise Stopped(f"{file} may not be read by this user", os.EX_NOPERM) from None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise Stopped(f"{file} cannot be read ({type(problem).__name__})", os.EX_UNAVAILABLE) from None
    if abs(age.total_seconds()) > STALE_SECONDS:
        raise Stopped(f"the daemon hangs or was killed: its last word is of {report['at']}", os.EX_UNAVAILABLE)
    if not isinstance(report, dict):
        raise Stopped(f"{file} is no report", os.EX_UNAVAILABLE)
    return report
