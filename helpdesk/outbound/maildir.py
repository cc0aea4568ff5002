"""A folder instead of a relay: every recipient has a Maildir there, which any mail client can open.

For trying the desk out, and only where the settings say so. STANDARDS: maildir(5) as Dovecot and qmail know it.
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import time
from pathlib import Path

from helpdesk.domain.address import fold
from helpdesk.domain.errors import PermanentFailure
from helpdesk.outbound.headers import wire_address
from helpdesk.outbound.transport import Accepted, RelayDown

_numbers = itertools.count(1)


class MaildirRelay:
    """Delivers into PATH/<address>/new; a mail appears there whole or not at all, and is on the disk when we return."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        """Deliver a copy; the reverse path is not kept, since nothing bounces here."""
        address = fold(wire_address(recipient, smtputf8=True))
        # "/" is legal in a local part and would be a folder.
        maildir = self._path / address.replace("/", "_")
        host = socket.gethostname().replace("/", "_").replace(":", "_")
        name = f"{time.time_ns() / 1e9:.6f}.P{os.getpid()}Q{next(_numbers)}.{host}"
        try:
            for folder in ("tmp", "new", "cur"):
                (maildir / folder).mkdir(parents=True, exist_ok=True)
            self._deliver(maildir, name, data.replace(b"\r\n", b"\n"))
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                raise PermanentFailure(f"{address} is too long for the name of a folder") from error
            raise RelayDown(f"{maildir}: {error.strerror}") from error
        return Accepted(f"delivered to {maildir}")

    def close(self) -> None:
        """Nothing is held open."""

    @staticmethod
    def _deliver(maildir: Path, name: str, data: bytes) -> None:
        draft, final = maildir / "tmp" / name, maildir / "new" / name
        with draft.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.rename(final)
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
