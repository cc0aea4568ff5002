"""Mails with a DKIM signature, by keys of our own."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dkim

SELECTOR = "s1"
COVERED = ("from", "to", "subject", "date", "message-id")


def new_key(folder: Path, bits: int = 2048) -> bytes:
    """A private key, made in ``folder``."""
    path = folder / f"dkim{bits}.pem"
    subprocess.run(["openssl", "genrsa", "-traditional", "-out", path, str(bits)], check=True, capture_output=True)
    return path.read_bytes()


def published(key: bytes) -> list[str]:
    """The TXT record of its public half."""
    run = subprocess.run(["openssl", "rsa", "-pubout", "-outform", "PEM"], input=key, capture_output=True, check=True)
    value = "v=DKIM1; k=rsa; p=" + b"".join(run.stdout.split(b"\n")[1:-2]).decode()
    return [f'"{value[:200]}" "{value[200:]}"']


def key_name(domain: str) -> tuple[str, str]:
    """Where the DNS has the key of a domain."""
    return f"{SELECTOR}._domainkey.{domain}", "TXT"


def signed(key: bytes, data: bytes, domain: str, covered: Sequence[str] = COVERED, **more: Any) -> bytes:
    """The mail with a signature on top; its lines end in CRLF."""
    names = [name.encode() for name in covered]
    found: bytes = dkim.sign(data, SELECTOR.encode(), domain.encode(), key, include_headers=names, **more)
    return found + data
