"""A daemon that is told to stop takes no more mail at any door, however long the mail in hand takes."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from pathlib import Path

from helpdesk.app import Daemon, build
from tests.inbound_doors.doors import MAIL, OURS, Wire
from tests.servers.ports import wait_for
from tests.servers.sink import Sink
from tests.stories.company import Company

SECOND_DOOR = """
[[listener]]
kind = "smtp"
port = 0
"""


def test_all_doors_close_at_once_and_a_mail_in_hand_is_kept(tmp_path: Path, sink: Sink) -> None:
    replace(Company(), relay_port=sink.port, more=SECOND_DOOR).write(tmp_path)
    daemon = Daemon(build(tmp_path))
    daemon.start()
    first, second = daemon.listeners
    host, port = second.options.host, second.port
    with Wire(first) as slow:
        slow.greet().say(f"MAIL FROM:<bob@b.example>\r\nRCPT TO:<{OURS}>\r\nDATA\r\n".encode())
        assert [slow.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        stopping = threading.Thread(target=daemon.stop)
        stopping.start()

        wait_for(lambda: not _answers(host, port))

        assert first.stopping
        slow.say(MAIL + b".\r\n")
        assert slow.reply().startswith("250 ")
    stopping.join(30)
    assert not stopping.is_alive()


def _answers(host: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(20)
        try:
            return client.connect_ex((host, port)) == 0 and client.recv(3) == b"220"
        except ConnectionResetError:  # accepted by the kernel just before the door was shut
            return False
