"""What filters say of a mail: headers that the settings name, and a real rspamd; a silent filter holds nobody up."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from helpdesk.domain.mail import Door, Envelope, RawMail
from helpdesk.domain.proof import Proof
from helpdesk.domain.reading import Reading
from helpdesk.inbound.read import read
from helpdesk.inbound.spam import HeaderFilter, Rspamd
from tests.servers import rspamd as servers
from tests.servers.ports import free_port


def mail(text: str = "The printer burns.", header: str = "", peer: str = "192.0.2.9") -> RawMail:
    data = f"{header}From: zoe@elsewhere.example\r\nSubject: Printer\r\n\r\n{text}\r\n".encode()
    envelope = Envelope("zoe@elsewhere.example", ("support@acme.example",), peer)
    return RawMail(Door.SMTP, envelope, datetime(2026, 3, 2, tzinfo=UTC), data)


def judged(judge: HeaderFilter | Rspamd, *mails: RawMail) -> list[str]:
    with closing(judge):
        return [one.spam for one in judge.judge_all([(raw, read(raw)) for raw in mails])]


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("X-Verdict: SPAM; score=9\r\n", "X-Verdict: SPAM; score=9"),
        ("x-verdict: =?utf-8?q?spam?=\r\n", "X-Verdict: spam"),
        ("X-Verdict: clean\r\nX-Verdict: spam\r\n", "X-Verdict: spam"),
        ("X-Verdict: no spam\r\n", ""),
        ("X-Other: spam\r\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_header_that_the_settings_name(header: str, verdict: str) -> None:
    assert judged(HeaderFilter([("X-Verdict", "spam")]), mail(header=header)) == [verdict]


def test_rspamd_condemns_spam_and_nothing_else(rspamd: servers.Rspamd) -> None:
    judge = Rspamd(rspamd.url)

    assert judged(judge, mail(), mail(servers.GTUBE), mail()) == ["", "rspamd: reject, 15.0 of 15.0", ""]
    assert judge.condition() == ""


def test_a_mail_of_somebody_who_logged_in_is_not_asked_about(rspamd: servers.Rspamd) -> None:
    raw = mail(servers.GTUBE)
    with closing(Rspamd(rspamd.url)) as judge:
        (found,) = judge.judge_all([(raw, replace(read(raw), proof=Proof.AUTH))])

    assert found.spam == ""


@contextmanager
def web(answer: bytes, code: int = 200) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that says always the same, and what it was asked."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(dict(self.headers))
            self.send_response(code)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(action: str) -> bytes:
    return json.dumps({"action": action, "score": 7.25, "required_score": 15}).encode()


@pytest.mark.parametrize("action", ["no action", "greylist", "soft reject"])
def test_what_is_not_sure_is_no_verdict(action: str) -> None:
    with web(said(action)) as (url, _):
        assert judged(Rspamd(url), mail()) == [""]


@pytest.mark.parametrize("action", ["reject", "add header", "rewrite subject", "quarantine", "discard"])
def test_what_condemns(action: str) -> None:
    with web(said(action)) as (url, _):
        assert judged(Rspamd(url), mail()) == [f"rspamd: {action}, 7.2 of 15.0"]


def test_rspamd_hears_of_the_envelope_and_not_of_our_own_servers() -> None:
    with web(said("no action")) as (url, asked):
        odd = Envelope("zoë@elsewhere.example", ("support@acme.example\r\nBcc: x",), "192.0.2.9")
        judged(Rspamd(url, "geheim", ["192.0.2.1"]), mail(), replace(mail(), envelope=odd))
        judged(Rspamd(url, peers=["192.0.2.9"]), mail())

    first, second, third = sorted(asked, key=lambda one: ("Password" not in one, "Rcpt" not in one))
    assert (first["Ip"], first["From"], first["Rcpt"]) == (
        "192.0.2.9",
        "zoe@elsewhere.example",
        "support@acme.example",
    )
    assert first["Password"] == "geheim"
    assert "Rcpt" not in second
    assert second["From"].encode("latin-1").decode() == "zoë@elsewhere.example"
    assert "Ip" not in third
    assert "Password" not in third


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (b"no JSON", 200, "its answer is not understood"),
        (b"[]", 200, "its answer is not understood"),
        (b'{"action": "reject"}', 200, "its answer is not understood"),
        (b'{"action": "reject", "score": "x", "required_score": 15}', 200, "its answer is not understood"),
        (b"[" * 200_000, 200, "its answer is not understood"),
        (said("reject"), 403, "it answered 403"),
        (b"", 500, "it answered 500"),
    ],
)
def test_what_is_no_answer_lets_the_mail_in_and_is_told(answer: bytes, code: int, words: str) -> None:
    with web(answer, code) as (url, _):
        judge = Rspamd(url)
        assert judged(judge, mail(servers.GTUBE)) == [""]
        assert judge.condition() == f"does not judge mails ({words}); they are let in unjudged"


def test_nobody_there_and_nobody_who_speaks(caplog: pytest.LogCaptureFixture) -> None:
    judge = Rspamd(f"http://127.0.0.1:{free_port()}")
    assert judged(judge, *[mail()] * 20) == [""] * 20
    assert "refused" in judge.condition()
    assert len(caplog.records) == 1, "said once, not for each mail"

    with socket.create_server(("127.0.0.1", 0)) as silent:
        judge = Rspamd(f"http://127.0.0.1:{silent.getsockname()[1]}", seconds=0.2)
        assert judged(judge, *[mail()] * 8) == [""] * 8
        assert "too long" in judge.condition() or "timed out" in judge.condition()


def test_an_answer_that_drips_in_is_not_waited_for() -> None:
    """Mutant: each octet has its own time."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                client.recv(65_536)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                for _ in range(200):
                    client.sendall(b" ")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        since = time.monotonic()
        assert judged(Rspamd(f"http://127.0.0.1:{server.getsockname()[1]}", seconds=0.5), mail()) == [""]
        assert time.monotonic() - since < 10


def test_it_recovers(rspamd: servers.Rspamd) -> None:
    judge = Rspamd(rspamd.url)
    judge._fault = "does not judge mails"
    found: Reading = judge.judge_all([(mail(), read(mail()))])[0]
    judge.close()

    assert (found.spam, judge.condition()) == ("", "")
