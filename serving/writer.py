"""The writer: one thread that puts what came in since the last commit on the disk together.

One commit costs the same for one row as for a hundred. While one is under way the next works gather, so a server that
is idle commits at once, and a busy one commits more at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

import sqlalchemy as sa

from serving import metrics
from serving.database import Database, StoreUnavailable

MOST_AT_ONCE = 256
REST_SECONDS = (
    0.25  # after a failure, so that those who wait are told at once and the store is left to recover
)

Batch = TypeVar("Batch", bound="Flushed")


class Flushed(Protocol):
    """A batch writes what its works have gathered when the last is done."""

    def flush(self) -> None: ...


Work = Callable[[Batch], Any]


class Writer(Generic[Batch]):
    """Does works, each with the batch of its transaction, and answers each once the commit is on the disk.

    A work raises, before it adds anything to the batch, where it cannot be done: that is its own answer. Where the
    transaction fails, every work of it is answered StoreUnavailable and nothing of it is kept.
    """

    def __init__(
        self,
        *,
        database: Database,
        batch: Callable[[sa.Connection, Sequence[Any]], Batch],
    ) -> None:
        self._database, self._batch = database, batch
        self._waiting: SimpleQueue[tuple[Work[Batch], Future[Any]] | None] = SimpleQueue()
        self._rests_until = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="quote writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Batch]) -> Future[Any]:
        """Have a work done. A work whose future was cancelled by then is left out."""
        future: Future[Any] = Future()
        if self._closed:
            future.set_exception(StoreUnavailable("The quote store is closed."))
        else:
            self._waiting.put((work, future))
        return future

    @property
    def waiting(self) -> int:
        """How many works wait for the next commit."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Do what waits, then stop."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            gathered, going = self._gather()
            asked = [each for each in gathered if each[1].set_running_or_notify_cancel()]
            if asked:
                self._do(asked)

    def _gather(self) -> tuple[list[tuple[Work[Batch], Future[Any]]], bool]:
        """What waits, and whether there is to be more."""
        gathered, next_one = [], self._waiting.get()
        while next_one is not None:
            gathered.append(next_one)
            if len(gathered) == MOST_AT_ONCE:
                return gathered, True
            try:
                next_one = self._waiting.get_nowait()
            except Empty:
                return gathered, True
        return gathered, False

    def _do(self, asked: list[tuple[Work[Batch], Future[Any]]]) -> None:
        if time.monotonic() < self._rests_until:
            _answer(asked, [StoreUnavailable("The quote store failed a moment ago.")] * len(asked))
            return
        began = time.perf_counter()
        try:
            with self._database.writing() as connection:
                batch = self._batch(connection, [work for work, _ in asked])
                found = [_tried(work, batch) for work, _ in asked]
                batch.flush()
        except Exception as error:
            if len(asked) > 1 and isinstance(error.__cause__, sa.exc.IntegrityError | sa.exc.DataError):
                # One of them breaks a rule of the tables: the others are not to suffer for it.
                for one in asked:
                    self._do([one])
                return
            if not isinstance(error.__cause__, sa.exc.IntegrityError | sa.exc.DataError):
                self._rests_until = time.monotonic() + REST_SECONDS
            found = [error] * len(asked)
        else:
            metrics.committed(len(asked), time.perf_counter() - began)
        metrics.waiting(self.waiting)
        _answer(asked, found)


def _tried(work: Work[Any], batch: Any) -> Any:
    try:
        return work(batch)
    except (StoreUnavailable, sa.exc.SQLAlchemyError):
        raise
    except Exception as refused:
        return refused


def _answer(asked: Sequence[tuple[Any, Future[Any]]], found: Sequence[Any]) -> None:
    for (_, future), outcome in zip(asked, found, strict=True):
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
