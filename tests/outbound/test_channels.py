"""Ways to reach a person: real commands, a real web server, a real relay; and what they say when they fail."""

from __future__ import annotations

import json
import ssl
import stat
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import Any

import pytest

from helpdesk.domain.alarm import Message
from helpdesk.domain.errors import TemporaryFailure
from helpdesk.outbound.channels import CommandChannel, FirstOf, MailChannel, WebhookChannel
from helpdesk.outbound.maildir import MaildirRelay
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.timesource import real
from tests.servers.ports import free_port
from tests.servers.sink import Sink

ALARM = Message("helpdesk on desk1: relay main does not work", "relay main\n  cannot be reached\n")
SECRET = "Tr0ub4dor-marker"


def program(folder: Path, text: str) -> str:
    file = folder / "page"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_command_gets_the_message_on_stdin_and_the_subject_where_asked(tmp_path: Path) -> None:
    words = (program(tmp_path, 'printf "%s\\n" "$1" > "$2"; cat >> "$2"'), "--{subject}--", str(tmp_path / "out"))

    CommandChannel(words).send(ALARM)

    assert (tmp_path / "out").read_text() == f"--{ALARM.subject}--\n{ALARM.subject}\n\n{ALARM.text}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("exit 3", "ended with 3"),
        ("exec <&-; exit 1", "ended with 1"),
        ("sleep 60", "took longer than 0.5 seconds"),
        ("sleep 60 & wait", "took longer than 0.5 seconds"),
    ],
)
def test_command_that_fails_says_how_and_is_not_waited_for(tmp_path: Path, text: str, said: str) -> None:
    began = monotonic()
    with pytest.raises(TemporaryFailure, match=said):
        CommandChannel((program(tmp_path, text), SECRET), seconds=0.5 if "sleep" in text else 30).send(ALARM)

    assert monotonic() - began < 20


def test_command_that_is_missing_is_told_without_its_words() -> None:
    channel = CommandChannel(("/no/such/page", SECRET))
    with pytest.raises(TemporaryFailure) as failure:
        channel.send(ALARM)

    assert str(failure.value) == "cannot be run: No such file or directory"
    assert channel.name == "command page"


class Web:
    """A web server that remembers what it was sent and answers as it is told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], Any]] = []
        self.code = 200
        self.location = ""
        web = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append((self.path, dict(self.headers), json.loads(body)))
                self.send_response(web.code)
                if web.location:
                    self.send_header("Location", web.location)
                self.end_headers()

            def do_GET(self) -> None:
                web.got.append((self.path, dict(self.headers), None))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                """Quiet."""

        self._server = HTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.stop()


def webhook(url: str, password: str = "") -> WebhookChannel:
    return WebhookChannel(url, lambda: password, ssl.create_default_context(), seconds=5)


def test_webhook_gets_the_message_as_json(web: Web) -> None:
    webhook(f"{web.url}/hook").send(ALARM)

    ((path, headers, body),) = web.got
    assert path == "/hook"
    assert body == {"subject": ALARM.subject, "text": f"{ALARM.subject}\n\n{ALARM.text}"}
    assert "Authorization" not in headers


def test_password_goes_into_the_address_or_along_as_a_bearer_token(web: Web) -> None:
    webhook(f"{web.url}/hook/{{password}}", SECRET).send(ALARM)
    webhook(f"{web.url}/hook", SECRET).send(ALARM)

    assert web.got[0][0] == f"/hook/{SECRET}"
    assert "Authorization" not in web.got[0][1]
    assert web.got[1][1]["Authorization"] == f"Bearer {SECRET}"


def test_token_is_not_taken_along_to_another_address(web: Web) -> None:
    web.code, web.location = 302, f"{web.url}/elsewhere"
    with pytest.raises(TemporaryFailure, match="answered 302"):
        webhook(f"{web.url}/hook", SECRET).send(ALARM)

    assert [path for path, _, _ in web.got] == ["/hook"]


def test_webhook_that_fails_never_names_its_token(web: Web) -> None:
    web.code = 500
    said = []
    for url, password in (
        (f"{web.url}/{{password}}", SECRET),
        (f"http://127.0.0.1:{free_port()}/{{password}}", SECRET),
        (f"{web.url}/{{password}}", f"{SECRET} with spaces\nand lines"),
        (f"{web.url}/", f"{SECRET}\nX-More: 1"),
        (f"{web.url}/", f"{SECRET}\u2014"),
        ("http://127.0.0.1:port/{password}", SECRET),
        (f"https{web.url.removeprefix('http')}/{{password}}", SECRET),
    ):
        with pytest.raises(TemporaryFailure) as failure:
            webhook(url, password).send(ALARM)
        said.append(str(failure.value))

    assert [one for one in said if SECRET in one] == []
    assert said[:2] == ["answered 500", "cannot be reached: Connection refused"]


def mail_channel(port: int) -> MailChannel:
    relay = Relay(RelayOptions(name="second", host="127.0.0.1", port=port, tls="none", timeout=5))
    return MailChannel("second", relay, "postmaster@acme.example", "oncall@acme.example", real)


def test_mail_goes_straight_to_the_relay_and_answers_nothing(sink: Sink) -> None:
    mail_channel(sink.port).send(ALARM)

    (delivery,) = sink.deliveries
    mail = message_from_bytes(delivery.data, EmailMessage, policy=policy.default)
    assert delivery.sender == ""
    assert delivery.recipients == ("oncall@acme.example",)
    assert mail["Subject"] == ALARM.subject
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Helpdesk-Loop"] == "alarm"
    assert "cannot be reached" in mail.get_content()


def test_hostile_words_do_not_write_headers(sink: Sink) -> None:
    mail_channel(sink.port).send(Message("down\r\nBcc: eve@evil.example\r\n\r\nhello", "text\r\n.\r\nMAIL FROM:<x@y>"))

    (delivery,) = sink.deliveries
    mail = message_from_bytes(delivery.data, EmailMessage, policy=policy.default)
    assert mail["Bcc"] is None
    assert delivery.recipients == ("oncall@acme.example",)


def test_first_relay_that_takes_it_is_enough(sink: Sink, tmp_path: Path) -> None:
    away = mail_channel(free_port())
    folder = MailChannel("folder", MaildirRelay(tmp_path), "postmaster@acme.example", "oncall@acme.example", real)

    FirstOf((away, mail_channel(sink.port), folder)).send(ALARM)

    assert len(sink.deliveries) == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        TemporaryFailure, match=r"relay second .*Connection refused.*; relay second .*Connection refused"
    ):
        FirstOf((away, away)).send(ALARM)
