"""The load generator of ``shared/perf``, with what a border server would have written above each mail.

    python -m benchmarks.load PERF_FOLDER [--older FILE] LOADGEN_ARGUMENTS

Without the border's word every sender of the corpus would be unproven. ``--older`` names a file of tickets opened
earlier, a JSON list [Message-ID, address] a line: every second reply then goes to one of these instead.
"""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.company import VERDICT
from benchmarks.filled import read_opened

#: The share of replies that go to tickets of long ago.
OLDER = 0.5


def bordered(mails: Iterator[Any], older: Mapping[str, Sequence[str]], seed: int) -> Iterator[Any]:
    """The mails of the corpus as they leave the border; ``older`` has Message-IDs of earlier tickets by address."""
    choice = random.Random(seed)
    opening: dict[int, str] = {}
    for mail in mails:
        opening[mail.idx] = mail.msgid
        raw = mail.raw
        if mail.reply and mail.frm in older and choice.random() < OLDER:
            head, gap, body = raw.partition(b"\r\n\r\n")
            parent, other = opening[mail.parent].encode(), choice.choice(older[mail.frm]).encode()
            raw = head.replace(parent, other) + gap + body
        yield replace(mail, raw=VERDICT + raw)


def main(arguments: list[str]) -> None:
    perf, *rest = arguments
    older: Mapping[str, Sequence[str]] = {}
    if rest[:1] == ["--older"]:
        older, rest = read_opened(Path(rest[1])), rest[2:]
    sys.path.insert(0, perf)
    corpus, loadgen = importlib.import_module("corpus"), importlib.import_module("loadgen")
    plain: Callable[..., Iterator[Any]] = corpus.gen

    def gen(count: int, seed: int, *more: Any, **named: Any) -> Iterator[Any]:
        return bordered(plain(count, seed, *more, **named), older, seed)

    # The generator looks the corpus up in its module at each run.
    corpus.gen = gen  # type: ignore[attr-defined]
    sys.argv = ["loadgen.py", *rest]
    loadgen.main()


if __name__ == "__main__":
    main(sys.argv[1:])
