"""One SMTP connection: a mail is answered with 250 only after it is durable.

    client --SMTP--> Session (aiosmtpd, our limits) --RawMail--> keep() --its future is done--> 250

* Whatever goes wrong unexpectedly is a 451 without details; a 5xx is a written decision (unknown recipient, too big,
  too many hops, wrong password).
* A client that hangs up after the dot changes nothing: the mail is kept, the client will retry, and the second copy is
  recognised.
* Nothing is relayed: every recipient must be one of our own addresses, in its plain form.
* aiosmtpd's loop logs, times and answers each command by itself, its DATA reader keeps one object per line and ignores
  its limit for a line without end. Ours answers pipelined commands together and reads chunks, bounded in bytes and time.

STANDARDS: RFC 5321 (SMTP), 1870 (SIZE), 2034 and 3463 (enhanced status codes), 2920 (PIPELINING), 3207 (STARTTLS),
4954 (AUTH), 6152 (8BITMIME), 6409 (submission), 6531 (SMTPUTF8), 8314 (implicit TLS). DSN and CHUNKING are not offered.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable
from datetime import datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING

from aiosmtpd import smtp as aiosmtpd_smtp

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import Door, Envelope, RawMail

if TYPE_CHECKING:
    from helpdesk.inbound.listener import Listener

log = logging.getLogger(__name__)
# aiosmtpd logs addresses and whatever a confused client sends.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)

_READ_AHEAD = 65_536  # octets that may wait unread per connection
_HEADER_SCAN = 1_048_576  # octets in which hops are counted
_COMMAND_LINE = 1024  # RFC 5321 section 4.5.3.1.4, with room for the extensions offered
_AUTH_LINE = 12_288  # RFC 4954 section 4
_HANDSHAKE_SECONDS = 60.0
_LISTS_AT_ONCE = 10  # a mail may name so many times the recipients that we take at once
_LINGER_SECONDS = 10.0  # for the last reply to be read

_PATH = re.compile(r'<((?:"(?:[^"\\\x00-\x1f\x7f]|\\[\x20-\x7e])*"|[^<>"\x00-\x20\x7f])*)>(.*)', re.DOTALL)
_BARE_PATH = re.compile(r"([^<>\x00-\x20\x7f]+)((?: .*)?)", re.DOTALL)
# Percent hack, bang path, source route and quoted forms are ways to ask for relaying (T25); our addresses need none.
_PLAIN_ADDRESS = re.compile(r"postmaster|[^%!@\"\\:]+@[^%!@\"\\:]+", re.IGNORECASE)
_UNFIT_FOR_HEADER = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)

Method = Callable[[str | None], Awaitable[None]]


class Session(aiosmtpd_smtp.SMTP):
    """One connection. aiosmtpd gives the stream and the frame of a session; what is said in it is ours."""

    line_length_limit = _READ_AHEAD

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        options = listener.options
        super().__init__(_NO_HOOKS, hostname=options.hostname, enable_SMTPUTF8=True, timeout=options.timeout, loop=loop)
        self._listener, self._options = listener, options
        self._methods: dict[str, Method] = dict(self._smtp_methods)
        if options.kind != "submission":
            del self._methods["AUTH"]
        self._peer = self._user = self._helo = ""
        self._extended = self._encrypted = self._shaking_hands = False
        self._commands = self._errors = self._wrong_passwords = 0
        self._octets = self._held = 0
        self._waiting_since = loop.time()
        self._data_since: float | None = None
        self._busy = self._ending = False
        self._replies: list[bytes] = []

    # --- the life of a connection ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        # Whoever can write to our unix socket is on this machine.
        self._peer = str((transport.get_extra_info("peername") or ("",))[0]) or "127.0.0.1"
        if not self._listener.admit(self, self._peer):
            transport.set_protocol(asyncio.Protocol())
            if self._options.tls != "implicit":
                transport.write(b"421 4.3.2 too busy, try again later\r\n")
            transport.close()
            return
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._listener.release(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self._octets += len(data)
        super().data_received(data)

    def _set_post_data_state(self) -> None:
        self._sender: str | None = None
        self._recipients: list[str] = []
        self._left_out = 0
        self._utf8 = False

    def end_if_idle(self) -> None:
        """Say goodbye, unless a mail is being taken: then it ends and the next command is answered with 421."""
        if not self._busy:
            self.leave("421 4.3.2 going down, try again later")

    def abort(self) -> None:
        """Drop the connection at once."""
        self._ending = True
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()

    def leave(self, reply: str) -> None:
        """Say why, and hang up; a client that does not even read that is cut off."""
        if self._shaking_hands:
            self.abort()
        if self._ending:
            return
        self._replies.append(reply.encode() + b"\r\n")
        self._ending = True
        if isinstance(self.transport, asyncio.Transport) and not self.transport.is_closing():
            self.transport.write(b"".join(self._replies))
            self.transport.close()
            assert self._timeout_handle is not None
            self._timeout_handle.cancel()
            self._timeout_handle = self.loop.call_later(_LINGER_SECONDS, self.abort)

    def seconds_behind(self) -> float:
        """How long the client has kept us waiting; nothing while it waits for us."""
        if self._data_since is not None:
            return self.loop.time() - self._data_since - self._octets / self._options.minimum_rate
        return 0.0 if self._busy else self.loop.time() - self._waiting_since

    def _reset_timeout(self, duration: float | None = None) -> None:
        """The client has done something. One timer per connection looks after that, instead of one for each command."""
        self._waiting_since = self.loop.time()
        if self._timeout_handle is None:
            self._timeout_handle = self.loop.call_later(self._options.timeout, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if (left := self._seconds_left()) > 0:
            self._timeout_handle = self.loop.call_later(left, self._timeout_cb)
        else:
            self.leave("421 4.4.2 too slow, goodbye")

    def _seconds_left(self) -> float:
        options = self._options
        if self._data_since is None:
            # While the mail is being kept, the client waits for us.
            return options.timeout if self._busy else self._waiting_since + options.timeout - self.loop.time()
        allowed = options.timeout + self._octets / options.minimum_rate
        return self._data_since + min(allowed, options.data_timeout) - self.loop.time()

    # --- commands and replies -------------------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        """Greet, and do one command after the other until the connection ends."""
        try:
            if self._options.tls == "implicit":
                await self._start_tls()
            await self.reply(f"220 {self._options.hostname} {self._protocol} helpdesk")
            while not self._ending:
                await self._obey(await self._next_line())
        except (ConnectionError, asyncio.IncompleteReadError):
            self._writer.close()
        except asyncio.CancelledError:
            self._writer.close()
            raise
        except Exception as error:  # noqa: BLE001  nothing may be left half open
            log_fault("session with " + self._peer, error)
            self.abort()

    async def _next_line(self) -> bytes:
        """The next command line with its end; one that is too long is cut. Replies go out before we wait for it."""
        if b"\n" not in self._reader._buffer:  # type: ignore[attr-defined]
            await self._send_replies()
        try:
            return await self._reader.readuntil(b"\n")
        except asyncio.LimitOverrunError as overrun:
            line = await self._reader.read(overrun.consumed)
        while True:
            try:
                await self._reader.readuntil(b"\n")
                return line
            except asyncio.LimitOverrunError as overrun:
                await self._reader.read(overrun.consumed)

    async def _obey(self, line: bytes) -> None:
        self._reset_timeout()
        if self._listener.stopping:
            self.leave("421 4.3.2 going down, try again later")
            return
        word, _, rest = line.rstrip(b"\r\n").partition(b" ")
        name = word.upper().decode("ascii", "replace")
        if len(line) > (_AUTH_LINE if name == "AUTH" else _COMMAND_LINE):
            await self.reply("500 5.5.2 that line is too long")
        elif not line.endswith(
            b"\r\n"
        ):  # RFC 5321 section 2.3.8; what follows may be part of what this was meant to be
            self.leave("500 5.5.2 end lines with CR LF, goodbye")
        elif (method := self._methods.get(name)) is None:
            await self.reply("500 5.5.1 no such command")
        else:
            await self._count(name, method, rest.strip().decode("utf-8", "surrogateescape") or None)

    async def _count(self, name: str, method: Method, argument: str | None) -> None:
        self._commands += name != "RCPT"
        if self._commands > self._options.commands:
            self.leave("421 4.7.0 too many commands without a mail, goodbye")
            return
        try:
            await method(argument)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it is temporary
            reply = self._surprise(error)
            if self._data_since is None:
                await self.reply(reply)
            else:  # what is left of the mail must not be taken for commands
                self.leave("421" + reply[3:])

    async def reply(self, status: str, times: int = 1, *, error: bool = True) -> None:
        """Reply (lines parted by CRLF); it is sent before we wait for the client. Hang up after too many errors.

        With ``error`` False a 4xx or 5xx does not count as one of the client's.
        """
        if self._ending:
            return
        self._replies += [status.encode() + b"\r\n"] * times
        self._errors += error and status[0] in "45"
        if self._errors >= self._options.errors:
            self.leave("421 4.7.0 too many errors, goodbye")

    async def _send_replies(self) -> None:
        if self._replies:
            self._writer.write(b"".join(self._replies))
            self._replies.clear()
            await self._writer.drain()

    def _surprise(self, error: Exception) -> str:
        """Any surprise is temporary and tells the client nothing; the log gets the place, never the text."""
        log_fault("session with " + self._peer, error)
        return "451 4.3.0 temporary problem, try again later"

    # --- greetings ------------------------------------------------------------------------------------------------

    async def smtp_HELO(self, hostname: str | None) -> None:
        await self._greet(hostname, extended=False)

    async def smtp_EHLO(self, hostname: str | None) -> None:
        await self._greet(hostname, extended=True)

    async def _greet(self, hostname: str | None, extended: bool) -> None:
        if not hostname:
            await self.reply("501 5.5.4 say who you are")
            return
        self._set_post_data_state()
        self._extended, self._helo = extended, hostname
        offers = [self._options.hostname]
        if extended:
            offers += ["PIPELINING", f"SIZE {self._options.max_size}", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"]
            if self._options.tls == "starttls" and not self._encrypted:
                offers.append("STARTTLS")
            if self._options.kind == "submission" and self._encrypted:
                offers.append("AUTH PLAIN LOGIN")
        lines = [f"250-{offer}" for offer in offers[:-1]] + [f"250 {offers[-1]}"]
        await self.reply("\r\n".join(lines))

    async def smtp_STARTTLS(self, argument: str | None) -> None:
        if argument:
            await self.reply("501 5.5.4 STARTTLS takes nothing")
        elif self._encrypted:
            await self.reply("503 5.5.1 TLS is already active")
        elif self._options.tls != "starttls":
            await self.reply("502 5.5.1 there is no TLS here")
        else:
            await self.reply("220 2.0.0 go on")
            await self._send_replies()
            await self._start_tls()

    async def _start_tls(self) -> None:
        """Shake hands; nothing that was said before counts afterwards (RFC 3207 section 4.2)."""
        plain, context = self.transport, self._listener.tls
        assert isinstance(plain, asyncio.Transport)
        assert context is not None
        # Commands slipped in behind STARTTLS were sent in the clear, by whoever stands between (CVE-2024-34083). Not after
        # the handshake: its last octets may bring the client's first command with them.
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self._shaking_hands = True
        try:
            secured = await self.loop.start_tls(
                plain, self, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except OSError as error:
            log.info("TLS handshake with %s failed: %s", self._peer, type(error).__name__)
            secured = None
        self._shaking_hands = False
        if secured is None or plain.is_closing():
            self._ending = True
            plain.abort()
            self._listener.release(self)  # asyncio tells nobody of a connection that is lost in a handshake
            return
        self.transport = self._writer._transport = self._reader._transport = secured  # type: ignore[attr-defined]
        self._over_ssl = self._encrypted = True
        self._set_post_data_state()
        self._helo, self._extended, self._user = "", False, ""
        self._reset_timeout()

    async def smtp_NOOP(self, argument: str | None) -> None:
        await self.reply("250 2.0.0 OK")

    async def smtp_RSET(self, argument: str | None) -> None:
        self._set_post_data_state()
        await self.reply("250 2.0.0 OK")

    async def smtp_QUIT(self, argument: str | None) -> None:
        self.leave("221 2.0.0 goodbye")

    async def smtp_HELP(self, argument: str | None) -> None:
        await self.reply("214 2.0.0 RFC 5321")

    async def smtp_VRFY(self, argument: str | None) -> None:
        await self.reply("252 2.1.5 send a mail and see")

    async def smtp_EXPN(self, argument: str | None) -> None:
        await self.reply("252 2.1.5 send a mail and see")

    # --- who is it ------------------------------------------------------------------------------------------------

    async def smtp_AUTH(self, argument: str | None) -> None:
        if not self._extended:
            await self.reply("503 5.5.1 EHLO first")
        elif not self._encrypted:
            await self.reply("538 5.7.11 STARTTLS first")
        elif self._user or self._sender is not None:
            await self.reply("503 5.5.1 not now")
        elif (credentials := await self._credentials(argument or "")) is not None:
            await self._check_password(*credentials)

    async def _credentials(self, argument: str) -> tuple[str, str] | None:
        mechanism, _, initial = argument.partition(" ")
        try:
            if mechanism.upper() == "PLAIN":
                _, login, password = (await self._told("", initial)).split(b"\0")
            elif mechanism.upper() == "LOGIN":
                login = await self._told("VXNlcm5hbWU6", initial)
                password = await self._told("UGFzc3dvcmQ6", "")
            else:
                await self.reply("504 5.5.4 PLAIN or LOGIN")
                return None
            return login.decode(), password.decode()
        except (ValueError, binascii.Error):
            await self.reply("501 5.5.2 cannot read that")
            return None

    async def _told(self, challenge: str, initial: str) -> bytes:
        """What the client says to a challenge, decoded; ValueError where it says ``*`` or no Base64."""
        if not initial:
            await self.reply(f"334 {challenge}")
            await self._send_replies()
            initial = (await self._reader.readline()).strip().decode("ascii")
        return base64.b64decode("" if initial == "=" else initial, validate=True)

    async def _check_password(self, login: str, password: str) -> None:
        if user := await self._listener.check_password(login, password):
            self._user = user
            await self.reply("235 2.7.0 welcome")
            return
        self._wrong_passwords += 1
        log.info("wrong password on the submission listener from %s", self._peer)
        await self.reply("535 5.7.8 wrong login or password")
        if self._wrong_passwords >= self._options.password_tries:
            self.leave("421 4.7.0 too many wrong passwords, goodbye")

    async def _may_send(self) -> bool:
        if not self._helo:
            await self.reply("503 5.5.1 EHLO first")
            return False
        must_encrypt = self._options.require_tls or self._options.kind == "submission"
        if must_encrypt and not self._encrypted:
            await self.reply("530 5.7.0 STARTTLS first")
            return False
        if self._options.kind == "submission" and not self._user:
            await self.reply("530 5.7.0 AUTH first")
            return False
        return True

    @property
    def _no_recipient(self) -> str:
        return "554 5.5.1 no recipient"

    # --- the envelope ---------------------------------------------------------------------------------------------

    async def smtp_MAIL(self, argument: str | None) -> None:
        if not await self._may_send():
            return
        if self._sender is not None:
            await self.reply("503 5.5.1 one MAIL at a time")
            return
        path = _path(argument, "FROM:")
        if path is None:
            await self.reply("501 5.1.7 that is no address")
            return
        address, parameters = path
        for parameter in parameters:
            if problem := self._problem_with(parameter):
                await self.reply(problem)
                return
        self._utf8 = "SMTPUTF8" in (parameter.upper() for parameter in parameters)
        self._sender = address
        await self.reply("250 2.1.0 OK")

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
            await self.reply("503 5.5.1 MAIL first")
            return
        path = _path(argument, "TO:")
        if path is None or not path[0]:
            await self.reply("501 5.1.3 that is no address")
            return
        address, parameters = path
        if parameters:
            await self.reply("555 5.5.4 that parameter is not known here")
        elif len(self._recipients) >= self._options.max_recipients:
            # No error: the client sends to the first ones and comes again with the others (RFC 5321 4.5.3.1.10).
            self._left_out += 1
            several = self._left_out <= _LISTS_AT_ONCE * self._options.max_recipients
            await self.reply(f"452 4.5.3 {self._options.max_recipients} recipients at a time", error=not several)
        elif not _PLAIN_ADDRESS.fullmatch(address) or not self._listener.accepts(address):
            await self.reply("550 5.1.1 no such address here")
        else:
            self._recipients.append(address)
            await self.reply("250 2.1.5 OK")

    # --- the mail -------------------------------------------------------------------------------------------------

    async def smtp_DATA(self, argument: str | None) -> None:
        if not await self._may_send():
            return
        if argument:
            await self.reply("501 5.5.4 DATA takes nothing")
            return
        if not self._recipients:
            await self.reply(self._no_recipient)
            return
        self._busy = True
        try:
            await self._take_mail()
        finally:
            self._busy = False
            self._reset_timeout()
            self._set_post_data_state()

    async def _take_mail(self) -> None:
        await self.reply("354 go on, end with <CRLF>.<CRLF>")
        await self._send_replies()
        received_at, identity = self._listener.now(), secrets.token_hex(8)
        chunks = [self._received(received_at, identity)]
        try:
            if problem := await self._read_data(chunks):
                await self._answer(problem)
                return
            data = _unstuffed(chunks)
            if problem := self._objection(data):
                await self._answer(problem)
                return
            raw = RawMail(Door(self._options.kind), self._envelope(), received_at, data)
            self._hold(0)  # from here on the listener counts it, also if the client hangs up
            await self._keep(raw, identity)
        except (ConnectionError, asyncio.IncompleteReadError):
            raise
        except Exception as error:
            if self._data_since is not None:
                raise
            await self._answer(self._surprise(error))
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
                self.leave(problem)
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

    def _envelope(self) -> Envelope:
        return Envelope(
            sender=self._sender,
            recipients=tuple(dict.fromkeys(self._recipients)),
            peer=self._peer,
            user=self._user,
        )

    async def _keep(self, raw: RawMail, identity: str) -> None:
        numbers, fault = await self._listener.durable(raw, identity)
        if fault is None:
            self._commands = 0
            log.info("mail %s kept as mail %s: %d octets from %s", identity, numbers, len(raw.data), self._peer)
            await self._answer(f"250 2.0.0 kept as {identity}")
        elif isinstance(fault, TemporaryFailure):
            log.warning("mail %s from %s not kept, it will come again: %s", identity, self._peer, fault)
            await self._answer("451 4.3.0 temporary problem, try again later")
        else:
            await self._answer(self._surprise(fault))

    async def _answer(self, verdict: str) -> None:
        """What becomes of the mail that was sent."""
        await self.reply(verdict)

    @property
    def _protocol(self) -> str:
        """The name of what is spoken, for greeting and trace header."""
        return "UTF8SMTP" if self._utf8 else "SMTP" if self._helo and not self._extended else "ESMTP"

    def _received(self, received_at: datetime, identity: str) -> bytes:
        """Our trace header (RFC 5321 section 4.4) without its last CRLF, which the data bring with them."""
        protocol = self._protocol + "S" * self._encrypted + "A" * bool(self._user)
        helo = _UNFIT_FOR_HEADER.sub("?", self._helo[:255])
        peer = f"IPv6:{self._peer}" if ":" in self._peer else self._peer
        return (
            f"Received: from {helo} ([{_UNFIT_FOR_HEADER.sub('?', peer)}])\r\n"
            f"\tby {self._options.hostname} (helpdesk) with {protocol} id {identity};\r\n"
            f"\t{format_datetime(received_at)}"
        ).encode("ascii", "replace")


def log_fault(what: str, error: BaseException) -> None:
    """Log the kind and place of an unexpected exception; its text may hold a customer's words or a secret."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in reversed(frames))
    log.error("unexpected %s in %s at %s", type(error).__name__, what, place or "?")


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


class _NoHooks:
    """aiosmtpd asks a handler object for hooks; we override its methods instead."""


_NO_HOOKS = _NoHooks()
