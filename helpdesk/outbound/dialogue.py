"""Our side of an SMTP connection: commands out, replies in, every step and the whole of it within a limit of time.

Python's smtplib measures its timeout anew at each read, so a server that sends a byte a minute holds it for hours, and it
cannot send several commands at once. STANDARDS: RFC 5321 section 4.2 (replies), RFC 3207 (STARTTLS).
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from dataclasses import dataclass
from time import monotonic

#: Written at once, in octets; each such piece is a step with a limit of its own.
PIECE = 256 * 1024
#: A reply that is longer than this, in octets, is none.
LONGEST_REPLY = 64 * 1024
#: Of a reply so many characters are kept.
SHOWN = 500

_CODE = re.compile(rb"[2-5][0-9][0-9](?=[ \-\r\n])")
_STEERING = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")


class Broken(Exception):
    """The connection is of no use any more; the text says why."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server said: the code, and its lines without it."""

    code: int
    lines: tuple[bytes, ...]

    def __str__(self) -> str:
        """The reply on one line, without anything that steers a terminal."""
        text = b" ".join(self.lines).decode("utf-8", "replace")
        return f"{self.code} {_STEERING.sub(' ', text).strip()[:SHOWN]}"


class Dialogue:
    """One connection. ``step_seconds`` is the limit for each command's reply; whatever lasts longer raises Broken."""

    def __init__(self, connection: socket.socket, step_seconds: float) -> None:
        self._socket, self._step = connection, step_seconds
        self._heard = b""
        self._end = float("inf")

    def limit(self, seconds: float) -> None:
        """All that follows is over so many seconds from now."""
        self._end = monotonic() + seconds

    def ask(self, command: str) -> Reply:
        """Send one command and wait for its reply."""
        self.say(f"{command}\r\n".encode())
        return self.hear()

    def say(self, data: bytes) -> None:
        """Send the bytes as they are."""
        rest = memoryview(data)
        while rest:
            self._allow(min(monotonic() + self._step, self._end))
            try:
                rest = rest[self._socket.send(rest[:PIECE]) :]
            except OSError as error:
                raise _broken(error) from error

    def hear(self, final_seconds: float = 0) -> Reply:
        """The next reply; ``final_seconds`` where given counts in place of both limits."""
        now = monotonic()
        until = now + final_seconds if final_seconds else min(now + self._step, self._end)
        lines: list[bytes] = []
        size = 0
        while True:
            line = self._line(until)
            size += len(line)
            code = _CODE.match(line)
            if code is None or size > LONGEST_REPLY:
                raise Broken("answered with something that is no SMTP reply")
            lines.append(line[4:].rstrip(b"\r\n"))
            if line[3:4] != b"-":
                return Reply(int(code[0]), tuple(lines))

    def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Encrypt from here on; raises Broken, and ssl.SSLError where the certificate is not the host's."""
        if self._heard:
            # Words that came in the clear would be taken for the encrypted server's (CVE-2011-0411 and its kin).
            raise Broken("sent more than its reply before TLS began")
        self._allow(min(monotonic() + self._step, self._end))
        try:
            self._socket = context.wrap_socket(self._socket, server_hostname=host)
        except ssl.SSLError:
            raise
        except OSError as error:
            raise _broken(error) from error

    def close(self) -> None:
        """End it without a word."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def cut(self) -> None:
        """End it from another thread: whoever waits for the server gets Broken at once."""
        with contextlib.suppress(OSError):
            # Past TLS, whose own farewell would touch what the other thread is using.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _line(self, until: float) -> bytes:
        while (end := self._heard.find(b"\n")) < 0:
            if len(self._heard) > LONGEST_REPLY:
                raise Broken("answered with something that is no SMTP reply")
            self._allow(until)
            try:
                more = self._socket.recv(8192)
            except OSError as error:
                raise _broken(error) from error
            if not more:
                raise Broken("closed the connection")
            self._heard += more
        line, self._heard = self._heard[: end + 1], self._heard[end + 1 :]
        return line

    def _allow(self, until: float) -> None:
        left = until - monotonic()
        if left <= 0:
            raise Broken("did not answer in time")
        self._socket.settimeout(left)


def _broken(error: OSError) -> Broken:
    if isinstance(error, TimeoutError):
        return Broken("did not answer in time")
    return Broken(f"lost the connection: {error.strerror or error}")
