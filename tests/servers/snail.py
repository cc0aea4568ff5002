"""A real mail client: s-nail writes, reads and answers as a customer or an agent would."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from tests.servers.dovecot import Mailbox
from tests.servers.found import program

_END_OF_MAIL = "-----end of mail-----"


@dataclass(frozen=True, slots=True)
class Snail:
    """One person with his client.

    ``smtp_port`` is where he hands his mail in; with ``login`` (name, password) by AUTH under STARTTLS, the server's
    certificate verified against ``trust`` (a PEM file). ``mailbox`` is what he reads.
    """

    address: str
    name: str
    smtp_port: int
    mailbox: Mailbox | None = None
    login: tuple[str, str] | None = None
    trust: Path | None = None

    def say(self, to: str, subject: str, text: str, attachments: Sequence[Path] = ()) -> None:
        """Write a new mail and hand it in."""
        arguments = ["-s", subject]
        for attachment in attachments:
            arguments += ["-a", str(attachment)]
        self._run([*arguments, to], text.rstrip("\n") + "\n")

    def read(self) -> list[str]:
        """The mails of the inbox as the client shows them, headers first, oldest first."""
        assert self.mailbox is not None, f"{self.name} has no mailbox"
        count = len(self.mailbox.mails())
        if not count:
            return []
        commands = "".join(f"type {number}\necho {_END_OF_MAIL}\n" for number in range(1, count + 1))
        shown = self._run(["-R", *self._inbox()], commands + "exit\n")
        return [mail.strip("\n") for mail in shown.split(_END_OF_MAIL)[:count]]

    def reply(self, number: int, text: str, everybody: bool = False) -> None:
        """Answer mail ``number`` of the inbox, counted from 1, with the text above the quote."""
        verb = "reply" if everybody else "Reply"
        self._run(self._inbox(), f"{verb} {number}\n{text.rstrip()}\n~m {number}\n~.\nexit\n")

    def _inbox(self) -> list[str]:
        assert self.mailbox is not None, f"{self.name} has no mailbox"
        user, password = quote(self.mailbox.user, safe=""), quote(self.mailbox.password, safe="")
        box = f"imap://{user}:{password}@127.0.0.1:{self.mailbox.server.imap_port}/INBOX"
        return ["-S", "imap-auth=login", "-f", box]

    def _settings(self) -> list[str]:
        settings = [f"from={self.name} <{self.address}>", "hostname=client.example", "sendwait", "nosave"]
        settings += ["ttycharset=utf-8", "reply-to-honour", "v15-compat"]
        if self.login is None:
            settings += [f"mta=smtp://127.0.0.1:{self.smtp_port}", "smtp-auth=none"]
        else:
            name, password = (quote(word, safe="") for word in self.login)
            settings += [f"mta=smtp://{name}:{password}@localhost:{self.smtp_port}", "smtp-auth=login"]
            settings += ["smtp-use-starttls", f"tls-ca-file={self.trust}", "tls-ca-no-defaults", "tls-verify=strict"]
        return [part for setting in settings for part in ("-S", setting)]

    def _run(self, arguments: list[str], keys: str) -> str:
        path = program("s-nail")
        assert path is not None, "call require('s-nail') first"
        with tempfile.TemporaryDirectory(prefix="snail") as home:
            run = subprocess.run(
                [path, "-#", "-:/", *self._settings(), *arguments],
                input=keys,
                capture_output=True,
                text=True,
                timeout=30,
                env={"HOME": home, "TMPDIR": home, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"},
            )
        # It ends with 0 also where the server refused the mail during a reply.
        assert run.returncode == 0, run.stderr
        assert "message not sent" not in run.stderr, run.stderr
        return run.stdout
