"""F4: two daemons on one PostgreSQL, one of them paused in the midst of its work until the other has taken over.

A pause is SIGSTOP: what a suspended laptop, a moved virtual machine or a debugger does. The paused one wakes up in the
belief that a mail is still its own; whatever it then wants to write must be refused.
"""

from __future__ import annotations

import os
import shutil
import signal
import smtplib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.deaths import desk
from tests.deaths.harness import Running
from tests.deaths.poison import NAP_SECONDS
from tests.deaths.traffic import MARK, arrived
from tests.deaths.zygote import Zygote
from tests.servers.ports import free_port, wait_for
from tests.servers.sink import Sink

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]

#: Claims last so many seconds, and PostgreSQL bears silence within a transaction for so many.
LEASE = 2.0
SILENT = 2
#: Everything that the tests wait for comes within so many seconds, even on a busy machine.
PATIENCE = 60.0
#: The relay takes so long to answer while a daemon is to be paused, in seconds.
HESITATION = 3.0
#: A moment that was missed is tried for again with another mail, so often.
TRIES = 10
#: Customers who answer at the same time.
ANSWERS = 12


@dataclass(slots=True)
class Node:
    """One of the daemons."""

    config: Path
    port: int
    running: Running | None = None

    @property
    def log(self) -> Path:
        return self.config.with_suffix(".log")

    def start(self, *options: str, wait: bool = True) -> None:
        """Start it, and wait until it is ready."""
        threads = self.config.with_suffix(".threads")
        threads.unlink(missing_ok=True)
        arguments = [str(self.config), "--threads", str(threads), "--poison", f"--lease={LEASE}", f"--silent={SILENT}"]
        self.running = Running(Zygote.one().fork([*arguments, *options], self.log))
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until every thread of it runs."""
        wait_for(self.config.with_suffix(".threads").exists, PATIENCE)

    def ended(self) -> bool:
        """Whether it ended by itself."""
        assert self.running is not None
        return self.running.process.poll() is not None

    def settled(self) -> bool:
        """Whether it is ready, or ended."""
        return self.ended() or self.config.with_suffix(".threads").exists()

    def kill(self) -> None:
        """kill -9, if it still runs."""
        assert self.running is not None
        self.running.kill()

    def stop(self) -> None:
        """SIGTERM, and a good end."""
        assert self.running is not None
        assert self.running.stop() == 0, self.log.read_text()[-3000:]

    def pause(self) -> None:
        """Let it stand still; its reading process goes on, and has everything ready when it wakes up."""
        assert self.running is not None
        os.kill(self.running.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on as if nothing had been."""
        assert self.running is not None
        os.kill(self.running.process.pid, signal.SIGCONT)

    def says(self, *words: str) -> bool:
        """Whether any of these stands in its log."""
        text = self.log.read_text(errors="replace")
        return any(one in text for one in words)

    def send(self, data: bytes, sender: str, to: str = desk.DESK) -> None:
        """Hand a mail in at its door."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=PATIENCE) as client:
            client.sendmail(sender, [to], data)


@dataclass(slots=True)
class Pair:
    """Two daemons, their database and their relay; ``sent`` are the requests and answers by number."""

    work: Path
    url: str
    sink: Sink
    nodes: list[Node] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        first, second = (Node(self.work / name, free_port()) for name in ("first", "second"))
        desk.write(first.config, port=first.port, relay_port=self.sink.port, database=self.url)
        keys = first.config / "helpdesk.keys"
        keys.write_text("5a" * 32 + "\n")
        keys.chmod(0o600)
        shutil.copytree(first.config, second.config)
        settings = second.config / "helpdesk.toml"
        settings.write_text(settings.read_text().replace(f"port = {first.port}\n", f"port = {second.port}\n"))
        self.nodes = [first, second]

    def rows(self, query: str, *values: object) -> list[Any]:
        """What the database holds."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query, values).fetchall()

    def value(self, query: str, *values: object) -> Any:
        """The first column of the first row."""
        return self.rows(query, *values)[0][0]

    def request(self, node: Node, *, nap: bool = False) -> int:
        """A customer's new request at the door of a node; the number of its mail there."""
        self._number += 1
        data = desk.request(self._number)
        node.send(b"X-Poison: nap\r\n" + data if nap else data, desk.customer(self._number))
        self.requests.append(self._number)
        return int(self.value("SELECT max(id) FROM spool"))

    def answer(self, node: Node, request: int) -> None:
        """The agent answers the notice about a request."""
        self._number += 1
        notice = wait_for(lambda: [one for one in self.notices() if request in one.marks], PATIENCE)[0]
        node.send(desk.answer(self._number, notice.reply_to, notice.message_id), desk.AGENT, notice.reply_to)
        self.answers.append(self._number)

    def notices(self) -> list[Any]:
        """What the agent was sent."""
        return [arrived(one) for one in self.sink.to(desk.AGENT)]

    def at_rest(self) -> bool:
        """Nothing waits."""
        waiting = (
            "SELECT (SELECT count(*) FROM spool WHERE done_at IS NULL)"
            " + (SELECT count(*) FROM input WHERE done_at IS NULL)"
            " + (SELECT count(*) FROM outbox WHERE state = 'waiting')"
        )
        return not self.value(waiting)

    def problems(self) -> list[str]:
        """Everything that is there more or less than once, in words."""
        return [*self._stored(), *self._left()]

    def _stored(self) -> Iterator[str]:
        entries = Counter[int]()
        for (text,) in self.rows("SELECT text FROM event WHERE kind IN ('customer entry', 'answer')"):
            entries.update({int(number) for number in MARK.findall(text)})
        subjects = Counter(int(MARK.findall(subject)[0]) for (subject,) in self.rows("SELECT subject FROM ticket"))
        for number in self.requests + self.answers:
            if entries[number] != 1:
                yield f"mail {number} is {entries[number]} entries"
        for number in self.requests:
            if subjects[number] != 1:
                yield f"request {number} opened {subjects[number]} tickets"
        human = self.value("SELECT count(*) FROM outbox WHERE kind = 'human' AND state = 'sent'")
        fates = self.value("SELECT count(*) FROM input WHERE trigger = 'delivery'")
        if not human == fates == len(self.answers):
            yield f"{len(self.answers)} answers have {fates} fates, {human} were sent"
        for kind, count in self.rows("SELECT outcome, count(*) FROM spool WHERE outcome = 'quarantined' GROUP BY 1"):
            yield f"{count} mails are {kind}"

    def _left(self) -> Iterator[str]:
        ids: defaultdict[tuple[str, bool, int], set[str]] = defaultdict(set)
        copies: defaultdict[tuple[str, str], list[bytes]] = defaultdict(list)
        for one in map(arrived, list(self.sink.deliveries)):
            copies[one.message_id, one.recipient].append(one.data)
            for number in one.marks:
                ids[one.recipient, one.automatic, number].add(one.message_id)
        for number in self.requests:
            acknowledged = len(ids[desk.customer(number), True, number])
            told = len(ids[desk.AGENT, True, number])
            if (acknowledged, told) != (1, 1):
                yield f"request {number} has {acknowledged} acknowledgements and {told} notices"
        for number in self.answers:
            found = sum(len(of) for (_, automatic, mark), of in ids.items() if mark == number and not automatic)
            if found != 1:
                yield f"answer {number} left as {found} mails"
        for (message_id, _), found_copies in copies.items():
            if len(set(found_copies)) > 1:
                yield f"{message_id} was sent again with other bytes"


@pytest.fixture
def pair(tmp_path: Path, postgres_url: str, sink: Sink) -> Pair:
    """Two daemons that were not started yet."""
    return Pair(tmp_path, postgres_url, sink)


def test_f4_whoever_was_paused_beyond_its_lease_writes_nothing(pair: Pair) -> None:
    """Paused while mails are read, while one is handed to the relay, and amid a transaction."""
    first, _ = pair.nodes
    first.start()
    paused_while_reading(pair)
    again = paused_at_the_relay(pair)
    paused_in_a_transaction(pair)
    wait_for(pair.at_rest, PATIENCE)
    first.stop()

    assert pair.problems() == []
    assert again <= 1, "a mail may be repeated only where the daemon stood between the relay's 250 and its own commit"
    assert not first.says("Traceback"), first.log.read_text()


def test_f4_a_daemon_without_a_fence_is_caught(pair: Pair) -> None:
    """The mutant writes what it believes to be its own: a second entry, a second fate of an answer."""
    first, _ = pair.nodes
    first.start("--mutant", "no-fence")
    paused_while_reading(pair)
    paused_at_the_relay(pair)
    wait_for(pair.at_rest, PATIENCE)
    first.stop()

    found = pair.problems()
    assert any(one.endswith("is 2 entries") for one in found), found
    assert any(one.startswith("1 answers have 2 fates") for one in found), found


@pytest.mark.long
def test_f4_a_daemon_whose_silence_is_borne_is_caught(pair: Pair) -> None:
    """Where PostgreSQL bears any silence, the other daemon waits for the locks of the paused one."""
    first, _ = pair.nodes
    first.start("--silent", "0")

    with pytest.raises(AssertionError, match="not within"):
        paused_in_a_transaction(pair, seconds=10 * SILENT)
    first.resume()


def paused_while_reading(pair: Pair) -> None:
    """The first claims a mail and is paused; the second reads and handles it; the first wakes up with its reading."""
    first, second = pair.nodes
    warm = pair.request(first)
    wait_for(lambda: pair.value("SELECT done_at IS NOT NULL FROM spool WHERE id = %s", warm), PATIENCE)
    mail = _caught(first, lambda: pair.request(first, nap=True), lambda mail: _claimed(pair, mail))
    second.start()
    wait_for(lambda: pair.value("SELECT done_at IS NOT NULL FROM spool WHERE id = %s", mail), PATIENCE)
    second.stop()

    first.resume()
    wait_for(lambda: first.says(f"mail {mail} was taken over", f" mail {mail}: "), PATIENCE)


def _claimed(pair: Pair, mail: int) -> bool:
    return bool(pair.value("SELECT attempts = 1 AND done_at IS NULL FROM spool WHERE id = %s", mail))


def paused_at_the_relay(pair: Pair) -> int:
    """The first is paused before the relay has answered; the second hands the same mail over; the first is answered.

    How many mails the relay took again.
    """
    first, second = pair.nodes
    wait_for(pair.at_rest, PATIENCE)
    before = len(pair.sink.deliveries)
    waiting = "SELECT count(*) FROM outbox WHERE kind = 'human' AND state = 'waiting' AND attempts = 1"
    pair.sink.delay(HESITATION)
    pair.answer(first, pair.requests[-1])
    wait_for(lambda: _amid_the_answer(pair.sink.commands[-3:]), PATIENCE)
    first.pause()
    assert pair.value(waiting) == 1, "the relay answered too soon"
    pair.sink.delay(0)
    second.start()
    wait_for(pair.at_rest, PATIENCE)
    second.stop()

    first.resume()
    # Its relay has one thread: what comes now goes out after it has heard the relay's 250 for the old mail.
    pair.request(first)
    wait_for(pair.at_rest, PATIENCE)
    left = Counter((one.message_id, one.recipient) for one in map(arrived, pair.sink.deliveries[before:]))
    return sum(count - 1 for count in left.values())


def _amid_the_answer(commands: list[str]) -> bool:
    """Whether the relay is being given a person's mail: only those have an address to reply to as their sender."""
    return commands[-1:] == ["DATA"] and commands[0].startswith("MAIL FROM:<support+")


def paused_in_a_transaction(pair: Pair, seconds: float = PATIENCE) -> None:
    """The first is paused with rows written and not committed, whose locks the second needs."""
    import psycopg

    first, second = pair.nodes
    wait_for(pair.at_rest, PATIENCE)
    with psycopg.connect(pair.url) as lock:
        lock.execute("LOCK TABLE event IN EXCLUSIVE MODE")
        mail = pair.request(first)
        stuck = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO event%%'"
        )
        wait_for(lambda: pair.value(stuck), PATIENCE)
        first.pause()
        lock.rollback()
    idle = "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction' AND pid <> pg_backend_pid()"
    wait_for(lambda: pair.value(idle), PATIENCE)
    second.start()
    try:
        wait_for(lambda: pair.value("SELECT done_at IS NOT NULL FROM spool WHERE id = %s", mail), seconds)
    finally:
        first.resume()
    second.stop()
    pair.request(first)


def _caught(node: Node, begin: Callable[[], int], in_the_midst: Callable[[int], bool]) -> int:
    """Pause a node in the midst of what ``begin`` causes; the result of ``begin``."""
    for _ in range(TRIES):
        found = begin()
        ready = time.monotonic() + NAP_SECONDS
        while not in_the_midst(found) and time.monotonic() < ready:
            time.sleep(0.01)
        node.pause()
        if in_the_midst(found):
            return found
        node.resume()
    raise AssertionError(f"the moment was missed {TRIES} times")


def test_two_daemons_begin_at_once_on_a_new_database(pair: Pair, postgres_url: str) -> None:
    """Both make the tables and write down the agents, in turn; both take mail afterwards."""
    import psycopg

    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    for node in pair.nodes:
        node.start(wait=False)
    for node in pair.nodes:
        node.wait_ready()

    for node in pair.nodes:
        pair.request(node)
    wait_for(pair.at_rest, PATIENCE)
    for node in pair.nodes:
        node.stop()
    assert pair.value("SELECT count(*) FROM spool WHERE outcome <> ''") == len(pair.nodes)
    assert pair.value("SELECT count(*) FROM person WHERE agent <> ''") == 2


def test_daemons_that_wait_for_no_turn_are_caught(pair: Pair, postgres_url: str) -> None:
    """The mutant's daemons make the same tables at the same time, and one of them ends."""
    import psycopg

    for _ in range(TRIES):
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        for node in pair.nodes:
            node.start("--mutant", "all-at-once", wait=False)
        wait_for(lambda: all(node.settled() for node in pair.nodes), PATIENCE)
        failed = [node for node in pair.nodes if node.ended()]
        for node in pair.nodes:
            node.kill()
        if failed:
            assert all(node.says("already exists", "duplicate key") for node in failed)
            return
    raise AssertionError("both always began")


def test_answers_to_one_ticket_at_both_daemons_are_handled_in_turn(pair: Pair) -> None:
    """The ticket is locked while a mail about it is handled: each is an entry, and the first alone opens it again."""
    for node in pair.nodes:
        node.start()
    numbers, statuses = answered_at_once(pair)
    for node in pair.nodes:
        node.stop()

    texts = [text for (text,) in pair.rows("SELECT text FROM event WHERE kind = 'customer entry'")]
    entries = Counter(int(number) for text in texts for number in set(MARK.findall(text)))
    assert [entries[number] for number in numbers] == [1] * ANSWERS
    assert pair.value("SELECT count(*) FROM ticket") == 1
    assert statuses == ["open", "waiting", "open"]


def test_daemons_that_lock_no_ticket_are_caught(pair: Pair) -> None:
    """The mutants open the ticket again twice: each saw it waiting."""
    for node in pair.nodes:
        node.start("--mutant", "all-at-once")

    assert any(answered_at_once(pair)[1].count("open") > 2 for _ in range(TRIES))


def answered_at_once(pair: Pair) -> tuple[range, list[str]]:
    """A ticket waits for its customer, who then writes many mails, half of them to each daemon.

    Their numbers, and the statuses that the ticket has had.
    """
    pair.request(pair.nodes[0])
    request = pair.requests[-1]
    parent = arrived(wait_for(lambda: pair.sink.to(desk.customer(request)), PATIENCE)[-1])
    pair.answer(pair.nodes[0], request)
    wait_for(pair.at_rest, PATIENCE)
    numbers = range(1000 * request, 1000 * request + ANSWERS)

    def hand_in(number: int) -> None:
        letter = _reply(number, request, parent.reply_to, parent.message_id)
        pair.nodes[number % 2].send(letter, desk.customer(request), parent.reply_to)

    with ThreadPoolExecutor(ANSWERS) as customers:
        list(customers.map(hand_in, numbers))
    wait_for(pair.at_rest, PATIENCE)
    rows = pair.rows(
        "SELECT data::json->>'status' FROM event WHERE kind = 'status' AND ticket_id ="
        " (SELECT max(id) FROM ticket) ORDER BY id"
    )
    return numbers, [status for (status,) in rows]


def _reply(number: int, request: int, to: str, parent: str) -> bytes:
    """The customer adds something to his request."""
    data = desk.request(number).replace(desk.customer(number).encode(), desk.customer(request).encode())
    domain = desk.customer(number).rpartition("@")[2], desk.customer(request).rpartition("@")[2]
    data = data.replace(f"header.from={domain[0]}".encode(), f"header.from={domain[1]}".encode())
    return data.replace(desk.DESK.encode(), to.encode()).replace(b"Date: ", f"In-Reply-To: {parent}\r\nDate: ".encode())
