"""What proves the sender: the login on our submission listener, or our border's Authentication-Results (RFC 8601)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from publicsuffixlist import PublicSuffixList

from helpdesk.domain.address import domain_of, fold, fold_domain
from helpdesk.domain.mail import Envelope, Mailbox
from helpdesk.domain.proof import Proof
from helpdesk.inbound.header import Fields

_MAX_VALUE = 32 * 1024
#: Among ``borders``: Microsoft 365 says of mail by its own tenant's users that it is internal, and strips that from outside.
MICROSOFT_365 = "tenant:microsoft365"
#: Google signs for a domain that has no key of its own in a name of Google's, in which dots have become hyphens.
GOOGLE = "tenant:google"
#: What counts only for mail in a watched mailbox, for only that lies within the tenant.
TENANTS = (MICROSOFT_365, GOOGLE)
#: Before each domain of ours among ``borders``: only there may a tenant's users be.
OWN = "@"
_GOOGLES_NAME = re.compile(r"([a-z0-9-]+)\.\d{8}\.gappssmtp\.com")
_ONE_READING = re.compile(r"[a-z0-9]+\.[a-z0-9]+")
_AUTH_AS = "x-ms-exchange-organization-authas"


def judge(
    fields: Fields, envelope: Envelope, sender: Mailbox | None, problem: str, borders: Sequence[str]
) -> tuple[Proof, str]:
    """The proof for ``sender`` and why; ``problem`` says why there is no sender.

    Only the topmost Authentication-Results counts, and only with the authserv-id of a configured border: whatever
    lies below it, or names another server, came from outside. ``borders`` must hold only servers that every mail of
    this door has passed, and that strip their own name from what they take in (RFC 8601 section 5). Mail within one
    Microsoft 365 tenant is not signed; with ``MICROSOFT_365`` among the borders its stamp proves the sender in a domain
    that is among them as well, behind an ``OWN``. With ``GOOGLE`` among them, so does a border's word that Google signed
    for the domain in a name of its own.
    """
    if sender is None:
        return Proof.AMBIGUOUS, problem
    if envelope.user:
        if fold(envelope.user) and fold(envelope.user) == fold(sender.address):
            return Proof.AUTH, f"logged in as {sender.address}"
        return Proof.FAILED, f"logged in as {envelope.user}, but From says {sender.address}"
    if _is_tenants(fields, domain_of(sender.address), borders):
        return Proof.BORDER, "Microsoft 365 says that a user of its own tenant sent it"
    headers = fields.get("authentication-results", ())
    servers = [fold_domain(border) for border in borders if border not in TENANTS and not border.startswith(OWN)]
    if not headers or not servers:
        return Proof.NONE, "no border server vouches for the sender"
    server, results = _parse(headers[0][:_MAX_VALUE])
    if server not in servers:
        return Proof.NONE, f"the topmost Authentication-Results is by {server or 'nobody'}, no border server of ours"
    return _weigh(results, domain_of(sender.address), server, google=GOOGLE in borders)


def _is_tenants(fields: Fields, domain: str, borders: Sequence[str]) -> bool:
    """True for Exchange's stamp on a mail in the name of a domain of ours: what it says of others is not theirs."""
    stamps = [one.strip().lower() for one in fields.get(_AUTH_AS, ())]
    return MICROSOFT_365 in borders and stamps == ["internal"] and f"{OWN}{domain}" in borders


def _weigh(results: Sequence[_Result], domain: str, server: str, *, google: bool) -> tuple[Proof, str]:
    good = [result for result in results if result.outcome == "pass"]
    passed = [result for result in good if _vouches(result, domain) or (google and _google_vouches(result, domain))]
    failed = [result for result in results if result.outcome in ("fail", "softfail", "permerror", "hardfail", "policy")]
    # DMARC is the domain owner's own word about From, so its failure outweighs a signature that passes.
    for result in failed:
        if result.method == "dmarc":
            return Proof.FAILED, f"{server} says dmarc={result.outcome}"
    for method in ("dmarc", "dkim", "spf"):
        if any(result.method == method for result in passed):
            return Proof.BORDER, f"{server} says {method}=pass for {domain}"
    if failed:
        return Proof.FAILED, f"{server} says {failed[0].method}={failed[0].outcome}"
    return Proof.NONE, f"{server} says nothing that proves {domain}"


@dataclass(frozen=True, slots=True)
class _Result:
    method: str
    outcome: str
    properties: Mapping[str, str]


_VOUCHING = {"dmarc": ("header.from",), "dkim": ("header.d", "header.i"), "spf": ("smtp.mailfrom",)}


def _vouches(result: _Result, domain: str) -> bool:
    """True where every domain that the result names is aligned with the From domain (RFC 7489 section 3.1)."""
    named = [result.properties[key] for key in _VOUCHING.get(result.method, ()) if key in result.properties]
    return bool(named) and all(aligned(value.rpartition("@")[2], domain) for value in named)


def _google_vouches(result: _Result, domain: str) -> bool:
    """True where Google signed for the domain's users, and its name for the domain can stand for no other one."""
    named = [result.properties[key] for key in _VOUCHING["dkim"] if key in result.properties]
    found = [_GOOGLES_NAME.fullmatch(fold_domain(value.rpartition("@")[2])) for value in named]
    if result.method != "dkim" or not found or not _ONE_READING.fullmatch(domain):
        return False
    return all(match is not None and match[1] == domain.replace(".", "-") for match in found)


def aligned(domain: str, other: str) -> bool:
    """True where two domains are the same, or of one organisation by the public suffix list."""
    domain, other = fold_domain(domain), fold_domain(other)
    if not domain or not other:
        return False
    if domain == other:
        return True
    owner = organisation(domain)
    return bool(owner) and owner == organisation(other)


def organisation(domain: str) -> str:
    """The domain below the public suffix, "" where there is none (RFC 7489 section 3.2)."""
    return _suffixes().privatesuffix(domain) or ""


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


_TOKEN = re.compile(r'"((?:[^"\\]++|\\.)*+)"?|([();=])|([^\s"();=]++)|\s++', re.S)


def _parse(value: str) -> tuple[str, list[_Result]]:
    """The authserv-id, folded, and the results; a section that is not understood is left out."""
    sections: list[list[str]] = [[]]
    for token in _significant(value):
        if token == ";":
            sections.append([])
        else:
            sections[-1].append(token)
    server = fold_domain(sections[0][0]) if sections[0] and "=" not in sections[0] else ""
    results = []
    for section in sections[1:]:
        pairs = list(_pairs(section))
        if pairs and len(section) > 1 and section[1] == "=":
            method = pairs[0][0].partition("/")[0]
            results.append(_Result(method, pairs[0][1].lower(), dict(pairs[:0:-1])))
    return server, results


def _pairs(section: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each ``name = value`` of a section, the name in lower case."""
    for i in range(1, len(section) - 1):
        if section[i] == "=" and section[i - 1] != "=" and section[i + 1] != "=":
            yield section[i - 1].lower(), section[i + 1]


def _significant(value: str) -> Iterator[str]:
    """The tokens outside comments; comments may nest, and only their parentheses count inside them. Linear."""
    depth, position = 0, 0
    while position < len(value):
        if depth:
            step = _IN_COMMENT.match(value, position)
            assert step is not None
            depth += {"(": 1, ")": -1}.get(step[0], 0)
            position = step.end()
            continue
        match = _TOKEN.match(value, position)
        assert match is not None
        position = match.end()
        if match[2] == "(":
            depth = 1
        elif match[1] is not None:
            # What stands in quotes can never be taken for punctuation.
            yield f'"{match[1]}"'
        elif match[2] == ")":
            continue
        elif match[2] or match[3]:
            yield match[2] or match[3]


_IN_COMMENT = re.compile(r"[()]|\\.|[^()\\]++|\\", re.S)
