"""The IMAP door: every mail of a folder is kept and only then moved to the archive folder.

    select -> for each UID: fetch -> keep() -> returned? -> MOVE to the archive -> IDLE or wait -> again

* What lies in the folder is new; ``\\Seen`` says nothing, for people read along in other clients.
* A mail that was kept but not yet moved when we died is kept again; ``keep`` recognises it.
* A mail that cannot be kept stays where it is and is tried again later; those behind it do not wait.
* No text of a mail ever goes into an IMAP command (it could carry one of its own): only numbers do.

STANDARDS: RFC 3501, 2177 (IDLE), 4315 (UIDPLUS), 6851 (MOVE).
"""

from __future__ import annotations

import contextlib
import imaplib
import logging
import random
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

import imapclient
from imapclient.exceptions import IMAPClientError, LoginError

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, Envelope, RawMail, Sighting

Keep = Callable[[RawMail], None]
Oversized = Callable[[RawMail, int], None]
Now = Callable[[], datetime]

log = logging.getLogger("helpdesk.inbound.imap")

_HEADER_LIMIT = 65_536  # octets of header that are read of a mail that is too big
_TRUSTED_AGE = timedelta(days=7)
_LOGIN_PAUSE = 60.0
_GLANCE = 0.5  # seconds of IDLE after which the stop is looked for
_BACKOFF_LIMIT = 300.0
_DONE = "$HelpdeskDone"  # marks what was copied where the server cannot expunge single mails


@dataclass(frozen=True, slots=True)
class MailboxOptions:
    """One folder of one IMAP account; times in seconds, sizes in octets.

    ``password`` may be a function, called at each login. ``tls`` "none" is for servers on this machine.
    ``too_big`` is the folder for mails over ``max_size``, "" for the archive. ``idle`` "auto" uses IDLE where the
    server offers it; otherwise the folder is looked at every ``poll_seconds``. ``timeout`` bounds each answer.
    """

    name: str
    host: str
    port: int
    user: str
    password: str | Callable[[], str]
    tls: Literal["implicit", "starttls", "none"] = "implicit"
    ssl_context: ssl.SSLContext | None = None
    folder: str = "INBOX"
    archive: str = "Archive"
    too_big: str = ""
    max_size: int = 35 * 1024 * 1024
    idle: bool | Literal["auto"] = "auto"
    idle_seconds: float = 300
    poll_seconds: float = 60
    batch: int = 50
    timeout: float = 30

    def __post_init__(self) -> None:
        if not 0 < self.idle_seconds <= 300:
            raise ValueError("idle_seconds must be more than 0 and at most 300")
        for folder in (self.folder, self.archive, self.too_big):
            if any(ord(letter) < 32 or ord(letter) == 127 for letter in folder):
                raise ValueError(f"the folder name {folder!r} holds a control character")
        if self.archive == self.folder or self.too_big == self.folder:
            raise ValueError(f"mails cannot be archived in the folder that is watched, {self.folder!r}")

    def __repr__(self) -> str:
        return f"MailboxOptions(name={self.name!r}, host={self.host!r}, port={self.port}, user={self.user!r})"


@dataclass(slots=True)
class _Retry:
    failures: int
    not_before: float  # monotonic


class MailboxWatcher:
    """Watches one folder from a thread of its own until stopped, whatever the server does.

    ``keep`` returns when a mail is durable and raises when it is not. ``oversized`` is the same for a mail over the
    limit: it gets at most 64 KB of header and the size the server names. ``now`` is our time of receipt, aware UTC;
    where the server took the mail within the last seven days, its own clock (INTERNALDATE) counts instead, so that
    a mail that came while we were down is not judged by the hour we came back.
    """

    def __init__(self, options: MailboxOptions, keep: Keep, oversized: Oversized, now: Now) -> None:
        self.options, self._keep, self._oversized, self._now = options, keep, oversized, now
        #: "starting", "busy", "idle", "polling", "stopped" or "down: <cause>".
        self.state = "starting"
        #: When the folder was last found empty or emptied.
        self.last_success: datetime | None = None
        self._failures = 0
        self._uidvalidity = 0
        self._kept: set[int] = set()  # durable here, perhaps not archived there yet
        self._marked: set[int] = set()  # archived, but the server lets nobody remove single mails
        self._takes_keywords = False
        self._retries: dict[int, _Retry] = {}
        self._stopping = threading.Event()
        self._client: imapclient.IMAPClient | None = None
        self._thread = threading.Thread(target=self._run, name=f"imap-{options.name}", daemon=True)

    def start(self) -> None:
        """Begin watching; errors of the server show in ``state``, never here."""
        self._thread.start()

    def stop(self) -> None:
        """End within two seconds; a mail in hand is kept to the end or not at all."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        self._thread.join(1.5)
        if self._thread.is_alive():
            self._cut()
            self._thread.join(0.4)

    # --- staying connected ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except LoginError:
                self._down("login refused")
                self._stopping.wait(_LOGIN_PAUSE)
            except (IMAPClientError, OSError) as error:
                # BYE, end of file, NO and BAD answers, sockets, TLS: all are cured by connecting again.
                self._down(_cause(error))
                self._stopping.wait(_backoff(self._failures))
            except Exception as error:  # noqa: BLE001  the outermost loop of this thread: mail never stops
                if not self._stopping.is_set():
                    _log_fault(self.options.name, error)
                self._down(f"unexpected {type(error).__name__}")
                self._stopping.wait(_backoff(self._failures))
            finally:
                self._cut()
            self._failures += 1
        self.state = "stopped"

    def _down(self, cause: str) -> None:
        if self._stopping.is_set():
            return
        if self.state != f"down: {cause}":
            log.warning("mailbox %s: %s", self.options.name, cause)
        self.state = f"down: {cause}"

    def _cut(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError, IMAPClientError):
                client.shutdown()

    def _watch(self) -> None:
        client = self._connect()
        while not self._stopping.is_set():
            self._work(client)
            self._failures = 0
            if self._stopping.is_set():
                break
            if self._may_idle(client):
                self.state = "idle"
                self._idle(client)
            else:
                self.state = "polling"
                self._stopping.wait(self._patience(self.options.poll_seconds))
                client.noop()
        with contextlib.suppress(OSError, IMAPClientError):
            client.logout()

    def _connect(self) -> imapclient.IMAPClient:
        options = self.options
        context = options.ssl_context or ssl.create_default_context()
        client = self._client = imapclient.IMAPClient(
            options.host,
            options.port,
            ssl=options.tls == "implicit",
            ssl_context=context if options.tls == "implicit" else None,
            timeout=options.timeout,
        )
        client.normalise_times = False
        _keep_alive(client.socket())
        if options.tls == "starttls":
            client.starttls(ssl_context=context)
        password = options.password if isinstance(options.password, str) else options.password()
        client.login(options.user, password)
        for folder in filter(None, (options.archive, options.too_big)):
            if not client.folder_exists(folder):
                client.create_folder(folder)
                client.subscribe_folder(folder)
        self._select(client)
        return client

    def _select(self, client: imapclient.IMAPClient) -> None:
        folder = client.select_folder(self.options.folder)
        uidvalidity = int(folder[b"UIDVALIDITY"])
        self._takes_keywords = b"\\*" in folder.get(b"PERMANENTFLAGS", ())
        if uidvalidity != self._uidvalidity:  # the old numbers mean other mails now
            self._uidvalidity = uidvalidity
            self._kept.clear()
            self._marked.clear()
            self._retries.clear()

    # --- waiting --------------------------------------------------------------------------------------------------

    def _may_idle(self, client: imapclient.IMAPClient) -> bool:
        return bool(self.options.idle) and client.has_capability("IDLE")

    def _patience(self, seconds: float) -> float:
        """At most ``seconds``, less where a mail is due to be tried again sooner."""
        due = min((retry.not_before for retry in self._retries.values()), default=None)
        return seconds if due is None else max(0.0, min(seconds, due - time.monotonic()))

    def _idle(self, client: imapclient.IMAPClient) -> None:
        """Wait for new mail, a retry that is due, the stop, or the end of ``idle_seconds``."""
        end = time.monotonic() + self._patience(self.options.idle_seconds)
        client.idle()
        while not self._stopping.is_set() and (left := end - time.monotonic()) > 0:
            asked, since = min(left, _GLANCE), time.monotonic()
            answers = client.idle_check(timeout=asked)
            # On a closed connection idle_check gives nothing at once instead of raising.
            if not answers and time.monotonic() - since < asked / 2:
                raise ConnectionResetError("connection lost during IDLE")
            if any(b"BYE" in answer for answer in answers):
                raise ConnectionResetError("the server said BYE")
            if any(b"EXISTS" in answer for answer in answers):
                break
        client.idle_done()

    # --- taking mails ---------------------------------------------------------------------------------------------

    def _work(self, client: imapclient.IMAPClient) -> None:
        """Keep and archive until the folder holds nothing that could be tried now."""
        self.state = "busy"
        while uids := self._pending(client):
            for start in range(0, len(uids), self.options.batch):
                if self._stopping.is_set():
                    return
                self._take(client, uids[start : start + self.options.batch])
        self.last_success = self._now()

    def _pending(self, client: imapclient.IMAPClient) -> list[int]:
        present = set(client.search("ALL" if _can_remove(client) else ["UNKEYWORD", _DONE]))
        self._kept &= present
        self._marked &= present
        self._retries = {uid: retry for uid, retry in self._retries.items() if uid in present}
        now = time.monotonic()
        waiting = {uid for uid, retry in self._retries.items() if retry.not_before > now}
        return sorted(present - waiting - self._marked)

    def _take(self, client: imapclient.IMAPClient, uids: list[int]) -> None:
        new = [uid for uid in uids if uid not in self._kept]
        facts = client.fetch(new, ["RFC822.SIZE", "INTERNALDATE"])
        usual = [uid for uid in uids if uid in self._kept]
        large: list[int] = []
        for uid in new:
            if self._stopping.is_set():
                break
            fact = facts.get(uid, {})
            size = int(fact.get(b"RFC822.SIZE", 0))
            arrived = self._received_at(fact.get(b"INTERNALDATE"))
            fits = self._keep_one(client, uid, size, arrived)
            if fits is not None:
                self._kept.add(uid)
                (usual if fits else large).append(uid)
        self._archive(client, usual, self.options.archive)
        self._archive(client, large, self.options.too_big or self.options.archive)

    def _keep_one(self, client: imapclient.IMAPClient, uid: int, size: int, received_at: datetime) -> bool | None:
        """Make one mail durable: True as it is, False by its header as too big, None not at all."""
        data = self._body(client, uid, size)
        if data is None:
            self._try_later(uid, TemporaryFailure("the server does not show it, perhaps somebody removed it"))
            return None
        raw = RawMail(
            door=Door.IMAP,
            envelope=Envelope(sender=None, recipients=(), peer=self.options.host),
            received_at=received_at,
            data=data,
            sighting=Sighting(self.options.name, self._uidvalidity, uid),
        )
        fits = max(size, len(data)) <= self.options.max_size
        try:
            if fits:
                self._keep(raw)
            else:
                self._oversized(replace(raw, data=data[:_HEADER_LIMIT]), max(size, len(data)))
        except Exception as error:  # noqa: BLE001  whatever stops one mail must not stop the others
            self._try_later(uid, error)
            return None
        self._retries.pop(uid, None)
        return fits

    def _body(self, client: imapclient.IMAPClient, uid: int, size: int) -> bytes | None:
        """The whole mail, or the header of one that is too big; never more than a known number of octets."""
        section, limit = "", self.options.max_size + 1  # one more than allowed shows a size that was too small
        if size > self.options.max_size:
            section, limit = "HEADER", _HEADER_LIMIT
        answer = client.fetch([uid], [f"BODY.PEEK[{section}]<0.{limit}>"])
        body = answer.get(uid, {}).get(f"BODY[{section}]<0>".encode())
        return body if isinstance(body, bytes) else None

    def _received_at(self, internal: object) -> datetime:
        now = self._now()
        if isinstance(internal, datetime) and internal.tzinfo and now - _TRUSTED_AGE <= internal <= now:
            return internal.astimezone(UTC)
        return now

    def _try_later(self, uid: int, error: Exception) -> None:
        failures = self._retries[uid].failures if uid in self._retries else 0
        self._retries[uid] = _Retry(failures + 1, time.monotonic() + _backoff(failures))
        if isinstance(error, TemporaryFailure):
            log.warning("mailbox %s: mail %d stays and is tried again: %s", self.options.name, uid, error)
        else:
            _log_fault(f"{self.options.name}, mail {uid}", error)

    def _archive(self, client: imapclient.IMAPClient, uids: list[int], folder: str) -> None:
        if not uids:
            return
        if client.has_capability("MOVE"):
            client.move(uids, folder)
            return
        client.copy(uids, folder)
        if client.has_capability("UIDPLUS"):
            client.add_flags(uids, [imapclient.DELETED], silent=True)
            client.uid_expunge(uids)
        else:
            # Plain EXPUNGE would also remove what somebody else has marked: leave it to the owner of the mailbox.
            marks = [imapclient.DELETED, _DONE] if self._takes_keywords else [imapclient.DELETED]
            client.add_flags(uids, marks, silent=True)
            self._marked.update(uids)


def _can_remove(client: imapclient.IMAPClient) -> bool:
    return bool(client.has_capability("MOVE") or client.has_capability("UIDPLUS"))


def _backoff(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 ... 300, up to a third less by chance."""
    return float(min(2 ** min(failures, 10), _BACKOFF_LIMIT)) * random.uniform(0.67, 1.0)


def _keep_alive(connection: socket.socket) -> None:
    """Let the kernel notice a dead peer within a minute or so, also while nothing is asked of it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 60_000)):
        if hasattr(socket, name):  # not every system has each of them
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _cause(error: Exception) -> str:
    """What to show of a connection's end; the server's own words, which may echo ours, are left out."""
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror or error.args[0]}" if error.args else type(error).__name__
    if isinstance(error, imaplib.IMAP4.abort):
        return "the server ended the connection"
    return "the server refused a command"


def _log_fault(where: str, error: BaseException) -> None:
    """Log the kind and place of an unexpected exception; its text may hold a customer's words or a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log.error("unexpected %s in mailbox %s at %s", type(error).__name__, where, place or "?")
