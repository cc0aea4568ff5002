"""``./run`` on machines that are not ours: an old Python, a Python that can make no environment, a bare clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.found import found, head_lines

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "run"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with what ``./run`` needs before anything is installed, and no .venv."""
    folder = tmp_path / "clone"
    folder.mkdir()
    for name in ("run", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


def old_pythons() -> list[str]:
    """Pythons before 3.11 that this machine has and that really start."""
    names = ["python2", "python2.7", *(f"python3.{minor}" for minor in range(6, 11))]
    places = [
        *Path.home().glob(".pyenv/versions/*/bin/python"),
        *(Path(one) for one in map(shutil.which, names) if one),
    ]
    old = "import sys; sys.exit(sys.version_info >= (3, 11))"
    return sorted({str(one) for one in places if subprocess.run([one, "-c", old], capture_output=True).returncode == 0})


def started(python: str, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"HOME": str(folder), "PATH": "/nowhere", **environment}
    command = [python, str(folder / "run"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=variables, timeout=120)


def test_old_pythons_say_what_is_needed(clone: Path) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("this machine has no Python before 3.11")
    for python in pythons:
        done = started(python, clone, "demo")
        assert done.returncode == os.EX_UNAVAILABLE, (python, done.stderr)
        assert "needs Python 3.11 or newer" in done.stderr
    assert not (clone / ".venv").exists()


def test_an_old_python_hands_over_to_a_newer_one_and_passes_by_a_dead_stand_in(clone: Path) -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("this machine has no Python before 3.11")
    path = clone / "bin"
    path.mkdir()
    dead = path / "python3.13"
    dead.write_text("#!/bin/sh\nexit 127\n")
    dead.chmod(0o755)
    (path / "python3.12").symlink_to(sys.executable)
    done = started(pythons[0], clone, PATH=f"{path}:/bin:/usr/bin")
    assert (done.returncode, done.stderr.startswith("usage: ./run demo")) == (os.EX_USAGE, True), done.stderr


def without(folder: Path, *modules: str) -> str:
    """A folder for PYTHONPATH that hides modules, as Debian does by not installing them."""
    hidden = folder / "hidden"
    hidden.mkdir()
    for module in modules:
        (hidden / f"{module}.py").write_text(
            f"raise ModuleNotFoundError('No module named {module}', name='{module}')\n"
        )
    return str(hidden)


def base_python() -> str:
    """The Python outside any virtual environment."""
    return str(Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}"))


def test_without_venv_the_one_line_to_type_is_said(clone: Path) -> None:
    done = started(base_python(), clone, "demo", PYTHONPATH=without(clone, "ensurepip", "pip"))
    assert done.returncode == os.EX_UNAVAILABLE
    assert f"sudo apt install python3.{sys.version_info.minor}-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_pip_says_is_kept_and_its_last_lines_are_shown(clone: Path) -> None:
    (clone / "pyproject.toml").write_text('[project]\nname = "broken"\nversion = "no number"\n')
    done = started(base_python(), clone, "check", **pip_settings())
    assert done.returncode == os.EX_UNAVAILABLE
    assert "setting up .venv for helpdesk (once" in done.stderr
    log = clone / ".venv" / "setup.log"
    assert str(log) in done.stderr
    assert "-m pip" in log.read_text()
    assert "Traceback (most recent call last)" not in done.stderr.splitlines()[0]


def pip_settings() -> dict[str, str]:
    """What tells pip where packages are, on machines that do not use the default index."""
    named = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))}
    return {"HOME": str(Path.home()), **named}


def test_no_argument_is_a_question(clone: Path) -> None:
    done = started(sys.executable, clone)
    assert (done.returncode, done.stdout) == (os.EX_USAGE, "")
    assert "./run test" in done.stderr


def test_the_head_lines_name_every_server_with_a_version_or_the_way_to_get_it() -> None:
    lines = head_lines()
    assert [line.split()[0] for line in lines] == list(found())
    for line, thing in zip(lines, found().values(), strict=True):
        assert (thing.version or f"missing: {thing.hint}") in line
        assert thing.version or thing.hint


def test_the_head_lines_need_nothing_installed() -> None:
    """``./run test`` shows them with the project's own Python, and so may anybody else's."""
    code = "from tests.servers.found import head_lines; print('\\n'.join(head_lines()))"
    done = subprocess.run([base_python(), "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("dovecot")


def test_the_file_is_executable_and_starts_with_python3() -> None:
    assert os.access(RUN, os.X_OK)
    assert RUN.read_text().startswith("#!/usr/bin/env python3\n")
