"""The outbox empties itself: in order, once, and never onto a relay that takes nothing."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.jobs import deliver
from helpdesk.jobs.deliver import CLAIMED, Deliverer
from helpdesk.jobs.loop import STUCK_SECONDS
from helpdesk.outbound.smtp import Relay, RelayOptions
from helpdesk.outbound.transport import LONGEST_SEND, Accepted, RelayDown, SenderRefused, Transport
from helpdesk.store import inputs, outbox
from helpdesk.store.engine import lease_clock
from helpdesk.store.outbox import LEASE_SECONDS, Waiting
from helpdesk.store.writer import Writer
from tests.servers.ports import free_port, wait_for
from tests.servers.sink import Sink
from tests.store.databases import postgres_engine, postgresql, sqlite, sqlite_template
from tests.store.rows import NOW, add_ticket, letter

__all__ = ["postgres_engine", "postgresql", "sqlite", "sqlite_template"]


class Office:
    """One daemon's deliverer, its turns taken by hand, and a clock that is set."""

    def __init__(self, engine: sa.Engine, transport: Transport, mails_per_second: int = 0) -> None:
        self.engine, self.now = engine, NOW
        self.writer = Writer(engine)
        self.writer.start()
        self.deliverer = Deliverer("main", transport, self.writer, lambda: self.now, mails_per_second)

    def close(self) -> None:
        self.deliverer.close()
        self.writer.stop()

    def add(self, *names: str, **changed: object) -> list[int]:
        """Mails to these people; their ids."""
        with self.engine.begin() as connection:
            return [
                outbox.add(connection, letter(f"{name}@globex.example", not_before=self.now, **changed), self.now)
                for name in names
            ]

    def rows(self, *, ended: bool = False) -> list[Waiting]:
        with self.engine.begin() as connection:
            return outbox.listing(connection, ended=ended)

    def states(self) -> dict[str, str]:
        return {one.recipient.partition("@")[0]: one.state for one in self.rows(ended=True)}

    def later(self, **span: float) -> None:
        self.now += timedelta(**span)

    def work(self) -> None:
        while self.deliverer.turn():
            pass


@contextmanager
def office(engine: sa.Engine, transport: Transport, mails_per_second: int = 0) -> Iterator[Office]:
    found = Office(engine, transport, mails_per_second)
    yield found
    found.close()


def relay_to(port: int) -> Relay:
    return Relay(RelayOptions(host="127.0.0.1", port=port, name="main", tls="none", timeout=10, final_timeout=10))


def names(sink: Sink) -> list[str]:
    return [one.recipients[0].partition("@")[0] for one in sink.deliveries]


class Told:
    """A way out that does what the test says with each mail."""

    def __init__(self, act: Callable[[str], object] = lambda recipient: None) -> None:
        self.act, self.tried = act, list[str]()

    def send(self, envelope_from: str, recipient: str, data: bytes) -> Accepted:
        self.tried.append(recipient.partition("@")[0])
        self.act(recipient)
        return Accepted("250 ok")

    def close(self) -> None:
        """Nothing is open."""


def set_on_connect(engine: sa.Engine, pragma: str) -> None:
    """Let each connection that is opened from now on have this setting of SQLite."""

    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", prepare)


def raising(problem: Exception) -> Callable[[str], object]:
    def act(recipient: str) -> None:
        raise problem

    return act


# --- a relay that takes nothing ---------------------------------------------------------------------------------------


def test_a_relay_that_is_down_costs_no_mail_its_place_or_an_attempt(sqlite):
    """Mutant caught: each row put off for itself."""
    port = free_port()
    with office(sqlite, relay_to(port)) as desk:
        desk.add("a", "b", "c", "d")
        for _ in range(6):
            desk.work()
            desk.later(minutes=6)
        waiting = desk.rows()
        server = Sink(port=port)
        desk.work()

        assert [one.attempts for one in waiting] == [0, 0, 0, 0]
        assert {one.not_before for one in waiting} == {NOW}
        assert waiting[0].last_error == f"main (127.0.0.1:{port}) cannot be reached: Connection refused"
        assert names(server) == ["a", "b", "c", "d"]
        assert {one.attempts for one in desk.rows(ended=True)} == {1}
        server.stop()


def test_a_pause_asks_with_one_mail_and_less_and_less_often(sqlite, sink):
    with office(sqlite, relay_to(sink.port)) as desk:
        desk.add(*"abcdefgh")
        sink.greet(*["421 4.3.2 not now"] * 100)
        desk.work()
        assert sink.connections == 1
        for second in range(60):
            desk.work()
            desk.later(seconds=1)
            assert sink.connections <= 1 + second / 5
        after_a_minute = sink.connections
        for _ in range(60):
            desk.work()
            desk.later(minutes=1)

        # After 0, 5, 15 and 35 seconds, with a tenth of jitter; from the seventh on every five minutes.
        assert after_a_minute == 4
        assert after_a_minute + 60 / 6 <= sink.connections <= after_a_minute + 60 / 5 + 3
        assert deliver.pause(100) <= timedelta(minutes=5.5)
        assert sink.deliveries == []
        assert {one.attempts for one in desk.rows()} == {0}


def test_a_clock_that_was_set_back_prolongs_no_pause(sqlite, sink):
    with office(sqlite, relay_to(sink.port)) as desk:
        desk.add("a")
        desk.later(hours=20)
        sink.greet("421 4.3.2 not now")
        desk.work()
        desk.later(hours=-10)
        desk.work()

    assert names(sink) == ["a"]


def test_an_administrator_can_read_what_is_wrong(sqlite):
    port = free_port()
    with office(sqlite, relay_to(port)) as desk:
        desk.add("a", "b")
        desk.work()
        desk.later(minutes=10)
        desk.add("c")
        desk.work()

        assert desk.deliverer.condition() == (
            f"takes nothing since 2026-11-23 09:00 UTC: main (127.0.0.1:{port}) cannot be reached: Connection refused; "
            "3 mails wait"
        )
        server = Sink(port=port)
        desk.later(minutes=10)
        desk.work()
        assert desk.deliverer.condition() == ""
        server.stop()


def test_nobody_is_alarmed_of_a_relay_that_nobody_needs(sqlite):
    with office(sqlite, relay_to(free_port())) as desk:
        (number,) = desk.add("a")
        desk.work()
        assert "1 mail waits" in desk.deliverer.condition()
        with desk.engine.begin() as connection:
            outbox.cancel(connection, number, "not needed", desk.now)
        desk.later(minutes=6)
        desk.work()

        assert desk.deliverer.condition() == ""


def test_what_expires_ends_while_the_relay_is_away(sqlite):
    """Mutant caught: expiry that waits for the relay. An agent must hear of his answer in time to call the customer."""
    port = free_port()
    with office(sqlite, relay_to(port)) as desk:
        with desk.engine.begin() as connection:
            ticket = add_ticket(connection)
        life = {"expires_at": NOW + timedelta(days=1), "ticket_id": ticket}
        desk.add("first", expires_at=NOW + timedelta(days=5))
        desk.add("automatic", **life)
        desk.add("answer", kind="human", **life)
        for _ in range(9):
            desk.work()
            desk.later(minutes=5.5)
        desk.now = NOW + timedelta(days=1, seconds=-30)
        desk.work()
        assert set(desk.states().values()) == {"waiting"}
        # The pause has just begun and lasts some minutes.
        desk.later(seconds=90)
        desk.work()
        server = Sink(port=port)
        with desk.engine.begin() as connection:
            told = inputs.waiting(connection, 10, desk.now)

        assert desk.states() == {"first": "waiting", "automatic": "expired", "answer": "expired"}
        assert [(one.ticket_id, one.data["outcome"], one.data["kind"]) for one in told] == [
            (ticket, "expired", "automatic"),
            (ticket, "expired", "human"),
        ]
        assert "cannot be reached: Connection refused" in told[1].data["reason"]
        assert "; 1 mail waits" in desk.deliverer.condition()
        desk.later(minutes=6)
        desk.work()
        assert names(server) == ["first"]
        server.stop()


def test_a_queue_does_not_fall_upon_a_relay_that_comes_back(sqlite, sink):
    """The first mails of many go at twenty a second, the few that are left at full speed. Mutant caught: no ramp."""
    set_on_connect(sqlite, "synchronous=OFF")  # a slow disk would hide it
    with office(sqlite, relay_to(sink.port)) as desk:
        desk.add(*(f"m{number:02}" for number in range(30)))
        sink.greet("421 4.3.2 not now")
        desk.work()
        desk.later(minutes=1)
        desk.work()

    times = [one.at for one in sink.deliveries]
    assert names(sink) == [f"m{number:02}" for number in range(30)]
    assert times[-1] - times[0] > CLAIMED / deliver.RAMP_START * 0.9


def test_a_queue_that_is_worked_off_leaves_the_next_mails_at_full_speed(sqlite, sink):
    with office(sqlite, relay_to(sink.port)) as desk:
        desk.add("a")
        sink.greet("421 4.3.2 not now")
        desk.work()
        desk.later(minutes=1)
        desk.work()

        assert desk.deliverer._ramp is None


def test_the_rate_is_capped_at_all_times(sqlite, sink):
    with office(sqlite, relay_to(sink.port), mails_per_second=10) as desk:
        desk.add(*"abcdefgh")
        desk.work()

    times = [one.at for one in sink.deliveries]
    assert times[-1] - times[0] > 6 / 10


def test_a_sender_that_the_relay_will_not_hear_stops_nobody_else(sqlite):
    """Mutant: the first in the queue is asked with again and again, and no mail leaves for days."""

    def act(recipient: str) -> None:
        if recipient.startswith("bad"):
            raise RelayDown("main refused the sender: 530 5.7.0 not you", of_sender=True)

    told = Told(act)
    with office(sqlite, told) as desk:
        desk.add("bad1", "bad2", "bad3", *"abc")
        for _ in range(60):
            desk.work()
            desk.later(seconds=1)
        assert desk.states() == {
            **dict.fromkeys(("bad1", "bad2", "bad3"), "waiting"),
            **dict.fromkeys("abc", "sent"),
        }
        asked = len(told.tried)
        for _ in range(60):
            desk.work()
            desk.later(minutes=1)

    assert len(told.tried) - asked < 3 * 8, "it is asked with less and less often"


def test_a_relay_that_refuses_our_sender_for_good_gives_up_nothing_more(sqlite):
    """A login that changed: what people wrote waits until somebody mends it. Mutant: the outbox is empty in a second."""
    refuses = [True]

    def act(recipient: str) -> None:
        if refuses[0]:
            raise SenderRefused("main refused the sender: 553 5.7.1 not owned by user")

    with office(sqlite, Told(act)) as desk:
        desk.add(*(f"m{number:02}" for number in range(40)))
        for _ in range(120):
            desk.work()
            desk.later(minutes=1)
        failed = [one.id for one in desk.rows(ended=True) if one.state == "failed"]
        assert len(failed) == deliver.REFUSED_IN_A_ROW - 1
        assert "553 5.7.1 not owned by user" in desk.deliverer.condition()

        refuses[0] = False
        with desk.engine.begin() as connection:
            assert [outbox.retry(connection, one, desk.now) for one in failed] == [1] * len(failed)
            with pytest.raises(outbox.NotWaiting, match="there is no mail 999"):
                outbox.retry(connection, 999, desk.now)
        for _ in range(5):
            desk.later(hours=5)
            desk.work()

        assert set(desk.states().values()) == {"sent"}
        assert desk.deliverer.condition() == ""
        with desk.engine.begin() as connection, pytest.raises(outbox.NotWaiting, match="it is sent"):
            outbox.retry(connection, failed[0], desk.now)


# --- one mail that is not taken ---------------------------------------------------------------------------------------


def test_a_greylisted_mail_waits_alone(sqlite, sink):
    sink.refuse("b@globex.example", "450 4.2.0 greylisted", "451 4.7.1 still")
    with office(sqlite, relay_to(sink.port)) as desk:
        desk.add("a", "b", "c")
        desk.work()
        assert names(sink) == ["a", "c"]
        desk.later(seconds=6)
        desk.work()
        (waiting,) = desk.rows()
        assert (waiting.attempts, waiting.last_error) == (2, "main refused b@globex.example: 451 4.7.1 still")
        assert timedelta(seconds=15) <= waiting.not_before - desk.now <= timedelta(seconds=16.5)
        desk.later(seconds=20)
        desk.work()

        assert names(sink) == ["a", "c", "b"]
        assert desk.deliverer.condition() == ""


def test_a_probe_that_meets_a_refusal_ends_the_pause(sqlite, sink):
    """The relay works: it is only this one's mail that it does not take."""
    with office(sqlite, relay_to(sink.port)) as desk:
        desk.add("a", "b")
        sink.greet("421 4.3.2 not now")
        desk.work()
        sink.refuse("a@globex.example", "450 4.2.2 mailbox full")
        desk.later(seconds=6)
        desk.work()

        assert names(sink) == ["b"]
        assert desk.states() == {"a": "waiting", "b": "sent"}


def test_waits_grow_from_seconds_to_hours():
    waits = [deliver.backoff(attempt).total_seconds() for attempt in range(1, 15)]

    assert 5 <= waits[0] <= 5.5
    assert all(later > 2 * earlier for earlier, later in itertools.pairwise(waits[:8]))
    assert all(4 * 3600 <= one <= 4.4 * 3600 for one in waits[9:])


def test_a_relay_that_takes_none_of_many_does_not_work(sqlite, sink):
    """As where it denies relaying, or its disk is full."""
    with office(sqlite, relay_to(sink.port)) as desk:
        people = [f"m{number}" for number in range(10)]
        for one in people:
            sink.refuse(f"{one}@globex.example", "554 5.7.1 relay access denied")
        desk.add(*people[:9])
        desk.work()
        assert desk.deliverer.condition() == ""
        desk.add(people[9])
        desk.work()
        words = desk.deliverer.condition()
        desk.add("z")
        desk.work()

        assert words.startswith("took none of the last 10 mails; to the last one: main refused m9@globex.example: 554")
        assert desk.deliverer.condition() == ""


def test_a_fault_of_ours_stops_nobody_else(sqlite):
    def act(recipient: str) -> None:
        if recipient.startswith("b@"):
            raise RuntimeError("a customer's words")

    with office(sqlite, Told(act)) as desk:
        desk.add("a", "b", "c")
        desk.work()

        assert desk.states() == {"a": "sent", "b": "waiting", "c": "sent"}
        assert desk.rows()[0].last_error == "a fault of ours (RuntimeError); the log has the details"


# --- leases -----------------------------------------------------------------------------------------------------------


def test_rows_whose_lease_ran_out_are_not_sent(sqlite):
    """Mutant caught: a lease that is not looked at again; another daemon may have sent them meanwhile."""
    transport = Told()
    with office(sqlite, transport) as desk:

        def sleep(recipient: str) -> None:
            if recipient.startswith("b@"):
                desk.deliverer._leased_at -= LEASE_SECONDS

        transport.act = sleep
        desk.add("a", "b", "c", "d")
        assert desk.deliverer.turn()

        assert transport.tried == ["a", "b"]
        assert [(one.recipient[0], one.attempts) for one in desk.rows()] == [("c", 0), ("d", 0)]
        desk.work()
        assert transport.tried == ["a", "b", "c", "d"]


def test_rows_stay_ours_while_the_relay_takes_its_time(sqlite):
    transport = Told()
    with office(sqlite, transport) as desk:

        def slow(recipient: str) -> None:
            deliverer = desk.deliverer
            deliverer.renew()
            if recipient.startswith("b@"):
                with desk.engine.begin() as connection:
                    table = outbox.outbox
                    values = {"lease_until": lease_clock(connection) + 1}
                    connection.execute(sa.update(table).where(table.c.state == "waiting").values(values))
                before = deliverer._leased_at = deliverer._leased_at - LEASE_SECONDS
                deliverer.renew()
                wait_for(lambda: deliverer._leased_at > before + LEASE_SECONDS / 2)
                with desk.engine.begin() as connection:
                    query = sa.select(table.c.lease_until - lease_clock(connection)).where(table.c.state == "waiting")
                    assert all(left > LEASE_SECONDS / 2 for left in connection.execute(query).scalars())

        transport.act = slow
        desk.add("a", "b", "c", "d")
        desk.deliverer.turn()

        assert set(desk.states().values()) == {"sent"}


def test_two_daemons_send_every_mail_once(postgresql, sink):
    """Mutant caught: a claim without a lease."""
    count = 3 * CLAIMED
    with ExitStack() as stack:
        desks = [stack.enter_context(office(postgresql, relay_to(sink.port))) for _ in range(2)]
        desks[0].add(*(f"m{number:02}" for number in range(count)))
        sink.delay(0.01)
        threads = [threading.Thread(target=desk.work) for desk in desks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert sorted(names(sink)) == [f"m{number:02}" for number in range(count)]
        assert set(desks[0].states().values()) == {"sent"}
        assert {one.attempts for one in desks[0].rows(ended=True)} == {1}


def test_a_daemon_that_stops_gives_back_what_it_has_not_tried(sqlite):
    transport = Told()
    with office(sqlite, transport) as desk:
        transport.act = lambda recipient: desk.deliverer.loop.stop()
        desk.add("a", "b", "c")
        desk.deliverer.turn()

        assert desk.states() == {"a": "sent", "b": "waiting", "c": "waiting"}
        assert [one.attempts for one in desk.rows()] == [0, 0]


# --- what is watched --------------------------------------------------------------------------------------------------


def test_the_longest_legal_mail_is_not_stuck(sqlite):
    with office(sqlite, Told()) as desk:
        assert desk.deliverer.loop.patience >= LONGEST_SEND + STUCK_SECONDS / 2


def test_a_relay_that_holds_a_mail_for_minutes_is_noticed(sqlite):
    transport = Told()
    with office(sqlite, transport) as desk:
        heard: list[str] = []

        def hold(recipient: str) -> None:
            heard.append(desk.deliverer.condition())
            desk.later(minutes=7)
            desk.deliverer._busy_since -= 7 * 60
            heard.append(desk.deliverer.condition())

        transport.act = hold
        desk.add("a")
        desk.work()

        assert heard == ["", "is too slow: the mail in hand was due 7 minutes ago"]
        assert desk.deliverer.condition() == ""


def test_mails_that_waited_for_the_daemon_are_no_fault_of_the_relay(sqlite):
    transport = Told()
    with office(sqlite, transport) as desk:
        heard: list[str] = []
        transport.act = lambda recipient: heard.append(desk.deliverer.condition())
        desk.add("a", "b")
        desk.later(hours=20)
        desk.work()

        assert heard == ["", ""]


def test_the_database_may_be_away_while_a_fate_is_written(sqlite):
    """Mutant caught: a mail that the relay took and whose mark is given up would be sent twice."""
    set_on_connect(sqlite, "busy_timeout=50")
    transport = Told()
    with office(sqlite, transport) as desk:
        other = sqlite3.connect(sqlite.url.database, isolation_level=None, check_same_thread=False)

        def until_it_was_noticed() -> None:
            wait_for(desk.writer.condition)
            other.execute("ROLLBACK")

        release = threading.Thread(target=until_it_was_noticed)

        def lock(recipient: str) -> None:
            other.execute("BEGIN IMMEDIATE")
            release.start()

        transport.act = lock
        desk.add("a")
        desk.work()
        release.join()
        other.close()

        assert desk.states() == {"a": "sent"}
        assert transport.tried == ["a"]


@pytest.mark.parametrize("problem", [RelayDown("main is away"), TemporaryFailure("450 later")])
def test_whatever_fails_is_tried_until_it_expires_and_no_longer(sqlite, problem):
    transport = Told(raising(problem))
    with office(sqlite, transport) as desk:
        desk.add("a", expires_at=NOW + timedelta(hours=3))
        for _ in range(200):
            desk.work()
            desk.later(minutes=1)
        ended = desk.rows(ended=True)
        tried = len(transport.tried)
        desk.later(days=1)
        desk.work()

        assert [(one.state, one.last_error) for one in ended] == [("expired", str(problem))]
        assert len(transport.tried) == tried > 5
