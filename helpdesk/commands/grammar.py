"""Find the commands in an agent's mail: whole lines ``#word argument`` at the very top or the very end of his own text.

Only text above the first quote is looked at (design, promise 5). Whatever looks like a command elsewhere, or is misspelt
at the top, makes the mail come back instead of going out: a note must never reach a customer because of a typing error.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

_LINE = re.compile(r"#([A-Za-z]{2,20})(?:[ \t]+(\S.*))?[ \t]*$")


@dataclass(frozen=True, slots=True)
class Orders:
    """Commands in order of writing, the text without them, and what is wrong ("" where nothing is)."""

    commands: tuple[tuple[str, str], ...]
    text: str
    problem: str = ""


def parse(lead_text: str, new_text: str, known: Collection[str]) -> Orders:
    """Split an agent's new text into commands and words; ``lead_text`` is its part above the first quote."""
    lead = lead_text.split("\n")
    top, first = _block(lead, known, strict=True)
    if isinstance(top, str):
        return Orders((), new_text, top)
    bottom, last = _block(lead[first:][::-1], known, strict=False)
    assert not isinstance(bottom, str)
    commands = (*top, *reversed(bottom))
    rest = lead[first : len(lead) - last]
    below = new_text.strip("\n").removeprefix(lead_text.strip("\n"))
    text = ("\n".join(rest) + below).strip("\n")
    for line in text.split("\n"):
        found = _LINE.match(line.strip())
        if found and found[1].lower() in known:
            return Orders((), new_text, _misplaced(found[1].lower()))
    return Orders(commands, text)


def _block(lines: list[str], known: Collection[str], *, strict: bool) -> tuple[list[tuple[str, str]] | str, int]:
    """Leading command lines, and how many lines they and the blank ones around them take."""
    commands: list[tuple[str, str]] = []
    taken = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        found = _LINE.match(line.strip())
        if not found:
            break
        word = found[1].lower()
        if word not in known:
            if strict:
                return _unknown(word, known), 0
            break
        commands.append((word, (found[2] or "").strip()))
        taken = number
    return commands, taken


def _unknown(word: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    meant = f" Did you mean #{near[0]}?" if near else ""
    return f"I do not know the command #{word}.{meant} To send that line as text, put a space or a word before it."


def _misplaced(word: str) -> str:
    return (
        f"#{word} stands in the middle of your text or below a quote, where I do not carry commands out. "
        "Put commands on the first lines of your mail, above everything else."
    )
