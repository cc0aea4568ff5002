"""File systems that are small or cannot be written; only root may mount them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small(folder: Path, megabytes: int) -> Iterator[None]:
    """While within, the folder is an empty file system of that size."""
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    try:
        yield
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """While within, nothing in the folder can be opened for writing; what is open stays so."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _unmount(folder)


def _mount(*arguments: str) -> None:
    """Skip the calling test where mounting is not allowed; fail it where HELPDESK_REQUIRE demands it."""
    mounted = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if mounted.returncode:
        demanded = "mount" in os.environ.get("HELPDESK_REQUIRE", "").split(",")
        (pytest.fail if demanded else pytest.skip)(f"nothing can be mounted: {mounted.stderr.strip()}")


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)
