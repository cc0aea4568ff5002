"""What a report says became of a mail of ours (RFC 3464, RFC 8098), and what that means in words people use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mail for one recipient, as reported: nothing of it is believed before the mail is known as ours.

    ``action`` is failed, delayed, delivered, relayed, expanded or displayed, "" where the report does not say.
    ``status`` is an enhanced status code such as 5.1.1 (RFC 3463), ``words`` what the other server said.
    """

    recipient: str = ""
    original: str = ""
    action: str = ""
    status: str = ""
    words: str = ""

    @property
    def arrived(self) -> bool:
        """True for whom the mail reached, or went on to a server that reports no more (RFC 3464 section 2.3.3)."""
        return self.action in ("delivered", "relayed", "expanded", "displayed")

    @property
    def temporary(self) -> bool:
        """True where another try may succeed: delayed, or given up for a reason that may pass (RFC 3463 class 4).

        4.4.7 is given for mails that were tried for as long as they may be, so for whoever gave up it is the end.
        """
        return self.action == "delayed" or (self.status.startswith("4.") and self.status != "4.4.7")


@dataclass(frozen=True, slots=True)
class Report:
    """A delivery report or receipt; ``returned`` are the Message-IDs of the mail that it returns or names."""

    fates: tuple[Fate, ...] = ()
    returned: tuple[str, ...] = ()


class Cause(StrEnum):
    """Why a mail was not delivered, as far as status codes tell."""

    NO_MAILBOX = "no mailbox"
    NO_DOMAIN = "no domain"
    SWITCHED_OFF = "switched off"
    FULL = "full"
    TOO_LARGE = "too large"
    REFUSED = "refused"
    TOO_LONG = "too long"
    UNKNOWN = ""


_STATUS = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_CAUSES = {
    "1.0": Cause.NO_MAILBOX,
    "1.1": Cause.NO_MAILBOX,
    "1.2": Cause.NO_DOMAIN,
    "1.3": Cause.NO_MAILBOX,
    "1.6": Cause.NO_MAILBOX,
    "1.10": Cause.NO_DOMAIN,  # RFC 7505: the domain takes no mail
    "2.1": Cause.SWITCHED_OFF,
    "2.2": Cause.FULL,
    "2.3": Cause.TOO_LARGE,
    "3.4": Cause.TOO_LARGE,
    "4.4": Cause.NO_DOMAIN,
    "4.7": Cause.TOO_LONG,
}


def status_in(words: str) -> str:
    """The first enhanced status code in a server's words, "" where there is none.

    >>> status_in("mx.globex.example said: 550 5.1.1 no such user")
    '5.1.1'
    """
    found = _STATUS.search(words)
    return found[0] if found else ""


def cause(status: str) -> Cause:
    """What an enhanced status code means to people.

    >>> cause("5.2.2")
    <Cause.FULL: 'full'>
    """
    _, _, detail = status.partition(".")
    return _CAUSES.get(detail, Cause.REFUSED if detail.startswith("7.") else Cause.UNKNOWN)


def blames_address(status: str) -> bool:
    """True where a code says for good that the address takes no mail; false where it speaks of this one mail alone.

    Too large, its content or a policy (5.3, 5.6, 5.7) say nothing about the next mail, a code 4 nothing for good, and
    5.1.7 and 5.1.8 blame the sender (RFC 3463 section 3.2).
    """
    of_sender = status in ("5.1.7", "5.1.8")
    return bool(re.match(r"5\.(0|1|2|4)\.", status)) and not of_sender and cause(status) is not Cause.TOO_LARGE
