"""The one writer of a daemon: jobs from all threads, done in groups, one transaction a group.

A job is a function of a connection; it runs in a savepoint of its own, so that a failing job undoes itself alone. Its
future is set only after the commit, so whoever waits for it knows that the rows are durable. Urgent jobs (keeping a mail
that a client waits for) go first and in groups of their own.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from helpdesk.domain.errors import TemporaryFailure
from helpdesk.store import damage, wakes
from helpdesk.store.engine import is_fault_of_database, prove_writable, words_of
from helpdesk.store.prepared import Prepared

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A group ends after so many jobs or so much time, in seconds, so that urgent jobs never wait long.
GROUP_JOBS = 50
GROUP_SECONDS = 0.1
#: A transaction that takes longer than this is stuck, in seconds; waiting for another process's lock takes less.
STUCK_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    work: Callable[[sa.Connection], T]
    future: Future[T]
    submitted: float

    def fail(self, problem: Exception) -> None:
        """Tell the waiter that the database did not take it."""
        if not self.future.done():
            self.future.set_exception(TemporaryFailure(f"the database did not take it ({type(problem).__name__})"))


@dataclass(frozen=True, slots=True)
class _Fault:
    """Why a group was undone, and the job that it happened in, if it was one."""

    problem: Exception
    job: _Job[Any] | None


class Writer:
    """A thread that owns the writing connection; start it once per daemon.

    ``committed`` is told after each commit what the group left to do (``wakes``).
    """

    def __init__(self, engine: sa.Engine, committed: Callable[[frozenset[str]], None] = lambda _: None) -> None:
        self._engine, self._committed = engine, committed
        self._urgent: deque[_Job[Any]] = deque()
        self._others: deque[_Job[Any]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._began: float | None = None
        self._fault = ""
        self._hurried = False
        self._connection: sa.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Do what is queued, then end."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def submit(self, work: Callable[[sa.Connection], T], *, urgent: bool = False) -> Future[T]:
        """Queue a job; its future holds the result once that is durable, or why it is not."""
        job = _Job(work, Future(), monotonic())
        job.future.set_running_or_notify_cancel()  # whoever loses interest cancels nothing
        with self._wake:
            if self._stopping:
                job.future.set_exception(TemporaryFailure("the daemon is stopping"))
                return job.future
            (self._urgent if urgent else self._others).append(job)
            self._wake.notify()
        return job.future

    def run(self, work: Callable[[sa.Connection], T], *, urgent: bool = False) -> T:
        """``submit`` and wait; raises what the job raised, or TemporaryFailure when the commit failed."""
        return self.submit(work, urgent=urgent).result()

    def condition(self) -> str:
        """What is wrong, in words; "" while all is well. Never waits."""
        if self._thread.ident is None or self._stopping:
            return ""
        if not self._thread.is_alive():
            return "its thread has ended"
        seconds = self._at_work()
        if seconds > STUCK_SECONDS:
            waiting = len(self._urgent) + len(self._others)
            return f"has been at one transaction for {seconds:.0f} seconds, {waiting} more wait"
        return self._fault

    def lost(self) -> bool:
        """True where only a restart helps: the thread has ended, or is stuck in a transaction."""
        if self._thread.ident is None or self._stopping:
            return False
        return not self._thread.is_alive() or self._at_work() > STUCK_SECONDS

    def _at_work(self) -> float:
        began = self._began
        return 0.0 if began is None else monotonic() - began

    def _run(self) -> None:
        while self._wait():
            self._began = monotonic()
            self._do_group()
            if not self._urgent and not self._others:
                self._hang_up()
            self._began = None

    def _wait(self) -> bool:
        """Wait for a job; False once there is none left and none will come."""
        with self._wake:
            while not self._urgent and not self._others:
                if self._stopping:
                    return False
                self._wake.wait()
            return True

    def _group(self, started: list[_Job[Any]]) -> Iterator[_Job[Any]]:
        """The next jobs: whoever waits in a hurry joins a group that is under way, and then it is committed."""
        until = monotonic() + GROUP_SECONDS
        hurry, fair = False, self._hurried
        self._hurried = False
        while len(started) < GROUP_JOBS and monotonic() < until:
            if self._urgent and not (fair and self._others):
                job, hurry = self._urgent.popleft(), True
            elif self._others and not hurry:
                job, fair = self._others.popleft(), False
            else:
                # After a group without any of the others, one of them goes first: no hurry may starve them.
                self._hurried = hurry
                return
            started.append(job)
            yield job

    def _do_group(self) -> None:
        started: list[_Job[Any]] = []
        began = monotonic()
        fault = self._commit(self._group(started))
        if fault is None:
            return
        if not started:
            # No transaction could even begin: whoever waited all the while has waited long enough (F10).
            started = [job for queue in (self._urgent, self._others) for job in _waited(queue, began)]
        if fault.job is not None and len(started) > 1:
            # It may have a fault of its own: the others once more without it, and it alone.
            self._commit_without(fault.job, started)
            return
        for job in started:
            job.fail(fault.problem)

    def _commit_without(self, culprit: _Job[Any], jobs: Sequence[_Job[Any]]) -> None:
        others = [job for job in jobs if job is not culprit and not job.future.done()]
        for several in (others, [culprit]):
            fault = self._commit(iter(several)) if several else None
            if fault is not None:
                for job in several:
                    job.fail(fault.problem)

    def _commit(self, jobs: Iterator[_Job[Any]]) -> _Fault | None:
        """One transaction for these jobs, each in a savepoint; their waiters are told. None, or why nothing was written."""
        done: list[tuple[_Job[Any], Any]] = []
        job: _Job[Any] | None = None
        try:
            if words := damage.noted(self._engine):
                raise TemporaryFailure(f"it is damaged ({words})")
            connection = self._connected()
            with connection.begin():
                wakes.take(connection)  # what an undone transaction noted
                for job in jobs:
                    if (result := _try(job, connection)) is not _FAILED:
                        done.append((job, result))
                job = None
                left = wakes.take(connection)
                if self._fault:
                    prove_writable(connection)  # else an idle turn would end an alarm too soon
        except Exception as problem:  # noqa: BLE001 (the group failed as a whole: nobody's rows are there)
            self._hang_up()
            self._failed(len(done) + 1, problem)
            lost = isinstance(problem, sa.exc.DBAPIError) and problem.connection_invalidated
            return _Fault(problem, None if lost else job)
        self._fault = ""
        for job, result in done:
            job.future.set_result(result)
        if left:
            self._committed(left)
        return None

    def _connected(self) -> sa.Connection:
        if self._connection is None:
            self._connection = self._engine.connect()
        return self._connection

    def _hang_up(self) -> None:
        """After a fault or a rest the next group begins with a connection that the pool has looked at."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.close()

    def _failed(self, writes: int, problem: Exception) -> None:
        """Log it, once while it stays the same."""
        words = f"the database takes nothing: {words_of(problem, self._engine)}"
        if words != self._fault:
            log.warning("a group of %d writes was undone: %s", writes, words)
        self._fault = words


def _waited(queue: deque[_Job[Any]], since: float) -> Iterator[_Job[Any]]:
    """Take the jobs out that were there by then."""
    while queue and queue[0].submitted <= since:
        yield queue.popleft()


_FAILED = object()
_SAVEPOINT = Prepared(sa.text("SAVEPOINT job"))
_RELEASE = Prepared(sa.text("RELEASE SAVEPOINT job"))
_ROLLBACK = Prepared(sa.text("ROLLBACK TO SAVEPOINT job"))


def _try(job: _Job[Any], connection: sa.Connection) -> Any:
    """Run one job in its savepoint; a fault of the database itself ends the whole group."""
    if job.future.done():
        return _FAILED
    _SAVEPOINT.run(connection)
    try:
        result = job.work(connection)
    except Exception as problem:
        if is_fault_of_database(problem):
            raise
        _ROLLBACK.run(connection)
        job.future.set_exception(problem)
        return _FAILED
    _RELEASE.run(connection)
    return result
