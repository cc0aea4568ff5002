"""Which lines of a mail are ours: told by the texts that we sent, however a program has folded and marked them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

#: Scripts that write no spaces count by the letter.
_UNSPACED = r"\u0e00-\u0e7f\u3040-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_URL = re.compile(r"\b[a-zA-Z]{2,10}://\S*+")
#: So many words in a row are nobody's by chance; a line of ours so long may have an answer behind it.
_TELLING, _LONG = 4, 15
_MAX_WORDS = 60
#: A line of nothing else is drawn by a program; nobody answers so.
_DRAWN = "> \t\r\xa0-_=*~#+|.:,;·•–—─━"


def squeezed(line: str) -> str:
    """A line without the marks of a quote, without space and case."""
    return "".join(line.lstrip("> \t").split()).casefold()


def _words(line: str) -> list[str]:
    # Filters at the border rewrite links.
    return _WORD.findall(_URL.sub(" ", line).casefold())


class Sent:
    """The texts that we sent; false where there is none."""

    def __init__(self, texts: Sequence[str]) -> None:
        lines = [[line for line in text.split("\n") if line.strip("> \t")] for text in texts]
        bare = [[squeezed(line) for line in one] for one in lines]
        words = [[_words(line) for line in one] for one in lines]
        self._lines = {line for one in bare for line in one}
        self._neighbours = {pair for one in bare for pair in pairwise(one)}
        self._last = {one[-1] for one in bare if one}
        self._pairs = {pair for one in words for pair in pairwise(word for line in one for word in line)}
        self._begins = {" ".join(line): line[-1] for one in words for line in one if len("".join(line)) >= _LONG}
        self._short = {" ".join(line) for one in words for line in one if len("".join(line)) < _LONG}
        self._telling = any(len(line) >= _TELLING for one in words for line in one)
        self._linked = any("://" in text for text in texts)

    def __bool__(self) -> bool:
        return bool(self._lines)

    def holds(self, line: str) -> bool:
        """True for a line that stands in our text as it is."""
        return squeezed(line) in self._lines

    def follows(self, above: str, below: str) -> bool:
        """True where the one stands right above the other in our text too."""
        return (squeezed(above), squeezed(below)) in self._neighbours

    def is_last(self, line: str) -> bool:
        return squeezed(line) in self._last

    def last_word(self, line: str) -> str:
        return (_words(line) or [""])[-1]

    def knows(self, line: str, before: str = "") -> bool:
        """True where most word pairs of a line are ours, the first with the word ``before``; a mere link is of no account."""
        words = _words(line)
        pairs = list(pairwise(words))
        if len(words) == 1:
            # "No" is a word of ours and an answer: only its place tells.
            return (before, words[0]) in self._pairs if before else squeezed(line) in self._lines
        return self._most(pairs) if words else self._linked or not line.strip(_DRAWN)

    def _most(self, pairs: Sequence[tuple[str, str]]) -> bool:
        return sum(pair in self._pairs for pair in pairs) * 3 >= len(pairs) * 2

    def answered(self, line: str) -> bool:
        """True for a line that begins with one of ours and goes on with other words."""
        if squeezed(line) in self._lines:
            return False
        words = _words(line)[:_MAX_WORDS]
        for end in range(len(words) - 1, 0, -1):
            last = self._begins.get(" ".join(words[:end]))
            if last is not None:
                rest = words[end:]
                # What was folded otherwise goes on as ours does; an option of ours that is repeated is a choice.
                return " ".join(rest) in self._short or not self._most([*pairwise([last, *rest])])
        return False

    def within(self, lines: Iterable[str]) -> bool:
        """True where some line is ours beyond chance, or ours are too short to tell."""
        return not self._telling or any(len(_words(line)) >= _TELLING and self.knows(line) for line in lines)
