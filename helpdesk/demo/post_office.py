"""The company's border mail server: takes mail for the desk, vouches for the sender, hands it on over SMTP.

A real one believes a domain after checking DKIM, SPF and DMARC (RFC 7489); this one believes whoever writes from this
machine. Everything behind it is as in a company: the desk's settings name it, so its word counts (RFC 8601).
"""

from __future__ import annotations

import email.utils
import re
import smtplib
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes, policy

from helpdesk.demo.company import BORDER, DESK
from helpdesk.domain.address import domain_of, untagged
from helpdesk.domain.errors import TemporaryFailure
from helpdesk.domain.mail import RawMail
from helpdesk.inbound.listener import Listener, ListenerOptions
from helpdesk.timesource import TimeSource

_RESULTS = re.compile(rb"^authentication-results[ \t]*:.*\r?\n(?:[ \t].*\r?\n)*", re.IGNORECASE | re.MULTILINE)
_HEADER_ENDS = re.compile(rb"\r?\n\r?\n")


class PostOffice:
    """Listens on a free port of 127.0.0.1 from ``start`` to ``stop`` and hands on to ``desk_port``."""

    def __init__(self, desk_port: int, now: TimeSource) -> None:
        self._desk_port = desk_port
        self._hands = ThreadPoolExecutor(thread_name_prefix="post-office")
        options = ListenerOptions(port=0, hostname=BORDER)
        self._listener = Listener(options, lambda raw: self._hands.submit(self._hand_on, raw), _for_the_desk, now)

    @property
    def port(self) -> int:
        """Where people's mail programs hand their mail in."""
        return self._listener.port

    def start(self) -> None:
        self._listener.start()

    def stop(self) -> None:
        self._listener.stop(grace=1)
        self._hands.shutdown(wait=False)

    def _hand_on(self, raw: RawMail) -> None:
        sender, recipients = raw.envelope.sender or "", raw.envelope.recipients
        try:
            with smtplib.SMTP("127.0.0.1", self._desk_port, local_hostname=BORDER, timeout=60) as desk:
                refused = desk.sendmail(sender, recipients, vouched(raw.data))
        except (OSError, smtplib.SMTPException) as problem:
            raise TemporaryFailure(f"the desk did not take it: {problem}") from problem
        if refused:
            raise TemporaryFailure(f"the desk did not take it: {refused}")


def vouched(mail: bytes) -> bytes:
    """The mail with our Authentication-Results on top, and without any that others wrote."""
    end = _HEADER_ENDS.search(mail)
    header, rest = (mail[: end.start() + 2], mail[end.start() + 2 :]) if end else (mail, b"")
    author = message_from_bytes(header, policy=policy.compat32).get("From", "")
    domain = domain_of(email.utils.parseaddr(str(author))[1])
    result = f"dmarc=pass header.from={domain}" if re.fullmatch(r"[a-z0-9.-]+", domain) else "dmarc=none"
    return f"Authentication-Results: {BORDER}; {result}\r\n".encode("ascii") + _RESULTS.sub(b"", header) + rest


def _for_the_desk(address: str) -> bool:
    return untagged(address)[0] == DESK
