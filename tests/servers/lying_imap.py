"""A small IMAP server that is honest until told otherwise: a script sees each command first and may answer it itself.

It knows what the helpdesk asks and nothing else: anything beyond is answered BAD, and written down in ``strange``.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

#: Gets the tag and the command without tag and CRLF; gives octets to send instead of the honest answer, or None for
#: that. Ending with ``HANG_UP`` closes the connection.
Script = Callable[[bytes, bytes], Iterable[bytes] | bytes | None]

HANG_UP = b""

_FETCH = re.compile(rb"UID FETCH ([\d,]+) \((.+)\)$")
_SECTION = re.compile(rb"BODY\.PEEK(\[(?:HEADER)?\])<0\.(\d+)>$")


def honest(tag: bytes, command: bytes) -> None:
    """The script that leaves everything to the server."""


@dataclass(slots=True)
class _Visit:
    connection: socket.socket
    folder: bytes = b""
    idle_tag: bytes = b""
    told: int = 0  # of so many mails


class LyingImap:
    """Serves ``mails`` by UID in INBOX to any user; use it in a ``with`` block.

    ``sent`` counts octets that left for the client; ``commands`` are what clients said, without tags.
    """

    def __init__(
        self,
        mails: dict[int, bytes],
        script: Script = honest,
        capabilities: bytes = b"IMAP4rev1 IDLE MOVE UIDPLUS",
        greeting: bytes = b"* OK ready\r\n",
    ) -> None:
        self.mails, self.script = dict(mails), script
        self.archive: dict[int, bytes] = {}
        self.uidvalidity: bytes | None = b"7"
        self._capabilities, self._greeting = capabilities, greeting
        self.commands: list[bytes] = []
        self.strange: list[bytes] = []
        self.logins: list[float] = []
        self.sent = 0
        self._visits: list[_Visit] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> LyingImap:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for visit in list(self._visits):
            with contextlib.suppress(OSError):
                visit.connection.shutdown(socket.SHUT_RDWR)

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self._visits)

    def asked(self, start: bytes) -> int:
        """How many commands began so."""
        return sum(command.startswith(start) for command in list(self.commands))

    def put(self, uid: int, mail: bytes) -> None:
        """A mail arrives, and everybody in IDLE is told."""
        self.mails[uid] = mail
        for visit in list(self._visits):
            if visit.idle_tag:
                with contextlib.suppress(OSError):
                    visit.connection.sendall(b"* %d EXISTS\r\n" % len(self.mails))

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                visit = _Visit(connection)
                self._visits.append(visit)
                threading.Thread(target=self._serve, args=(visit,), daemon=True).start()

    def _serve(self, visit: _Visit) -> None:
        with visit.connection, contextlib.suppress(OSError), visit.connection.makefile("rb") as lines:
            self._send(visit, self._greeting)
            for line in lines:
                tag, _, command = line.rstrip(b"\r\n").partition(b" ")
                if tag == b"DONE":
                    tag, command = visit.idle_tag, b"DONE"
                if command == b"IDLE":
                    visit.idle_tag = tag
                self.commands.append(command)
                if command.startswith(b"LOGIN"):
                    self.logins.append(time.monotonic())
                answer = self.script(tag, command)
                if answer is None:
                    answer = self._honestly(visit, tag, command)
                for octets in [answer] if isinstance(answer, bytes) else answer:
                    if octets == HANG_UP:
                        visit.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self._send(visit, octets)

    def _send(self, visit: _Visit, octets: bytes) -> None:
        visit.connection.sendall(octets)
        self.sent += len(octets)

    def _honestly(self, visit: _Visit, tag: bytes, command: bytes) -> bytes:
        word = command.split(b" ")[0]
        done = tag + b" OK done\r\n"
        match word:
            case b"CAPABILITY":
                return b"* CAPABILITY " + self._capabilities + b"\r\n" + done
            case b"LOGIN" | b"NOOP" | b"CREATE" | b"SUBSCRIBE":
                return done
            case b"LIST":
                return b'* LIST () "/" "Archive"\r\n' + done
            case b"SELECT":
                visit.folder = command.removeprefix(b"SELECT ")
                named = b"* OK [UIDVALIDITY %s] so\r\n" % self.uidvalidity if self.uidvalidity is not None else b""
                return b"* %d EXISTS\r\n* OK [PERMANENTFLAGS (\\Deleted \\*)] so\r\n" % len(self.mails) + named + done
            case b"IDLE":
                news = len(self.mails) > visit.told
                return b"+ waiting\r\n" + (b"* %d EXISTS\r\n" % len(self.mails) if news else b"")
            case b"DONE":
                visit.idle_tag = b""
                return done
            case b"LOGOUT":
                return b"* BYE good night\r\n" + done
            case b"UID":
                if command.startswith(b"UID SEARCH"):
                    visit.told = len(self.mails)
                return self._by_uid(tag, command) + done
        self.strange.append(command)
        return tag + b" BAD what?\r\n"

    def _by_uid(self, tag: bytes, command: bytes) -> bytes:
        if command.startswith(b"UID SEARCH"):
            return b"* SEARCH" + b"".join(b" %d" % uid for uid in sorted(self.mails)) + b"\r\n"
        if found := _FETCH.match(command):
            uids = [int(uid) for uid in found[1].split(b",")]
            return b"".join(self.row(uid, found[2]) for uid in uids if uid in self.mails)
        if command.startswith((b"UID MOVE", b"UID COPY")):
            for uid in map(int, command.split(b" ")[2].split(b",")):
                mail = self.mails.pop(uid, None) if b"MOVE" in command else self.mails.get(uid)
                if mail is not None:
                    self.archive[uid] = mail
            return b""
        if command.startswith((b"UID STORE", b"UID EXPUNGE")):
            return b""
        self.strange.append(command)
        return tag + b" BAD what?\r\n"

    def row(self, uid: int, items: bytes) -> bytes:
        """An honest answer to a FETCH, for one mail."""
        number = sorted(self.mails).index(uid) + 1
        mail = self.mails[uid]
        if items == b"RFC822.SIZE INTERNALDATE":
            date = time.strftime("%d-%b-%Y %H:%M:%S +0000", time.gmtime()).encode()
            return b'* %d FETCH (UID %d RFC822.SIZE %d INTERNALDATE "%s")\r\n' % (number, uid, len(mail), date)
        section = _SECTION.match(items)
        assert section is not None, items
        shown = mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if section[1] == b"[HEADER]" else mail
        shown = shown[: int(section[2])]
        return b"* %d FETCH (UID %d BODY%s<0> {%d}\r\n%s)\r\n" % (number, uid, section[1], len(shown), shown)
