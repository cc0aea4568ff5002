"""docs/reliability.md names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "reliability.md").read_text())))
assert NAMED


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_promise_names_a_test(file: str, name: str) -> None:
    """A promise whose test was renamed or removed would be a mere claim."""
    functions = [node.name for node in ast.parse((ROOT / file).read_text()).body if isinstance(node, ast.FunctionDef)]

    assert name in functions
