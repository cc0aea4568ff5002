"""Ways to reach a person that need no database: a command, a webhook, a mail handed straight to a relay.

``send`` returns when the next hop has the message and raises TemporaryFailure, without any secret, when it does not.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from helpdesk.domain.alarm import Message
from helpdesk.domain.errors import ConfigError, HelpdeskError, TemporaryFailure
from helpdesk.domain.mail import Mailbox
from helpdesk.outbound.compose import Draft, compose
from helpdesk.outbound.transport import Transport
from helpdesk.timesource import TimeSource

#: A command, and each answer of a server, may take so long, in seconds.
CHANNEL_SECONDS = 30.0
#: Stands for the password in a webhook's address, and for the subject in a command's words.
PASSWORD_MARK, SUBJECT_MARK = "{password}", "{subject}"


class Channel(Protocol):
    """``name`` is fit for logs: it holds no secret."""

    @property
    def name(self) -> str: ...

    def send(self, message: Message) -> None: ...


@dataclass(frozen=True, slots=True)
class CommandChannel:
    """Runs a command with the message on its standard input; exit code 0 means that it has been taken."""

    words: Sequence[str]
    seconds: float = CHANNEL_SECONDS

    @property
    def name(self) -> str:
        return f"command {Path(self.words[0]).name}"

    def send(self, message: Message) -> None:
        words = [word.replace(SUBJECT_MARK, message.subject) for word in self.words]
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as problem:
            raise TemporaryFailure(f"cannot be run: {problem.strerror}") from None
        try:
            process.communicate(f"{message.subject}\n\n{message.text}".encode(), timeout=self.seconds)
        except subprocess.TimeoutExpired:
            # With all that it has started: a child would keep the pipe open.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise TemporaryFailure(f"took longer than {self.seconds:g} seconds") from None
        if process.returncode:
            raise TemporaryFailure(f"ended with {process.returncode}")


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """Posts JSON (``subject``, ``text``) to an address; ``{password}`` in it is replaced, else it goes as a bearer token."""

    url: str
    password: Callable[[], str]
    trust: ssl.SSLContext
    seconds: float = CHANNEL_SECONDS

    @property
    def name(self) -> str:
        return f"webhook {urlsplit(self.url).hostname}"

    def send(self, message: Message) -> None:
        secret = self.password()
        headers = {"Content-Type": "application/json", "User-Agent": "helpdesk"}
        if secret and PASSWORD_MARK not in self.url:
            headers["Authorization"] = f"Bearer {secret}"
        body = {"subject": message.subject, "text": f"{message.subject}\n\n{message.text}"}
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=self.trust), _NoRedirect)
        try:
            request = urllib.request.Request(
                self.url.replace(PASSWORD_MARK, secret), json.dumps(body).encode(), headers, method="POST"
            )
            with opener.open(request, timeout=self.seconds):
                return
        except urllib.error.HTTPError as answer:
            answer.close()
            raise TemporaryFailure(f"answered {answer.code}") from None
        except urllib.error.URLError as problem:
            raise TemporaryFailure(f"cannot be reached: {_cause(problem.reason)}") from None
        except OSError as problem:
            raise TemporaryFailure(f"cannot be reached: {_cause(problem)}") from None
        except (HTTPException, ValueError) as problem:  # their texts repeat the address or a header
            raise TemporaryFailure(f"cannot be used ({type(problem).__name__})") from None


def _cause(problem: object) -> str:
    words = getattr(problem, "verify_message", "") or getattr(problem, "strerror", "")
    return str(words or type(problem).__name__)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and take its token along to who knows where."""

    def redirect_request(self, *_arguments: object, **_more: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class MailChannel:
    """Hands a plain mail straight to a relay, without the outbox."""

    relay: str
    transport: Transport
    sender: str
    to: str
    now: TimeSource

    @property
    def name(self) -> str:
        return f"relay {self.relay}"

    def send(self, message: Message) -> None:
        draft = Draft(
            sender=Mailbox(self.sender, "helpdesk"),
            to=(Mailbox(self.to, ""),),
            subject=message.subject,
            text=message.text,
            message_id=f"<alarm.{uuid.uuid4().hex}@{self.sender.rpartition('@')[2]}>",
            date=self.now(),
            auto="auto-generated",
            loop_mark="alarm",
        )
        try:
            self.transport.send("", self.to, compose(draft))
        except HelpdeskError as failure:
            raise TemporaryFailure(str(failure)) from None
        finally:
            self.transport.close()


@dataclass(frozen=True, slots=True)
class FirstOf:
    """Tries one channel after the other until one has taken the message."""

    channels: Sequence[Channel]

    @property
    def name(self) -> str:
        return ", ".join(one.name for one in self.channels)

    def send(self, message: Message) -> None:
        failures = []
        for channel in self.channels:
            try:
                channel.send(message)
            except (ConfigError, TemporaryFailure) as failure:
                failures.append(f"{channel.name} {failure}")
            else:
                return
        raise TemporaryFailure("; ".join(failures))
