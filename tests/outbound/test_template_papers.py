"""docs/templates.md names every event and every value, with its meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpdesk.outbound.template_variables import FRAME, VARIABLES

PAPER = (Path(__file__).parents[2] / "docs" / "templates.md").read_text(encoding="utf-8")
SECTIONS = {part.partition("\n")[0].strip(): part for part in PAPER.split("\n## ")}


@pytest.mark.parametrize(("audience", "event"), VARIABLES, ids="/".join)
def test_every_value_of_an_event_is_documented(audience, event):
    section = SECTIONS[f"{audience}/{event}"]

    for variable in VARIABLES[audience, event]:
        assert f"| `{variable.name}` | {variable.type} | {variable.meaning} |" in section


def test_every_value_of_all_events_is_documented():
    for variable in FRAME:
        assert f"| `{variable.name}` | {variable.type} | {variable.meaning} |" in SECTIONS["In every template"]
