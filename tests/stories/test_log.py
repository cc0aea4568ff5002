"""What the daemon says: a mail can be followed, nobody can forge a line, and no secret is in it (T45, T46)."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from helpdesk.settings import load
from helpdesk.store.engine import connect
from tests.servers.certificate import Certificate
from tests.servers.certificate import make as make_certificate
from tests.servers.ports import free_port, wait_for
from tests.servers.sink import Sink
from tests.stories import running
from tests.stories.company import SUPPORT, Company
from tests.stories.letters import vouched
from tests.stories.posts import InSink
from tests.stories.running import Running, environment

pytestmark = pytest.mark.story

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) [a-z_.]+ .+|helpdesk is ready .+")


def test_mail_is_followed_through_the_log_and_cannot_forge_a_line(desk: Running) -> None:
    """The subject's encoded words hold a line end, a colour, and a line of a log."""
    forged = "2026-03-02T10:00:00.000Z ERROR helpdesk.app forged"
    subject = f"=?utf-8?q?Pump=0D=0A{quote(forged).replace('%', '=')}=1B=5B31m=E2=80=A8?="
    bob = desk.customer()
    body = f"{forged}\r\n\x1b[2Jcleared\r\n".encode()
    head = (
        f"From: {bob.name} <{bob.address}>\r\nTo: {SUPPORT}\r\nSubject: {subject}\r\n"
        f"Message-ID: <forged\x1b[31m@mine.example>\r\nMIME-Version: 1.0\r\n\r\n"
    )
    with smtplib.SMTP("127.0.0.1", desk.ports["smtp"], "client.example", timeout=30) as client:
        client.ehlo("evil\x1b[31m.example")
        client.mail(bob.address)
        client.rcpt(SUPPORT)
        code, answer = client.data(vouched(bob.address) + head.encode() + body)
        assert client.sock is not None
        client.sock.sendall(b"NONSENSE \x1b[31m\x85\r\n")
        assert client.getreply()[0] == 500
    assert code == 250
    identity = re.search(rb"kept as (\w+)", answer)
    assert identity is not None
    desk.wait(bob, "Pump")

    lines = desk.log().splitlines()
    kept = next(line for line in lines if f"mail {identity[1].decode()} kept as mail " in line)
    number = re.search(r"kept as mail (\d+)", kept)
    assert number is not None
    assert any(f" mail {number[1]}: " in line for line in lines), "its handling is told under its number"
    assert [line for line in lines if not LINE.fullmatch(line)] == []
    assert [line for line in lines if "forged" in line or "Pump" in line or "cleared" in line] == []
    log = (desk.folder / "log").read_bytes()
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", log)


@pytest.mark.parametrize("way", ["closed", "never read"])
def test_log_that_nobody_takes_stops_no_mail(tmp_path: Path, relay: Sink, way: str) -> None:
    """F39. A pipe holds 64 kB; a mutant that writes the log where it logs hangs, or dies of SIGPIPE or EPIPE."""
    folder = tmp_path / "desk"
    folder.mkdir()
    desk = Running(folder, Company(relay_port=relay.port), InSink(relay))
    from tests.stories.company import write_customers

    write_customers(folder / "customers")
    desk.run("import", str(folder / "customers"))
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "helpdesk", "--config", str(folder), "serve", "--log-level", "debug"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writing,
        env=environment(),
    )
    os.close(writing)
    try:
        heard = b""
        while b"helpdesk is ready" not in heard:
            heard += os.read(reading, 4096)
        desk.ports = {"smtp": int(re.findall(rb"smtp=\S+?:(\d+)", heard)[-1])}
        (folder / "log").touch()
        if way == "closed":
            os.close(reading)
        for _ in range(30):
            # Each refused command, and each mail, is a line of some hundred octets.
            with smtplib.SMTP("127.0.0.1", desk.ports["smtp"], "client.example", timeout=30) as client:
                client.ehlo("client.example")
                for _ in range(15):
                    client.docmd("RCPT TO:<nobody@acme.example>")
        bob = desk.customer()
        desk.write(bob, "Pump-9", "It leaks.")
        desk.wait(bob, "Pump-9", seconds=30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(20)
        with contextlib.suppress(OSError):
            os.close(reading)


# Secrets

SECRET = "Tr0ub4dor-MARKER-9x"
USER = "deskuser"
FORMS = {
    "plain": SECRET,
    "base64": base64.b64encode(SECRET.encode()).decode(),
    "PLAIN": base64.b64encode(f"\0{USER}\0{SECRET}".encode()).decode(),
    "address": quote(SECRET, safe=""),
    "reversed": SECRET[::-1],
}


class Rude:
    """A server that speaks TLS at once, greets, and answers each command by its first word, with what it was sent."""

    def __init__(self, tls: ssl.SSLContext, greeting: str, answers: Mapping[str, str]) -> None:
        self._tls, self._greeting, self._answers = tls, greeting, answers
        self.heard = b""
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._socket.accept()
                threading.Thread(target=self._talk, args=(plain,), daemon=True).start()

    def _talk(self, plain: socket.socket) -> None:
        plain.settimeout(30)
        with contextlib.suppress(OSError, ValueError), self._tls.wrap_socket(plain, server_side=True) as connection:
            connection.sendall(self._greeting.encode() + b"\r\n")
            with connection.makefile("rb") as lines:
                for line in lines:
                    self.heard += line
                    answer = self._answer(line.decode("utf-8", "replace").strip())
                    if answer is None:
                        return
                    connection.sendall(answer.encode() + b"\r\n")

    def _answer(self, line: str) -> str | None:
        tag, _, rest = line.partition(" ")
        word = next((one for one in self._answers if one in (tag.upper(), rest.partition(" ")[0].upper())), "*")
        answer = self._answers.get(word, "")
        return None if answer == "hang up" else answer.format(line=line, tag=tag, secret=SECRET, base64=FORMS["PLAIN"])

    def stop(self) -> None:
        self._socket.close()


SMTP = {
    "EHLO": "250-rude.example\r\n250 AUTH PLAIN LOGIN",
    "QUIT": "221 bye",
    "*": "535 5.7.8 {line} {secret} {base64}",
}
IMAP = {
    "CAPABILITY": "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n{tag} OK done",
    "*": "{tag} NO [AUTHENTICATIONFAILED] {secret} {line}",
}


@pytest.fixture
def web() -> Iterator[HTTPServer]:
    """A web server that refuses everything and repeats what it was asked for."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403, f"{self.path} {self.headers['Authorization']}")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@dataclass(frozen=True, slots=True)
class Rewritten(Company):
    """A company whose helpdesk.toml has a part replaced."""

    old: str = ""
    new: str = ""

    def _main(self) -> str:
        text = Company._main(self)
        assert self.old in text
        return text.replace(self.old, self.new)


def test_no_secret_is_told_however_its_use_fails(
    tmp_path: Path, certificate: Certificate, web: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relays, mailboxes and alarms fail in sixteen ways; the servers repeat the password in their answers."""
    monkeypatch.setenv("DESK_SECRET", SECRET)
    other = make_certificate(tmp_path, "other.example")
    with contextlib.ExitStack() as servers:

        def rude(greeting: str, answers: Mapping[str, str], context: ssl.SSLContext | None = None) -> Rude:
            one = Rude(context or certificate.server(), greeting, answers)
            servers.callback(one.stop)
            return one

        loud = tmp_path / "loud"
        loud.write_text(f"#!/bin/sh\necho {SECRET}; echo {SECRET} >&2; exit 1\n")
        loud.chmod(0o755)
        open_file = tmp_path / "open"
        open_file.write_text(SECRET)
        open_file.chmod(0o644)
        no_starttls = Sink()
        servers.callback(no_starttls.stop)
        login = f'user = "{USER}"\npassword_env = "DESK_SECRET"\nca_file = "{certificate.cert}"\n'
        tls = 'host = "localhost"\ntls = "implicit"\n' + login
        refused = rude("220 hello", SMTP)
        hangs_up = rude("220 hello", {**SMTP, "AUTH": "hang up"})
        no_login = rude("220 hello", {**SMTP, "EHLO": "250 rude.example"})
        later = rude("220 hello", {**SMTP, "*": "454 4.7.0 {secret} {line}"})
        greets_badly = rude("554 go away", SMTP)
        repeats = rude("220 hello", {**SMTP, "AUTH": "235 welcome", "*": "550 5.7.1 no {secret} {base64}"})
        strange = rude("220 hello", SMTP, other.server())
        imap_refuses = rude("* OK hello", IMAP)
        imap_hangs_up = rude("* OK hello", {**IMAP, "LOGIN": "hang up", "AUTHENTICATE": "hang up"})
        hook = f"http://127.0.0.1:{web.server_address[1]}"
        to = 'to = "oncall@acme.example"\n'
        more = f"""
[[relay]]
name = "loud"
audience = "staff"
host = "localhost"
port = {refused.port}
tls = "implicit"
ca_file = "{certificate.cert}"
user = "{USER}"
password_command = ["{loud}"]
[[mailbox]]
name = "refuses"
desk_address = "{SUPPORT}"
port = {imap_refuses.port}
{tls}
[[mailbox]]
name = "hangs"
desk_address = "{SUPPORT}"
port = {imap_hangs_up.port}
{tls}
[[mailbox]]
name = "open"
desk_address = "{SUPPORT}"
host = "localhost"
port = {imap_refuses.port}
user = "{USER}"
password_file = "{open_file}"
[[alarm]]
command = ["{loud}", "{SECRET}"]
[[alarm]]
command = ["/no/such/page", "{SECRET}"]
[[alarm]]
webhook = "{hook}/{{password}}"
password_env = "DESK_SECRET"
[[alarm]]
webhook = "{hook}/x"
password_env = "DESK_SECRET"
[[alarm]]
webhook = "http://127.0.0.1:{free_port()}/{{password}}"
password_env = "DESK_SECRET"
[[alarm]]
command = ["/bin/sh", "-c", "cat >> pager"]
"""
        for one in (hangs_up, no_login, later, greets_badly, repeats, strange, refused):
            more += f"[[alarm]]\n{to}port = {one.port}\n{tls}"
        more += f'[[alarm]]\n{to}host = "127.0.0.1"\nport = {no_starttls.port}\n{login}'
        health = free_port()
        more += f"[health]\nalarm_after_seconds = 1\nport = {health}\n"
        plain = f'[[relay]]\nhost = "127.0.0.1"\nport = {refused.port}\ntls = "none"\n'
        secured = f'[[relay]]\nname = "main"\nport = {refused.port}\n{tls}'
        company = Rewritten(relay_port=refused.port, more=more, old=plain, new=secured)
        folder = tmp_path / "desk"
        with running.started(folder, company, InSink(no_starttls)) as desk:
            desk.write(desk.customer(), "Pump-1", "It leaks.")
            wait_for(lambda: len(desk.json("outbox")) == 2, 20, 0.2)
            wait_for(lambda: all(row["last_error"] for row in desk.json("outbox")), 40, 0.2)
            pager = folder / "pager"
            wait_for(pager.exists, 60, 0.2)
            for sign in ("alarm by webhook", "alarm by command loud", "alarm by command page", "alarm by relay"):
                wait_for(lambda sign=sign: sign in desk.log(), 60, 0.2)  # type: ignore[misc]
            wait_for(lambda: desk.log().count("alarm by ") >= 12, 100, 0.5)
            outputs = {
                "outbox": desk.run("outbox") + desk.run("outbox", "--json"),
                "health": desk.run("health", code=1) + desk.run("health", "--json", code=1),
                "readyz": urllib.request.urlopen(f"http://127.0.0.1:{health}/readyz?format=json").read().decode(),
                "pager": pager.read_text(),
                "check": desk.run("check", code=78),
                "report": (folder / "health.json").read_text(),
            }
            engine = connect(load(folder).database_url())
            with engine.connect() as connection:
                outputs["rows"] = str(connection.execute(sa.text("SELECT last_error FROM outbox")).all())
            engine.dispose()
            process = desk.process
            assert process is not None
            process.send_signal(signal.SIGHUP)
        outputs["log"] = desk.log()
        # The servers really got it, so it could have come back.
        assert FORMS["PLAIN"].encode() in refused.heard
        assert SECRET.encode() in imap_refuses.heard or FORMS["PLAIN"].encode() in imap_refuses.heard
        # And each is really told as broken.
        for name in ("relay main", "relay loud", "mailbox refuses", "mailbox hangs", "mailbox open"):
            assert name in outputs["health"], name

    found = [(place, form) for place, said in outputs.items() for form, secret in FORMS.items() if secret in said]
    assert found == []


def test_password_of_the_database_is_never_told(tmp_path: Path) -> None:
    """Nobody listens, nobody knows the name, the address makes no sense: each command says so without the password."""
    said: list[str] = []
    for url in (
        f"postgresql://desk:{SECRET}@127.0.0.1:{free_port()}/desk",
        f"postgresql://desk:{SECRET}@no-such-host.invalid/desk",
        f"postgresql://desk:{SECRET}@127.0.0.1:port/desk",
        f"postgres+odd://desk:{SECRET}@127.0.0.1/desk",
    ):
        folder = tmp_path / f"desk{len(said)}"
        folder.mkdir()
        Company(database=url, relay_port=25).write(folder)
        for command in ("check", "outbox", "serve"):
            done = subprocess.run(
                [sys.executable, "-m", "helpdesk", "--config", str(folder), command],
                capture_output=True,
                text=True,
                timeout=60,
                env=environment(),
                check=False,
            )
            assert done.returncode in (75, 78), (command, done.stderr)
            assert "Traceback" not in done.stderr
            said.append(done.stdout + done.stderr)

    assert [one for one in said if SECRET in one] == []
