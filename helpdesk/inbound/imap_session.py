"""One connection to an IMAP server that is believed nothing: plain values go in and out, every answer is bounded.

IMAPClient composes the commands and reads the grammar. The wire below it is ours, by the methods that imaplib names as
to be overridden, because theirs read literals of any size, wait for ever on a link that died in silence, and cannot
tell an end of file from quiet during IDLE. Each command has an allowance of octets and seconds for its answer; what goes
beyond ends the connection.

Two things can go wrong, and only two: ``Refused``, the server said NO or BAD and the connection is good; ``Lost``, a
new connection is needed. Neither shows the server's own words, which may echo a password or a customer: a response code
that we know (RFC 5530) is put into ours.

STANDARDS: RFC 3501, 2177 (IDLE), 4315 (UIDPLUS), 5530 (response codes), 6851 (MOVE).
"""

from __future__ import annotations

import contextlib
import imaplib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import imapclient
from imapclient.exceptions import CapabilityError, IMAPClientError, ProtocolError
from imapclient.response_parser import parse_fetch_response

#: Octets of one line; a SEARCH answer of 20,000 UIDs has at most 220,000.
LINE_LIMIT = 512 * 1024
#: Octets of an answer without mail in it.
ANSWER_LIMIT = 1024 * 1024
#: A command may take so many seconds, and one more for each 8 KB of mail that it brings.
COMMAND_SECONDS = 300.0
SLOWEST = 8 * 1024
#: Messages that one SEARCH looks at; and as many as a folder is believed to hold.
WINDOW = 20_000
FOLDER_LIMIT = 1_000_000
#: Octets of header that are read of a mail whose whole is not.
HEADER_LIMIT = 65_536
#: Seconds of IDLE after which the stop is looked for.
GLANCE = 0.5

_CHUNK = 65_536
_UID_LIMIT = 2**32
_COUNTED_ANEW = "the server counts the mails anew (UIDVALIDITY)"
_DONE = "$HelpdeskDone"  # marks what was copied where the server cannot expunge single mails
_EXISTS = re.compile(rb"\* \d+ EXISTS\b", re.IGNORECASE)
_ALERT = re.compile(rb"\S+ (?:OK|NO|BAD|BYE) \[ALERT\] ?(.{0,200})", re.IGNORECASE)
_CODE = re.compile(r"\[([A-Z-]{2,24})[ \]]")

_MEANINGS = {
    "ALREADYEXISTS": "it exists already",
    "AUTHENTICATIONFAILED": "wrong user or password",
    "AUTHORIZATIONFAILED": "this user may not do that",
    "CANNOT": "the server can never do that",
    "CONTACTADMIN": "the server's administrator has to be asked",
    "CORRUPTION": "the server says that the mailbox is damaged",
    "EXPIRED": "the password has expired",
    "EXPUNGEISSUED": "somebody else removed mails meanwhile",
    "INUSE": "the mailbox is in use",
    "LIMIT": "a limit of the server is reached, perhaps that of connections",
    "NONEXISTENT": "there is no such folder",
    "NOPERM": "this user may not do that",
    "OVERQUOTA": "the mailbox is full",
    "PRIVACYREQUIRED": "the server wants TLS",
    "SERVERBUG": "the server has a fault",
    "THROTTLED": "the server wants us to slow down",
    "TRYCREATE": "there is no such folder",
    "UNAVAILABLE": "the server cannot do that for now, or has too many connections of this user",
}


_ENDED = "the server ended the connection"
_NONSENSE = "the server's answer made no sense"
_ENDS = {
    "octets announced": "the server announced more than it was asked for",
    "without end": "the server's answer had no end",
    "before the handshake": "somebody put words into the connection before it was encrypted",
    "unexpected": _NONSENSE,
    "unterminated": _NONSENSE,
}


class Lost(Exception):
    """The connection is of no more use; the text says why, for an administrator."""


class Refused(Exception):
    """The server answered NO or BAD; ``code`` is its response code where we know it, else ""."""

    def __init__(self, doing: str, code: str) -> None:
        super().__init__(f"{doing} refused" + (f": {_MEANINGS[code]} [{code}]" if code else ""))
        self.code = code


@dataclass(frozen=True, slots=True)
class Listed:
    """What the server says of a mail: its size in octets, -1 where it says nothing useful, and when it arrived."""

    size: int
    arrived: datetime | None


class Wire(imaplib.IMAP4):
    """imaplib's protocol over a connection that is read within bounds."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, timeout: float, heard: Callable[[bytes], None]
    ) -> None:
        self._context, self._heard = context, heard
        self._buffer, self._searched = bytearray(), 0
        #: Seconds of silence that are borne, and octets that the answer to the next command may have.
        self.patience, self.allowance = timeout, ANSWER_LIMIT
        self._begin_answer()
        super().__init__(host, port, timeout)

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        self.host, self.port = host, port
        self.sock = socket.create_connection((host, port), timeout)
        _keep_alive(self.sock)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=host)

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> Any:
        """Nothing that came before the handshake is believed after it (CVE-2011-0411 and its kin)."""
        assert ssl_context is not None
        kind, data = self._simple_command("STARTTLS")
        if kind == "OK":
            if self._buffer:
                raise self.abort("octets before the handshake")
            self.sock = ssl_context.wrap_socket(self.sock, server_hostname=self.host)
            self._get_capabilities()
        return kind, data

    def send(self, data: Any) -> None:
        self._begin_answer()
        self.sock.settimeout(self.patience)
        self.sock.sendall(data)

    def read(self, size: int) -> bytes:
        if size > self._octets_left + len(self._buffer):
            raise self.abort(f"{size} octets announced")
        while len(self._buffer) < size:
            self._receive(self._seconds_left())
        return self._cut_off(size)

    def readline(self) -> bytes:
        while (line := self._whole_line()) is None:
            self._receive(self._seconds_left())
        return line

    def line_within(self, seconds: float) -> bytes | None:
        """The next line, None where none is complete after so many seconds."""
        end = time.monotonic() + seconds
        while (line := self._whole_line()) is None:
            try:
                self._receive(max(0.001, end - time.monotonic()))
            except TimeoutError:
                if time.monotonic() >= end:
                    return None
        return line

    def shutdown(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def _begin_answer(self) -> None:
        self._octets_left = self.allowance
        self._deadline = time.monotonic() + COMMAND_SECONDS + self.allowance / SLOWEST

    def _seconds_left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        return min(self.patience, left)

    def _receive(self, seconds: float) -> None:
        self.sock.settimeout(seconds)
        octets = self.sock.recv(_CHUNK)
        if not octets:
            raise self.abort("end of file")
        self._octets_left -= len(octets)
        if self._octets_left < 0:
            raise self.abort("an answer without end")
        self._buffer += octets
        self._heard(b"")

    def _whole_line(self) -> bytes | None:
        end = self._buffer.find(b"\n", self._searched, LINE_LIMIT)
        if end >= 0:
            line = self._cut_off(end + 1)
            self._heard(line)
            return line
        if len(self._buffer) >= LINE_LIMIT:
            raise self.abort("a line without end")
        self._searched = len(self._buffer)
        return None

    def _cut_off(self, size: int) -> bytes:
        with memoryview(self._buffer) as view:
            octets = bytes(view[:size])
        del self._buffer[:size]
        self._searched = 0
        return octets


class _Client(imapclient.IMAPClient):  # type: ignore[misc]
    """IMAPClient on our wire."""

    def __init__(
        self, host: str, port: int, context: ssl.SSLContext | None, timeout: float, heard: Callable[[bytes], None]
    ) -> None:
        self._heard = heard
        super().__init__(host, port, ssl=context is not None, ssl_context=context, timeout=timeout)
        # Else each mail is formatted for the log, which costs five times its memory even where nobody logs.
        self._imap.debug = 0

    def _create_IMAP4(self) -> Wire:
        return Wire(self.host, self.port, self.ssl_context if self.ssl else None, self._timeout.read, self._heard)


class Session:
    """A connection, opened by its making; every method raises ``Lost`` or ``Refused``, nothing else.

    ``heard`` is called whenever octets come; ``alerted`` with what the server wants an administrator to read.
    """

    def __init__(
        self,
        host: str,
        port: int,
        tls: Literal["implicit", "starttls", "none"],
        context: ssl.SSLContext,
        timeout: float,
        heard: Callable[[], None],
        alerted: Callable[[str], None],
    ) -> None:
        def listen(line: bytes) -> None:
            heard()
            if b"[ALERT]" in line[:80] and (found := _ALERT.match(line)):
                alerted("".join(letter for letter in found[1].decode("ascii", "replace") if letter.isprintable()))

        self._heard = heard
        self._exists = 0
        self._takes_keywords = False
        with _plainly("connection"):
            self._client = _Client(host, port, context if tls == "implicit" else None, timeout, listen)
        self._wire: Wire = self._client._imap
        if tls == "starttls":
            try:
                with _plainly("STARTTLS"):
                    self._client.starttls(ssl_context=context)
            except (Lost, Refused):
                self.cut()
                raise

    def cut(self) -> None:
        """End the connection at once, from any thread."""
        self._wire.shutdown()

    def leave(self) -> None:
        """End it politely."""
        with contextlib.suppress(Lost, Refused), _plainly("logout"):
            self._client.logout()
        self.cut()

    def login(self, user: str, password: str) -> None:
        """Log in; AUTHENTICATE PLAIN (RFC 4616) for what LOGIN has no letters for."""
        if any(ord(letter) < 32 or ord(letter) == 127 for letter in user + password):
            raise Refused("login with a control character in user or password", "")
        with _plainly("login"):
            if (user + password).isascii():
                # imaplib quotes the password alone, and DOMAIN\user is no atom.
                quoted = user.replace("\\", "\\\\").replace('"', '\\"')
                self._client.login(f'"{quoted}"', password)
            else:
                self._client.plain_login(user, password)

    def make_folder(self, folder: str) -> None:
        """Make a folder where there is none."""
        try:
            with _plainly(f"making the folder {folder!r}"):
                if not self._client.folder_exists(folder):
                    self._client.create_folder(folder)
                    self._client.subscribe_folder(folder)
        except Refused as refusal:
            if refusal.code != "ALREADYEXISTS":  # another daemon was faster
                raise

    def select(self, folder: str) -> int:
        """Begin to work in a folder and give its UIDVALIDITY."""
        with _plainly(f"opening the folder {folder!r}"):
            found = self._client.select_folder(folder)
            if b"UIDVALIDITY" not in found:
                raise Lost("the server names no UIDVALIDITY: mails cannot be told apart by their numbers")
            self._folder, self._uidvalidity = folder, int(found[b"UIDVALIDITY"])
            self._exists = int(found.get(b"EXISTS", 0))
            self._takes_keywords = b"\\*" in found.get(b"PERMANENTFLAGS", ())
            self._wire.untagged_responses.clear()
        return self._uidvalidity

    def can_idle(self) -> bool:
        return self._can("IDLE")

    def uids(self, above: int = 0) -> list[int]:
        """The UIDs of the mails that are not done with, in order; only those above one where that is named."""
        with _plainly("search"):
            self._note_changes()
            if above:
                found = self._search(f"UID {above + 1}:*")
            elif self._exists > WINDOW:  # the answer to one SEARCH would be too long a line
                found = self._search_windows()
            else:
                found = self._search("ALL")
            # "n:*" names the last mail even where its UID is less.
            return sorted({uid for uid in found if above < uid < _UID_LIMIT})

    def _search_windows(self) -> list[int]:
        known = self._uidvalidity
        if self.select(self._folder) != known:  # asked for the exact number of mails
            raise Lost(_COUNTED_ANEW)
        found: list[int] = []
        end = min(self._exists, FOLDER_LIMIT)
        for first in range(1, end + 1, WINDOW):
            found += self._search(f"{first}:{min(first + WINDOW - 1, end)}")
        return found

    def _search(self, numbers: str) -> list[int]:
        """Without those that were copied already, where the server lets nobody remove single mails."""
        if not (self._can("MOVE") or self._can("UIDPLUS")):
            numbers += f" UNKEYWORD {_DONE}" if self._takes_keywords else " UNDELETED"
        return list(self._client.search(numbers))

    def _note_changes(self) -> None:
        """Read what the server told unasked, and forget it: imaplib would collect it for ever."""
        told: dict[str, list[Any]] = self._wire.untagged_responses
        for number in told.get("EXISTS", []):
            self._exists = int(number)
        for number in told.get("UIDVALIDITY", []):
            if int(number) != self._uidvalidity:
                raise Lost(_COUNTED_ANEW)
        told.clear()

    def grown(self) -> bool:
        """Whether the server told of new mails since the last search began."""
        return "EXISTS" in self._wire.untagged_responses

    def describe(self, uids: Sequence[int]) -> dict[int, Listed]:
        """Size and time of arrival of these mails, as far as they are there."""
        with _plainly("fetching sizes"):
            found = {}
            for uid, row in self._fetch(uids, "RFC822.SIZE INTERNALDATE", 0):
                size, arrived = row.get(b"RFC822.SIZE"), row.get(b"INTERNALDATE")
                if b"RFC822.SIZE" in row:
                    found[uid] = Listed(
                        size if isinstance(size, int) else -1,
                        arrived if isinstance(arrived, datetime) and arrived.tzinfo else None,
                    )
            return found

    def bodies(self, uids: Sequence[int], limit: int, octets: int) -> dict[int, bytes]:
        """The first ``limit`` octets of these mails; an answer of much more than ``octets`` ends the connection."""
        with _plainly("fetching mails"):
            return self._sections(uids, "", limit, octets)

    def header(self, uid: int) -> bytes:
        """At most 64 KB of a mail's header, b"" where it is not shown."""
        with _plainly("fetching a header"):
            return self._sections([uid], "HEADER", HEADER_LIMIT, HEADER_LIMIT).get(uid, b"")

    def _sections(self, uids: Sequence[int], section: str, limit: int, octets: int) -> dict[int, bytes]:
        names = (f"BODY[{section}]<0>".encode(), f"BODY[{section}]".encode())
        found = {}
        for uid, row in self._fetch(uids, f"BODY.PEEK[{section}]<0.{limit}>", octets):
            for name in names:
                if isinstance(data := row.get(name), bytes):
                    found[uid] = data[:limit]
        return found

    def _fetch(self, uids: Sequence[int], items: str, octets: int) -> Iterator[tuple[int, dict[bytes, object]]]:
        """Rows of the answer that name one of these UIDs themselves; what is said of others was not asked for."""
        if not uids:
            return
        wanted = frozenset(uids)
        self._wire.untagged_responses.pop("FETCH", None)
        self._wire.allowance = ANSWER_LIMIT + octets
        try:
            kind, data = self._wire.uid("FETCH", ",".join(map(str, uids)), f"({items})")
        finally:
            self._wire.allowance = ANSWER_LIMIT
        if kind != "OK":
            raise IMAPClientError(f"FETCH failed: {data[0]!r}")
        for response in _responses(data):
            # Each alone: a sequence number may mean another mail in the next one, after an EXPUNGE between them.
            for row in parse_fetch_response(response, False, False).values():
                uid = row.get(b"UID")
                if isinstance(uid, int) and uid in wanted:
                    yield uid, row

    def archive(self, uids: Sequence[int], folder: str) -> bool:
        """Move mails to a folder; False where they could only be copied and marked, because others' marks stand too."""
        with _plainly(f"moving to the folder {folder!r}"):
            if self._can("MOVE"):
                self._client.move(uids, folder)
                return True
            self._client.copy(uids, folder)
            if self._can("UIDPLUS"):
                self._client.add_flags(uids, [imapclient.DELETED], silent=True)
                self._client.uid_expunge(uids)
                return True
            # Plain EXPUNGE would also remove what somebody else has marked: leave it to the owner of the mailbox.
            marks = [imapclient.DELETED, _DONE] if self._takes_keywords else [imapclient.DELETED]
            self._client.add_flags(uids, marks, silent=True)
            return False

    def idle(self, seconds: float, probe_timeout: float, stopping: threading.Event) -> bool:
        """Wait in IDLE for new mail, the stop, or so many seconds; whether there was news.

        Ending IDLE asks the server for a sign of life within ``probe_timeout`` seconds.
        """
        with _plainly("IDLE"):
            self._begin_idle()
            news = self._listen(time.monotonic() + seconds, stopping)
            with self._probing(probe_timeout):
                _, said = self._client.idle_done()
            return news or any(b"EXISTS" in answer for answer in said)

    def probe(self, probe_timeout: float) -> None:
        """Ask for a sign of life."""
        with _plainly("NOOP"), self._probing(probe_timeout):
            self._client.noop()

    def _begin_idle(self) -> None:
        tag = self._client._idle_tag = self._wire._command("IDLE")
        # Other answers may come before the "+", IMAPClient's own idle() takes them for an error.
        while self._wire._get_response() is not None:
            if self._wire.tagged_commands[tag]:
                raise IMAPClientError("IDLE failed")

    def _listen(self, end: float, stopping: threading.Event) -> bool:
        if self.grown():
            return True
        while not stopping.is_set() and (left := end - time.monotonic()) > 0:
            line = self._wire.line_within(min(left, GLANCE))
            self._heard()
            if line is None:
                continue
            if _EXISTS.match(line):
                return True
            if line.startswith(b"* BYE"):
                raise Lost("the server said BYE")
            if not line.startswith((b"* ", b"+")):
                raise Lost("the server ended IDLE by itself")
        return False

    @contextlib.contextmanager
    def _probing(self, seconds: float) -> Iterator[None]:
        usual, self._wire.patience = self._wire.patience, min(seconds, self._wire.patience)
        try:
            yield
        finally:
            self._wire.patience = usual

    def _can(self, capability: str) -> bool:
        return bool(self._client.has_capability(capability))


def _responses(data: Iterable[Any]) -> Iterator[list[Any]]:
    """imaplib's list, cut after each response: a literal is a pair, and the line after the last one ends it."""
    response: list[Any] = []
    for piece in data:
        if piece is None:
            continue
        response.append(piece)
        if isinstance(piece, bytes):
            yield response
            response = []


@contextlib.contextmanager
def _plainly(doing: str) -> Iterator[None]:
    """Turn everything that the libraries raise into Lost or Refused."""
    try:
        yield
    except imaplib.IMAP4.readonly:
        raise Lost(f"{doing} failed: the folder may only be read") from None
    except imaplib.IMAP4.abort as error:
        said = str(error)
        raise Lost(f"{next((w for sign, w in _ENDS.items() if sign in said), _ENDED)} ({doing})") from error
    except OSError as error:
        what = type(error).__name__
        raise Lost(f"{what}: {error.strerror or error.args[0]}" if error.args else what) from error
    except CapabilityError:
        raise Refused(f"{doing}, which the server does not offer, is", "") from None
    except ProtocolError as error:
        raise Lost(f"{_NONSENSE} ({doing})") from error
    except IMAPClientError as error:
        if isinstance(error.__context__, imaplib.IMAP4.abort):  # IMAPClient's LoginError covers a dead line too
            raise Lost(f"{_ENDED} ({doing})") from error
        raise Refused(doing, _code(error)) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        # What a reader of grammar raises where the grammar is not kept.
        raise Lost(f"{_NONSENSE} ({doing}: {type(error).__name__})") from error


def _code(error: Exception) -> str:
    return next((code for code in _CODE.findall(str(error)) if code in _MEANINGS), "")


def _keep_alive(connection: socket.socket) -> None:
    """Let the kernel notice a dead peer within a minute or so, also while nothing is asked of it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):  # not every system has each of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
