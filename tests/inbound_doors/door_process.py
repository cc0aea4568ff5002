"""A listener in a process of its own, with the limits that ship: prints its port, ends when its stdin does.

Run as ``python -m tests.inbound_doors.door_process``. What it keeps it forgets.
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from datetime import UTC, datetime

from helpdesk.domain.mail import RawMail
from helpdesk.inbound.listener import Listener, ListenerOptions
from tests.inbound_doors.doors import is_ours


def forget(raw: RawMail) -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future


def main() -> None:
    listener = Listener(ListenerOptions(port=0), forget, is_ours, lambda: datetime.now(UTC))
    listener.start()
    print(listener.port, flush=True)
    sys.stdin.read()
    listener.stop(grace=0)


if __name__ == "__main__":
    main()
