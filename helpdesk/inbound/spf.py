"""May this machine send mail for this domain? Sender Policy Framework (RFC 7208), of which ``ptr`` never matches."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from helpdesk.inbound.dns import Lookups, Unanswered

Verdict = Literal["pass", "fail", "softfail", "neutral", "none", "permerror", "temperror"]
_IP = ipaddress.IPv4Address | ipaddress.IPv6Address

#: RFC 7208 section 4.6.4.
_MOST_LOOKUPS, _MOST_VOID, _MOST_SERVERS = 10, 2, 10
_QUALIFIERS: dict[str, Verdict] = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(.*)", re.I | re.S)
_MECHANISM = re.compile(
    r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?::(\S+?))?((?:/\d{1,3})?(?://\d{1,3})?)", re.I
)
_MACRO = re.compile(r"%(?:\{([slodiphcrtv])(\d{0,3})(r?)([.+,/_=-]*)\}|([%_-])|)", re.I)


class _Broken(Exception):
    """The record cannot be understood: permerror."""


def check(peer: str, sender: str, lookups: Lookups) -> Verdict:
    """What the domain of the envelope sender says of ``peer``, the IP address that handed the mail in."""
    try:
        ip: _IP = ipaddress.ip_address(peer)
    except ValueError:
        return "none"
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    local, _, domain = sender.rpartition("@")
    if not domain:
        return "none"
    try:
        return _Check(ip, local or "postmaster", domain, lookups).evaluate(domain)
    except Unanswered:
        return "temperror"
    except _Broken:
        return "permerror"


@dataclass(slots=True)
class _Check:
    ip: _IP
    local: str
    sender_domain: str
    lookups: Lookups
    asked: int = 0
    void: int = 0

    def evaluate(self, domain: str) -> Verdict:
        """The verdict of one domain's record."""
        texts = [text.decode("ascii", "replace") for text in self.lookups.txt(domain)]
        records = [text for text in texts if text.casefold() == "v=spf1" or text[:7].casefold() == "v=spf1 "]
        if not records:
            return "none"
        if len(records) > 1:
            raise _Broken
        terms = records[0].split(" ")[1:]
        redirect = ""
        # Every term is read before any is believed: one that is broken spoils the whole record (section 4.6).
        parsed = []
        for term in filter(None, terms):
            if found := _MODIFIER.fullmatch(term):
                redirect = found[2] if found[1].casefold() == "redirect" else redirect
            elif found := _MECHANISM.fullmatch(term):
                parsed.append(found)
            else:
                raise _Broken
        for found in parsed:
            if self._matches(found[2].casefold(), found[3] or "", found[4], domain):
                return _QUALIFIERS[found[1] or "+"]
        if not redirect:
            return "neutral"
        self._count()
        verdict = self.evaluate(self._expand(redirect, domain))
        if verdict == "none":
            raise _Broken
        return verdict

    def _matches(self, name: str, value: str, lengths: str, domain: str) -> bool:
        if name == "all":
            return True
        if name in ("ip4", "ip6"):
            return self._in_network(value + lengths, 4 if name == "ip4" else 6)
        self._count()
        if name == "ptr":
            return False
        target = self._expand(value, domain) if value else domain
        if name == "include":
            verdict = self.evaluate(target)
            if verdict == "none":
                raise _Broken
            return verdict == "pass"
        if name == "exists":
            return bool(self._known(self.lookups.addresses(target, 4)))
        hosts = [target]
        if name == "mx":
            hosts = list(self._known(self.lookups.mx(target)))
            if len(hosts) > _MOST_SERVERS:
                raise _Broken
        return any(self._in_network(address + length, self.ip.version) for address, length in self._of(hosts, lengths))

    def _of(self, hosts: list[str], lengths: str) -> Iterator[tuple[str, str]]:
        four, _, six = lengths.partition("//")
        length = four if self.ip.version == 4 else f"/{six}" if six else ""
        for host in hosts:
            for address in self._known(self.lookups.addresses(host, self.ip.version)):
                yield address, length

    def _in_network(self, text: str, version: int) -> bool:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise _Broken from None
        if network.version != version:
            raise _Broken
        return network.version == self.ip.version and self.ip in network

    def _count(self) -> None:
        self.asked += 1
        if self.asked > _MOST_LOOKUPS:
            raise _Broken

    def _known(self, found: Sequence[str]) -> Sequence[str]:
        self.void += not found
        if self.void > _MOST_VOID:
            raise _Broken
        return found

    def _expand(self, text: str, domain: str) -> str:
        """Macros replaced (section 7); at most 253 characters, cut from the left."""
        values = {
            "s": f"{self.local}@{self.sender_domain}",
            "l": self.local,
            "o": self.sender_domain,
            "d": domain,
            "i": str(self.ip) if self.ip.version == 4 else ".".join(self.ip.exploded.replace(":", "")),
            "p": "unknown",
            "v": "in-addr" if self.ip.version == 4 else "ip6",
            "h": self.sender_domain,
        }

        def value(found: re.Match[str]) -> str:
            letter, digits, reverse, delimiters, escaped = found.groups()
            if escaped:
                return {"%": "%", "_": " ", "-": "%20"}[escaped]
            if not letter or letter.casefold() not in values:
                raise _Broken
            pieces = re.split(f"[{re.escape(delimiters or '.')}]", values[letter.casefold()])
            if reverse:
                pieces.reverse()
            if digits:
                if not int(digits):
                    raise _Broken
                pieces = pieces[-int(digits) :]
            joined = ".".join(pieces)
            return quote(joined, safe="") if letter.isupper() else joined

        expanded = _MACRO.sub(value, text).rstrip(".")
        while len(expanded) > 253 and "." in expanded:
            expanded = expanded.partition(".")[2]
        return expanded
