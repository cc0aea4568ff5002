"""Questions to the domain name system, answered within seconds and remembered as long as their answers say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

#: A question is given up after so many seconds in all.
LIFETIME_SECONDS = 3.0
_REMEMBERED = 5000


class Unanswered(Exception):
    """Nobody answered, or not in earnest: nothing is known of the name, now."""


class Lookups(Protocol):
    """What may be asked; a name that does not exist has no records. Raises Unanswered."""

    def txt(self, name: str) -> Sequence[bytes]:
        """The texts of a name, the strings of each joined."""

    def addresses(self, name: str, version: int) -> Sequence[str]:
        """The IP addresses of version 4 or 6."""

    def mx(self, name: str) -> Sequence[str]:
        """The names of its mail servers, those preferred first."""


class Resolver:
    """Asks the system's servers, or those given as ``address`` or ``address:port``. Safe for several threads."""

    def __init__(self, servers: Sequence[str] = (), lifetime: float = LIFETIME_SECONDS) -> None:
        self._resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            self._resolver.nameservers = [_endpoint(server) for server in servers]
        self._resolver.lifetime = lifetime
        self._resolver.cache = dns.resolver.LRUCache(_REMEMBERED)

    def txt(self, name: str) -> Sequence[bytes]:
        return [b"".join(record.strings) for record in self._ask(name, "TXT")]

    def addresses(self, name: str, version: int) -> Sequence[str]:
        return [record.address for record in self._ask(name, "A" if version == 4 else "AAAA")]

    def mx(self, name: str) -> Sequence[str]:
        found = sorted(self._ask(name, "MX"), key=lambda record: record.preference)
        return [record.exchange.to_text(omit_final_dot=True) for record in found]

    def _ask(self, name: str, kind: str) -> list[dns.rdatatype.Any]:  # type: ignore[name-defined]
        try:
            return list(self._resolver.resolve(name.rstrip(".") + ".", kind))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.name.LabelTooLong, dns.name.EmptyLabel, dns.name.NameTooLong, dns.name.BadEscape, UnicodeError):
            return []  # no such name can exist
        except (dns.exception.DNSException, OSError) as error:
            raise Unanswered(f"the DNS did not answer for {name[:253]}: {type(error).__name__}") from error


def _endpoint(server: str) -> dns.nameserver.Do53Nameserver:
    address, _, port = server.rpartition(":") if server.count(":") == 1 else (server, "", "53")
    return dns.nameserver.Do53Nameserver(address, int(port))
