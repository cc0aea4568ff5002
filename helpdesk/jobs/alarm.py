"""Tell somebody that a part does not work: over every channel there is, until one of them has taken it.

It needs no database and no template: either may be what is broken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Sequence

from helpdesk.domain.alarm import Message
from helpdesk.domain.errors import HelpdeskError, place_of
from helpdesk.outbound.channels import Channel

log = logging.getLogger(__name__)

#: While no channel takes a message it is offered again so often, in seconds.
AGAIN_SECONDS = 60.0
#: So many descriptors are kept for the channels, since their shortage is a trouble to be told.
SPARE_DESCRIPTORS = 12
#: So many messages wait at most; the oldest gives way.
WAITING = 10


class Alarm:
    """A thread that sends; ``tell`` never waits."""

    def __init__(self, channels: Sequence[Channel], again_seconds: float = AGAIN_SECONDS) -> None:
        self._channels, self._again = tuple(channels), again_seconds
        self._waiting: deque[Message] = deque(maxlen=WAITING)
        self._lock = threading.Lock()
        self._fault = ""
        self._spare: list[int] = []
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarm", daemon=True)

    def start(self) -> None:
        self._keep_spare()
        self._thread.start()

    def stop(self) -> None:
        """Send no more; a channel that hangs is left alone, its thread ends with the process."""
        self._stopping.set()
        self._wake.set()

    def tell(self, message: Message) -> None:
        """Send this as soon as a channel takes it."""
        with self._lock:
            self._waiting.append(message)
        self._wake.set()

    def condition(self) -> str:
        """What is wrong with the channels, in words; "" while all is well. Never waits."""
        return self._fault

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(self._again if self._waiting else None)
            self._wake.clear()
            if self._waiting and not self._stopping.is_set():
                self._drop_spare()
                self._send()
                self._keep_spare()
        self._drop_spare()

    def _keep_spare(self) -> None:
        with contextlib.suppress(OSError):
            while len(self._spare) < SPARE_DESCRIPTORS:
                self._spare.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))

    def _drop_spare(self) -> None:
        while self._spare:
            os.close(self._spare.pop())

    def _send(self) -> None:
        """All that waits goes as one message: the newest subject, the texts in order."""
        with self._lock:
            messages = list(self._waiting)
        message = Message(messages[-1].subject, "\n".join(one.text for one in messages))
        failures = [failure for channel in self._channels if (failure := _failure(channel, message))]
        if len(failures) < len(self._channels):
            with self._lock:
                later = [one for one in self._waiting if one not in messages]
                self._waiting.clear()
                self._waiting.extend(later)
            log.info("alarm sent: %s", message.subject)
            self._fault = ""
        else:
            self._fault = f"nobody could be told: {'; '.join(failures)}"


def _failure(channel: Channel, message: Message) -> str:
    """Send it; "" or why that failed."""
    try:
        channel.send(message)
    except HelpdeskError as problem:
        words = str(problem)
    except Exception as fault:  # noqa: BLE001 (a channel that is broken must not keep the others from being tried)
        words = f"met {type(fault).__name__}"
        log.error("alarm by %s met %s at %s", channel.name, type(fault).__name__, place_of(fault))
    else:
        return ""
    log.warning("alarm by %s: %s", channel.name, words)
    return f"{channel.name}: {words}"
