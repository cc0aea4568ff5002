"""The IMAP door: every mail of a folder is kept and only then moved to the archive folder.

    select -> list -> fetch a group -> keep() -> returned? -> MOVE to the archive -> IDLE or wait -> again

* What lies in the folder is new; ``\\Seen`` says nothing, for people read along in other clients.
* A mail that was kept but not yet moved when we died is kept again; ``keep`` recognises it.
* A mail that cannot be kept stays where it is and is tried again later; those behind it do not wait.
* A mail at which the connection breaks is asked for alone, after the others; the third time it is given up, reported
  by its header, and tried again once an hour.
* A long backlog goes in batches, oldest first; after each batch comes one of what arrived meanwhile.
* No text of a mail ever goes into an IMAP command (it could carry one of its own): only numbers do.

A link that died in silence is noticed by asking for a sign of life: ``idle_seconds`` + ``probe_timeout`` (55 s as they
stand) after it died. TCP's own keepalive, which is on as well, sees only a dead host, not a proxy or an address
translator between us that still answers for one.

STANDARDS: see ``imap_session``.
"""

from __future__ import annotations

import contextlib
import logging
import random
import ssl
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from helpdesk.domain.errors import ConfigError, TemporaryFailure
from helpdesk.domain.mail import Door, Envelope, RawMail, Sighting
from helpdesk.inbound.imap_session import GLANCE, HEADER_LIMIT, Listed, Lost, Refused, Session

Keep = Callable[[RawMail], None]
Oversized = Callable[[RawMail, int], None]
Unfetchable = Callable[[RawMail, str], None]
Now = Callable[[], datetime]
T = TypeVar("T")

log = logging.getLogger("helpdesk.inbound.imap")

#: Octets of mail that one command may bring, unless a single mail has more.
GROUP_OCTETS = 8 * 1024 * 1024
#: A connection that lasted so long, in seconds, was a good one: the next pause is short again.
STEADY_SECONDS = 60.0

_NOT_THE_PASSWORD = ("[CONTACTADMIN]", "[INUSE]", "[LIMIT]", "[SERVERBUG]", "[THROTTLED]", "[UNAVAILABLE]")
_TRUSTED_AGE = timedelta(days=7)
_LOGIN_PAUSE = 60.0
_BACKOFF_LIMIT = 300.0
_STALLED_SECONDS = 150.0
_STRIKES = 3
_HOPELESS_PAUSE = 3600.0
_TOLD_LIMIT = 20  # mails that are reported as unfetchable; of more than that the condition tells
_STORE_PAUSE = 30.0  # seconds at most during which nothing is fetched because nothing can be kept
_STORE_FAILURES = 3
_PROGRESS = 1000  # a line in the log each time so many mails of a backlog are taken


@dataclass(frozen=True, slots=True)
class MailboxOptions:
    """One folder of one IMAP account; times in seconds, sizes in octets.

    ``password`` may be a function, called at each login. ``tls`` "none" is for servers on this machine.
    ``too_big`` is the folder for mails over ``max_size``, "" for the archive. ``idle`` "auto" uses IDLE where the
    server offers it, and renews it every ``idle_seconds``; otherwise the folder is looked at every ``poll_seconds``.
    ``timeout`` is the longest silence within an answer, ``probe_timeout`` that after waiting. ``first_pause`` is that
    after a failure, and doubles with each up to five minutes; ``again_seconds`` that before a mail at which the
    connection broke is asked for again.
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
    idle_seconds: float = 40
    poll_seconds: float = 40
    batch: int = 50
    timeout: float = 30
    probe_timeout: float = 15
    first_pause: float = 1
    again_seconds: float = 10

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
class _Trouble:
    """A mail that is still there after something was tried with it."""

    failures: int = 0
    not_before: float = 0.0  # monotonic
    alone: bool = False  # asked for with no other in one command, to see whose fault it is
    strikes: int = 0  # times that the connection broke, or nothing came, when it was asked for alone
    cause: str = ""
    told: bool = False


@dataclass(slots=True)
class _Rest:
    """A pause that grows with each failure: of the archive, or of the store."""

    first: float
    limit: float
    failures: int = 0
    until: float = 0.0  # monotonic
    cause: str = ""

    def begin(self, cause: str) -> bool:
        """Whether this is news."""
        news, self.cause = cause != self.cause, cause
        self.until = time.monotonic() + min(_backoff(self.failures, self.first), self.limit)
        self.failures += 1
        return news

    def end(self) -> None:
        self.failures, self.until, self.cause = 0, 0.0, ""

    @property
    def holds(self) -> bool:
        return self.until > time.monotonic()


class MailboxWatcher:
    """Watches one folder from a thread of its own until stopped, whatever the server does.

    ``keep`` returns when a mail is durable and raises when it is not. ``oversized`` is the same for a mail over the
    limit: it gets at most 64 KB of header and the size the server names. ``unfetchable`` is the same for a mail that
    the server never shows whole: it gets the header, or nothing, and why; the mail stays in the folder. ``now`` is our
    time of receipt, aware UTC; where the server took the mail within the last seven days, its own clock
    (INTERNALDATE) counts instead, so that a mail that came while we were down is not judged by the hour we came back.

    Two watchers of one folder, of two daemons on one database, disturb each other only in that both may keep a mail,
    which ``keep`` recognises, and both may move it, whereupon the archive may hold it twice.
    """

    def __init__(
        self, options: MailboxOptions, keep: Keep, oversized: Oversized, unfetchable: Unfetchable, now: Now
    ) -> None:
        self.options, self._now = options, now
        self._keep, self._oversized, self._unfetchable = keep, oversized, unfetchable
        #: "starting", "busy", "idle", "polling", "stopped" or "down: <cause>".
        self.state = "starting"
        #: When the folder was last found empty or emptied.
        self.last_success: datetime | None = None
        self._failures = 0
        self._went_on = False  # a mail was kept or blamed in this session: it was not in vain
        self._login_open = False  # asked and not answered by OK
        self._heard_at = time.monotonic()
        self._alerts: deque[str] = deque(maxlen=10)
        self._uidvalidity = 0
        self._taken = 0
        self._kept: dict[int, str] = {}  # durable here, perhaps not archived there yet: to which folder
        self._marked: set[int] = set()  # archived, but the server lets nobody remove single mails
        self._troubles: dict[int, _Trouble] = {}
        self._archive_rest = _Rest(options.first_pause, _BACKOFF_LIMIT)
        self._store_rest = _Rest(options.first_pause, _STORE_PAUSE)
        self._stopping = threading.Event()
        self._session: Session | None = None
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

    def condition(self) -> str:
        """What is wrong now, in words for an administrator; "" where all is well, or after the stop."""
        if self._stopping.is_set():
            return ""
        if self._thread.ident is not None and not self._thread.is_alive():
            return "its thread has ended: restart the daemon"
        if self.state.startswith("down: "):
            cause = self.state.removeprefix("down: ")
            if not cause.startswith("login refused"):
                return f"cannot be reached: {cause}"
            return cause if any(code in cause for code in _NOT_THE_PASSWORD) else f"{cause}: check user and password"
        silence = time.monotonic() - self._heard_at
        if silence > _STALLED_SECONDS + max(self.options.poll_seconds, self.options.idle_seconds):
            return f"the last look was {silence / 60:.0f} minutes ago"
        if self._store_rest.cause:
            return f"mails cannot be kept: {self._store_rest.cause}"
        if self._archive_rest.cause:
            return f"mails are kept, and stay in the folder {self.options.folder!r}: {self._archive_rest.cause}"
        untold = sum(1 for one in list(self._troubles.values()) if one.strikes >= _STRIKES and not one.told)
        return f"{untold} mails cannot be fetched" if untold else ""

    def lost(self) -> bool:
        """True where only a restart helps: the thread has ended."""
        return not self._stopping.is_set() and self._thread.ident is not None and not self._thread.is_alive()

    # --- staying connected ----------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            since, self._went_on, self._login_open = time.monotonic(), False, False
            try:
                self._watch()
            except (Lost, Refused) as error:
                # BYE, end of file, NO and BAD answers, sockets, TLS: all are cured by connecting again.
                self._down(str(error))
            except ConfigError as error:
                self._down(f"cannot log in: {error}")
            except Exception as error:  # noqa: BLE001  the outermost loop of this thread: mail never stops
                if not self._stopping.is_set():
                    _log_fault(self.options.name, error)
                self._down(f"unexpected {type(error).__name__}")
            finally:
                self._cut()
            if self._went_on or time.monotonic() - since > STEADY_SECONDS:
                self._failures = 0
            pause = _backoff(self._failures, self.options.first_pause)
            # However it ended, by NO, BYE or silence: nobody's account is locked because of us.
            self._stopping.wait(max(pause, _LOGIN_PAUSE) if self._login_open else pause)
            self._failures += 1
        self.state = "stopped"

    def _down(self, cause: str) -> None:
        if self._stopping.is_set():
            return
        if self.state != f"down: {cause}":
            log.warning("mailbox %s: %s", self.options.name, cause)
        self.state = f"down: {cause}"

    def _cut(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.cut()

    def _watch(self) -> None:
        session = self._connect()
        if self.state.startswith("down"):
            log.info("mailbox %s: connected again", self.options.name)
        news = False
        while True:
            if not self._work(session) and news:
                self._stopping.wait(GLANCE)  # a server that tells of mails which are not there makes nobody run
            if self._stopping.is_set():
                break
            news = self._rest(session)
        session.leave()

    def _connect(self) -> Session:
        options = self.options
        self._hear()
        context = options.ssl_context or ssl.create_default_context()
        session = self._session = Session(
            options.host, options.port, options.tls, context, options.timeout, self._hear, self._alert
        )
        password = options.password if isinstance(options.password, str) else options.password()
        self._login_open = True
        session.login(options.user, password)
        self._login_open = False
        for folder in filter(None, (options.archive, options.too_big)):
            session.make_folder(folder)
        uidvalidity = session.select(options.folder)
        if uidvalidity != self._uidvalidity:  # the old numbers mean other mails now
            self._uidvalidity = uidvalidity
            self._kept.clear()
            self._marked.clear()
            self._troubles.clear()
        return session

    def _hear(self) -> None:
        self._heard_at = time.monotonic()

    def _alert(self, text: str) -> None:
        """RFC 3501 section 7.1: a person has to see it."""
        if text not in self._alerts:
            self._alerts.append(text)
            log.warning("mailbox %s: the server says: %s", self.options.name, text)

    # --- waiting --------------------------------------------------------------------------------------------------

    def _rest(self, session: Session) -> bool:
        """Wait for new mail, something that is due again, or the stop; whether there was news."""
        self._hear()
        if self.options.idle and session.can_idle():
            self.state = "idle"
            return session.idle(self._patience(self.options.idle_seconds), self.options.probe_timeout, self._stopping)
        self.state = "polling"
        self._stopping.wait(self._patience(self.options.poll_seconds))
        session.probe(self.options.probe_timeout)
        return False

    def _patience(self, seconds: float) -> float:
        """At most ``seconds``, less where something is due to be tried again sooner; never none at all."""
        resting = [rest.until for rest in (self._archive_rest, self._store_rest) if rest.holds]
        due = [
            max(trouble.not_before, self._rest_of(uid).until)
            for uid, trouble in self._troubles.items()
            if uid not in self._marked
        ]
        return max(GLANCE, min([seconds, *(at - time.monotonic() for at in (*resting, *due))]))

    def _rest_of(self, uid: int) -> _Rest:
        """What has to be over before anything is done with a mail."""
        return self._archive_rest if uid in self._kept else self._store_rest

    # --- taking mails ---------------------------------------------------------------------------------------------

    def _work(self, session: Session) -> bool:
        """Keep and archive until the folder holds nothing that could be tried now; whether anything was kept."""
        self.state = "busy"
        before = self._taken
        while waiting := self._pending(session):
            since = self._taken
            self._take_backlog(session, waiting)
            if self._stopping.is_set() or self._store_rest.holds or self._taken == since:
                break
        else:
            self.last_success = self._now()
        return self._taken > before

    def _pending(self, session: Session, above: int = 0) -> list[int]:
        """What lies in the folder and may be tried now: in order, those to be asked for alone last."""
        listed = session.uids(above)
        if not above:
            present = set(listed)
            self._kept = {uid: folder for uid, folder in self._kept.items() if uid in present}
            self._marked &= present
            self._troubles = {uid: trouble for uid, trouble in self._troubles.items() if uid in present}
        now = time.monotonic()
        ready = []
        for uid in listed:
            trouble = self._troubles.get(uid)
            if uid not in self._marked and not self._rest_of(uid).holds and not (trouble and trouble.not_before > now):
                ready.append(uid)
        # The more often the connection broke at a mail, the later it comes.
        return sorted(ready, key=lambda uid: (self._alone(uid), self._strikes(uid), uid))

    def _strikes(self, uid: int) -> int:
        return self._troubles[uid].strikes if uid in self._troubles else 0

    def _alone(self, uid: int) -> bool:
        return uid in self._troubles and self._troubles[uid].alone and uid not in self._kept

    def _batches(self, uids: Sequence[int]) -> deque[list[int]]:
        usual = [uid for uid in uids if not self._alone(uid)]
        batches = deque(usual[start : start + self.options.batch] for start in range(0, len(usual), self.options.batch))
        batches.extend([uid] for uid in uids if self._alone(uid))
        return batches

    def _take_backlog(self, session: Session, uids: Sequence[int]) -> None:
        """One batch of what lay there, one of what arrived since, and so on."""
        done, newest, batches = 0, max(uids), self._batches(uids)
        if len(uids) > self.options.batch:
            log.info("mailbox %s: %s mails wait", self.options.name, f"{len(uids):,}")
        while batches and not self._stopping.is_set() and not self._store_rest.holds:
            batch = batches.popleft()
            self._take(session, batch)
            self._say_progress(done, done + len(batch), len(uids))
            done += len(batch)
            arrived = self._batches(self._pending(session, newest)) if batches else None
            if arrived:
                self._take(session, arrived[0])
                newest = max(arrived[0])

    def _say_progress(self, before: int, done: int, total: int) -> None:
        if total > self.options.batch and (done == total or before // _PROGRESS != done // _PROGRESS):
            log.info("mailbox %s: %s of %s taken", self.options.name, f"{done:,}", f"{total:,}")

    def _take(self, session: Session, uids: Sequence[int]) -> None:
        """Keep these mails, then archive those that are kept."""
        new = [uid for uid in uids if uid not in self._kept]
        if len(new) == 1 and self._given_up(new[0]):
            self._report(session, new[0])
            return
        found = self._ask(new, session.describe)
        kept, failed = 0, 0
        for group in self._groups(found):
            for uid, data in self._shown(session, group, found):
                if self._stopping.is_set():
                    break
                if self._keep_one(uid, data, found[uid]):
                    kept += 1
                else:
                    failed += 1
        if kept:
            self._store_rest.end()
        elif failed >= _STORE_FAILURES:
            self._store_rest.begin("see the log for the first mail that could not be kept")
        self._archive(session, uids)

    def _groups(self, found: Mapping[int, Listed]) -> Iterator[list[int]]:
        """Mails that are asked for in one command; one whose size is not known, or beyond the limit, by itself."""
        group: list[int] = []
        octets = 0
        for uid, listed in found.items():
            if not 0 <= listed.size <= self.options.max_size:
                yield [uid]
                continue
            if group and octets + listed.size > GROUP_OCTETS:
                yield group
                group, octets = [], 0
            group.append(uid)
            octets += listed.size
        if group:
            yield group

    def _shown(self, session: Session, group: list[int], found: Mapping[int, Listed]) -> Iterator[tuple[int, bytes]]:
        """The mails of a group as the server shows them: whole, or the header of one that is too big."""
        if self._stopping.is_set():
            return
        limit = self.options.max_size
        if len(group) > 1:
            # Some servers only estimate sizes (Exchange does).
            octets = 2 * sum(found[uid].size for uid in group)
            shown = self._ask(group, lambda uids: session.bodies(uids, limit + 1, octets))
        elif found[group[0]].size > limit:
            shown = self._ask(group, lambda uids: {uid: header for uid in uids if (header := session.header(uid))})
        else:
            shown = self._ask(group, lambda uids: session.bodies(uids, limit + 1, limit + 1))
        for uid in group:
            if uid in shown:
                yield uid, shown.pop(uid)

    def _ask(self, uids: list[int], question: Callable[[list[int]], dict[int, T]]) -> dict[int, T]:
        """Put a question about mails to the server; whose fault it is where no answer comes is noted."""
        if not uids:
            return {}
        try:
            answer = question(uids)
        except Refused as refusal:
            self._blame(uids, str(refusal))
            return {}
        except Lost as loss:
            self._blame(uids, str(loss))
            raise
        self._blame([uid for uid in uids if uid not in answer], "the server lists the mail and does not show it", uids)
        # In our order, not the server's.
        return {uid: answer[uid] for uid in uids if uid in answer}

    def _blame(self, uids: Sequence[int], cause: str, asked: Sequence[int] | None = None) -> None:
        """A mail that was asked for alone gets a strike, those that were asked for together are now asked for alone."""
        if self._stopping.is_set():
            return
        for uid in uids:
            trouble = self._troubles.setdefault(uid, _Trouble())
            if len(asked or uids) == 1 and trouble.alone:
                trouble.strikes += 1
                trouble.cause = cause
                self._went_on = self._went_on or trouble.strikes <= _STRIKES
                trouble.not_before = time.monotonic() + self._pause_after(trouble)
            else:
                trouble.alone = True
                trouble.not_before = time.monotonic() + _backoff(0, self.options.first_pause)

    def _pause_after(self, strike: _Trouble) -> float:
        if strike.told:
            return _HOPELESS_PAUSE
        if strike.strikes >= _STRIKES:  # the report need not wait
            return _backoff(0, self.options.first_pause)
        return self.options.again_seconds * 2.0 ** (strike.strikes - 1)

    def _given_up(self, uid: int) -> bool:
        trouble = self._troubles.get(uid)
        return trouble is not None and trouble.strikes >= _STRIKES and not trouble.told

    def _report(self, session: Session, uid: int) -> None:
        """Hand a mail on that cannot be fetched: what the server shows of its header, and where it lies."""
        trouble = self._troubles[uid]
        if sum(1 for one in self._troubles.values() if one.told) >= _TOLD_LIMIT:
            trouble.not_before = time.monotonic() + _HOPELESS_PAUSE
            return
        header = b""
        if trouble.strikes == _STRIKES:
            trouble.strikes += 1  # the header is asked for once, whatever comes of it
            with contextlib.suppress(Refused):
                header = session.header(uid)
        where = f"mailbox {self.options.name}, UIDVALIDITY {self._uidvalidity}, UID {uid}"
        cause = f"the server does not give this mail ({where}): {trouble.cause}"
        try:
            self._unfetchable(self._raw(uid, header, self._now()), cause)
        except Exception as error:  # noqa: BLE001  whatever stops one mail must not stop the others
            self._try_later(uid, error)
            return
        log.error("mailbox %s: mail %d given up: %s", self.options.name, uid, trouble.cause)
        trouble.told, trouble.not_before = True, time.monotonic() + _HOPELESS_PAUSE

    def _keep_one(self, uid: int, data: bytes, listed: Listed) -> bool:
        """Make one mail durable, or its header where it is too big; False where it cannot be kept now."""
        raw = self._raw(uid, data, self._received_at(listed.arrived))
        size = max(listed.size, len(data))
        fits = size <= self.options.max_size
        try:
            if fits:
                self._keep(raw)
            else:
                self._oversized(replace(raw, data=data[:HEADER_LIMIT]), size)
        except Exception as error:  # noqa: BLE001  whatever stops one mail must not stop the others
            self._try_later(uid, error)
            return False
        self._troubles.pop(uid, None)
        self._kept[uid] = self.options.archive if fits else self.options.too_big or self.options.archive
        self._taken += 1
        self._went_on = True
        self._hear()
        return True

    def _raw(self, uid: int, data: bytes, received_at: datetime) -> RawMail:
        return RawMail(
            door=Door.IMAP,
            envelope=Envelope(sender=None, recipients=(), peer=self.options.host),
            received_at=received_at,
            data=data,
            sighting=Sighting(self.options.name, self._uidvalidity, uid),
        )

    def _received_at(self, arrived: datetime | None) -> datetime:
        now = self._now()
        return arrived.astimezone(UTC) if arrived and now - _TRUSTED_AGE <= arrived <= now else now

    def _try_later(self, uid: int, error: Exception) -> None:
        self._pause(uid)
        if self._store_rest.cause:
            return  # said once
        if isinstance(error, TemporaryFailure):
            log.warning("mailbox %s: mail %d stays and is tried again: %s", self.options.name, uid, error)
        else:
            _log_fault(f"{self.options.name}, mail {uid}", error)

    def _pause(self, uid: int) -> None:
        trouble = self._troubles.setdefault(uid, _Trouble())
        trouble.not_before = time.monotonic() + _backoff(trouble.failures, self.options.first_pause)
        trouble.failures += 1

    def _archive(self, session: Session, uids: Sequence[int]) -> None:
        for folder in dict.fromkeys((self.options.archive, self.options.too_big or self.options.archive)):
            kept = [uid for uid in uids if self._kept.get(uid) == folder]
            if not kept or self._archive_rest.holds:
                continue
            for uid in kept:
                self._pause(uid)  # what lies there still, though the server said OK, has time
            try:
                removed = session.archive(kept, folder)
            except Refused as refusal:
                self._not_archived(session, folder, refusal)
                continue
            self._archive_rest.end()
            if not removed:
                self._marked.update(kept)
                for uid in kept:
                    del self._troubles[uid]

    def _not_archived(self, session: Session, folder: str, refusal: Refused) -> None:
        """The mails are kept and stay where they are; they are moved when the server lets us."""
        if refusal.code == "EXPUNGEISSUED":  # the other one who moves them was faster
            return
        if self._archive_rest.begin(str(refusal)):
            log.warning("mailbox %s: %s", self.options.name, refusal)
        if refusal.code in ("TRYCREATE", "NONEXISTENT"):
            with contextlib.suppress(Refused):
                session.make_folder(folder)


def _backoff(failures: int, first: float) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4 ... 300 times, up to a third less by chance."""
    return float(min(first * 2 ** min(failures, 20), _BACKOFF_LIMIT)) * random.uniform(0.67, 1.0)


def _log_fault(where: str, error: BaseException) -> None:
    """Log the kind and place of an unexpected exception; its text may hold a customer's words or a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log.error("unexpected %s in mailbox %s at %s", type(error).__name__, where, place or "?")
