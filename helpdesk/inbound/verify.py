"""Is the sender who he says, by the word of his own domain? DKIM (RFC 6376), SPF (RFC 7208), DMARC (RFC 7489), judged by us.

For mails that no border server of ours vouches for. Stricter than the standards where a helpdesk must be: a signature
counts only if it covers the whole body and every header that we show, since anybody may add to the rest.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import dkim  # type: ignore[import-untyped]

from helpdesk.domain.address import domain_of
from helpdesk.domain.mail import Door, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Reading
from helpdesk.inbound import mime, spf
from helpdesk.inbound.authenticate import aligned, organisation
from helpdesk.inbound.dns import Lookups, Unanswered

#: The DNS may take so many seconds for one mail; a server that dawdles holds up nobody for longer.
MAIL_SECONDS = 6.0
#: So many mails are judged at the same time.
AT_ONCE = 8

#: What must be under the signature: it is shown or acted on.
_SIGNED = ("from", "subject", "date")
#: What must be, where it stands there: else anybody could add it.
_SIGNED_IF_THERE = ("to", "cc", "reply-to")
#: What may not stand there more often than once: readers differ in which they take.
_ONCE = (*_SIGNED, *_SIGNED_IF_THERE, "message-id", "in-reply-to", "references", "content-type")
_MOST_SIGNATURES = 5
_LONGEST_SIGNATURE = 4096
_SMALLEST_KEY = 1024
_LARGEST_HEAD = 128 * 1024
#: Canonicalization takes quadratic time on longer runs of blanks, which no mail has.
_RUN_OF_BLANKS = re.compile(rb"[ \t]{1000}")

_FALSE = "it is false, or the mail was changed on its way"
T = TypeVar("T")
_quiet = logging.getLogger(f"{__name__}.dkim")
_quiet.setLevel(logging.CRITICAL + 1)


class Verifier:
    """Asks the DNS about the senders of mails; ``peers`` are servers of ours, whose own address says nothing of a sender."""

    def __init__(self, lookups: Lookups, peers: Sequence[str], seconds: float = MAIL_SECONDS) -> None:
        self._lookups, self._peers, self._seconds = lookups, peers, seconds
        self._pool = ThreadPoolExecutor(AT_ONCE, "verifier")

    def judge_all(self, mails: Sequence[tuple[RawMail, Reading]]) -> list[Reading]:
        """The readings with proof, in their order; those that are judged already as they are. Takes some seconds at most."""
        return list(self._pool.map(lambda mail: self._verify(*mail), mails))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _verify(self, raw: RawMail, reading: Reading) -> Reading:
        if reading.proof is not Proof.NONE or reading.sender is None:
            return reading
        within = _Within(self._lookups, time.monotonic() + self._seconds)
        proof, why = judge(raw, reading, within, direct=raw.envelope.peer not in self._peers)
        return replace(reading, proof=proof, proof_why=why)


@dataclass(frozen=True, slots=True)
class _Within:
    """Lookups until a point of the monotonic clock."""

    lookups: Lookups
    until: float

    def txt(self, name: str) -> Sequence[bytes]:
        return self._ask(lambda: self.lookups.txt(name))

    def addresses(self, name: str, version: int) -> Sequence[str]:
        return self._ask(lambda: self.lookups.addresses(name, version))

    def mx(self, name: str) -> Sequence[str]:
        return self._ask(lambda: self.lookups.mx(name))

    def _ask(self, question: Callable[[], Sequence[T]]) -> Sequence[T]:
        if time.monotonic() > self.until:
            raise Unanswered("the DNS took too long")
        return question()


def judge(raw: RawMail, reading: Reading, lookups: Lookups, *, direct: bool) -> tuple[Proof, str]:
    """The proof of a mail's sender, and why; ``direct`` where the peer that handed it in is no server of ours, so that
    SPF says something. Takes as long as the DNS does; never raises on any bytes."""
    if reading.sender is None:
        return reading.proof, reading.proof_why
    domain = domain_of(reading.sender.address)
    try:
        signers, refused = _signers(raw.data, domain, lookups)
        mail_from = reading.return_path or ""
        verdict = (
            spf.check(raw.envelope.peer, mail_from, lookups)
            if direct and raw.door in (Door.SMTP, Door.LMTP)
            else "none"
        )
        policy = _policy(domain, lookups)
    except Unanswered as problem:
        return Proof.NONE, str(problem)
    sending = domain_of(mail_from) if verdict == "pass" else ""
    if policy is not None:
        return _by_policy(policy, domain, signers, sending, refused)
    for signer in signers:
        return Proof.ALIGNED, f"signed by {signer} (DKIM)"
    if sending and aligned(sending, domain):
        return Proof.ALIGNED, f"sent by a server of {sending} (SPF)"
    if refused:
        return Proof.NONE, refused
    return Proof.NONE, f"{domain} neither signed it nor named its server"


def _by_policy(policy: _Policy, domain: str, signers: Sequence[str], sending: str, refused: str) -> tuple[Proof, str]:
    for signer in signers:
        if signer == domain or not policy.strict_dkim:
            return Proof.ALIGNED, f"signed by {signer} (DKIM), as the DMARC policy of {domain} asks"
    if sending and (sending == domain if policy.strict_spf else aligned(sending, domain)):
        return Proof.ALIGNED, f"sent by a server of {sending} (SPF), as the DMARC policy of {domain} asks"
    why = f"; {refused}" if refused else ""
    return (
        Proof.FAILED,
        f"the DMARC policy of {domain} asks for a signature or a server of its own, and there is none{why}",
    )


def _signers(data: bytes, domain: str, lookups: Lookups) -> tuple[list[str], str]:
    """Domains aligned with ``domain`` that signed the mail as it is, and why the last other signature does not count."""
    fields, start, _ = mime.read_fields(data, 0)
    signatures = fields.get("dkim-signature", ())[:_MOST_SIGNATURES]
    if not signatures:
        return [], ""
    if start > _LARGEST_HEAD or max(map(len, signatures)) > _LONGEST_SIGNATURE or _RUN_OF_BLANKS.search(data):
        return [], "its signature was not looked at: it is no mail as mail programs write them"
    count = {name: len(fields.get(name, ())) for name in _ONCE}
    message = data if b"\r\n" in data else data.replace(b"\n", b"\r\n")  # signatures are over CRLF
    found, refused = [], ""
    for number in range(len(signatures)):
        signer, cause = _judge_one(message, number, domain, count, lookups)
        if signer and not cause:
            found.append(signer)
        elif signer:
            refused = f"the signature of {signer} does not count: {cause}"
    return found, refused


def _judge_one(message: bytes, number: int, domain: str, count: Mapping[str, int], lookups: Lookups) -> tuple[str, str]:
    """Who signed, "" where it is nobody aligned with ``domain``; and why the signature does not count, "" where it does."""

    def ask(name: bytes, timeout: int = 0) -> bytes | None:
        found = lookups.txt(name.decode("ascii", "replace"))
        return found[0] if found else None

    signer = ""
    try:
        verifier = dkim.DKIM(message, logger=_quiet, minkey=_SMALLEST_KEY)
        prepared = verifier.verify_headerprep(number)
        if not prepared:
            return "", ""
        tags, covered, signatures = prepared
        signer = verifier.domain.decode("ascii", "replace").casefold()
        if not aligned(signer, domain):
            return "", ""
        cause = _unfit(tags, [name.decode("ascii", "replace") for name in covered], count)
        if not cause and not verifier.verify_sig(tags, covered, signatures[number], ask):
            cause = _FALSE
    except Unanswered:
        raise
    except dkim.ValidationError:
        return signer, _FALSE
    except Exception as fault:  # noqa: BLE001 - a library that reads strangers' bytes: what it chokes on proves nothing
        return signer, f"it cannot be checked ({type(fault).__name__})"
    return signer, cause


def _unfit(tags: Mapping[bytes, bytes], covered: Sequence[str], count: Mapping[str, int]) -> str:
    """Why a signature would not count even if it were true; "" where it would."""
    if b"l" in tags:
        return "it covers only a part of the text (l=)"
    if tags[b"a"] not in (b"rsa-sha256", b"ed25519-sha256"):
        return "its algorithm is not safe"
    for name in (*_SIGNED, *(one for one in _SIGNED_IF_THERE if count[one])):
        if name not in covered:
            return f"it does not cover {name.title()}"
    twice = next((name for name in _ONCE if count[name] > 1), "")
    return f"there are {count[twice]} headers {twice.title()}" if twice else ""


@dataclass(frozen=True, slots=True)
class _Policy:
    """A DMARC record: whether DKIM and SPF must name the very domain of From."""

    strict_dkim: bool
    strict_spf: bool


def _policy(domain: str, lookups: Lookups) -> _Policy | None:
    """The policy of the domain, else of its organisation (RFC 7489 section 6.6.3)."""
    for name in dict.fromkeys((domain, organisation(domain) or domain)):
        found = [tags for text in lookups.txt(f"_dmarc.{name}") if (tags := _tags(text)).get("v") == "DMARC1"]
        if len(found) == 1 and found[0].get("p"):
            return _Policy(found[0].get("adkim") == "s", found[0].get("aspf") == "s")
    return None


def _tags(text: bytes) -> dict[str, str]:
    pairs = (piece.partition("=") for piece in text.decode("ascii", "replace").split(";"))
    return {name.strip().casefold(): value.strip() for name, _, value in pairs}
