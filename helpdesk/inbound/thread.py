"""Which conversation a mail belongs to, when mail programs and servers drop or rewrite Message-IDs.

The signs, strongest first: the ids that it answers; Outlook's Thread-Index; the subject, for a reply among people who
share the conversation. Whoever follows a sign still decides what it is worth: a sign is never a right.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import datetime

from helpdesk.domain.address import fold
from helpdesk.domain.reading import Reading
from helpdesk.inbound import forward
from helpdesk.inbound.header import Fields, first, line

#: Where servers keep the Message-ID that they replaced: Exchange, Google, mailing lists, Amazon SES and others.
ORIGINAL_IDS = (
    "x-microsoft-original-message-id",
    "x-ms-original-message-id",
    "x-google-original-message-id",
    "x-original-message-id",
    "x-ses-original-message-id",
    "original-message-id",
)
_MAX_INDEX = 4096
#: A Thread-Index (MS-OXOMSG section 2.2.1.3) is 6 bytes of header and time, 16 of the conversation, 5 for each reply.
_INDEX_HEAD = 6
_INDEX_ROOT = 22
_INDEX_REPLY = 5

_REFERENCE = re.compile(r"[\[(]\s?#?[A-Z]{1,6}-[0-9]{1,12}\s?[\])]")
#: What lists and filters put before a subject: "[list]", "{Spam?}", "***SPAM***".
_LIST_TAG = re.compile(r"\s*(?:\[[^\[\]]{1,60}\]|\{[^{}]{1,40}\}|\*{3,5}[^*]{1,30}\*{3,5})\s*(?=\S)")
_MAX_SUBJECT = 1000
_MAX_PREFIXES = 20


def index_of(fields: Fields) -> str:
    """The conversation of a Thread-Index header in hexadecimal; "" where there is none, or it is none of Outlook's.

    >>> index_of({"thread-index": ["AQHZabcdefghijklmnopqrstuvwxyw=="]})
    '79f8218a39259a7a29aabb2dbafc31cb'
    """
    value = "".join(line(first(fields, "thread-index"), _MAX_INDEX).split())
    if not value:
        return ""
    try:
        raw = base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return ""
    if len(raw) < _INDEX_ROOT or (len(raw) - _INDEX_ROOT) % _INDEX_REPLY or not any(raw[_INDEX_HEAD:_INDEX_ROOT]):
        return ""
    return raw[_INDEX_HEAD:_INDEX_ROOT].hex()


#: Seconds between the epochs of Windows (1601) and Unix.
_EPOCHS_APART = 11_644_473_600


def index(conversation: str, began: datetime, now: datetime) -> str:
    """The Thread-Index of an answer in a conversation, which began as its first mail came (MS-OXOMSG section 2.2.1.3).

    ``conversation`` is what ``index_of`` reads out of it again.
    """
    started = _windows_time(began)
    passed = min(max(_windows_time(now) - started, 0) >> 18, 2**31 - 1)
    # The last octet, of a random number and a count, tells nobody anything.
    answer = passed.to_bytes(4, "big") + b"\0"
    head = (started >> 16).to_bytes(_INDEX_HEAD, "big")
    return base64.b64encode(head + bytes.fromhex(conversation) + answer).decode("ascii")


def _windows_time(at: datetime) -> int:
    """In steps of 100 nanoseconds."""
    return int((at.timestamp() + _EPOCHS_APART) * 10_000_000)


def topic(subject: str) -> str:
    """The Thread-Topic of a conversation: its subject without the marks of replies and forwards."""
    return forward.without_prefix(subject).strip()


def base_subject(subject: str) -> str:
    """What is left of a subject without the marks of replies and forwards, list names and references; folded.

    >>> base_subject("Re: [desk] AW: Printer  [AC-1042]")
    'printer'
    """
    text = _REFERENCE.sub(" ", subject[:_MAX_SUBJECT])
    for _ in range(_MAX_PREFIXES):
        shorter = _LIST_TAG.sub("", forward.without_prefix(text), count=1) if text.strip() else ""
        if shorter == text:
            break
        text = shorter
    return " ".join(text.split()).casefold()


def is_reply(reading: Reading) -> bool:
    """Whether the subject says that the mail answers another."""
    return forward.is_reply(_LIST_TAG.sub("", reading.subject[:_MAX_SUBJECT], count=1)) or forward.is_reply(
        reading.subject
    )


def is_new(reading: Reading) -> bool:
    """Whether the mail begins a conversation of its own whatever it cites: a forward tells of another one."""
    return reading.forwarded is not None and (forward.is_forward(reading.subject) or not is_reply(reading))


def names(reading: Reading) -> tuple[str, ...]:
    """The keys that answers to this mail may name it by, each once."""
    own = (reading.message_id, *reading.aliases)
    return tuple(dict.fromkeys(key for key in own if key))


def answered(reading: Reading) -> tuple[str, ...]:
    """The ids that this mail answers, nearest first; none for a forward."""
    return () if is_new(reading) else reading.parents


#: Before a conversation that is remembered among Message-IDs, which all begin with an angle bracket.
INDEX_KEY = "thread-index:"


def index_key(reading: Reading) -> str:
    """The key under which the conversation of a Thread-Index is remembered; "" where there is none."""
    return f"{INDEX_KEY}{reading.thread_index}" if reading.thread_index else ""


def same_subject(reading: Reading, subject: str) -> bool:
    """Whether two subjects are the same but for the marks of replies; an empty one is like no other."""
    base = base_subject(reading.subject)
    return bool(base) and base == base_subject(subject)


def people(reading: Reading) -> frozenset[str]:
    """Everybody whom the mail names as its sender or reader."""
    sender = (reading.sender,) if reading.sender else ()
    return frozenset(fold(one.address) for one in (*sender, *reading.to, *reading.cc))


def group(readings: Sequence[Reading]) -> list[int]:
    """For mails in order of arrival the number of the first mail of the conversation of each.

    A mailbox without tickets is threaded so; the desk looks the same keys up among its tickets, and asks who writes.
    """
    labels: list[int] = []
    by_key: dict[str, int] = {}
    by_subject: dict[str, list[int]] = {}
    for number, reading in enumerate(readings):
        label = _label(reading, number, readings, labels, by_key, by_subject)
        labels.append(label)
        # Parents that never came still tie together the mails that cite them.
        for key in (*names(reading), *answered(reading), *((index_key(reading),) if not is_new(reading) else ())):
            if key:
                by_key.setdefault(key, label)
        by_subject.setdefault(base_subject(reading.subject), []).append(number)
    return labels


#: So many of the latest mails with a subject are compared; every newsletter has the same one.
_COMPARED = 50


def _label(
    reading: Reading,
    number: int,
    readings: Sequence[Reading],
    labels: Sequence[int],
    by_key: dict[str, int],
    by_subject: dict[str, list[int]],
) -> int:
    for key in (*names(reading), *answered(reading)):
        if key in by_key:
            return by_key[key]
    if is_new(reading):
        return number
    alike = [
        other
        for other in reversed(by_subject.get(base_subject(reading.subject), [])[-_COMPARED:])
        if same_subject(reading, readings[other].subject) and not is_new(readings[other])
    ]
    for other in alike:
        if reading.thread_index and reading.thread_index == readings[other].thread_index:
            return labels[other]
    if is_reply(reading):
        mine = people(reading)
        for other in alike:
            theirs = people(readings[other])
            if mine & theirs or not (mine or theirs):
                return labels[other]
    return number
