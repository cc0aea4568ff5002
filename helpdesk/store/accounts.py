"""The accounts of the submission listener: ``address:hash`` a line, the hash made by ``helpdesk account``.

scrypt with a salt of its own for each; a wrong login takes as long as a wrong password.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from helpdesk.domain.address import fold
from helpdesk.domain.errors import ConfigError

_N, _R, _P = 2**14, 8, 1


def hashed(password: str, salt: bytes | None = None) -> str:
    """``scrypt$SALT$HASH``, both in hexadecimal."""
    salt = salt or secrets.token_bytes(16)
    digest = hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)
    return f"scrypt${salt.hex()}${digest.hex()}"


@dataclass(frozen=True, slots=True)
class Accounts:
    """Addresses and password hashes."""

    hashes: Mapping[str, str]

    def authenticate(self, login: str, password: str) -> str | None:
        """The address that a correct login may write as, else None."""
        known = self.hashes.get(fold(login))
        salt = bytes.fromhex((known or "scrypt$00$").split("$")[1])
        right = hmac.compare_digest(hashed(password, salt), known or "")
        return fold(login) if known and right else None


def read_accounts(file: Path) -> Accounts:
    """Read an accounts file; ConfigError names the wrong line or too open a mode."""
    try:
        if file.stat().st_mode & 0o007:
            raise ConfigError(str(file), "", "others may read these accounts; run chmod o-rwx on the file")
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as problem:
        raise ConfigError(str(file), "", problem.strerror or "cannot be read") from None
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        address, _, digest = line.strip().partition(":")
        if not line.strip():
            continue
        if not fold(address) or digest.count("$") != 2 or not digest.startswith("scrypt$"):
            raise ConfigError(
                str(file), f"line {number}", "is not an account", "ADDRESS:HASH as `helpdesk account ADDRESS` prints it"
            )
        hashes[fold(address)] = digest
    return Accounts(hashes)
