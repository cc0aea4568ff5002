"""What an agent may order in a mail: one command per file, pure.

A command module has WORD, ARGUMENT (how it is called in help, "" for none), CLASS (the right it needs), MEANING (one
line for mails and docs) and ``run(facts, argument) -> Done | Refused``.
"""

from __future__ import annotations

from types import ModuleType

from helpdesk.commands import admit, close, confirm, note, take, whole

COMMANDS: dict[str, ModuleType] = {module.WORD: module for module in (note, close, take, whole, admit, confirm)}


def offered() -> tuple[tuple[str, str], ...]:
    """(how to write it, what it does) for every command."""
    return tuple((f"#{word} {module.ARGUMENT}".strip(), module.MEANING) for word, module in COMMANDS.items())
