"""What every way out has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from helpdesk.domain.errors import PermanentFailure, TemporaryFailure

#: No ``send`` takes longer than this, in seconds, whatever the other side does.
LONGEST_SEND = 1080.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """The next hop has taken the mail over; ``reply`` is what it said, in one line, for the history."""

    reply: str


class RelayDown(TemporaryFailure):
    """The relay takes no mail at all now, whichever it is: the queue waits as it is, this mail is not to blame.

    ``of_sender`` where it said so when it heard the sender, so that another mail may fare better after all.
    """

    def __init__(self, words: str, *, of_sender: bool = False) -> None:
        self.of_sender = of_sender
        super().__init__(words)


class SenderRefused(PermanentFailure):
    """The relay will never take a mail from this sender."""


class Transport(Protocol):
    """Takes one mail for one recipient.

    ``send`` returns when the mail is the next hop's. It raises RelayDown where any other mail would have fared the same,
    another TemporaryFailure where the same call may be made again later, PermanentFailure where it never will work. A
    crash in between means: send again, so at least once.
    """

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted: ...

    def close(self) -> None: ...
