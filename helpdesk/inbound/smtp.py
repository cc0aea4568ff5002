"""The SMTP door: a mail is answered with 250 only after it is durable.

    client --SMTP--> Session (aiosmtpd, our limits) --RawMail--> keep() in a thread --returned--> 250

* Whatever goes wrong unexpectedly is a 451 without details; a 5xx is a written decision (unknown recipient, too big,
  too many hops, wrong password).
* ``keep`` runs in a thread and is shielded: a client that hangs up after the dot changes nothing, it will retry and
  the second copy is recognised.
* Nothing is relayed: every recipient must be one of our own addresses, in its plain form.
* aiosmtpd's DATA reader keeps one object per line and ignores its limit for a line without end; ours reads chunks and
  is bounded in bytes and time.

STANDARDS: RFC 5321 (SMTP), 1870 (SIZE), 2034 and 3463 (enhanced status codes), 2920 (PIPELINING), 3207 (STARTTLS),
4954 (AUTH), 6152 (8BITMIME), 6409 (submission), 6531 (SMTPUTF8). DSN and CHUNKING are not offered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import logging
import re
import secrets
import ssl
import threading
import traceback
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Literal

from aiosmtpd import smtp as aiosmtpd_smtp

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, Envelope, RawMail

Keep = Callable[[RawMail], None]
Accepts = Callable[[str], bool]
Now = Callable[[], datetime]
Authenticate = Callable[[str, str], str | None]

log = logging.getLogger("helpdesk.inbound.smtp")
# aiosmtpd logs every command line, that is addresses and whatever a confused client sends as a command.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)

_READ_AHEAD = 65_536  # octets that may wait unread per connection
_HEADER_SCAN = 1_048_576  # octets in which hops are counted
_AUTH_LINE = 12_288  # RFC 4954 section 4
_MAILS_AT_ONCE = 64  # threads that wait in keep()

_PATH = re.compile(r'<((?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^<>"\x00-\x20\x7f])*)>(.*)', re.DOTALL)
_BARE_PATH = re.compile(r"([^<>\x00-\x20\x7f]+)((?: .*)?)", re.DOTALL)
# Percent hack, bang path, source route and quoted forms are ways to ask for relaying (T25); our addresses need none.
_PLAIN_ADDRESS = re.compile(r"postmaster|[^%!@\"\\:]+@[^%!@\"\\:]+", re.IGNORECASE)
_UNFIT_FOR_HEADER = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_HAS_ENHANCED_CODE = re.compile(r"\d{3}[ -]\d\.\d{1,3}\.\d{1,3} ")
_ENHANCED_CODES = {"500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "504": "5.5.4", "530": "5.7.0"}
_WITHOUT_ENHANCED_CODE = ("220", "334", "354")


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Where a listener listens and what it allows; sizes in octets, times in seconds.

    ``kind`` "smtp" takes mail from anybody for our own addresses; "submission" only from a user who gave a password
    under TLS. ``tls`` offers STARTTLS, or with ``implicit_tls`` speaks TLS from the first byte (RFC 8314);
    ``require_tls`` refuses mail without TLS. ``per_peer`` caps the connections of one address, but those in
    ``uncapped_peers`` (a relay in front of us speaks for everybody) count only against ``connections``.
    ``commands`` may be given without an accepted mail among them (RCPT not counted, it has its own limit).
    ``timeout`` is the wait for a command, and the start of a mail; after that it must come at ``minimum_rate`` octets
    a second and within ``data_timeout``. ``memory`` bounds the mails in transfer on all connections together.
    """

    host: str = "127.0.0.1"
    port: int = 25
    hostname: str = "localhost"
    kind: Literal["smtp", "submission"] = "smtp"
    tls: ssl.SSLContext | None = None
    implicit_tls: bool = False
    require_tls: bool = False
    max_size: int = 35 * 1024 * 1024
    max_line: int = 1024 * 1024
    max_recipients: int = 100
    max_hops: int = 50
    connections: int = 200
    per_peer: int = 10
    uncapped_peers: tuple[str, ...] = ("127.0.0.1", "::1")
    commands: int = 100
    errors: int = 20
    password_tries: int = 3
    timeout: float = 300
    minimum_rate: int = 500
    data_timeout: float = 1800
    memory: int = 150 * 1024 * 1024

    def __post_init__(self) -> None:
        if (self.kind == "submission" or self.implicit_tls or self.require_tls) and self.tls is None:
            raise ValueError("a submission listener, and one that requires TLS, needs a certificate (tls)")


class Listener:
    """One port with its own event loop in a thread; every method may be called from any thread.

    ``keep`` returns when a mail is durable and raises when it is not; it is called in several threads at once.
    ``accepts`` tells whether a recipient is one of our addresses and must answer at once (it holds up the loop).
    ``now`` is our time of receipt, aware UTC. ``authenticate`` takes login and password and gives the address that
    may be believed, or None; it is called in a thread and needed for kind "submission".
    """

    def __init__(
        self, options: ListenerOptions, keep: Keep, accepts: Accepts, now: Now, authenticate: Authenticate | None = None
    ) -> None:
        if options.kind == "submission" and authenticate is None:
            raise ValueError("a submission listener needs authenticate")
        self.options, self.keep, self.accepts, self.now, self.authenticate = options, keep, accepts, now, authenticate
        self.stopping = False
        self.octets_held = 0
        self._sessions: set[Session] = set()
        self._peers: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_loop_fault)
        self._thread = threading.Thread(target=self._run, name=f"{options.kind}-door", daemon=True)
        self._workers = ThreadPoolExecutor(_MAILS_AT_ONCE, thread_name_prefix=f"{options.kind}-keep")

    def start(self) -> None:
        """Bind and listen; OSError where the port cannot be had."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except BaseException:
            self._end_thread()
            raise

    @property
    def port(self) -> int:
        """The port that is listened on, also where the options said 0."""
        assert self._server is not None, "not started"
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self, grace: float = 10) -> None:
        """Take no more mail (421); a mail that is being sent may end within ``grace`` seconds."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._wind_down(grace), self._loop).result()
        self._end_thread()

    def admit(self, session: Session, peer: str) -> bool:
        """Count a new connection in, unless it is one too many or we are going down."""
        options = self.options
        crowded = peer not in options.uncapped_peers and self._peers[peer] >= options.per_peer
        if self.stopping or crowded or len(self._sessions) >= options.connections:
            return False
        self._sessions.add(session)
        self._peers[peer] += 1
        return True

    def release(self, session: Session, peer: str) -> None:
        """Count a connection out; a second call for the same one changes nothing."""
        if session not in self._sessions:
            return
        self._sessions.discard(session)
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]

    async def in_thread(self, function: Callable[..., Any], *arguments: object) -> Any:
        """Run a blocking function to its end, even if the caller is cancelled meanwhile."""
        result, error = await asyncio.shield(self._loop.run_in_executor(self._workers, _outcome, function, arguments))
        if error is not None:
            raise error
        return result

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        options = self.options
        self._server = await self._loop.create_server(
            lambda: Session(self, self._loop),
            options.host,
            options.port,
            ssl=options.tls if options.implicit_tls else None,
            backlog=256,
        )

    async def _wind_down(self, grace: float) -> None:
        self.stopping = True
        for session in list(self._sessions):
            session.end_if_idle()
        deadline = self._loop.time() + grace
        while self._sessions and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        assert self._server is not None
        self._server.close()
        for session in list(self._sessions):
            session.abort()
        # One turn of the loop lets the cancelled sessions end before the loop does.
        for _ in range(100):
            if not self._sessions:
                break
            await asyncio.sleep(0.01)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        # A mail that is still being kept is kept to the end: its client was not answered and will come again.
        self._workers.shutdown(wait=False)
        self._loop.close()


class Session(aiosmtpd_smtp.SMTP):
    """One connection. aiosmtpd splits the stream into commands and does STARTTLS; what they mean is ours."""

    line_length_limit = _READ_AHEAD

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        options = listener.options
        super().__init__(
            _NO_HOOKS,
            hostname=options.hostname,
            ident="ESMTP helpdesk",
            data_size_limit=options.max_size,
            enable_SMTPUTF8=True,
            timeout=options.timeout,
            tls_context=None if options.implicit_tls else options.tls,
            loop=loop,
        )
        self._listener, self._options = listener, options
        # aiosmtpd shares one dict among all connections and lets each EHLO raise the limits in it.
        self.command_size_limits = defaultdict(lambda: 1024, AUTH=_AUTH_LINE)
        self._smtp_methods = {
            name: functools.partial(self._count, name, method)
            for name, method in self._smtp_methods.items()
            if name != "AUTH" or options.kind == "submission"
        }
        self._peer = self._user = self._helo = ""
        self._extended = False
        self._commands = self._errors = self._wrong_passwords = 0
        self._octets = self._held = 0
        self._data_since: float | None = None
        self._busy = self._ending = False

    # --- the life of a connection ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if self._original_transport is not None:  # the same connection, now under TLS: RFC 3207 section 4.2
            self._helo, self._extended, self._user = "", False, ""
            super().connection_made(transport)
            return
        self._peer = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._listener.admit(self, self._peer):
            transport.set_protocol(asyncio.Protocol())
            transport.write(b"421 4.3.2 too busy, try again later\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.release(self, self._peer)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        super().data_received(data)

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._utf8 = False

    def end_if_idle(self) -> None:
        """Say goodbye, unless a mail is being taken: then it ends and the next command is answered with 421."""
        if not self._busy:
            self._leave("421 4.3.2 going down, try again later")

    def abort(self) -> None:
        """Drop the connection at once."""
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def _leave(self, reply: str) -> None:
        self._ending = True
        if isinstance(self.transport, asyncio.Transport) and not self.transport.is_closing():
            self.transport.write(reply.encode() + b"\r\n")
            self.transport.close()

    def _timeout_cb(self) -> None:
        if self._data_since is not None and (left := self._data_seconds_left(self._data_since)) > 0:
            self._reset_timeout(left)
            return
        self._leave("421 4.4.2 too slow, goodbye")

    def _data_seconds_left(self, since: float) -> float:
        allowed = self._options.timeout + self._octets / self._options.minimum_rate
        return since + min(allowed, self._options.data_timeout) - self.loop.time()

    async def _count(self, name: str, method: Callable[[str | None], Awaitable[None]], argument: str | None) -> None:
        if self._ending:  # aiosmtpd goes on with what is left in the stream
            return
        if self._listener.stopping:
            self._leave("421 4.3.2 going down, try again later")
            return
        self._commands += name != "RCPT"
        if self._commands > self._options.commands:
            self._leave("421 4.7.0 too many commands without a mail, goodbye")
            return
        await method(argument)

    async def push(self, status: str | bytes) -> None:
        """Send one reply (its lines parted by CRLF), with an enhanced status code; hang up after too many errors."""
        if self._ending:
            return
        if isinstance(status, bytes):  # aiosmtpd's AUTH challenge
            await super().push(status)
            return
        self._errors += status[0] in "45"
        await super().push(_with_enhanced_code(status))
        if self._errors >= self._options.errors:
            self._leave("421 4.7.0 too many errors, goodbye")

    async def handle_exception(self, error: Exception) -> str:
        """Any surprise is temporary and tells the client nothing; the log gets the place, never the text."""
        if isinstance(error, aiosmtpd_smtp.TLSSetupException):
            log.info("TLS handshake with %s failed", self._peer)
        else:
            log_fault("session with " + self._peer, error)
        return "451 4.3.0 temporary problem, try again later"

    # --- greetings ------------------------------------------------------------------------------------------------

    @property
    def _encrypted(self) -> bool:
        return self._options.implicit_tls or self._tls_protocol is not None

    async def smtp_HELO(self, hostname: str | None) -> None:
        await self._greet(hostname, extended=False)

    async def smtp_EHLO(self, hostname: str | None) -> None:
        await self._greet(hostname, extended=True)

    async def _greet(self, hostname: str | None, extended: bool) -> None:
        if not hostname:
            await self.push("501 5.5.4 say who you are")
            return
        self._set_post_data_state()
        assert self.session is not None
        self.session.extended_smtp = self._extended = extended
        self._helo = hostname
        offers = [self._options.hostname]
        if extended:
            offers += ["PIPELINING", f"SIZE {self._options.max_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
            if self.tls_context and not self._encrypted:
                offers.append("STARTTLS")
            if self._options.kind == "submission" and self._encrypted:
                offers.append("AUTH PLAIN LOGIN")
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        await self.push("\r\n".join(lines))

    async def smtp_STARTTLS(self, argument: str | None) -> None:
        if self._encrypted:
            await self.push("503 5.5.1 TLS is already active")
            return
        await super().smtp_STARTTLS(argument)

    async def smtp_NOOP(self, argument: str | None) -> None:
        await self.push("250 2.0.0 OK")

    async def smtp_RSET(self, argument: str | None) -> None:
        self._set_post_data_state()
        await self.push("250 2.0.0 OK")

    async def smtp_HELP(self, argument: str | None) -> None:
        await self.push("214 2.0.0 RFC 5321")

    async def smtp_VRFY(self, argument: str | None) -> None:
        await self.push("252 2.1.5 send a mail and see")

    async def smtp_EXPN(self, argument: str | None) -> None:
        await self.push("252 2.1.5 send a mail and see")

    # --- who is it ------------------------------------------------------------------------------------------------

    async def smtp_AUTH(self, argument: str | None) -> None:
        if not self._extended:
            await self.push("503 5.5.1 EHLO first")
        elif not self._encrypted:
            await self.push("538 5.7.11 STARTTLS first")
        elif self._user or self._sender is not None:
            await self.push("503 5.5.1 not now")
        elif (credentials := await self._credentials(argument or "")) is not None:
            await self._check_password(*credentials)

    async def _credentials(self, argument: str) -> tuple[str, str] | None:
        mechanism, _, initial = argument.partition(" ")
        try:
            if mechanism.upper() == "PLAIN":
                _, login, password = (await self._answer("", initial)).split(b"\0")
            elif mechanism.upper() == "LOGIN":
                login = await self._answer("VXNlcm5hbWU6", initial)
                password = await self._answer("UGFzc3dvcmQ6", "")
            else:
                await self.push("504 5.5.4 PLAIN or LOGIN")
                return None
            return login.decode(), password.decode()
        except (ValueError, binascii.Error):
            await self.push("501 5.5.2 cannot read that")
            return None

    async def _answer(self, challenge: str, initial: str) -> bytes:
        """What the client says to a challenge, decoded; ValueError where it says ``*`` or no Base64."""
        if not initial:
            await self.push(f"334 {challenge}")
            initial = (await self._reader.readline()).strip().decode("ascii")
        return base64.b64decode("" if initial == "=" else initial, validate=True)

    async def _check_password(self, login: str, password: str) -> None:
        assert self._listener.authenticate is not None
        user = await self._listener.in_thread(self._listener.authenticate, login, password)
        if user:
            self._user = user
            await self.push("235 2.7.0 welcome")
            return
        self._wrong_passwords += 1
        log.info("wrong password on the submission listener from %s", self._peer)
        if self._wrong_passwords < self._options.password_tries:
            await self.push("535 5.7.8 wrong login or password")
        else:
            await self.push("535 5.7.8 wrong login or password")
            self._leave("421 4.7.0 too many wrong passwords, goodbye")

    async def _may_send(self) -> bool:
        if not self._helo:
            await self.push("503 5.5.1 EHLO first")
            return False
        must_encrypt = self._options.require_tls or self._options.kind == "submission"
        if must_encrypt and not self._encrypted:
            await self.push("530 5.7.0 STARTTLS first")
            return False
        if self._options.kind == "submission" and not self._user:
            await self.push("530 5.7.0 AUTH first")
            return False
        return True

    # --- the envelope ---------------------------------------------------------------------------------------------

    async def smtp_MAIL(self, argument: str | None) -> None:
        if not await self._may_send():
            return
        if self._sender is not None:
            await self.push("503 5.5.1 one MAIL at a time")
            return
        path = _path(argument, "FROM:")
        if path is None:
            await self.push("501 5.1.7 that is no address")
            return
        address, parameters = path
        for parameter in parameters:
            if problem := self._problem_with(parameter):
                await self.push(problem)
                return
        self._utf8 = "SMTPUTF8" in (parameter.upper() for parameter in parameters)
        self._sender = address
        await self.push("250 2.1.0 OK")

    def _problem_with(self, parameter: str) -> str:
        name, _, value = parameter.upper().partition("=")
        match name:
            case "SIZE" if value.isdecimal() and value.isascii():
                return self._too_big if len(value) > 15 or int(value) > self._options.max_size else ""
            case "BODY" if value in ("7BIT", "8BITMIME"):
                return ""
            case "SMTPUTF8" if not value:
                return ""
            case "AUTH" if value and self._options.kind == "submission":  # RFC 4954 section 5: may be ignored
                return ""
            case "SIZE" | "BODY" | "SMTPUTF8":
                return "501 5.5.4 cannot read that parameter"
        return "555 5.5.4 that parameter is not known here"

    @property
    def _too_big(self) -> str:
        megabytes = self._options.max_size / 1024 / 1024
        return f"552 5.3.4 too big: the limit is {self._options.max_size} octets ({megabytes:.3g} MB)"

    async def smtp_RCPT(self, argument: str | None) -> None:
        if not await self._may_send():
            return
        if self._sender is None:
            await self.push("503 5.5.1 MAIL first")
            return
        path = _path(argument, "TO:")
        if path is None or not path[0]:
            await self.push("501 5.1.3 that is no address")
            return
        address, parameters = path
        if parameters:
            await self.push("555 5.5.4 that parameter is not known here")
        elif len(self._recipients) >= self._options.max_recipients:
            await self.push(f"452 4.5.3 {self._options.max_recipients} recipients at a time")
        elif not _PLAIN_ADDRESS.fullmatch(address) or not self._listener.accepts(address):
            await self.push("550 5.1.1 no such address here")
        else:
            self._recipients.append(address)
            await self.push("250 2.1.5 OK")

    # --- the mail -------------------------------------------------------------------------------------------------

    async def smtp_DATA(self, argument: str | None) -> None:
        if not await self._may_send():
            return
        if argument:
            await self.push("501 5.5.4 DATA takes nothing")
            return
        if not self._recipients:
            await self.push("554 5.5.1 no recipient")
            return
        self._busy = True
        try:
            await self._take_mail()
        finally:
            self._busy = False
            self._set_post_data_state()

    async def _take_mail(self) -> None:
        await self.push("354 go on, end with <CRLF>.<CRLF>")
        received_at, identity = self._listener.now(), secrets.token_hex(8)
        chunks = [self._received(received_at, identity)]
        try:
            if problem := await self._read_data(chunks):
                await self.push(problem)
                return
            data = _unstuffed(chunks)
            if problem := self._objection(data):
                await self.push(problem)
                return
            await self._keep(RawMail(self._door, self._envelope(), received_at, data), identity)
        finally:
            self._hold(0)

    async def _read_data(self, chunks: list[bytes]) -> str:
        """Read up to CRLF.CRLF and nothing else (T29) into ``chunks``, still stuffed and with a CRLF before it.

        Gives the reply that refuses the mail, or "". What follows the dot stays in the stream. A mail over a limit is
        read on without keeping it, so that the client hears why, but not for ever.
        """
        self._octets, self._data_since = 0, self.loop.time()
        # The CRLF of the DATA command opens the first line, which may be the dot already.
        self._reader._buffer[:0] = b"\r\n"  # type: ignore[attr-defined]
        size, problem, ended = -len(b"\r\n"), "", False
        while not ended:
            try:
                chunk = (await self._reader.readuntil(b"\r\n.\r\n"))[: -len(b".\r\n")]
                ended = True
            except asyncio.LimitOverrunError as overrun:
                chunk = await self._reader.readexactly(overrun.consumed)
            size += len(chunk)
            problem = problem or self._problem_with_size(size)
            if not problem:
                chunks.append(chunk)
                self._hold(size)
                continue
            chunks.clear()
            self._hold(0)
            if size > 2 * self._options.max_size and not ended:
                self._leave(problem)
                break
        self._data_since = None
        self._reset_timeout()
        return problem

    def _problem_with_size(self, size: int) -> str:
        if size > self._options.max_size:
            return self._too_big
        if self._listener.octets_held - self._held + size > self._options.memory:
            return "452 4.3.1 too many mails at once, try again later"
        return ""

    def _hold(self, size: int) -> None:
        self._listener.octets_held += size - self._held
        self._held = size

    def _objection(self, data: bytes) -> str:
        if len(data) > self._options.max_line and _longest_line_exceeds(data, self._options.max_line):
            return f"554 5.6.0 a line is longer than {self._options.max_line} octets"
        end = data.find(b"\r\n\r\n", 0, _HEADER_SCAN)
        hops = len(_RECEIVED.findall(data, 0, end if end >= 0 else _HEADER_SCAN)) - 1  # without the one we added
        if hops > self._options.max_hops:
            return f"554 5.4.6 too many hops, this mail goes round in circles ({hops} Received headers)"
        return ""

    @property
    def _door(self) -> Door:
        return Door.SUBMISSION if self._options.kind == "submission" else Door.SMTP

    def _envelope(self) -> Envelope:
        return Envelope(
            sender=self._sender,
            recipients=tuple(dict.fromkeys(self._recipients)),
            peer=self._peer,
            user=self._user,
        )

    async def _keep(self, raw: RawMail, identity: str) -> None:
        try:
            await self._listener.in_thread(self._listener.keep, raw)
        except TemporaryFailure as failure:
            log.warning("mail %s from %s not kept, it will come again: %s", identity, self._peer, failure)
            await self.push("451 4.3.0 temporary problem, try again later")
            return
        self._commands = 0
        log.info("mail %s kept: %d octets from %s", identity, len(raw.data), self._peer)
        await self.push(f"250 2.0.0 kept as {identity}")

    def _received(self, received_at: datetime, identity: str) -> bytes:
        """Our trace header (RFC 5321 section 4.4) without its last CRLF, which the data bring with them."""
        protocol = "UTF8SMTP" if self._utf8 else "ESMTP" if self._extended else "SMTP"
        protocol += "S" * self._encrypted + "A" * bool(self._user)
        helo = _UNFIT_FOR_HEADER.sub("?", self._helo[:255])
        peer = f"IPv6:{self._peer}" if ":" in self._peer else self._peer
        return (
            f"Received: from {helo} ([{_UNFIT_FOR_HEADER.sub('?', peer)}])\r\n"
            f"\tby {self._options.hostname} (helpdesk) with {protocol} id {identity};\r\n"
            f"\t{format_datetime(received_at)}"
        ).encode("ascii", "replace")


def _outcome(function: Callable[..., Any], arguments: tuple[object, ...]) -> tuple[Any, Exception | None]:
    """Result or error as a value: a future takes no StopIteration, and a SystemExit in one would end the event loop."""
    try:
        return function(*arguments), None
    except Exception as error:  # noqa: BLE001  raised again by the session, which answers 451
        return None, error
    except BaseException as error:  # noqa: BLE001  it must not end the event loop
        return None, RuntimeError(f"{type(error).__name__} in a worker").with_traceback(error.__traceback__)


def log_fault(what: str, error: BaseException) -> None:
    """Log the kind and place of an unexpected exception; its text may hold a customer's words or a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log.error("unexpected %s in %s at %s", type(error).__name__, what, place or "?")


def _log_loop_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, (ConnectionError, ssl.SSLError, TimeoutError)):
        log.info("connection lost: %s", type(error).__name__)
    elif error is not None:
        log_fault("the event loop", error)
    else:
        log.error("event loop: %s", context.get("message", "?"))


def _path(argument: str | None, keyword: str) -> tuple[str, list[str]] | None:
    """Address and parameters of ``FROM:<a@b> SIZE=1``; "" for ``<>``; None where there is no address to be read."""
    if argument is None or argument[: len(keyword)].upper() != keyword:
        return None
    text = argument[len(keyword) :].lstrip(" ")
    found = _PATH.match(text) or _BARE_PATH.fullmatch(text)
    if found is None or (found[2] and not found[2].startswith(" ")) or len(found[1]) > 512:
        return None
    try:
        found[1].encode()  # undecodable octets arrive as lone surrogates, which no database takes
    except UnicodeEncodeError:
        return None
    return found[1], found[2].split()


def _unstuffed(chunks: list[bytes]) -> bytes:
    """Join the chunks, freeing them, and take one dot from each line that begins with one (RFC 5321 section 4.5.2)."""
    data = b"".join(chunks)
    chunks.clear()
    return data.replace(b"\r\n.", b"\r\n")


def _longest_line_exceeds(data: bytes, limit: int) -> bool:
    start = 0
    while len(data) - start > limit:
        newline = data.rfind(b"\n", start, start + limit)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _with_enhanced_code(status: str) -> str:
    code = status[:3]
    if code in _WITHOUT_ENHANCED_CODE or status.startswith("250-") or _HAS_ENHANCED_CODE.match(status):
        return status
    return f"{code} {_ENHANCED_CODES.get(code, code[0] + '.0.0')} {status[4:]}"


class _NoHooks:
    """aiosmtpd asks a handler object for hooks; we override its methods instead."""


_NO_HOOKS = _NoHooks()
