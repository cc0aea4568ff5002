"""A line between a client and a server that breaks after a chosen number of octets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Literal

Direction = Literal["to the server", "to the client"]
_CHUNK = 65_536


@dataclass(slots=True)
class _Cut:
    direction: Direction
    left: int
    reset: bool


class Line:
    """Listens on ``port`` and carries every connection to ``server``, a port of this machine."""

    def __init__(self, server: int) -> None:
        self.server = server
        self.breaks = 0
        self._cut: _Cut | None = None
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, direction: Direction, after: int, *, reset: bool = False) -> None:
        """Break after so many more octets in this direction, counted over all connections; ``reset`` as a dead host does."""
        with self._lock:
            self._cut = _Cut(direction, after, reset)

    def hold(self) -> None:
        """Break no more."""
        with self._lock:
            self._cut = None

    @property
    def left(self) -> int:
        """How many octets will pass before the cut; 0 where none is to come."""
        with self._lock:
            return self._cut.left if self._cut else 0

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.server), 10)
                except OSError:
                    client.close()
                    continue
                server.settimeout(None)
                ends = (client, server)
                for source, target, direction in ((client, server, "to the server"), (server, client, "to the client")):
                    threading.Thread(target=self._carry, args=(source, target, direction, ends), daemon=True).start()

    def _carry(
        self, source: socket.socket, target: socket.socket, direction: Direction, ends: tuple[socket.socket, ...]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                allowed, reset = self._allowed(direction, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data) or reset is not None:
                    self._break(ends, bool(reset))
                    return
            target.shutdown(socket.SHUT_WR)
            if direction == "to the client":
                for end in ends:
                    end.close()

    def _allowed(self, direction: Direction, size: int) -> tuple[int, bool | None]:
        """How many of so many octets pass, and how the line breaks then; None where it does not."""
        with self._lock:
            cut = self._cut
            if cut is None or cut.direction != direction:
                return size, None
            if cut.left > size:
                cut.left -= size
                return size, None
            self._cut = None
            self.breaks += 1
            return cut.left, cut.reset

    def _break(self, ends: tuple[socket.socket, ...], reset: bool) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # The other direction's thread must wake, or the kernel would keep the connection for it.
                end.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        for end in ends:
            end.close()
