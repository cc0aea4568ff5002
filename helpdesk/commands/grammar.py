"""Find the commands in an agent's mail: whole lines ``#word argument`` at the very top or the very end of his own text.

Only text above the first quote is looked at (design, promise 5). Whatever looks like a command elsewhere, or like a
misspelt one, makes the mail come back instead of going out: a note must never reach a customer because of a typing error.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass

#: A whole command line; a colon after the word and a non-breaking space from an HTML editor do no harm.
_LINE = re.compile(r"#([A-Za-z]{2,20})(?:[\s:]+(\S.*)|:)?$")
#: What somebody meant as one, whatever follows the word or stands for the sign.
_ALMOST = re.compile(r"[#\uff03]([A-Za-z]{2,20})(?![A-Za-z])")
#: A command at the start of a line, whatever markup an editor put before it; a note anywhere, since it must not leak.
_MARKED = re.compile(r"(?:[*_\-\u2022\"'\u201e\u201c>\s]*[#\uff03]\s?|/)([A-Za-z]{2,20})(?![A-Za-z])")
_NOTE = re.compile(r"[#\uff03]\s?(note)(?![A-Za-z])", re.IGNORECASE)
#: What a phone puts below a mail in which nobody wrote anything.
_SIGNED_BY_PHONE = re.compile(
    r"--"
    r"|(?:sent|gesendet|envoyé|enviado|inviato|verzonden|skickat) (?:from|via|von|mit|depuis|desde|da|dal|vanaf|från) "
    r"(?:my |meinem |mon |mi |mio |mijn |min )?(?:\S+ )?"
    r"(?:iphone|ipad|ios|android|phone|mobile(?: device)?|galaxy|smartphone|handy|outlook)(?: \S+){0,2}?\.?"
    r"|get outlook for \S+|von meinem \S+(?: \S+)? gesendet\.?",
    re.IGNORECASE,
)
#: Likeness from which a word is taken for a misspelt command in the middle or at the end of a text.
_NEAR = 0.75


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
    written = [_bare(line) for line in text.splitlines() if _bare(line)]
    if written and all(_SIGNED_BY_PHONE.fullmatch(line) for line in written):
        text = ""
    for line in text.splitlines():
        meant = _MARKED.match(_bare(line)) or _NOTE.search(_bare(line))
        if meant and meant[1].lower() in known:
            return Orders((), new_text, _misplaced(meant[1].lower()))
        found = _ALMOST.match(_bare(line))
        word = found[1].lower() if found else ""
        if word and difflib.get_close_matches(word, known, 1, _NEAR):
            return Orders((), new_text, _unknown(word, known))
    return Orders(commands, text)


def order(lead_text: str) -> str:
    """The first line that says something, in lower case: where a notice asks for one word, it stands there alone."""
    return next((bare.lower() for line in lead_text.split("\n") if (bare := _bare(line))), "")


def _bare(line: str) -> str:
    """A line without outer space and without signs that nobody sees."""
    return "".join(sign for sign in line if unicodedata.category(sign) != "Cf").strip()


def _block(lines: list[str], known: Collection[str], *, strict: bool) -> tuple[list[tuple[str, str]] | str, int]:
    """Leading command lines, and how many lines they and the blank ones around them take."""
    commands: list[tuple[str, str]] = []
    taken = 0
    for number, line in enumerate(lines, start=1):
        bare = _bare(line)
        if not bare:
            continue
        found = _LINE.match(bare)
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
    return f"I do not know the command #{word}.{meant} To send that line as text, put a word before it."


def _misplaced(word: str) -> str:
    return (
        f"#{word} stands in the middle of your text or below a quote, where I do not carry commands out, or it is "
        "not a line of its own. Put commands on the first lines of your mail, above everything else; to speak of one, "
        "leave the # out."
    )
