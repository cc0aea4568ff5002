"""/livez and /readyz say the truth to whoever runs the daemon, and cannot be held up."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from helpdesk.domain.health import PartState, Report
from helpdesk.web import health
from helpdesk.web.health import HealthServer
from tests.servers.ports import wait_for

AT = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
WELL = PartState("door smtp 127.0.0.1:25", takes_mail=True)


class State:
    """What the daemon says of itself."""

    def __init__(self) -> None:
        self.report = Report(AT, (WELL,))


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def server(state: State) -> Iterator[HealthServer]:
    one = HealthServer("127.0.0.1", 0, lambda: state.report)
    one.start()
    yield one
    one.stop()


def ask(server: HealthServer, path: str, **headers: str) -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers["Content-Type"], answer.read().decode()


RELAY = PartState("relay main", "cannot be reached", AT)
WRITER = PartState("writer", "the database takes nothing", AT, takes_mail=True)
LANE = PartState("fast lane", "its thread has ended", AT, takes_mail=True, lost=True)


@pytest.mark.parametrize(
    ("parts", "live", "ready"),
    [
        ((WELL,), (200, "ok\n"), (200, "ok\n")),
        # A relay that is away stops no mail from coming in, and no restart brings it back.
        ((WELL, RELAY), (200, "ok\n"), (200, "ok\nrelay main: cannot be reached since 2026-03-02T10:00:00Z\n")),
        ((WRITER,), (200, "ok\n"), (503, "trouble\nwriter: the database takes nothing since 2026-03-02T10:00:00Z\n")),
        (
            (LANE,),
            (503, "trouble\nfast lane: its thread has ended since 2026-03-02T10:00:00Z\n"),
            (503, "trouble\nfast lane: its thread has ended since 2026-03-02T10:00:00Z\n"),
        ),
    ],
)
def test_answers_tell_what_a_restart_and_what_waiting_would_help(
    server: HealthServer,
    state: State,
    parts: tuple[PartState, ...],
    live: tuple[int, str],
    ready: tuple[int, str],
) -> None:
    state.report = Report(AT, parts)

    assert ask(server, "/livez")[::2] == live
    assert ask(server, "/readyz")[::2] == ready


def test_json_on_request(server: HealthServer, state: State) -> None:
    state.report = Report(AT, (WRITER,))
    code, kind, text = ask(server, "/readyz?format=json")

    assert (code, kind) == (503, "application/json; charset=utf-8")
    assert json.loads(text)["ready"] is False
    assert json.loads(ask(server, "/livez", Accept="application/json")[2])["live"] is True


def test_nothing_else_is_there(server: HealthServer) -> None:
    assert ask(server, "/")[0] == 404
    assert ask(server, "/../../etc/passwd")[0] == 404


def test_other_methods_are_refused_and_head_has_no_body(server: HealthServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        client.sendall(b"POST /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 501 " in client.recv(100)
    with socket.create_connection(("127.0.0.1", server.port), 20) as client:
        client.sendall(b"HEAD /livez HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(1000), b""))
        assert answer.startswith(b"HTTP/1.0 200 ")
        assert answer.endswith(b"\r\n\r\n")


def test_idle_clients_do_not_keep_others_out_for_long(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health._Answer, "timeout", 0.5)
    idle = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(health.CLIENTS + 10)]
    try:
        wait_for(lambda: _answers(server), 20)
    finally:
        for one in idle:
            one.close()


def test_clients_that_drip_do_not_keep_others_out_either(server: HealthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CLIENT_SECONDS", 0.5)
    dripping = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(health.CLIENTS)]

    def drip() -> bool:
        for one in dripping:
            with contextlib.suppress(OSError):
                one.sendall(b"G")
        return _answers(server)

    try:
        wait_for(drip, 20, 0.1)
    finally:
        for one in dripping:
            one.close()


def _answers(server: HealthServer) -> bool:
    try:
        return ask(server, "/livez")[0] == 200
    except OSError:
        return False


def test_port_in_use_is_told(server: HealthServer) -> None:
    with pytest.raises(OSError):
        HealthServer("127.0.0.1", server.port, lambda: Report(AT, ())).start()
