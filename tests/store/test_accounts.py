from __future__ import annotations

import pytest

from helpdesk.domain.errors import ConfigError
from helpdesk.store.accounts import hashed, read_accounts


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "accounts"
    made.write_text(f"ann@acme.example:{hashed('secret')}\n\n  leo@acme.example:{hashed('pass:word')}  \n")
    made.chmod(0o640)
    return made


@pytest.mark.parametrize(
    ("login", "password", "who"),
    [
        ("ann@acme.example", "secret", "ann@acme.example"),
        ("ANN@Acme.example", "secret", "ann@acme.example"),
        ("leo@acme.example", "pass:word", "leo@acme.example"),
        ("ann@acme.example", "Secret", None),
        ("ann@acme.example", "", None),
        ("leo@acme.example", "secret", None),
        ("eve@acme.example", "secret", None),
        ("", "", None),
    ],
)
def test_a_login_needs_its_own_password(file, login, password, who):
    assert read_accounts(file).authenticate(login, password) == who


def test_the_same_password_is_hashed_differently_each_time():
    assert hashed("secret") != hashed("secret")


@pytest.mark.parametrize("line", ["ann@acme.example", "ann:scrypt$00$00", "ann@acme.example:secret", ":x$y$z"])
def test_a_wrong_line_is_named(file, line):
    file.write_text(f"leo@acme.example:{hashed('x')}\n{line}\n")

    with pytest.raises(ConfigError) as caught:
        read_accounts(file)

    assert (caught.value.file, caught.value.key) == (str(file), "line 2")


def test_accounts_that_others_may_read_are_refused(file):
    file.chmod(0o644)

    with pytest.raises(ConfigError, match="others may read"):
        read_accounts(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        read_accounts(tmp_path / "none")
