"""What holds for the repository as a whole: layers, and that every rule and command is documented and tested."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from helpdesk.commands import COMMANDS
from helpdesk.domain.decision import Say
from helpdesk.domain.facts import Trigger
from helpdesk.outbound.template_variables import VARIABLES
from helpdesk.rules import RULES, named
from tests.rules.policy import POLICY, lines

ROOT = Path(__file__).resolve().parents[1]
NAMES = [(trigger, name, module) for trigger in Trigger for name, module in named(trigger).items()]


def imports_of(file: Path) -> set[str]:
    """The modules that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_arrows_point_one_way():
    """import-linter's contracts of pyproject.toml."""
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("room", ["domain", "commands", "rules"])
def test_thinking_needs_nothing_but_the_standard_library(room):
    strange = {
        f"{file.name}: {name}"
        for file in (ROOT / "helpdesk" / room).glob("*.py")
        for name in imports_of(file)
        if name.partition(".")[0] not in {*sys.stdlib_module_names, "helpdesk"}
    }

    assert strange == set()


@pytest.mark.parametrize("room", ["domain", "commands", "rules"])
def test_thinking_reads_no_clock(room):
    clocks = re.compile(r"\b(?:datetime\.now|datetime\.utcnow|date\.today|time\.time|monotonic)\(")
    reading = [file.name for file in (ROOT / "helpdesk" / room).glob("*.py") if clocks.search(file.read_text())]

    assert reading == []


@pytest.mark.parametrize(("trigger", "name", "module"), NAMES, ids=[name for _, name, _ in NAMES])
def test_every_rule_is_told_and_tested(trigger: Trigger, name: str, module: ModuleType):
    assert module.__doc__
    assert module.__doc__.strip().splitlines()[0].endswith(".")
    assert (ROOT / "tests" / "rules" / f"test_{name}.py").is_file()
    kind = getattr(module, "Options", None)
    options = {f"`{field.name} = {json.dumps(field.default)}`" for field in dataclasses.fields(kind)} if kind else set()
    (line,) = [line for line in section(trigger) if line.startswith(f"| `{name}` |")]
    assert set(re.findall(r"`\w+ = \w+`", line)) == options
    assert options or line.endswith("| none |")


def section(trigger: Trigger) -> list[str]:
    """The lines of docs/rules.md about one kind of input."""
    text = (ROOT / "docs" / "rules.md").read_text(encoding="utf-8")
    return text.partition(f"`[[on_{trigger}]]`\n")[2].partition("\n## ")[0].splitlines()


@pytest.mark.parametrize("trigger", Trigger)
def test_the_documentation_is_in_the_order_of_the_standard_policy(trigger):
    told = [found[1] for line in section(trigger) if (found := re.match(r"\| `(\w+)` \|", line))]

    assert told == [name for name, _ in lines(trigger)]


def test_every_file_among_the_rules_is_a_rule():
    files = {file.stem for file in (ROOT / "helpdesk" / "rules").glob("*.py")} - {"__init__", "engine"}

    assert files == {module.__name__.rpartition(".")[2] for modules in RULES.values() for module in modules}


@pytest.mark.parametrize("trigger", Trigger)
def test_the_standard_policy_names_every_rule_once(trigger):
    assert set(POLICY) == {f"on_{one}" for one in Trigger}
    assert sorted(name for name, _ in lines(trigger)) == sorted(named(trigger))


@pytest.mark.parametrize("word", COMMANDS)
def test_every_command_is_told_with_an_example(word):
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    heading = f"#{word} {COMMANDS[word].ARGUMENT}".strip()

    body = text.partition(f"## `{heading}`\n")[2].partition("\n## ")[0]

    example = body.partition("```\n")[2].partition("```")[0]
    assert any(line.startswith(f"#{word}") for line in example.splitlines())
    assert COMMANDS[word].__doc__
    assert (ROOT / "helpdesk" / "commands" / f"{word}.py").is_file()


def test_only_known_commands_are_told():
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")

    assert re.findall(r"^## `#(\w+)", text, re.MULTILINE) == list(COMMANDS)


def test_what_rules_and_commands_say_has_a_template_in_every_language():
    """``Say(Audience.X, "block")`` as written in the code, against the files that ship."""
    said: set[tuple[str, str]] = set()
    for file in (*(ROOT / "helpdesk" / "rules").glob("*.py"), *(ROOT / "helpdesk" / "commands").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == Say.__name__:
                audience, block = node.args[0], node.args[1]
                assert isinstance(audience, ast.Attribute)
                if not isinstance(block, ast.Constant):
                    continue  # one of two, chosen just above: the rule's own test names both
                folder = "agent" if audience.attr == "ACTOR" else audience.attr.lower()
                said.add((folder, str(block.value)))

    assert len(said) > 15
    assert said <= set(VARIABLES)
    for language in ("en", "de"):
        missing = [one for one in said if not (ROOT / "templates" / language / one[0] / f"{one[1]}.md").is_file()]
        assert missing == []


def test_no_mocks_of_our_own_code():
    assert not [file for file in (ROOT / "tests").rglob("*.py") if "unittest.mock" in imports_of(file)]
