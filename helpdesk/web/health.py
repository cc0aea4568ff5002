"""``/livez`` and ``/readyz`` for whoever runs the daemon: plain text, or JSON on request. No secrets, no mails.

* ``/livez``: 503 where only a restart helps, because a thread has ended or hangs.
* ``/readyz``: 503 where no mail is taken or handled.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import Any
from urllib.parse import parse_qs, urlsplit

from helpdesk.domain.health import PartState, Report, as_mapping, stamp

#: A client has so long for its question and for our answer, in seconds.
CLIENT_SECONDS = 5.0
#: Where no connection can be accepted it is tried again after so many seconds.
ACCEPT_AGAIN_SECONDS = 1.0
#: So many clients at once; the next one is hung up on.
CLIENTS = 16


class HealthServer:
    """Answers at one address from a thread of its own."""

    def __init__(self, host: str, port: int, report: Callable[[], Report]) -> None:
        self.host, self._port, self._report = host, port, report
        self._server: _Server | None = None

    def start(self) -> None:
        """Bind and answer; OSError where the port cannot be had."""
        self._server = _Server(self.host, self._port, self._report)
        threading.Thread(target=self._server.serve_forever, name="health", daemon=True).start()

    @property
    def port(self) -> int:
        """The port that is listened on, also where 0 was asked for."""
        assert self._server is not None, "not started"
        return int(self._server.server_address[1])

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, report: Callable[[], Report]) -> None:
        self.report = report
        self._free = threading.BoundedSemaphore(CLIENTS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Answer)

    def server_bind(self) -> None:
        # HTTPServer would look its own name up in the DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "helpdesk", self.server_address[1]

    def get_request(self) -> tuple[Any, Any]:
        try:
            return super().get_request()
        except OSError:
            # Without a descriptor the socket stays readable: the loop around us would spin.
            sleep(ACCEPT_AGAIN_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # The socket's own timeout counts anew with each octet.
        deadline = threading.Timer(CLIENT_SECONDS, _cut, (request,))
        deadline.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news."""


class _Answer(BaseHTTPRequestHandler):
    server: _Server
    timeout = CLIENT_SECONDS
    server_version, sys_version = "helpdesk", ""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        report = self.server.report()
        if asked.path == "/livez":
            bad = report.lost
        elif asked.path == "/readyz":
            bad = report.unready
        else:
            self._say(404, "text/plain", "ask for /livez or /readyz\n")
            return
        code = 503 if bad else 200
        wants_json = parse_qs(asked.query).get("format") == ["json"] or "json" in self.headers.get("Accept", "")
        if wants_json:
            self._say(code, "application/json", json.dumps(as_mapping(report)) + "\n")
        else:
            self._say(code, "text/plain", _lines(report.troubles if asked.path == "/readyz" else bad, not bad))

    do_HEAD = do_GET

    def _say(self, code: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        """Whoever asks each second is not worth a line."""


def _cut(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


def _lines(troubles: Sequence[PartState], well: bool) -> str:
    lines = ["ok" if well else "trouble"]
    lines += [f"{one.name}: {one.words}" + (f" since {stamp(one.since)}" if one.since else "") for one in troubles]
    return "\n".join([*lines, ""])
