"""Hand one mail for one recipient to a relay by SMTP, over a connection that is kept for the next one.

What the caller must do is in the exception: RelayDown (no connection, no TLS, no login, a bad greeting, 421 or no answer
to the first MAIL of a connection: no mail would have gone), TemporaryFailure (4xx, or the connection broke: the same mail
may go later), PermanentFailure (5xx for this sender, recipient or mail). Login and TLS troubles are ours to mend and no
fault of the mail, so they never give a mail up. Certificates are verified unless the caller's own context says
otherwise; ``starttls`` means required (RFC 3207), and no password is ever sent in the clear.

STANDARDS: RFC 5321, RFC 2920 (PIPELINING), RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 4616 (PLAIN), RFC 2195 (CRAM-MD5),
RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Literal, NamedTuple

from helpdesk.domain.errors import ConfigError, PermanentFailure, TemporaryFailure
from helpdesk.outbound.dialogue import Broken, Dialogue, Reply
from helpdesk.outbound.headers import wire_address
from helpdesk.outbound.transport import LONGEST_SEND, Accepted, RelayDown, SenderRefused

#: The way to a relay's address takes so long at most, in seconds; a host may have several.
CONNECT_SECONDS = 20.0
#: Goodbyes are not waited for longer than this, in seconds.
GOODBYE_SECONDS = 2.0

# About our login or the state of the session, not about the mail.
_TOO_LARGE = 552
_OUR_SESSION = frozenset({503, 530, 534, 535, 538})
_GOODBYE = 421
_GO_AHEAD = 354


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """How to reach a relay; times in seconds.

    ``password`` may be a callable, asked at each login, so that a changed secret is used at once. ``timeout`` is for
    each command, ``longest`` for all of them up to the end of the data; ``final_timeout`` is the wait after it, where
    giving up early means sending twice (RFC 5321 section 4.5.3.2.6).
    """

    host: str
    port: int = 587
    name: str = ""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ssl_context: ssl.SSLContext | None = None
    user: str = ""
    password: Callable[[], str] | str = ""
    timeout: float = 60
    longest: float = 600
    final_timeout: float = 300
    hostname: str | None = None
    mails_per_connection: int = 100
    idle_seconds: float = 30

    def __post_init__(self) -> None:
        if self.user and self.tls == "none":
            raise ValueError(f"relay {self.name or self.host}: a password needs tls")
        if self.longest + self.final_timeout >= LONGEST_SEND:
            raise ValueError(f"relay {self.name or self.host}: one mail may not take longer than {LONGEST_SEND:.0f} s")


class _Step(NamedTuple):
    """A command, the replies that let us go on, and how to tell of any other."""

    command: str
    good: tuple[int, ...]
    words: str


class _SessionOver(Exception):
    """The connection ended before the relay took the mail; ``of_mail`` where it had begun to take it, ``of_sender``
    where it ended by the answer to the sender."""

    def __init__(self, words: str, of_mail: bool, of_sender: bool) -> None:
        self.of_mail, self.of_sender = of_mail, of_sender
        super().__init__(words)


@dataclass(slots=True)
class _Session:
    """A connection on which mails can be handed over."""

    talk: Dialogue
    offers: dict[str, str]
    mails: int = 0
    used_at: float = 0.0
    #: A transaction was begun and not ended.
    unclean: bool = False

    @property
    def fresh(self) -> bool:
        return not self.used_at


class Relay:
    """One relay and at most one connection to it; may be called from several threads, one mail at a time."""

    def __init__(self, options: RelayOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._session: _Session | None = None
        self._talk: Dialogue | None = None
        self._cut_off = False
        self._secret = ""
        self._context = options.ssl_context
        self._hostname = options.hostname or ""

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        """Hand the mail over; ``envelope_from`` is "" for the null reverse path, ``data`` has CRLF line ends."""
        envelope_from = wire_address(envelope_from, smtputf8=True) if envelope_from else ""
        recipient = wire_address(recipient, smtputf8=True)
        with self._lock:
            self._cut_off = False
            end = monotonic() + self._options.longest
            session = self._kept()
            if session is not None:
                # A relay may end a kept connection at any moment: then once more on a new one.
                with contextlib.suppress(_SessionOver):
                    return self._transaction(session, end, envelope_from, recipient, data)
            if self._cut_off:
                raise TemporaryFailure("was cut off, because the daemon is stopping")
            try:
                return self._transaction(self._connect(end), end, envelope_from, recipient, data)
            except _SessionOver as over:
                if over.of_mail:
                    raise TemporaryFailure(str(over)) from over.__cause__
                raise RelayDown(str(over), of_sender=over.of_sender) from over.__cause__

    def close(self) -> None:
        """Say goodbye if a connection is open; the next send opens another.

        Whoever closes has waited long enough: a mail that is still being handed over is cut off, and goes again later.
        """
        if self._lock.acquire(timeout=GOODBYE_SECONDS):
            try:
                self._leave()
            finally:
                self._lock.release()
        elif (talk := self._talk) is not None:
            self._cut_off = True
            talk.cut()

    # The connection

    def _kept(self) -> _Session | None:
        session, options = self._session, self._options
        if session is None:
            return None
        tired = session.mails >= options.mails_per_connection
        if tired or monotonic() - session.used_at > options.idle_seconds:
            self._leave()
            return None
        return session

    def _connect(self, end: float) -> _Session:
        options = self._options
        talk: Dialogue | None = None
        try:
            address = options.host, options.port
            plain = socket.create_connection(address, min(options.timeout, CONNECT_SECONDS))
            # A mail is written in two pieces; the second must not wait for the acknowledgement of the first.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._talk = talk = Dialogue(plain, options.timeout)
            talk.limit(end - monotonic())
            session = self._greet(talk)
        except ssl.SSLError as error:
            failure = self._down(f"TLS failed: {_reason(error)}")
        except Broken as broken:
            failure = self._down(str(broken))
        except OSError as error:
            failure = self._down(f"cannot be reached: {error.strerror or error}")
        except ConfigError as error:
            failure = self._down(f"got no login: {error}")
        except RelayDown as down:
            failure = down
        else:
            self._session = session
            return session
        if talk is not None:
            talk.close()
        raise failure

    def _greet(self, talk: Dialogue) -> _Session:
        options = self._options
        if options.tls == "implicit":
            talk.start_tls(self._tls(), options.host)
        reply = talk.hear()
        if reply.code != 220:
            raise self._down(f"greeted with {reply}")
        offers = self._hello(talk)
        if options.tls == "starttls":
            if "STARTTLS" not in offers:
                raise self._down("does not offer STARTTLS, which the settings require")
            reply = talk.ask("STARTTLS")
            if reply.code != 220:
                raise self._down(f"refused STARTTLS: {reply}")
            talk.start_tls(self._tls(), options.host)
            offers = self._hello(talk)
        if options.user:
            self._login(talk, offers.get("AUTH", "").upper().split())
        return _Session(talk, offers)

    def _tls(self) -> ssl.SSLContext:
        # Made once: reading the system's certificates takes longer than handing over fifty mails.
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context

    def _hello(self, talk: Dialogue) -> dict[str, str]:
        """What the relay offers, by keyword in capitals."""
        if not self._hostname:
            self._hostname = socket.getfqdn()
        reply = talk.ask(f"EHLO {self._hostname}")
        if reply.code != 250:
            reply = talk.ask(f"HELO {self._hostname}")
            if reply.code != 250:
                raise self._down(f"refused our greeting: {reply}")
            return {}
        offers = (line.decode("ascii", "replace").partition(" ") for line in reply.lines[1:])
        return {keyword.upper(): rest.strip() for keyword, _, rest in offers}

    def _login(self, talk: Dialogue, mechanisms: Sequence[str]) -> None:
        user, password = self._options.user, self._options.password
        secret = self._secret = password() if callable(password) else password
        if "PLAIN" in mechanisms:
            reply = talk.ask(f"AUTH PLAIN {_plain(user, secret)}")
        elif "LOGIN" in mechanisms:
            reply = talk.ask("AUTH LOGIN")
            for word in (user, secret):
                if reply.code == 334:
                    reply = talk.ask(_base64(word.encode()))
        elif "CRAM-MD5" in mechanisms:
            reply = talk.ask("AUTH CRAM-MD5")
            if reply.code == 334:
                digest = hmac.new(secret.encode(), _challenge(reply), "md5").hexdigest()
                reply = talk.ask(_base64(f"{user} {digest}".encode()))
        else:
            raise self._down("offers no login that we know, but the settings name a user")
        if reply.code != 235:
            raise self._down(f"refused our login: {reply}")

    def _leave(self) -> None:
        session = self._session
        if session is not None:
            with contextlib.suppress(Broken):
                session.talk.limit(GOODBYE_SECONDS)
                session.talk.ask("QUIT")
            self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            self._session.talk.close()
        self._session = None

    # The mail

    def _transaction(self, session: _Session, end: float, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        session.talk.limit(end - monotonic())
        options = self._mail_options(session, envelope_from, recipient, data)
        self._envelope(
            session,
            [
                _Step(" ".join([f"MAIL FROM:<{envelope_from}>", *options]), (250,), "refused the sender:"),
                _Step(f"RCPT TO:<{recipient}>", (250, 251), f"refused {recipient}:"),
                _Step("DATA", (_GO_AHEAD,), "refused the mail:"),
            ],
        )
        reply = self._data(session, data)
        session.used_at = monotonic()
        if reply.code == _GOODBYE:
            raise self._over(f"refused the mail: {reply}", of_mail=True)
        if not 200 <= reply.code < 300:
            raise self._refusal("refused the mail:", reply)
        session.mails += 1
        return Accepted(self._hidden(str(reply)))

    def _envelope(self, session: _Session, steps: list[_Step]) -> None:
        """MAIL, RCPT and DATA until the relay waits for the mail, in one write where it can (RFC 2920).

        On a new connection MAIL waits for its answer: what breaks later is then known to be this mail's trouble.
        """
        if session.unclean:
            steps = [_Step("RSET", (250,), "refused to begin anew:"), *steps]
        session.unclean = True
        if "PIPELINING" not in session.offers:
            groups = [[step] for step in steps]
        elif session.fresh:
            groups = [steps[:-2], steps[-2:]]
        else:
            groups = [steps]
        answered = False
        for group in groups:
            try:
                session.talk.say("".join(f"{step.command}\r\n" for step in group).encode())
                answered = self._answers(session, group) or answered
            except Broken as broken:
                raise self._over(str(broken), answered) from broken
        session.unclean = False

    def _answers(self, session: _Session, group: list[_Step]) -> bool:
        """Hear what the relay says to commands that went out together; raises the first refusal, all answers heard."""
        refusal: TemporaryFailure | PermanentFailure | None = None
        for step in group:
            try:
                reply = session.talk.hear()
            except Broken:
                if refusal is None:
                    raise
                self._drop()
                raise refusal from None
            if refusal is None and reply.code not in step.good:
                is_mail = step.command.startswith("MAIL")
                if reply.code == _GOODBYE or step.command == "RSET":
                    raise self._over(f"{step.words} {reply}", of_mail=not is_mail, of_sender=is_mail)
                refusal = self._refusal(step.words, reply, of_sender=is_mail)
            elif refusal is not None and reply.code == _GO_AHEAD:
                # It waits for a mail although it refused to take one: an empty one, to nobody (RFC 2920 section 3.1).
                with contextlib.suppress(Broken):
                    session.talk.say(b".\r\n")
                    session.talk.hear()
        session.used_at = monotonic()
        if refusal is not None:
            raise refusal
        return True

    def _data(self, session: _Session, data: bytes) -> Reply:
        # A line that begins with a dot gets another one (RFC 5321 section 4.5.2).
        body = data.replace(b"\n.", b"\n..") if b"\n." in data else data
        body = (b"." if body.startswith(b".") else b"") + body
        try:
            session.talk.say(body + (b".\r\n" if body.endswith(b"\r\n") else b"\r\n.\r\n"))
        except Broken as broken:
            # Some refuse amid the mail and hang up: what they said may still lie here.
            with contextlib.suppress(Broken):
                if (reply := session.talk.hear()).code >= 500:
                    self._drop()
                    return reply
            raise self._unconfirmed(broken) from broken
        try:
            return session.talk.hear(max(self._options.timeout, self._options.final_timeout))
        except Broken as broken:
            raise self._unconfirmed(broken) from broken

    def _unconfirmed(self, broken: Broken) -> TemporaryFailure:
        self._drop()
        return TemporaryFailure(self._failed(f"went away before it confirmed the mail: {broken}"))

    def _mail_options(self, session: _Session, envelope_from: str, recipient: str, data: bytes) -> list[str]:
        offers = session.offers
        options = [f"SIZE={len(data)}"] if "SIZE" in offers else []
        seven_bits = data.isascii()
        foreign = next((one for one in (recipient, envelope_from) if not one.isascii()), "")
        if foreign or (not seven_bits and not data.partition(b"\r\n\r\n")[0].isascii()):
            if "SMTPUTF8" not in offers:
                whose = f"the address {foreign}" if foreign else "an address in its header"
                raise PermanentFailure(self._failed(f"cannot carry this mail: {whose} needs SMTPUTF8 (5.6.7)"))
            options.append("SMTPUTF8")
        if not seven_bits:
            if "8BITMIME" not in offers:
                raise PermanentFailure(self._failed("cannot carry this mail: its bytes need 8BITMIME (5.6.3)"))
            options.append("BODY=8BITMIME")
        return options

    # Words

    def _refusal(self, what: str, reply: Reply, *, of_sender: bool = False) -> TemporaryFailure | PermanentFailure:
        words = self._failed(f"{what} {reply}")
        if reply.code in _OUR_SESSION:
            return RelayDown(words, of_sender=True) if of_sender else TemporaryFailure(words)
        if reply.code >= 500:
            return SenderRefused(words) if of_sender and reply.code != _TOO_LARGE else PermanentFailure(words)
        return TemporaryFailure(words)

    def _over(self, what: str, of_mail: bool, of_sender: bool = False) -> _SessionOver:
        self._drop()
        return _SessionOver(self._failed(what), of_mail, of_sender)

    def _down(self, what: str) -> RelayDown:
        options = self._options
        place = f"{options.host}:{options.port}"
        return RelayDown(self._hidden(f"{options.name} ({place}) {what}" if options.name else f"{place} {what}"))

    def _failed(self, what: str) -> str:
        return self._hidden(f"{self._options.name or self._options.host} {what}")

    def _hidden(self, words: str) -> str:
        """A server may repeat what it was sent, at any time; whoever reads its words must not learn the password."""
        return _without(words, self._options.user, self._secret)


def _challenge(reply: Reply) -> bytes:
    try:
        return base64.b64decode(b"".join(reply.lines))
    except ValueError:
        raise Broken("sent a challenge that cannot be read") from None


def _plain(user: str, secret: str) -> str:
    return _base64(f"\0{user}\0{secret}".encode())


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _without(text: str, user: str, secret: str) -> str:
    if not secret:
        return text
    for form in (secret, _base64(secret.encode()), _plain(user, secret)):
        text = text.replace(form, "***")
    return text


def _reason(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or error.reason or str(error)
