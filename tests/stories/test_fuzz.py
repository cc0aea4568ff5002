"""Two thousand broken mails by the SMTP door: each is answered, kept and brought to an end, and the daemon stays well."""

from __future__ import annotations

import contextlib
import smtplib
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import fuzz
from tests.deaths import desk
from tests.deaths.harness import Deaths
from tests.servers.ports import greeting, wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(300)]

MAILS, CLIENTS, SEED = 2000, 4, 100
ENDS = {"entry", "dropped", "quarantined", "seen before"}


def test_broken_mails_by_smtp_come_to_an_end(tmp_path: Path, sink: Sink) -> None:
    deaths = Deaths(tmp_path / "desk", sink)
    running = deaths.start()
    greeting(deaths.port, 20)

    with ThreadPoolExecutor(CLIENTS) as hands:
        codes = Counter[int]()
        for found in hands.map(lambda part: _offer(deaths.port, part), range(CLIENTS)):
            codes += found
    wait_for(deaths.at_rest, 200, 0.5)

    assert running.stop() == 0
    assert codes.total() == MAILS
    assert codes.keys() <= {250, 550, 552, 554}, codes
    assert codes[250] > MAILS * 0.9
    with contextlib.closing(sqlite3.connect(deaths.database)) as connection:
        ends = Counter(
            outcome for (outcome,) in connection.execute("SELECT outcome FROM spool WHERE done_at IS NOT NULL")
        )
        (kept,) = connection.execute("SELECT count(*) FROM spool").fetchone()
    assert ends.total() == kept
    assert kept > MAILS * 0.85, "some are the same"
    assert ends.keys() <= ENDS, ends
    assert ends["entry"] > kept / 10
    words = deaths.log.read_text()
    assert "Traceback" not in words
    assert not [line for line in words.splitlines() if line.startswith("ERROR")]


def _offer(port: int, part: int) -> Counter[int]:
    """One client's share, over as few connections as the door allows."""
    codes = Counter[int]()
    client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    for number, data in enumerate(fuzz.mails(MAILS // CLIENTS, SEED + part)):
        sender = desk.customer(number) if number % 3 else ""
        try:
            client.sendmail(sender, [desk.DESK], data, ["BODY=8BITMIME"])
            codes[250] += 1
        except smtplib.SMTPResponseException as refusal:
            codes[refusal.smtp_code] += 1
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.close()
            client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    client.close()
    return codes
