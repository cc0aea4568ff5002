"""Hand one mail for one recipient to a relay by SMTP, over a connection that is kept for the next one.

What the caller must do is in the exception: TemporaryFailure (4xx, no connection, no TLS, no login: the same mail may
go later), PermanentFailure (5xx for this sender, recipient or mail). Login and TLS troubles are ours to mend and no
fault of the mail, so they never give a mail up. Certificates are verified unless the caller's own context says
otherwise; ``starttls`` means required (RFC 3207), and no password is ever sent in the clear.

STANDARDS: RFC 5321, RFC 3207 (STARTTLS), RFC 4954 (AUTH), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531 (SMTPUTF8).
"""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from helpdesk.domain.errors import PermanentFailure, TemporaryFailure
from helpdesk.outbound.headers import wire_address
from helpdesk.outbound.transport import Accepted

# 421 says goodbye; the others are about our login or the state of the session, not about the mail.
_NEVER_PERMANENT = frozenset({421, 503, 530, 534, 535, 538})


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """How to reach a relay; times in seconds.

    ``password`` may be a callable, asked at each login, so that a changed secret is used at once. ``final_timeout`` is
    the wait after the end of the data, where giving up early means sending twice (RFC 5321 section 4.5.3.2.6).
    """

    host: str
    port: int = 587
    name: str = ""
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    ssl_context: ssl.SSLContext | None = None
    user: str = ""
    password: Callable[[], str] | str = ""
    timeout: float = 60
    final_timeout: float = 300
    hostname: str | None = None
    mails_per_connection: int = 100
    idle_seconds: float = 30

    def __post_init__(self) -> None:
        if self.user and self.tls == "none":
            raise ValueError(f"relay {self.name or self.host}: a password needs tls")


class _ConnectionLost(Exception):
    """The connection broke before the relay can have taken the mail."""


class Relay:
    """One relay and at most one connection to it; may be called from several threads, one mail at a time."""

    def __init__(self, options: RelayOptions) -> None:
        self._options = options
        self._lock = threading.Lock()
        self._smtp: smtplib.SMTP | None = None
        self._mails = 0
        self._used_at = 0.0

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        """Hand the mail over; ``envelope_from`` is "" for the null reverse path, ``data`` has CRLF line ends."""
        envelope_from = wire_address(envelope_from, smtputf8=True) if envelope_from else ""
        recipient = wire_address(recipient, smtputf8=True)
        with self._lock:
            kept = self._reuse()
            try:
                return self._send(kept or self._connect(), envelope_from, recipient, data)
            except _ConnectionLost as error:
                self._drop()
                if kept is None:
                    raise TemporaryFailure(str(error)) from error
            # A relay may close an idle connection at any moment: once more on a new one.
            try:
                return self._send(self._connect(), envelope_from, recipient, data)
            except _ConnectionLost as error:
                self._drop()
                raise TemporaryFailure(str(error)) from error

    def close(self) -> None:
        """Say goodbye if a connection is open; the next send opens another."""
        with self._lock:
            if self._smtp is not None:
                with contextlib.suppress(smtplib.SMTPException, OSError):
                    self._smtp.quit()
                self._drop()

    def _reuse(self) -> smtplib.SMTP | None:
        smtp, options = self._smtp, self._options
        if smtp is None:
            return None
        tired = self._mails >= options.mails_per_connection
        idle = time.monotonic() - self._used_at > options.idle_seconds
        try:
            if tired or idle:
                smtp.quit()
            elif smtp.rset()[0] == 250:
                return smtp
        except (smtplib.SMTPException, OSError):
            pass
        self._drop()
        return None

    def _connect(self) -> smtplib.SMTP:
        options = self._options
        context = options.ssl_context or ssl.create_default_context()
        smtp: smtplib.SMTP | None = None
        try:
            if options.tls == "implicit":
                smtp = smtplib.SMTP_SSL(local_hostname=options.hostname, timeout=options.timeout, context=context)
            else:
                smtp = smtplib.SMTP(local_hostname=options.hostname, timeout=options.timeout)
            # The constructor would hide a 5xx greeting's text and leave the socket open.
            smtp._host = options.host  # type: ignore[attr-defined]
            code, reply = smtp.connect(options.host, options.port)
            if code != 220:
                raise TemporaryFailure(self._said("greeted with", code, reply))
            smtp.ehlo_or_helo_if_needed()
            if options.tls == "starttls":
                if not smtp.has_extn("starttls"):
                    raise TemporaryFailure(self._failed("does not offer STARTTLS, which the settings require"))
                code, reply = smtp.starttls(context=context)
                if code != 220:
                    raise TemporaryFailure(self._said("refused STARTTLS:", code, reply))
                smtp.ehlo_or_helo_if_needed()
            if options.user:
                self._login(smtp)
        except TemporaryFailure:
            _shut(smtp)
            raise
        except ssl.SSLError as error:
            _shut(smtp)
            raise TemporaryFailure(self._failed(f"TLS failed: {_reason(error)}")) from error
        except (smtplib.SMTPException, OSError) as error:
            _shut(smtp)
            raise TemporaryFailure(self._failed(f"cannot be reached: {error}")) from error
        self._smtp, self._mails = smtp, 0
        return smtp

    def _login(self, smtp: smtplib.SMTP) -> None:
        password = self._options.password
        secret = password() if callable(password) else password
        try:
            smtp.login(self._options.user, secret)
        except smtplib.SMTPResponseException as error:
            said = self._said("refused our login:", error.smtp_code, error.smtp_error)
            raise TemporaryFailure(_without(said, self._options.user, secret)) from None
        except smtplib.SMTPNotSupportedError as error:
            raise TemporaryFailure(self._failed("offers no login, but the settings name a user")) from error
        except UnicodeError:
            raise TemporaryFailure(self._failed("user or password has letters beyond ASCII")) from None

    def _send(self, smtp: smtplib.SMTP, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        try:
            code, reply = smtp.mail(envelope_from, self._mail_options(smtp, envelope_from + recipient, data))
            if code != 250:
                raise self._refusal(smtp, "refused the sender:", code, reply)
            code, reply = smtp.rcpt(recipient)
            if code not in (250, 251):
                raise self._refusal(smtp, f"refused {recipient}:", code, reply)
            code, reply = smtp.docmd("DATA")
            if code != 354:
                raise self._refusal(smtp, "refused the mail:", code, reply)
        except (smtplib.SMTPServerDisconnected, OSError) as error:
            raise _ConnectionLost(self._failed(f"closed the connection: {error}")) from error
        try:
            code, reply = self._hand_over(smtp, data)
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise TemporaryFailure(self._failed(f"went away before it confirmed the mail: {error}")) from error
        if not 200 <= code < 300:
            raise self._refusal(smtp, "refused the mail:", code, reply)
        self._mails += 1
        self._used_at = time.monotonic()
        return Accepted(f"{code} {_line(reply)}")

    def _hand_over(self, smtp: smtplib.SMTP, data: bytes) -> tuple[int, bytes]:
        body = re.sub(rb"(?m)^\.", b"..", data)
        smtp.send(body + (b"" if body.endswith(b"\r\n") else b"\r\n") + b".\r\n")
        assert smtp.sock is not None
        smtp.sock.settimeout(max(self._options.timeout, self._options.final_timeout))
        try:
            return smtp.getreply()
        finally:
            # getreply closes the socket itself when it breaks.
            if smtp.sock is not None:
                smtp.sock.settimeout(self._options.timeout)

    def _mail_options(self, smtp: smtplib.SMTP, addresses: str, data: bytes) -> list[str]:
        options = [f"SIZE={len(data)}"] if smtp.has_extn("size") else []
        head = data.partition(b"\r\n\r\n")[0]
        if not addresses.isascii() or not head.isascii():
            if not smtp.has_extn("smtputf8"):
                raise PermanentFailure(self._failed("does not know SMTPUTF8, which this address needs"))
            options.append("SMTPUTF8")
            smtp.command_encoding = "utf-8"
        else:
            smtp.command_encoding = "ascii"
        if not data.isascii():
            if not smtp.has_extn("8bitmime"):
                raise PermanentFailure(self._failed("does not know 8BITMIME, which this mail needs"))
            options.append("BODY=8BITMIME")
        return options

    def _refusal(self, smtp: smtplib.SMTP, what: str, code: int, reply: bytes) -> TemporaryFailure | PermanentFailure:
        if code == 421:
            self._drop()
        self._used_at = time.monotonic()
        text = self._said(what, code, reply)
        if code >= 500 and code not in _NEVER_PERMANENT:
            return PermanentFailure(text)
        return TemporaryFailure(text)

    def _drop(self) -> None:
        _shut(self._smtp)
        self._smtp = None

    def _said(self, what: str, code: int, reply: bytes | str) -> str:
        return self._failed(f"{what} {code} {_line(reply)}")

    def _failed(self, what: str) -> str:
        return f"{self._options.name or self._options.host} {what}"


def _shut(smtp: smtplib.SMTP | None) -> None:
    if smtp is not None:
        smtp.close()


def _line(reply: bytes | str) -> str:
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else reply
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", text).strip()[:500]


def _without(text: str, user: str, secret: str) -> str:
    """A server may echo what it was sent; whoever reads the failure must not learn the password."""
    for form in (secret, *(base64.b64encode(one.encode()).decode() for one in (secret, f"\0{user}\0{secret}"))):
        if form:
            text = text.replace(form, "***")
    return text


def _reason(error: ssl.SSLError) -> str:
    return getattr(error, "verify_message", "") or error.reason or str(error)
