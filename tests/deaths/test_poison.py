"""F5: mails that kill, hang or swell the reading process of a started daemon: each costs only itself.

The others are handled meanwhile. After three strikes, counted durably, the mail waits in quarantine with its cause, whole,
and the operator is told; that the daemon dies between two strikes changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import smtplib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.deaths import desk
from tests.deaths.harness import Deaths, Running
from tests.deaths.traffic import arrived
from tests.servers.ports import greeting, wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]

OPERATOR = "postmaster@desk.example"
STRIKES = 3
#: A mail is given so long to be read, in seconds, alone in the slow lane as in the fast one.
READING = 1
#: Everything that the tests wait for comes within so many seconds, even on a busy machine.
PATIENCE = 60.0
KILLED, HANGED, SWELLED = "killed the reading process", f"took longer than {READING} s", "took too much memory"
#: What a mail can do to its reader, and the cause that stands beside it in quarantine.
POISONS = {"segfault": KILLED, "hang": HANGED, "memory": SWELLED}
MORE_POISONS = {"abort": KILLED, "exit": KILLED, "killed": KILLED, "hoard": SWELLED}


def _poison(number: int, kind: str) -> bytes:
    return f"X-Poison: {kind}\r\n".encode() + desk.request(number)


def _deaths(work: Path, sink: Sink, *options: str, mutant: str = "") -> Deaths:
    deaths = Deaths(work / "desk", sink, mutant=mutant, options=("--poison", *options))
    settings = deaths.config / "helpdesk.toml"
    settings.write_text(settings.read_text().replace("[limits]\n", f"[limits]\nreading_seconds = {READING}\n"))
    return deaths


def _send(deaths: Deaths, number: int, data: bytes) -> None:
    with smtplib.SMTP("127.0.0.1", deaths.port, timeout=PATIENCE) as client:
        client.sendmail(desk.customer(number), [desk.DESK], data)


def _rows(deaths: Deaths, query: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(deaths.database, timeout=PATIENCE)) as connection:
        return connection.execute(query).fetchall()


def _set_aside(deaths: Deaths) -> list[tuple[int, str, bytes]]:
    """Attempts, cause and bytes of the mails in quarantine."""
    return _rows(
        deaths,
        "SELECT spool.attempts, quarantine.cause, raw.data FROM quarantine JOIN spool ON spool.id = quarantine.spool_id"
        " JOIN raw ON raw.hash = spool.raw_hash ORDER BY spool.id",
    )


def _handled_between(deaths: Deaths, sink: Sink, poisons: dict[str, str]) -> None:
    """Good mails before, between and behind poisonous ones: all are answered, and the poison is set aside."""
    running = deaths.start()
    greeting(deaths.port, PATIENCE)
    good = range(1, 2 * len(poisons) + 2, 2)
    _send(deaths, good[0], desk.request(good[0]))
    for number, kind in zip(good[1:], poisons, strict=True):
        _send(deaths, number - 1, _poison(number - 1, kind))
        _send(deaths, number, desk.request(number))

    wait_for(lambda: all(_acknowledged(sink, number) for number in good), PATIENCE)
    before = len(_set_aside(deaths))
    wait_for(deaths.at_rest, PATIENCE, 0.1)
    assert running.stop() == 0, deaths.last_words()

    assert before < len(poisons), "the good mails waited until the last strike"
    _check(
        deaths, sink, [(STRIKES, poisons[kind], _poison(2 * number + 2, kind)) for number, kind in enumerate(poisons)]
    )


def _check(deaths: Deaths, sink: Sink, wanted: Sequence[tuple[int, str, bytes]]) -> None:
    found = _set_aside(deaths)
    assert [one[:2] for one in found] == [one[:2] for one in wanted]
    for (_, _, kept), (_, _, sent) in zip(found, wanted, strict=True):
        assert kept.endswith(sent), "it is kept as it came, below what the door wrote on top"
    told = [arrived(one) for one in sink.to(OPERATOR)]
    assert sorted(cause for *_, cause, _ in wanted) == sorted(
        cause for one in told for cause in (KILLED, HANGED, SWELLED) if cause in one.text
    )
    listed = json.loads(desk.helpdesk(deaths.config, "quarantine", "list", "--json").stdout)
    assert sorted(one["cause"] for one in listed) == sorted(cause for _, cause, _ in wanted)


def _acknowledged(sink: Sink, number: int) -> bool:
    return any(number in arrived(one).marks for one in sink.to(desk.customer(number)))


def test_f5_a_poisonous_mail_costs_only_itself(tmp_path: Path, sink: Sink) -> None:
    """A segmentation fault, an endless loop, more memory than there is."""
    _handled_between(_deaths(tmp_path, sink), sink, POISONS)


@pytest.mark.long
def test_f5_all_other_poisons(tmp_path: Path, sink: Sink) -> None:
    """An abort, an exit, the kernel's kill, memory hoarded bit by bit."""
    _handled_between(_deaths(tmp_path, sink), sink, MORE_POISONS)


def test_f5_strikes_outlive_the_daemon(tmp_path: Path, sink: Sink) -> None:
    """Killed during the first attempt and again during the second: the third is the last."""
    deaths = _deaths(tmp_path, sink)
    running = _dies_twice_while_reading(deaths)
    _send(deaths, 2, desk.request(2))

    wait_for(lambda: _acknowledged(sink, 2) and deaths.at_rest(), PATIENCE, 0.1)
    assert running.stop() == 0, deaths.last_words()
    _check(deaths, sink, [(STRIKES, HANGED, _poison(1, "hang"))])


def test_f5_a_daemon_that_forgets_the_strikes_is_caught(tmp_path: Path, sink: Sink) -> None:
    """The mutant reads a mail that kills it for ever."""
    deaths = _deaths(tmp_path, sink, mutant="uncounted")
    running = _dies_twice_while_reading(deaths)

    so_far = deaths.log.stat().st_size
    wait_for(lambda: deaths.log.read_bytes()[so_far:].count(b"was not read at attempt") > 1, PATIENCE, 0.1)
    running.kill()
    assert _set_aside(deaths) == []


def _dies_twice_while_reading(deaths: Deaths) -> Running:
    """A mail that hangs is read, and the daemon killed; and once more. The third daemon."""
    running = deaths.start()
    greeting(deaths.port, PATIENCE)
    _send(deaths, 1, _poison(1, "hang"))
    for attempts in (1, 2):
        wait_for(lambda wanted=attempts: _being_read(deaths, wanted), PATIENCE, 0.005)  # type: ignore[misc]
        running.kill()
        assert _rows(deaths, "SELECT done_at FROM spool") == [(None,)]
        running = deaths.start()
    greeting(deaths.port, PATIENCE)
    return running


def _being_read(deaths: Deaths, attempts: int) -> bool:
    """Whether the mail is claimed for this attempt; the mutant counts otherwise."""
    counted = _rows(deaths, "SELECT attempts FROM spool WHERE lease_until IS NOT NULL")
    return bool(counted) and (counted[0][0] >= attempts or deaths.mutant != "")
