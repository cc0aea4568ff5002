"""What every way out has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Accepted:
    """The next hop has taken the mail over; ``reply`` is what it said, in one line, for the history."""

    reply: str


class Transport(Protocol):
    """Takes one mail for one recipient.

    ``send`` returns when the mail is the next hop's, and raises TemporaryFailure where the same call may be made again
    later, PermanentFailure where it never will work. A crash in between means: send again, so at least once.
    """

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted: ...

    def close(self) -> None: ...
