from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.store.engine import connect
from helpdesk.store.tables import counter, raw
from helpdesk.store.writer import GROUP_JOBS, Writer


@pytest.fixture
def writer(engine):
    made = Writer(engine)
    made.start()
    yield made
    made.stop()


@contextmanager
def busy(writer):
    """While the writer is held up in a job, what is submitted waits behind it."""
    inside, go_on = threading.Event(), threading.Event()

    def wait(_connection):
        inside.set()
        assert go_on.wait(10)

    held = writer.submit(wait)
    assert inside.wait(10)
    try:
        yield
    finally:
        go_on.set()
        held.exception(10)


def put(name):
    def work(connection):
        return connection.execute(sa.insert(counter).values(name=name, value=1).returning(counter.c.value)).scalar_one()

    return work


def names(engine):
    with engine.connect() as connection:
        return set(connection.execute(sa.select(counter.c.name)).scalars())


def test_a_result_is_durable(writer, engine):
    assert writer.run(put("one")) == 1

    assert names(engine) == {"one"}


def test_what_waits_together_is_committed_together(writer, engine):
    commits = []
    sa.event.listen(engine, "commit", commits.append)
    with busy(writer):
        futures = [writer.submit(put(str(number))) for number in range(GROUP_JOBS - 1)]

    for future in futures:
        future.result(10)

    assert len(names(engine)) == GROUP_JOBS - 1
    assert len(commits) <= 3


def test_a_failing_job_undoes_itself_alone(writer, engine):
    def fail(connection):
        put("half done")(connection)
        raise ValueError("no")

    with busy(writer):
        before, failing, after = writer.submit(put("before")), writer.submit(fail), writer.submit(put("after"))

    with pytest.raises(ValueError, match="no"):
        failing.result(10)
    assert before.result(10) == after.result(10) == 1
    assert names(engine) == {"before", "after"}


def test_a_broken_constraint_undoes_its_job_alone(writer, engine):
    with busy(writer):
        first, again, other = (writer.submit(put(name)) for name in ("same", "same", "other"))

    with pytest.raises(sa.exc.IntegrityError):
        again.result(10)
    assert first.result(10) == other.result(10) == 1
    assert names(engine) == {"same", "other"}


def test_urgent_jobs_go_first(writer):
    done: list[str] = []
    with busy(writer):
        futures = [writer.submit(lambda _, name=name: done.append(name)) for name in ("a", "b")]
        futures.append(writer.submit(lambda _: done.append("urgent"), urgent=True))
    for future in futures:
        future.result(10)

    assert done == ["urgent", "a", "b"]


def test_stopping_does_what_is_queued_and_takes_no_more(engine):
    writer = Writer(engine)
    writer.start()
    with busy(writer):
        queued = [writer.submit(put(str(number))) for number in range(3)]
    writer.stop()

    assert [future.result(0) for future in queued] == [1, 1, 1]
    with pytest.raises(TemporaryFailure, match="stopping"):
        writer.run(put("too late"))
    assert names(engine) == {"0", "1", "2"}


def fill(connection):
    connection.execute(sa.insert(raw).values(hash="x" * 64, data=b"\x01" * 1_000_000))


def test_a_full_disk_reaches_whoever_has_no_room_and_ends_by_itself(sqlite):
    """SQLite says "database or disk is full" just as on a full disk; what fits is written without its big neighbour."""
    url = sqlite.url
    engine = connect(url.render_as_string())
    limit = [0]

    @sa.event.listens_for(engine, "begin")
    def full(connection):
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + limit[0]}")

    writer = Writer(engine)
    writer.start()
    with busy(writer):
        futures = [writer.submit(put("small")), writer.submit(fill), writer.submit(put("behind"))]

    with pytest.raises(TemporaryFailure, match="did not take it"):
        futures[1].result(10)
    assert (futures[0].result(10), futures[2].result(10)) == (1, 1)
    assert names(sqlite) == {"small", "behind"}
    limit[0] = 1_000_000
    assert writer.run(put("again")) == 1
    writer.run(fill)
    writer.stop()
    engine.dispose()


def test_a_lost_connection_reaches_everybody_who_waits_and_ends_by_itself(postgresql):
    writer = Writer(postgresql)
    writer.start()

    def cut(connection):
        connection.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")

    with busy(writer):
        futures = [writer.submit(put("lost")), writer.submit(cut)]

    for future in futures:
        with pytest.raises(TemporaryFailure, match="did not take it"):
            future.result(10)
    assert writer.run(put("again")) == 1
    assert names(postgresql) == {"again"}
    writer.stop()


def test_where_not_even_a_transaction_begins_nobody_waits_for_ever(tmp_path, sqlite):
    engine = connect(sqlite.url.render_as_string())
    broken = [True]

    @sa.event.listens_for(engine, "begin")
    def refuse(connection):
        if broken[0]:
            raise sa.exc.OperationalError("BEGIN", {}, Exception("database is locked"))

    writer = Writer(engine)
    writer.start()
    futures = [writer.submit(put(str(number))) for number in range(3)]
    for future in futures:
        with pytest.raises(TemporaryFailure):
            future.result(10)
    broken[0] = False
    assert writer.run(put("again")) == 1
    writer.stop()
    engine.dispose()


def test_whoever_waits_through_an_attempt_to_begin_hears_of_its_end(sqlite):
    """Mutant: one of many clients gets its answer for each half minute that the database is locked."""
    engine = connect(sqlite.url.render_as_string())
    tried, all_there = threading.Event(), threading.Event()
    attempts = []

    @sa.event.listens_for(engine, "begin")
    def refuse(connection):
        attempts.append(1)
        tried.set()
        all_there.wait(10)
        raise sa.exc.OperationalError("BEGIN", {}, Exception("database is locked"))

    writer = Writer(engine)
    early = [writer.submit(put(str(number)), urgent=number % 2 == 0) for number in range(8)]
    writer.start()
    tried.wait(10)
    late = writer.submit(put("late"))
    all_there.set()
    for future in early:
        with pytest.raises(TemporaryFailure):
            future.result(10)
    with pytest.raises(TemporaryFailure):
        late.result(10)
    assert len(attempts) == 2, "whoever came during the first attempt had one of his own"
    writer.stop()
    engine.dispose()
