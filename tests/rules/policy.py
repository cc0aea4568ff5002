"""The standard policy as it ships, bound to its rules."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from helpdesk.domain.facts import Trigger
from helpdesk.rules import bind

FILE = Path(__file__).resolve().parents[2] / "config" / "policies" / "standard.toml"
POLICY: dict[str, list[dict[str, Any]]] = tomllib.loads(FILE.read_text(encoding="utf-8"))


def lines(trigger: Trigger) -> list[tuple[str, dict[str, Any]]]:
    """(rule, options) in the order of the file."""
    found = POLICY[f"on_{trigger.value}"]
    return [(line["rule"], {key: value for key, value in line.items() if key != "rule"}) for line in found]


RULES = {trigger: bind(trigger, lines(trigger), FILE.name) for trigger in Trigger}
ON_MAIL = RULES[Trigger.MAIL]
