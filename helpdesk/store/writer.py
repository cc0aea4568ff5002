"""The one writer of a daemon: jobs from all threads, done in groups, one transaction a group.

A job is a function of a connection; it runs in a savepoint of its own, so that a failing job undoes itself alone. Its
future is set only after the commit, so whoever waits for it knows that the rows are durable. Urgent jobs (keeping a mail
that a client waits for) go first and in groups of their own.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from helpdesk.domain.errors import TemporaryFailure

log = logging.getLogger(__name__)
T = TypeVar("T")

#: A group ends after so many jobs or so much time, in seconds, so that urgent jobs never wait long.
GROUP_JOBS = 50
GROUP_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class _Job(Generic[T]):
    work: Callable[[sa.Connection], T]
    future: Future[T]


class Writer:
    """A thread that owns the writing connection; start it once per daemon."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._urgent: deque[_Job[Any]] = deque()
        self._others: deque[_Job[Any]] = deque()
        self._wake = threading.Condition()
        self._stopping = False
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
        job = _Job(work, Future())
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

    def _run(self) -> None:
        while queue := self._next_queue():
            self._do_group(queue)

    def _next_queue(self) -> deque[_Job[Any]] | None:
        with self._wake:
            while not self._urgent and not self._others:
                if self._stopping:
                    return None
                self._wake.wait()
            return self._urgent or self._others

    def _do_group(self, queue: deque[_Job[Any]]) -> None:
        done: list[tuple[_Job[Any], Any]] = []
        started: list[_Job[Any]] = []
        try:
            with self._engine.begin() as connection:
                until = monotonic() + GROUP_SECONDS
                while queue and len(started) < GROUP_JOBS and monotonic() < until:
                    if queue is self._others and self._urgent and started:
                        break
                    job = queue.popleft()
                    started.append(job)
                    if (result := _try(job, connection)) is not _FAILED:
                        done.append((job, result))
        except Exception as problem:  # noqa: BLE001 (the group failed as a whole: nobody's rows are there)
            log.warning("a group of %d writes was undone: %s", len(started), type(problem).__name__)
            if not started and queue:
                # No transaction could even begin: the first waiter must hear of it, or it would wait for ever.
                started.append(queue.popleft())
            for job in started:
                if not job.future.done():
                    job.future.set_exception(
                        TemporaryFailure(f"the database did not take it ({type(problem).__name__})")
                    )
            return
        for job, result in done:
            job.future.set_result(result)


_FAILED = object()


def _try(job: _Job[Any], connection: sa.Connection) -> Any:
    """Run one job in its savepoint; a fault of the database itself ends the whole group."""
    savepoint = connection.begin_nested()
    try:
        result = job.work(connection)
        savepoint.commit()
    except sa.exc.OperationalError:
        raise
    except Exception as problem:  # noqa: BLE001 (handed to the waiter)
        savepoint.rollback()
        job.future.set_exception(problem)
        return _FAILED
    return result
