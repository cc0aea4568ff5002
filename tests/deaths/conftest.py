"""What the tests of deaths share: nothing may be left running, not even after a failure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deaths import mounts
from tests.deaths.harness import Running
from tests.deaths.zygote import Zygote


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """No daemon outlives its test, nor its sink, whose port another test may have next."""
    for running in list(Running.alive):
        running.kill()


@pytest.fixture(autouse=True, scope="session")
def zygote_ends() -> Iterator[None]:
    """The process that forks daemons ends with the test run."""
    yield
    Zygote.end_all()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB; the write-ahead log alone takes up to 16."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounts.small(folder, 64):
        yield folder
