"""Signed numbers in addresses and Message-IDs: they route a mail and grant nothing.

A token is ``base32(varint, varint, ..., 96-bit MAC)`` in lower case without padding. Mail systems change the case of
local parts, so reading ignores it; apart from that every token has exactly one spelling. The MAC is keyed BLAKE2b
(RFC 7693), bound to what the token is for, so that a reply token is worth nothing as a note token.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

_MAC_SIZE = 12
_LOCAL_PART_LIMIT = 64  # RFC 5321 section 4.5.3.1.1, octets
_LARGEST = 2**63 - 1
#: Of the 16 octets of a conversation so many are the ticket's number, the others its MAC.
_CONVERSATION_NUMBER = 6
# 12 octets of MAC and two numbers of one to nine octets each.
_TAG = re.compile(r"([rn])([a-z2-7]{23,48})")
_RETURN_TAG = re.compile(r"b([a-z2-7]{23,48})")
_SET_ASIDE_TAG = re.compile(r"([qc])([a-z2-7]{23,48})")
#: The letter of mails for customers; every other one is for our own people.
CUSTOMERS = "c"
_OWN_ID = re.compile(r"<?hd\.([a-z2-7]{23,48})\.([a-z])@[^@<>\s]+>?")

Purpose = Literal["r", "n"]


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """The key that signs, and those that are still believed; each 16 to 64 octets, secret."""

    current: bytes
    previous: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if any(not 16 <= len(key) <= 64 for key in (self.current, *self.previous)):
            raise ValueError("a token key has 16 to 64 octets")


@dataclass(frozen=True, slots=True)
class Routed:
    """Where a reply address leads: ``r`` for a reply, ``n`` for an internal note, and whom it was given to."""

    purpose: Purpose
    ticket_id: int
    person_id: int


def sign(keys: Keys, purpose: str, *numbers: int) -> str:
    """A token of these numbers (0 to 2^63-1) for one purpose, a lower-case letter."""
    if not re.fullmatch("[a-z]", purpose):
        raise ValueError(f"{purpose!r} is not a purpose; legal: one letter from a to z")
    return _sign(keys, purpose, numbers)


def unsign(keys: Keys, purpose: str, text: str, count: int) -> tuple[int, ...] | None:
    """The numbers of a token, None unless it is exactly what ``sign`` gave for this purpose, in whatever case."""
    data = _decode(text)
    if data is None or len(data) <= _MAC_SIZE:
        return None
    packed, mac = data[:-_MAC_SIZE], data[-_MAC_SIZE:]
    genuine = [hmac.compare_digest(_mac(key, purpose, packed), mac) for key in (keys.current, *keys.previous)]
    if not any(genuine):
        return None
    numbers = _unpack(packed)
    return numbers if numbers is not None and len(numbers) == count else None


def reply_address(keys: Keys, address: str, purpose: Purpose, ticket_id: int, person_id: int) -> str:
    """``local+<r|n><token>@domain``; ValueError where its local part would pass 64 octets (RFC 5321)."""
    return _tagged(keys, address, purpose, ticket_id, person_id)


def return_address(keys: Keys, address: str, event_id: int, mail_id: int) -> str:
    """``local+b<token>@domain``, the return path of one mail to one recipient (VERP); ValueError where it is too long.

    It names the entry and the row of the outbox, so that a report which comes to it is known to be about that mail.
    """
    return _tagged(keys, address, "b", event_id, mail_id)


def returned_mail(keys: Keys, tag: str) -> tuple[int, int] | Literal["tampered"] | None:
    """Entry and row of the outbox that the tag of a return path names.

    None where it does not have the shape of one, "tampered" where it has the shape and no key of ours signed it.
    """
    shape = _RETURN_TAG.fullmatch(_folded(tag.rpartition("+")[2]))
    if not shape:
        return None
    numbers = unsign(keys, "b", shape[1], 2)
    return (numbers[0], numbers[1]) if numbers else "tampered"


def quarantine_address(keys: Keys, address: str, number: int) -> str:
    """``local+q<token>@domain``: where the operator answers about a mail in quarantine; ValueError where it is too long."""
    return _tagged(keys, address, "q", number, 0)


def set_aside_mail(keys: Keys, tag: str) -> int | None:
    """The number in the quarantine that the tag of an address names, None where no key of ours signed it."""
    numbers = _set_aside(keys, "q", tag)
    return numbers[0] if numbers else None


def confirming_address(keys: Keys, address: str, number: int, person_id: int) -> str:
    """``local+c<token>@domain``: where an agent says that a mail in quarantine is his; ValueError where it is too long.

    Whoever writes to it has read a mail that went to the agent's address on record alone.
    """
    return _tagged(keys, address, "c", number, person_id)


def confirmed_mail(keys: Keys, tag: str) -> tuple[int, int] | None:
    """Number in the quarantine and person that the tag of a confirming address names, None where no key signed it."""
    numbers = _set_aside(keys, "c", tag)
    return (numbers[0], numbers[1]) if numbers else None


def _set_aside(keys: Keys, purpose: str, tag: str) -> tuple[int, ...] | None:
    shape = _SET_ASIDE_TAG.fullmatch(_folded(tag.rpartition("+")[2]))
    return unsign(keys, purpose, shape[2], 2) if shape and shape[1] == purpose else None


def _tagged(keys: Keys, address: str, purpose: str, first: int, second: int) -> str:
    local, _, domain = address.rpartition("@")
    tagged = f"{local}+{purpose}{sign(keys, purpose, first, second)}"
    if not local or not domain or len(tagged.encode()) > _LOCAL_PART_LIMIT:
        raise ValueError(
            f"{address!r} is no address to which a token can be added: the local part is missing or too long"
        )
    return f"{tagged}@{domain}"


def route(keys: Keys, tag: str) -> Routed | Literal["tampered"] | None:
    """Where the tag of an address (all after the first ``+``) leads.

    None where it does not have the shape of a token: people use tags of their own, such as ``+sales``. "tampered" where
    it has the shape and no key of ours signed it.
    """
    shape = _TAG.fullmatch(_folded(tag.rpartition("+")[2]))
    if not shape:
        return None
    purpose: Purpose = "r" if shape[1] == "r" else "n"
    numbers = unsign(keys, purpose, shape[2], 2)
    return Routed(purpose, numbers[0], numbers[1]) if numbers else "tampered"


def message_id(keys: Keys, domain: str, ticket_id: int, event_number: int, audience: str) -> str:
    """The Message-ID of one entry for one audience (a lower-case letter), with angle brackets.

    It depends on nothing else but the current key: a retry and every recipient's copy carry the same one.
    """
    if not re.fullmatch("[a-z]", audience):
        raise ValueError(f"{audience!r} is not an audience; legal: one letter from a to z")
    return f"<hd.{_sign(keys, 'id/' + audience, (ticket_id, event_number))}.{audience}@{domain}>"


def own_message_id(keys: Keys, text: str) -> tuple[int, int] | None:
    """Ticket and event number of a Message-ID that we gave out, else None; brackets and case do not matter."""
    shape = _OWN_ID.fullmatch(_folded(text.strip()))
    if not shape:
        return None
    numbers = unsign(keys, "id/" + shape[2], shape[1], 2)
    return (numbers[0], numbers[1]) if numbers else None


def for_customers(text: str) -> bool:
    """Whether a Message-ID has the shape of one that we gave to a mail for customers; signed or not."""
    shape = _OWN_ID.fullmatch(_folded(text.strip()))
    return shape is not None and shape[2] == CUSTOMERS


def conversation(keys: Keys, ticket_id: int, audience: str) -> str:
    """The conversation of a ticket for one audience as Outlook's Thread-Index names it: 16 octets in hexadecimal."""
    number = ticket_id.to_bytes(_CONVERSATION_NUMBER, "big")
    return (number + _mac(keys.current, "ix/" + audience, number)[: 16 - _CONVERSATION_NUMBER]).hex()


def own_conversation(keys: Keys, text: str, audience: str) -> int | None:
    """The ticket of a conversation that we named for this audience, else None."""
    data = bytes.fromhex(text) if re.fullmatch("[0-9a-f]{32}", text) else b""
    number, mac = data[:_CONVERSATION_NUMBER], data[_CONVERSATION_NUMBER:]
    known = (_mac(key, "ix/" + audience, number)[: len(mac)] for key in (keys.current, *keys.previous))
    return int.from_bytes(number, "big") if mac and any(hmac.compare_digest(one, mac) for one in known) else None


def _sign(keys: Keys, bound_to: str, numbers: tuple[int, ...]) -> str:
    packed = b"".join(_varint(number) for number in numbers)
    return _encode(packed + _mac(keys.current, bound_to, packed))


def _mac(key: bytes, bound_to: str, packed: bytes) -> bytes:
    return blake2b(packed, key=key, digest_size=_MAC_SIZE, person=b"helpdesk " + bound_to.encode()).digest()


def _encode(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def _decode(text: str) -> bytes | None:
    text = _folded(text)
    if not re.fullmatch("[a-z2-7]*", text) or len(text) % 8 in (1, 3, 6):
        return None
    data = base64.b32decode(text.upper() + "=" * (-len(text) % 8))
    return data if _encode(data) == text else None  # unused bits of the last letter must be zero


def _folded(text: str) -> str:
    """ASCII letters in lower case only: "K" of the Kelvin sign must not become a letter of a token."""
    return text.lower() if text.isascii() else text


def _varint(number: int) -> bytes:
    """Seven bits an octet, the lowest first, the high bit set on all but the last (LEB128)."""
    if not 0 <= number <= _LARGEST:
        raise ValueError(f"{number} cannot be put into a token; legal: 0 to 2^63-1")
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _unpack(packed: bytes) -> tuple[int, ...] | None:
    """The numbers of their shortest encodings, None where the octets are anything else."""
    numbers: list[int] = []
    number = shift = 0
    for octet in packed:
        number |= (octet & 0x7F) << shift
        shift += 7
        if octet < 0x80:
            numbers.append(number)
            number = shift = 0
    whole = shift == 0 and all(number <= _LARGEST for number in numbers)
    return tuple(numbers) if whole and b"".join(map(_varint, numbers)) == packed else None
