"""A way between a client and a server that can go silent without closing, and that writes down what the client says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

from tests.servers.ports import wait_for

_CHUNK = 65_536


class Proxy:
    """Listens on ``port`` and passes everything on to ``target``, a port of this machine; use it in a ``with`` block.

    ``frozen``: connections stay open and the kernel acknowledges, but nothing is passed on, as with a stalled address
    translator. ``watch`` sees every piece of what clients say before the server does, and may call ``cut``.
    """

    def __init__(self, target: int, watch: Callable[[bytes], None] = lambda octets: None) -> None:
        self._target, self._watch = target, watch
        self._going = threading.Event()
        self._going.set()
        self._ends: list[socket.socket] = []
        #: What each connection's client said, oldest connection first.
        self.said: list[bytearray] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._going.set()
        self.cut()

    @property
    def connections(self) -> int:
        """How many there have been."""
        return len(self.said)

    def freeze(self) -> None:
        """Pass nothing on any more, in either direction."""
        self._going.clear()

    def thaw(self) -> None:
        """Pass everything on again, also what waited."""
        self._going.set()

    def cut(self) -> None:
        """Reset all connections that there are."""
        for end in list(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def wait(self, count: int, seconds: float = 20) -> None:
        """Until there have been so many connections."""
        wait_for(lambda: self.connections >= count, seconds)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                said = bytearray()
                self.said.append(said)
                threading.Thread(target=self._join, args=(client, said), daemon=True).start()

    def _join(self, client: socket.socket, said: bytearray) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            self._ends += [client, server]
            back = threading.Thread(target=self._pass_on, args=(server, client, lambda octets: None), daemon=True)
            back.start()

            def note(octets: bytes) -> None:
                said.extend(octets)
                self._watch(octets)

            self._pass_on(client, server, note)
            back.join(5)

    def _pass_on(self, source: socket.socket, sink: socket.socket, note: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(_CHUNK):
                note(octets)
                self._going.wait()
                sink.sendall(octets)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
