"""Mails that kill or hang the process that reads them, as a bug in a C library would; others are read as always.

The product must not know such words, so the launcher puts this reader in place of the usual one.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Mapping

from helpdesk.domain.mail import RawMail
from helpdesk.domain.reading import Reading
from helpdesk.inbound.read import read as read_mail

_WORD = re.compile(rb"^X-Poison: (\w+)", re.MULTILINE)
#: A mail that takes its time, in seconds; it is read all the same.
NAP_SECONDS = 0.7
#: More than a reading process may ever have.
_MUCH = 1 << 40


def read(raw: RawMail, parents: Mapping[str, str], borders: tuple[str, ...] = ()) -> Reading:
    """Do what the mail's X-Poison says; read it where there is none."""
    found = _WORD.search(raw.data)
    match found and found[1]:
        case b"segfault":
            ctypes.string_at(0)
        case b"abort":
            os.abort()
        case b"exit":
            os._exit(0)
        case b"killed":
            os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does to whoever takes all memory
        case b"memory":
            bytearray(_MUCH)
        case b"hoard":
            hoard = [b""]
            while True:
                hoard.append(b"x" * (len(hoard) << 24))
        case b"hang":
            while True:
                pass
        case b"nap":
            time.sleep(NAP_SECONDS)
    return read_mail(raw, parents, borders)
