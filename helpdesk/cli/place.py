"""Where a key path stands in its TOML file: the line that a person must look at."""

from __future__ import annotations

import re
from pathlib import Path

from helpdesk.domain.errors import ConfigError

_TABLE = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*([A-Za-z0-9_.\"'-]+)\s*=")


def with_line(problem: ConfigError) -> str:
    """``file:line: key path: problem; legal: ...``, without the line where it cannot be told."""
    number = line_of(Path(problem.file), problem.key)
    text = str(problem)
    return f"{problem.file}:{number}{text.removeprefix(problem.file)}" if number else text


def line_of(file: Path, path: str) -> int:
    """The line (from 1) whose key or table leads furthest on a key path such as ``on_mail.3.rule``; 0 for none."""
    if not path or file.suffix != ".toml":
        return 0
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return 0
    best, best_line, table = 0, 0, ""
    counts: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        here = table
        if found := _TABLE.match(line):
            table = _plain(found[2])
            if found[1] == "[[":
                counts[table] = counts.get(table, 0) + 1
                table = f"{table}.{counts[table]}"
            here = table
        elif found := _KEY.match(line):
            here = f"{table}.{_plain(found[1])}".lstrip(".")
        else:
            continue
        if f"{path}.".startswith(f"{here}.") and here and len(here) > best:
            best, best_line = len(here), number
    return best_line


def _plain(key: str) -> str:
    return key.replace('"', "").replace("'", "").replace(" ", "")
