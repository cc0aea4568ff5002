"""The neutral load generator, sink and corpus that the benchmark drives: they live outside of this repository."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Where the folder with ``perf/`` is, unless the variable or ``--shared`` names another.
VARIABLE = "HELPDESK_SHARED"
_SCRIPTS = ("corpus.py", "loadgen.py", "sink.py", "limits.py")


def shared_folder() -> Path:
    """The folder of the variable, else the one beside the project."""
    return Path(os.environ.get(VARIABLE) or ROOT.parent / "shared")


def perf_folder(shared: Path) -> Path:
    """The folder of the scripts; FileNotFoundError in words where one is missing."""
    folder = shared.resolve() / "perf"
    missing = [name for name in _SCRIPTS if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder} has no {', '.join(missing)}: name the folder that holds perf/ with --shared or {VARIABLE}"
        )
    return folder
