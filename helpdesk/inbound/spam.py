"""Is it spam, by the word of a filter of ours: a header that the settings name, or rspamd, asked over HTTP.

A filter that does not answer holds nobody up: the mail goes on unjudged, and the watch hears of it. What a verdict is worth
is for the rules to say.
"""

from __future__ import annotations

import http.client
import json
import logging
import math
import ssl
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from time import monotonic

from helpdesk.domain.mail import Door, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Reading
from helpdesk.inbound import mime
from helpdesk.inbound.header import line

#: rspamd may take so many seconds for one mail.
MAIL_SECONDS = 5.0
#: So many mails are judged at the same time.
AT_ONCE = 8
#: What rspamd would have a mail server do with spam; greylisting and the like say "not yet sure".
_CONDEMNED = ("reject", "add header", "rewrite subject", "quarantine", "discard")
_LARGEST_ANSWER = 1024 * 1024
#: While it does not answer, that is said in the log again after so many seconds.
_TOLD_SECONDS = 60.0

log = logging.getLogger(__name__)


class HeaderFilter:
    """Believes headers that a filter on the mail's way wrote: ``named`` are a name and the beginning of a bad value each."""

    def __init__(self, named: Sequence[tuple[str, str]]) -> None:
        self._named = [(name.lower(), value.lower()) for name, value in named]

    def judge_all(self, mails: Sequence[tuple[RawMail, Reading]]) -> list[Reading]:
        """The readings in their order, with the verdict that their headers hold."""
        return [self._judge(*mail) for mail in mails]

    def close(self) -> None:
        """Nothing is open."""

    def _judge(self, raw: RawMail, reading: Reading) -> Reading:
        if reading.spam:
            return reading
        fields = mime.read_fields(raw.data, 0)[0]
        for name, beginning in self._named:
            for value in fields.get(name, ())[:5]:
                if (said := line(value, 200)).lower().startswith(beginning):
                    return replace(reading, spam=f"{name.title()}: {said[:60]}")
        return reading


class Rspamd:
    """Asks rspamd (its normal worker, or its controller with a password) what it thinks of each mail.

    ``peers`` are servers of ours, whose own address says nothing of a sender.
    """

    def __init__(self, url: str, password: str = "", peers: Sequence[str] = (), seconds: float = MAIL_SECONDS) -> None:
        self._url, self._password, self._peers, self._seconds = f"{url.rstrip('/')}/checkv2", password, peers, seconds
        self._pool = ThreadPoolExecutor(AT_ONCE, "rspamd")
        # No proxy of the environment stands between us and it.
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=ssl.create_default_context())
        )
        self._fault = ""
        self._told = -math.inf

    def judge_all(self, mails: Sequence[tuple[RawMail, Reading]]) -> list[Reading]:
        """The readings in their order, with rspamd's verdict where it condemns; takes some seconds at most."""
        asked = [self._pool.submit(self._judge, *mail) for mail in mails]
        # Its answer may drip in: each octet is in time, and all of them together are not.
        answered, late = wait(asked, timeout=self._seconds)
        if late:
            self._complain("it took too long")
            # Those that have not begun would pile up, each with its mail, behind those that drip.
            for one in late:
                one.cancel()
        return [one.result() if one in answered else reading for one, (_, reading) in zip(asked, mails, strict=True)]

    def condition(self) -> str:
        """What is wrong, in words; "" while it answers, or was not asked yet."""
        return self._fault

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _judge(self, raw: RawMail, reading: Reading) -> Reading:
        if reading.spam or reading.proof is Proof.AUTH:
            return reading
        try:
            verdict = self._ask(raw)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as problem:
            self._complain(_words_of(problem))
            return reading
        self._fault = ""
        return replace(reading, spam=verdict) if verdict else reading

    def _complain(self, why: str) -> None:
        self._fault = f"does not judge mails ({why}); they are let in unjudged"
        if monotonic() - self._told > _TOLD_SECONDS:
            self._told = monotonic()
            log.warning("rspamd %s", self._fault)

    def _ask(self, raw: RawMail) -> str:
        """The verdict in words, "" where it does not condemn; OSError, HTTPException or ValueError where there is none."""
        request = urllib.request.Request(self._url, raw.data, method="POST")
        for name, value in self._about(raw):
            # http.client takes octets as Latin-1 characters.
            request.add_header(name, value.encode().decode("latin-1"))
        with self._opener.open(request, timeout=self._seconds) as answer:
            said = json.loads(answer.read(_LARGEST_ANSWER))
        try:
            action, score, limit = said["action"], float(said["score"]), float(said["required_score"])
        except (KeyError, TypeError):
            raise ValueError("not what rspamd says") from None
        return f"rspamd: {line(str(action), 60)}, {score:.1f} of {limit:.1f}" if action in _CONDEMNED else ""

    def _about(self, raw: RawMail) -> list[tuple[str, str]]:
        """What rspamd wants to know of the envelope, as its HTTP headers."""
        envelope = raw.envelope
        known = [("Content-Type", "application/octet-stream")]
        if raw.door in (Door.SMTP, Door.LMTP) and envelope.peer and envelope.peer not in self._peers:
            known.append(("IP", envelope.peer))
        if envelope.sender is not None:
            known.append(("From", envelope.sender))
        known += [("Rcpt", recipient) for recipient in envelope.recipients[:1]]
        if self._password:
            known.append(("Password", self._password))
        return [(name, value) for name, value in known if value.isprintable()]


def _words_of(problem: Exception) -> str:
    if isinstance(problem, urllib.error.HTTPError):
        problem.close()
        return f"it answered {problem.code}"
    if isinstance(problem, urllib.error.URLError) and isinstance(problem.reason, OSError):
        problem = problem.reason
    if isinstance(problem, OSError):
        return problem.strerror or ("it took too long" if isinstance(problem, TimeoutError) else type(problem).__name__)
    return "its answer is not understood"
