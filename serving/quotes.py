"""The quotes that were given and what happened to them: an append-only store with idempotency and expiry.

A quote is a promise: it is on the disk before the customer reads it, and it is never changed afterwards. Whatever
happens to it is one more event, which all processes write one after the other, each held against those before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from serving import batch
from serving.batch import Batch
from serving.database import Database
from serving.life import Event, Kind, Life, WrongStatus
from serving.promise import CapReached, Key, Known, OtherUnit, Quote, QuoteUnknown, UnitTaken
from serving.tables import EVENTS, QUOTES
from serving.writer import Writer

EXPIRED_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class Issue:
    """The work of giving a quote, unless its key stands for one already; comes back with the reply's bytes.

    Raises KeyReused, UnitTaken, CapReached where more than `cap_minor` would be promised, and ClockWentBack.
    """

    quote: Quote
    key: Key
    cap_minor: int
    unit: str | None = None

    def __call__(self, into: Batch) -> bytes:
        """Do it in a transaction."""
        if (earlier := into.answered(self.key)) is not None:
            return earlier
        into.check_clock(self.quote.quoted_at)
        _check_unit(into, self.unit, self.quote.quoted_at)
        exposed = into.exposed(self.quote.exposure)
        if self.quote.decision == "OFFER" and exposed + self.quote.offer_minor > self.cap_minor:
            raise CapReached(exposed)
        # Only an offer is held for its unit: of other answers there may be any number.
        into.issue(self.quote, key=self.key, unit=self.unit if self.quote.decision == "OFFER" else None)
        return self.quote.reply


Change = Callable[[Known], tuple[Life, bytes]]


@dataclass(frozen=True, kw_only=True)
class Step:
    """The work of letting something happen to a quote: `change` gives its life afterwards, and the reply's bytes.

    Raises KeyReused, QuoteUnknown, UnitTaken, OtherUnit, ClockWentBack and what `change` raises: WrongStatus.
    """

    quote_id: str
    change: Change
    key: Key
    at: datetime
    unit: str | None = None

    @property
    def quote_ids(self) -> tuple[str]:
        """Whose life it needs."""
        return (self.quote_id,)

    def __call__(self, into: Batch) -> bytes:
        """Do it in a transaction."""
        if (earlier := into.answered(self.key)) is not None:
            return earlier
        known = into.known(self.quote_id)
        if known is None:
            raise QuoteUnknown("There is no quote with this id.")
        into.check_clock(self.at)
        if self.unit and known.unit not in (None, self.unit):
            raise OtherUnit("The quote was given for another device.")
        _check_unit(into, self.unit, self.at, but=self.quote_id)
        life, reply = self.change(known)
        into.happen(known, life.events[len(known.life.events) :], key=self.key, unit=self.unit, reply=reply)
        return reply


@dataclass(frozen=True, kw_only=True)
class Expiry:
    """The work of writing down which quotes have expired; comes back with how many had not been accepted meanwhile."""

    quote_ids: Sequence[str]
    at: datetime

    def __call__(self, into: Batch) -> int:
        """Do it in a transaction."""
        written = 0
        for quote_id in self.quote_ids:
            known = into.known(quote_id)
            event = Event(kind=Kind.EXPIRED, at=self.at, amount_minor=0)
            try:
                life = known and known.life.then(event)
            except WrongStatus:
                continue
            if known and life:
                into.happen(known, life.events[-1:])
                written += 1
        return written


def _check_unit(into: Batch, unit: str | None, at: datetime, but: str = "") -> None:
    for known in into.of_unit(unit) if unit else ():
        if known.quote.quote_id != but and known.life.offered and not known.life.status(at=at).over:
            raise UnitTaken("Another quote for the same device is still open.")


class Quotes:
    """The store. What it reads may wait for the disk: call it in a thread; what it writes comes as a future.

    All raise StoreUnavailable where the database fails, or does not answer in time.
    """

    def __init__(self, *, database: Database) -> None:
        self.database = database
        self._writer = Writer(database=database, batch=Batch)

    def close(self) -> None:
        """Write what waits, and give the database back."""
        self._writer.close()
        self.database.close()

    @property
    def waiting(self) -> int:
        """How many works wait for the next commit."""
        return self._writer.waiting

    def write(self, work: Issue | Step | Expiry) -> Future[Any]:
        """Have a work done; the future is done once the work is on the disk."""
        future: Future[Any] = Future()
        self._writer.submit(work, future)
        return future

    def written(self, work: Issue | Step) -> asyncio.Future[Any]:
        """The same for who waits in a running loop."""
        future = asyncio.get_running_loop().create_future()
        self._writer.submit(work, future)
        return future

    def answered(self, *, key: Key) -> bytes | None:
        """What was answered to this key, None for a new one; KeyReused if its request was another."""
        with self.database.reading() as connection:
            return batch.answered(connection, key)

    def find(self, *, quote_id: str) -> Known | None:
        """The quote with this id and what happened to it, None where there is none."""
        with self.database.reading() as connection:
            return batch.known(connection, [quote_id]).get(quote_id)

    def expired(self, *, after: datetime, at: datetime) -> list[str]:
        """Offers that expired after an instant, up to another, and of which nothing says so yet; some at a time."""
        later = sa.select(EVENTS.c.seq).where(EVENTS.c.quote_id == QUOTES.c.quote_id, EVENTS.c.number > 0)
        asked = (
            sa.select(QUOTES.c.quote_id)
            .where(QUOTES.c.decision == "OFFER", QUOTES.c.expires_at > after, QUOTES.c.expires_at <= at)
            .where(~later.exists())
            .limit(EXPIRED_AT_ONCE)
        )
        with self.database.reading() as connection:
            return list(connection.scalars(asked))
