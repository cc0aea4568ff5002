"""What must be true after all deaths: nothing acknowledged is lost, nothing happened twice.

Reads the database with sqlite3 and the mails with the email package; only the timers are computed by the product, since
the promise is that what is stored equals what is computed.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from helpdesk.app import build
from helpdesk.pipeline import timers
from helpdesk.store import tickets
from tests.deaths import desk
from tests.deaths.harness import Deaths
from tests.deaths.traffic import MARK, Arrived, Sent, arrived

#: So many problems of a kind are told one by one.
LISTED = 8


def problems(deaths: Deaths, *, troubled: bool = False) -> list[str]:
    """Everything that is wrong, in words; empty where every promise held.

    ``troubled`` says that the daemon met a trouble that it should log.
    """
    sent = list(deaths.traffic.sent.values())
    came = [arrived(one) for one in list(deaths.sink.deliveries)]
    with contextlib.closing(sqlite3.connect(deaths.database)) as connection:
        checks = (
            _database(connection),
            _entries(connection, sent),
            _outbox(connection, came),
            _mails(sent, came),
            _sent_again(came, deaths.relay_hits),
            _mailbox(deaths, sent) if deaths.mailbox else iter(()),
            _timers(deaths.config),
            iter(()) if troubled else _faults(deaths),
        )
        return [problem for check in checks for problem in _first(check)]


def _first(check: Iterator[str]) -> list[str]:
    """A broken promise shows on many mails; the first few tell as much as all."""
    found = list(check)
    return found if len(found) <= LISTED else [*found[:LISTED], f"and {len(found) - LISTED} more like these"]


def sent_again(deaths: Deaths) -> int:
    """How many mails the sink took more than once."""
    counted = Counter((one.message_id, one.recipient) for one in map(arrived, list(deaths.sink.deliveries)))
    return sum(times - 1 for times in counted.values())


def _database(connection: sqlite3.Connection) -> Iterator[str]:
    found = connection.execute("PRAGMA integrity_check").fetchall()
    if found != [("ok",)]:
        yield f"the database is damaged: {found[:3]}"
    if strays := connection.execute("PRAGMA foreign_key_check").fetchall():
        yield f"{len(strays)} rows refer to rows that are not there"
    for name, where in (
        ("mails in the spool", "spool WHERE done_at IS NULL"),
        ("inputs", "input WHERE done_at IS NULL"),
        ("mails in the outbox", "outbox WHERE state = 'waiting'"),
        ("mails in quarantine", "quarantine"),
        ("decisions on a mail beyond its first", "decision WHERE spool_id IN (SELECT spool_id FROM decision"
         " GROUP BY spool_id HAVING count(*) > 1)"),
    ):  # fmt: skip
        if count := connection.execute(f"SELECT count(*) FROM {where}").fetchone()[0]:
            yield f"{count} {name}"


def _entries(connection: sqlite3.Connection, sent: Sequence[Sent]) -> Iterator[str]:
    """Every acknowledged mail is exactly one entry, or its command was carried out exactly once."""
    entries = Counter[tuple[str, int]]()
    for kind, text in connection.execute("SELECT kind, text FROM event WHERE text <> ''"):
        entries.update((kind, int(number)) for number in set(MARK.findall(text)))
    opened = Counter(int(MARK.findall(subject)[0]) for (subject,) in connection.execute("SELECT subject FROM ticket"))
    # The mail's first sighting is the one that was handled; a later one is only "seen before".
    handled = Counter(
        int(MARK.findall(found)[0])
        for (found,) in connection.execute(
            "SELECT mail.message_id FROM mail JOIN spool ON spool.id = mail.spool_id"
            " WHERE spool.done_at IS NOT NULL AND spool.outcome <> 'seen before'"
        )
    )
    for one in sent:
        if not one.acknowledged_at:
            yield f"mail {one.number} was never acknowledged"
        if handled[one.number] == 0:
            yield f"lost: {one.kind} {one.number} by {one.door} was acknowledged and is not there"
        elif handled[one.number] > 1:
            yield f"{one.kind} {one.number} was handled {handled[one.number]} times"
    for one in sent:
        count = entries[{"request": "customer entry", "answer": "answer", "take": ""}[one.kind], one.number]
        if one.kind != "take" and count != 1:
            yield f"{one.kind} {one.number} is {count} entries"
        if one.kind == "request" and opened[one.number] != 1:
            yield f"request {one.number} opened {opened[one.number]} tickets"
    taken = connection.execute(
        "SELECT subject, count(*) FROM event JOIN ticket ON ticket.id = event.ticket_id"
        " WHERE event.kind = 'assigned' AND json_extract(event.data, '$.agent') = 'bruno' GROUP BY ticket.id"
    )
    counted = {int(MARK.findall(subject)[0]): count for subject, count in taken}
    wanted = {one.request: 1 for one in sent if one.kind == "take"}
    if counted != wanted:
        yield f"tickets taken {counted}, wanted {wanted}"


def _outbox(connection: sqlite3.Connection, came: Sequence[Arrived]) -> Iterator[str]:
    """What was decided is what left, each (ticket, audience, event) under one Message-ID, the bytes as decided."""
    query = "SELECT ticket_id, audience, event_id, message_id, state, data FROM outbox, outbox_mail WHERE outbox_id=id"
    rows = connection.execute(query).fetchall()
    ids: defaultdict[tuple[object, ...], set[str]] = defaultdict(set)
    for ticket_id, audience, event_id, message_id, state, _ in rows:
        ids[ticket_id, audience, event_id].add(message_id)
        if state != "sent":
            yield f"{message_id} is {state}"
    for key, found in ids.items():
        if len(found) != 1:
            yield f"{key} went out as {sorted(found)}"
    decided = {message_id for *_, message_id, _, _ in rows}
    left = {one.message_id for one in came}
    if decided != left:
        yield f"{len(decided - left)} mails are marked sent and never came; {len(left - decided)} came undecided"
    for one in came:
        if one.message_id not in decided:
            yield f"{one.message_id} to {one.recipient} came undecided: {one.text.splitlines()[0]}"
    bodies = {message_id: data for *_, message_id, _, data in rows}
    for one in came:
        if one.message_id in bodies and bodies[one.message_id] != one.data:
            yield f"{one.message_id} changed on its way"


def _mails(sent: Sequence[Sent], came: Sequence[Arrived]) -> Iterator[str]:
    """As readers see it: one acknowledgement a request, one copy of each answer, one report of each command."""
    ids: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for one in came:
        to = "agent" if one.recipient == desk.AGENT else "taker" if one.recipient == desk.TAKER else "customer"
        what = f"{to} {'automatic' if one.automatic else 'human'}"
        for number in one.marks:
            ids[what, number].add(one.message_id)
    for mail in sent:
        wanted = {
            "request": {"customer automatic": 1},
            "answer": {"customer human": 1},
            "take": {},
        }[mail.kind]
        for what, count in wanted.items():
            if len(ids[what, mail.number]) != count:
                yield f"{mail.kind} {mail.number}: {len(ids[what, mail.number])} different mails to {what}"
    done = {one.message_id for one in came if one.recipient == desk.TAKER}
    takes = sum(mail.kind == "take" for mail in sent)
    if len(done) != takes:
        yield f"{takes} commands were answered with {len(done)} different mails"


def _sent_again(came: Sequence[Arrived], relay_hits: int) -> Iterator[str]:
    """Only a death between the relay's 250 and our commit may repeat a mail, and only that one."""
    copies: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
    for one in came:
        copies[one.message_id, one.recipient].append(one.data)
    again = sum(len(found) - 1 for found in copies.values())
    if again > relay_hits:
        yield f"{again} mails were sent again, but only {relay_hits} deaths were in the relay phase"
    for (message_id, _), found in copies.items():
        if len(set(found)) != 1:
            yield f"{message_id} was sent again with other bytes"


def _mailbox(deaths: Deaths, sent: Sequence[Sent]) -> Iterator[str]:
    assert deaths.mailbox is not None
    waiting, archived = deaths.mailbox.mails(), deaths.mailbox.mails("Archive")
    if waiting:
        yield f"{len(waiting)} mails are still in the INBOX"
    found = Counter(int(MARK.findall(data.decode())[0]) for data in archived)
    wanted = Counter(one.number for one in sent if one.door == "imap")
    if found != wanted:
        yield f"the archive lacks {wanted - found} and has too much {found - wanted}"


def _timers(config: Path) -> Iterator[str]:
    """What is stored is what the events say."""
    app = build(config)
    world = app.world()
    with app.reading() as connection:
        rows = connection.exec_driver_sql("SELECT ticket_id, state, due_at FROM timer").all()
        known = connection.exec_driver_sql("SELECT id, tenant, desk FROM ticket").all()
        stored = {row.ticket_id: (row.state, row.due_at) for row in rows}
        for row in known:
            ticket = tickets.snapshot(connection, row.tenant, row.id)
            assert ticket is not None
            found = timers.compute(connection, world.desks[row.desk], ticket)
            due = found.due_at.strftime("%Y-%m-%d %H:%M:%S.%f") if found and found.due_at else None
            if stored.get(row.id) != ((found.state, due) if found else None):
                yield f"the timer of ticket {row.id} is {stored.get(row.id)}, its events say {found}"
    app.engine.dispose()


def _faults(deaths: Deaths) -> Iterator[str]:
    lines = deaths.log.read_text(errors="replace").splitlines()
    for line in [line for line in lines if line.startswith(("ERROR", "CRITICAL", "Traceback"))][:3]:
        yield f"the log says: {line}"
