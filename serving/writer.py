"""The writer: one thread that puts what came in since the last commit on the disk together.

One commit costs the same for one row as for a hundred. While one is under way the next works gather, so a server that
is idle commits at once, and a busy one commits more at a time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
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
Answer = Future[Any] | asyncio.Future[Any]


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
        self._waiting: SimpleQueue[tuple[Work[Batch], Answer] | None] = SimpleQueue()
        self._rests_until = 0.0
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="quote writer", daemon=True)
        self._thread.start()

    def submit(self, work: Work[Batch], answer: Answer) -> None:
        """Have a work done. One whose answer was cancelled by then is left out."""
        if self._closed:
            answer.set_exception(StoreUnavailable("The quote store is closed."))
        else:
            self._waiting.put((work, answer))

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
            asked = [(work, answer) for work, answer in gathered if _is_wanted(answer)]
            if asked:
                self._do(asked)

    def _gather(self) -> tuple[list[tuple[Work[Batch], Answer]], bool]:
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

    def _do(self, asked: list[tuple[Work[Batch], Answer]]) -> None:
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


def _is_wanted(answer: Answer) -> bool:
    if isinstance(answer, Future):
        return answer.set_running_or_notify_cancel()
    return not answer.cancelled()


def _answer(asked: Sequence[tuple[Any, Answer]], found: Sequence[Any]) -> None:
    """Tell the outcomes; those who wait in a loop are told together, for to wake it takes as long as a small work."""
    together: dict[asyncio.AbstractEventLoop, list[tuple[Answer, Any]]] = defaultdict(list)
    for (_, answer), outcome in zip(asked, found, strict=True):
        if isinstance(answer, Future):
            _settle([(answer, outcome)])
        else:
            together[answer.get_loop()].append((answer, outcome))
    for loop, told in together.items():
        with suppress(RuntimeError):  # it was closed: nobody waits there any more
            loop.call_soon_threadsafe(_settle, told)


def _settle(told: Iterable[tuple[Answer, Any]]) -> None:
    for answer, outcome in told:
        if answer.done():
            continue  # whoever asked did not wait
        if isinstance(outcome, BaseException):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
