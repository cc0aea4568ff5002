"""A listening door: one port or unix socket with its own event loop, its limits, and its certificate.

    client --connects--> Listener --admits, up to its caps--> Session (SMTP or LMTP) --RawMail--> keep()

Whoever connects costs us something from the first packet on, so all connections are counted before anything is read
from them, those that speak TLS from the first byte too. When all are taken, the one that has kept us waiting longest
makes room: idle or trickling clients, however many, do not shut out an honest one (T32).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import ssl
import stat
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import RawMail
from helpdesk.inbound.lmtp import LmtpSession
from helpdesk.inbound.smtp import Session, log_fault

Keep = Callable[[RawMail], Future[Any]]
Accepts = Callable[[str], bool]
Now = Callable[[], datetime]
Authenticate = Callable[[str, str], str | None]
Tls = Literal["implicit", "starttls", "none"]

log = logging.getLogger(__name__)

#: Nobody makes room for a newcomer who has kept us waiting for less than this, in seconds: he is only far away.
PATIENCE_WHEN_FULL = 0.25
#: Who may write to a unix socket: its owner and its group, which is that of a setgid folder.
SOCKET_MODE = 0o660
_PASSWORD_CHECKS_AT_ONCE = 4
_BACKLOG = 256
#: Where no connection can be accepted, because descriptors or memory are short, it is tried again after so many seconds.
ACCEPT_AGAIN_SECONDS = 1.0
#: That is said again in the log after so many seconds.
SHORTAGE_TOLD_SECONDS = 60.0
_THIS_MACHINE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class ListenerOptions:
    """Where a listener listens and what it allows; sizes in octets, times in seconds.

    ``kind`` "smtp" and "lmtp" take mail from anybody for our own addresses, "submission" only from a user who gave a
    password under TLS. ``path`` is a unix socket to listen on instead of ``host`` and ``port``.
    ``tls`` "starttls" offers it, "implicit" speaks it from the first byte (RFC 8314), both with ``certificate`` (the
    chain) and ``key``; ``require_tls`` refuses mail without it.
    ``per_peer`` caps the connections of one address, but those in ``uncapped_peers`` (a relay in front of us speaks
    for everybody) count only against ``connections``.
    ``commands`` may be given without an accepted mail among them (RCPT not counted, it has its own limit).
    ``timeout`` is the wait for a command, and the start of a mail; after that it must come at ``minimum_rate`` octets
    a second and within ``data_timeout``. ``memory`` bounds the mails in transfer on all connections together.
    """

    host: str = "127.0.0.1"
    port: int = 25
    path: Path | None = None
    hostname: str = "localhost"
    kind: Literal["smtp", "lmtp", "submission"] = "smtp"
    tls: Tls = "none"
    certificate: Path | None = None
    key: Path | None = None
    require_tls: bool = False
    max_size: int = 35 * 1024 * 1024
    max_line: int = 1024 * 1024
    max_recipients: int = 100
    max_hops: int = 50
    connections: int = 200
    per_peer: int = 10
    uncapped_peers: tuple[str, ...] = (_THIS_MACHINE, "::1")
    commands: int = 100
    errors: int = 20
    password_tries: int = 3
    timeout: float = 300
    minimum_rate: int = 500
    data_timeout: float = 1800
    memory: int = 150 * 1024 * 1024

    def __post_init__(self) -> None:
        if (self.kind == "submission" or self.require_tls) and self.tls == "none":
            raise ValueError("a submission listener, and one that requires TLS, needs tls")
        if self.tls != "none" and not (self.certificate and self.key):
            raise ValueError("tls needs a certificate and its key")


class CertificateFault(Exception):
    """A certificate or key that cannot be used; ``setting`` says which of the two, the text names its file."""

    def __init__(self, setting: Literal["certificate", "key"], file: Path, problem: str) -> None:
        self.setting = setting
        super().__init__(f"{file} {problem}")


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or newer with this certificate chain and key; raises CertificateFault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key)
    return context


class Listener:
    """One door with its own event loop in a thread; every method may be called from any thread.

    ``keep`` must answer at once with a future that is done when the mail is durable, or holds why it is not.
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
        self.tls: ssl.SSLContext | None = None
        if options.certificate and options.key:
            self.tls = server_context(options.certificate, options.key)
        self.stopping = False
        self.octets_held = 0
        self._sessions: dict[Session, str] = {}
        self._peers: Counter[str] = Counter()
        self._sockets: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._told_shortage = float("-inf")
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_loop_fault)
        self._thread = threading.Thread(target=self._run, name=f"{options.kind}-door", daemon=True)
        self._workers = ThreadPoolExecutor(_PASSWORD_CHECKS_AT_ONCE, thread_name_prefix=f"{options.kind}-password")

    def start(self) -> None:
        """Bind and listen; OSError where the port or socket cannot be had."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        except BaseException:
            self._end_thread()
            raise

    @property
    def port(self) -> int:
        """The port that is listened on, also where the options said 0; 0 for a unix socket."""
        assert self._sockets, "not started"
        return 0 if self.options.path else self._port

    @property
    def address(self) -> str:
        """Where a client finds us: HOST:PORT, or the path of the socket."""
        host = self.options.host
        return str(self.options.path or f"{f'[{host}]' if ':' in host else host}:{self.port}")

    def stop(self, grace: float = 10) -> None:
        """Take no more mail (421); a mail that is being sent may end within ``grace`` seconds."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._wind_down(grace), self._loop).result()
        self._end_thread()

    def condition(self) -> str:
        """What is wrong, in words; "" while all is well. Whether it answers is best asked from outside."""
        return "its thread has ended" if self.lost() else ""

    def lost(self) -> bool:
        """True where only a restart helps: the thread has ended."""
        return not self.stopping and self._thread.ident is not None and not self._thread.is_alive()

    def reload_certificate(self) -> None:
        """Read certificate and key again, for connections to come; CertificateFault leaves the present ones in use."""
        if self.options.certificate and self.options.key:
            self.tls = server_context(self.options.certificate, self.options.key)

    def admit(self, session: Session, peer: str) -> bool:
        """Count a new connection in, unless it is one too many or we are going down."""
        options = self.options
        crowded = peer not in options.uncapped_peers and self._peers[peer] >= options.per_peer
        if self.stopping or crowded or not (len(self._sessions) < options.connections or self._make_room()):
            return False
        self._sessions[session] = peer
        self._peers[peer] += 1
        return True

    def release(self, session: Session) -> None:
        """Count a connection out; a second call for the same one changes nothing."""
        peer = self._sessions.pop(session, None)
        if peer is None:
            return
        self._peers[peer] -= 1
        if not self._peers[peer]:
            del self._peers[peer]

    def _make_room(self) -> bool:
        slowest = max(self._sessions, key=Session.seconds_behind)
        if slowest.seconds_behind() < PATIENCE_WHEN_FULL:
            return False
        slowest.leave("421 4.3.2 too busy, others wait, try again later")
        self.release(slowest)
        return True

    async def durable(self, raw: RawMail, identity: str) -> tuple[str, Exception | None]:
        """Give a mail to ``keep`` and wait until it is durable, or for what kept it from being: its numbers, the fault.

        A caller who is cancelled meanwhile, because the client hung up, stops waiting and nothing else: the mail still
        lies in memory, and counts there until it is kept.
        """
        waiter = self._loop.create_future()
        try:
            keeping = self.keep(raw)
        except Exception as problem:  # noqa: BLE001  the same answer as for one that comes later
            return "", problem
        self.octets_held += (size := len(raw.data))

        def settle(numbers: str, fault: Exception | None) -> None:
            self.octets_held -= size
            _settle(waiter, numbers, fault, identity)

        def done(kept: Future[Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                self._loop.call_soon_threadsafe(settle, _numbers_of(kept), _fault_of(kept))

        keeping.add_done_callback(done)
        numbers, fault = await waiter
        return numbers, fault

    async def check_password(self, login: str, password: str) -> str | None:
        """The address that these credentials prove, or None; in a thread, since it takes its time."""
        assert self.authenticate is not None
        user: str | None = await self._loop.run_in_executor(self._workers, self.authenticate, login, password)
        return user

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _listen(self) -> None:
        options = self.options
        if options.path is not None:
            self._sockets = [_bound_socket(options.path)]
        else:
            self._sockets = _listening_sockets(options.host, options.port)
            self._port = int(self._sockets[0].getsockname()[1])
        self._accepting = [self._loop.create_task(self._accept(one)) for one in self._sockets]

    async def _accept(self, listening: socket.socket) -> None:
        """Let connections in. asyncio's own servers spin and flood the log where no descriptor is left."""
        kind = LmtpSession if self.options.kind == "lmtp" else Session
        listening.setblocking(False)
        while True:
            try:
                connection, _ = listening.accept()
            except (BlockingIOError, InterruptedError):
                await self._readable(listening)
                continue
            except ConnectionError:
                continue
            except OSError as problem:
                self._tell_shortage(problem)
                await asyncio.sleep(ACCEPT_AGAIN_SECONDS)
                continue
            try:
                await self._loop.connect_accepted_socket(lambda: kind(self, self._loop), connection)
            except asyncio.CancelledError:
                connection.close()
                raise
            except Exception as fault:  # noqa: BLE001  one connection costs no other
                connection.close()
                log_fault("a new connection", fault)

    async def _readable(self, listening: socket.socket) -> None:
        """Until somebody connects. The loop's own sock_accept, cancelled as somebody does, forgets him unanswered."""
        came = asyncio.Event()
        self._loop.add_reader(listening, came.set)
        try:
            await came.wait()
        finally:
            self._loop.remove_reader(listening)

    def _tell_shortage(self, problem: OSError) -> None:
        if self._loop.time() - self._told_shortage >= SHORTAGE_TOLD_SECONDS:
            self._told_shortage = self._loop.time()
            log.error("%s door %s accepts no connections: %s", self.options.kind, self.address, problem.strerror)

    async def _wind_down(self, grace: float) -> None:
        self.stopping = True
        for session in list(self._sessions):
            session.end_if_idle()
        deadline = self._loop.time() + grace
        while self._sessions and self._loop.time() < deadline:
            await asyncio.sleep(0.02)
        if self.options.path is not None:
            self.options.path.unlink(missing_ok=True)
        for task in self._accepting:
            task.cancel()
        await asyncio.gather(*self._accepting, return_exceptions=True)
        for listening in self._sockets:
            listening.close()
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
        self._workers.shutdown(wait=False)
        self._loop.close()


def _listening_sockets(host: str, port: int) -> list[socket.socket]:
    """One for each address of the host; OSError where it has none, or one of them cannot be had."""
    found: list[socket.socket] = []
    asked = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, *_, address in dict.fromkeys(asked):
            found.append(socket.create_server(address, family=family, backlog=_BACKLOG))
    except OSError:
        for one in found:
            one.close()
        raise
    return found


def _bound_socket(path: Path) -> socket.socket:
    """A unix socket bound to ``path``, in place of one that nobody listens on any more; OSError where somebody does.

    It is bound beside its place and moved there, so that nobody ever finds it with a wrong mode.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(errno.EEXIST, "there is a file that is no socket", str(path))
        if _answers(path):
            raise OSError(errno.EADDRINUSE, "another process listens here", str(path))
    new = path.with_name(f".{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(new))
        new.chmod(SOCKET_MODE)
        bound.listen(_BACKLOG)
        new.replace(path)
    except OSError as problem:
        bound.close()
        new.unlink(missing_ok=True)
        raise OSError(problem.errno or errno.EINVAL, problem.strerror or str(problem), str(path)) from None
    return bound


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        return probe.connect_ex(str(path)) != errno.ECONNREFUSED


def _load(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    names: tuple[tuple[Literal["certificate", "key"], Path], ...] = (("certificate", certificate), ("key", key))
    for setting, file in names:
        try:
            file.read_bytes()
        except OSError as problem:
            raise CertificateFault(setting, file, f"cannot be read: {problem.strerror}") from None
    try:
        # OpenSSL would ask the terminal for the password of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as problem:
        if problem.reason == "KEY_VALUES_MISMATCH":
            raise CertificateFault("key", key, f"is not the key of {certificate}") from None
        if not _is_certificate(certificate):
            raise CertificateFault("certificate", certificate, "is no certificate in PEM form") from None
        raise CertificateFault("key", key, "is no private key in PEM form without a password") from None


def _is_certificate(file: Path) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        return False
    return True


def _fault_of(kept: Future[Any]) -> Exception | None:
    """Why a mail was not kept, as a value: a SystemExit raised in the loop would end it, and no future takes a
    StopIteration."""
    if kept.cancelled():
        return TemporaryFailure("the daemon is stopping")
    fault = kept.exception()
    if fault is None or isinstance(fault, Exception):
        return fault
    return RuntimeError(f"{type(fault).__name__} in a worker").with_traceback(fault.__traceback__)


def _numbers_of(kept: Future[Any]) -> str:
    """What the log calls the mail from now on: a number for each tenant that it is for."""
    rows = None if kept.cancelled() or kept.exception() else kept.result()
    return ", ".join(str(row) for row in rows or ())


def _settle(
    waiter: asyncio.Future[tuple[str, Exception | None]], numbers: str, fault: Exception | None, identity: str
) -> None:
    if not waiter.done():
        waiter.set_result((numbers, fault))
    elif fault is None:
        log.info("mail %s kept, but its client had hung up: it will come again", identity)


def _log_loop_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, (ConnectionError, ssl.SSLError, TimeoutError)):
        log.info("connection lost: %s", type(error).__name__)
    elif error is not None:
        log_fault("the event loop", error)
    else:
        log.error("event loop: %s", context.get("message", "?"))
