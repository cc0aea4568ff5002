"""Mail addresses compared as identities."""

from __future__ import annotations

import unicodedata
from functools import lru_cache


@lru_cache(maxsize=4096)
def fold(address: str) -> str:
    """The form in which two addresses are the same identity; "" when it is no address.

    Domains become A-labels in lower case, label by label, split at the ASCII dot only and never normalised by
    compatibility (NFKC would turn a full-width ``corp．com`` into ``corp.com``). Local parts are compared without
    case, as every mail system in use does.

    >>> fold("Bob.Smith@ACME.example")
    'bob.smith@acme.example'
    >>> fold("bob@corp．com") == fold("bob@corp.com")
    False
    """
    local, at, domain = address.strip().rpartition("@")
    if not at or not local or not domain:
        return ""
    return f"{unicodedata.normalize('NFC', local).casefold()}@{fold_domain(domain)}"


def fold_domain(domain: str) -> str:
    """A domain as lower-case A-labels, without a trailing dot."""
    return ".".join(_a_label(label) for label in domain.strip().rstrip(".").split("."))


def _a_label(label: str) -> str:
    label = unicodedata.normalize("NFC", label).lower()
    if label.isascii():
        return label
    return "xn--" + label.encode("punycode").decode("ascii")


def domain_of(address: str) -> str:
    """The folded domain of an address, "" when there is none."""
    return fold(address).rpartition("@")[2]


def untagged(address: str) -> tuple[str, str]:
    """The folded address without its ``+tag``, and the tag (RFC 5233).

    >>> untagged("support+r4k@acme.example")
    ('support@acme.example', 'r4k')
    """
    local, _, domain = fold(address).rpartition("@")
    local, _, tag = local.partition("+")
    return (f"{local}@{domain}" if local and domain else ""), tag
