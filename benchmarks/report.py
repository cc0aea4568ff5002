"""Put figures into a document without touching the words around them."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"


def put_between_markers(file: Path, text: str, first: str = BEGIN, last: str = END) -> None:
    """Replace what stands between the two markers; ValueError where the file has not both."""
    before, begin, rest = file.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{file} has no lines {first} and {last}")
    file.write_text(f"{before}{first}\n{text}\n{last}{after}", encoding="utf-8")
