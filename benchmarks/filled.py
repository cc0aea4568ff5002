"""What a filled folder holds beside the store, and which seeds of the corpus are whose."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.tools import ROOT

#: Seeds of the corpus: one for the fill, all from here on for loads. Mails of one seed are the same mails.
SEED = 7
FIRST_SEED_OF_LOADS = 1000

_DONE = "filled.json"
_OPENED = "opened.jsonl"


def opened_file(folder: Path) -> Path:
    """Where Message-ID and address of who opened each ticket stand, a JSON list a line."""
    return folder / _OPENED


def read_opened(file: Path) -> Mapping[str, Sequence[str]]:
    """Message-IDs that opened tickets, by the address of who wrote them."""
    found: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        message_id, address = json.loads(line)
        found.setdefault(address, []).append(message_id)
    return found


def mark_done(folder: Path, tickets: int, mails: int, seconds: float) -> None:
    """Say that a folder is filled, and with what."""
    said = {"tickets": tickets, "mails": mails, "seconds": round(seconds), "schema": _schema()}
    (folder / _DONE).write_text(json.dumps(said))


def is_done(folder: Path) -> bool:
    """Whether a fill of this folder came to its end, with the tables that this source tree has."""
    file = folder / _DONE
    return file.exists() and json.loads(file.read_text()).get("schema") == _schema()


def name(folder: Path) -> str:
    """How the table calls a filled store."""
    return f"{json.loads((folder / _DONE).read_text())['tickets']:,} tickets"


def _schema() -> str:
    versions = sorted((ROOT / "helpdesk" / "store" / "migrations" / "versions").glob("*.py"))
    return hashlib.sha256(b"".join(version.read_bytes() for version in versions)).hexdigest()
