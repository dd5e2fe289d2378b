"""A batch: what is read for, and written by, one transaction of the quote store."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from serving import chain
from serving.life import CLOCK_TOLERANCE, Event, Kind, Life
from serving.promise import Key, Known, Quote
from serving.tables import EVENTS, EXPOSURES, QUOTES

_ANSWERS = sa.select(  # the reply to ISSUED is the quote's own
    EVENTS.c.key_digest,
    EVENTS.c.request_digest,
    sa.case((EVENTS.c.kind == Kind.ISSUED, QUOTES.c.reply), else_=EVENTS.c.reply).label("reply"),
).join(QUOTES, QUOTES.c.quote_id == EVENTS.c.quote_id)
_LAST = sa.select(EVENTS.c.seq, EVENTS.c.hash, EVENTS.c.at).order_by(EVENTS.c.seq.desc()).limit(1)

OVER = (Kind.EXPIRED.value, Kind.PAID.value, Kind.VOIDED.value)
_LATER = EVENTS.alias()
_OPEN = (
    sa.select(EVENTS.c.quote_id)
    .join(QUOTES, QUOTES.c.quote_id == EVENTS.c.quote_id)
    .where(
        QUOTES.c.decision == "OFFER",
        ~sa.exists().where(_LATER.c.quote_id == EVENTS.c.quote_id, _LATER.c.kind.in_(OVER)),
    )
)


class ClockWentBack(RuntimeError):  # noqa: N818 - said as it is
    """The clock stands before something that was written already: what expires when cannot be told."""


class Batch:
    """What some works read and write together. What they have added is seen by those after them; see Writer.

    What a work is about, its `key`, `quote` or `quote_ids`, is read for all of them at once: the number of statements
    does not grow with that of the works.
    """

    def __init__(self, connection: sa.Connection, works: Sequence[Any]) -> None:
        self._connection = connection
        last = connection.execute(_LAST).one_or_none()
        self._seq: int = last.seq if last else 0
        self._hash: str = last.hash if last else chain.START
        self._last_at: datetime | None = last and last.at
        keys = [work.key.digest for work in works if hasattr(work, "key")]
        self._answers = _answers(connection, keys)
        asked_for = {one for work in works for one in getattr(work, "quote_ids", ())}
        self._known: dict[str, Known | None] = {**dict.fromkeys(asked_for), **known(connection, asked_for)}
        self._models = {work.quote.exposure for work in works if hasattr(work, "quote")}
        self._models |= {found.quote.exposure for found in self._known.values() if found}
        self._exposed: dict[str, int] | None = None
        self._changed: set[str] = set()
        self._quotes: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []

    def check_clock(self, at: datetime) -> None:
        """Raise ClockWentBack where an instant lies well before the last event."""
        if self._last_at is not None and at < self._last_at - CLOCK_TOLERANCE:
            raise ClockWentBack(f"It is {at}, and something was written at {self._last_at}.")

    def answered(self, key: Key) -> bytes | None:
        """What was answered to a key, None for a new one; KeyReused if its request was another."""
        found = self._answers.get(key.digest)
        if found is None:
            return None
        key.require(found[0])
        return found[1]

    def known(self, quote_id: str) -> Known | None:
        """A quote and what happened to it so far."""
        if quote_id not in self._known:
            self._known[quote_id] = known(self._connection, [quote_id]).get(quote_id)
        return self._known[quote_id]

    def of_unit(self, unit: str) -> list[Known]:
        """The offers for a unit that have not come to their end: of others there may be any number."""
        kept = self._connection.scalars(_OPEN.where(EVENTS.c.unit_digest == unit))
        fresh = [event["quote_id"] for event in self._events if event["unit_digest"] == unit]
        return [found for one in dict.fromkeys([*kept, *fresh]) if (found := self.known(one))]

    def exposed(self, exposure: str) -> int:
        """What may still have to be paid for a model in a market, in minor units."""
        return self._exposures().get(exposure, 0)

    def issue(self, quote: Quote, *, key: Key, unit: str | None) -> None:
        """Add a quote."""
        life = quote.issued()
        self._quotes.append(row := vars(quote))
        self._known[quote.quote_id] = Known(quote=quote, life=life, unit=unit)
        self._write(quote.quote_id, 0, life.events[0], key=key, unit=unit, quote=row)
        self._answers[key.digest] = (key.request_digest, quote.reply)
        self._expose(quote, exposed(quote, life))

    def happen(
        self,
        before: Known,
        events: Sequence[Event],
        *,
        key: Key | None = None,
        unit: str | None = None,
        reply: bytes = b"",
    ) -> None:
        """Add events to a quote; the reply and its key go with the last of them."""
        quote, life = before.quote, before.life
        for event in events:
            last = event is events[-1]
            self._write(
                quote.quote_id,
                len(life.events),
                event,
                key=key if last else None,
                unit=unit if last else None,
                reply=reply if last else b"",
            )
            life = life.then(event)
        self._known[quote.quote_id] = Known(quote=quote, life=life, unit=unit or before.unit)
        if key:
            self._answers[key.digest] = (key.request_digest, reply)
        self._expose(quote, exposed(quote, life) - exposed(quote, before.life))

    def flush(self) -> None:
        """Write what was added."""
        if self._quotes:
            self._connection.execute(QUOTES.insert(), self._quotes)
        if self._events:
            self._connection.execute(EVENTS.insert(), self._events)
        if self._changed:
            noted = self._exposures()
            rows = [{"exposure": name, "exposed_minor": noted[name]} for name in sorted(self._changed)]
            self._connection.execute(_upsert(self._connection.dialect.name), rows)

    def _write(
        self,
        quote_id: str,
        number: int,
        event: Event,
        *,
        key: Key | None,
        unit: str | None,
        quote: dict[str, Any] | None = None,
        reply: bytes = b"",
    ) -> None:
        self._seq += 1
        row = {
            "seq": self._seq,
            "quote_id": quote_id,
            "number": number,
            "kind": event.kind.value,
            "at": event.at,
            "amount_minor": event.amount_minor,
            "details": json.dumps(event.details, sort_keys=True).encode(),
            "unit_digest": unit,
            "key_digest": key and key.digest,
            "request_digest": key and key.request_digest,
            "reply": reply,
        }
        self._hash = chain.link(previous=self._hash, event=row, quote=quote)
        self._events.append(row | {"hash": self._hash})
        self._last_at = max(event.at, self._last_at or event.at)

    def _exposures(self) -> dict[str, int]:
        if self._exposed is None:
            asked = sa.select(EXPOSURES).where(EXPOSURES.c.exposure.in_(self._models))
            self._exposed = {row.exposure: row.exposed_minor for row in self._connection.execute(asked)}
        return self._exposed

    def _expose(self, quote: Quote, more: int) -> None:
        if not more or not quote.exposure:
            return
        noted = self._exposures()
        if quote.exposure not in noted and quote.exposure not in self._models:
            asked = sa.select(EXPOSURES.c.exposed_minor).where(EXPOSURES.c.exposure == quote.exposure)
            noted[quote.exposure] = self._connection.scalar(asked) or 0
        noted[quote.exposure] = noted.get(quote.exposure, 0) + more
        self._changed.add(quote.exposure)


def exposed(quote: Quote, life: Life) -> int:
    """What one has to expect to pay for a quote yet, in minor units."""
    return {"NOTHING": 0, "EXPECTED": quote.expected_minor, "WHOLE": quote.offer_minor}[life.exposed_share]


def _upsert(dialect: str) -> Any:
    insert = (sqlite if dialect == "sqlite" else postgresql).insert(EXPOSURES)
    return insert.on_conflict_do_update(
        index_elements=["exposure"], set_={"exposed_minor": insert.excluded.exposed_minor}
    )


def _answers(connection: sa.Connection, digests: Sequence[str]) -> dict[str, tuple[str, bytes]]:
    """What was asked and answered under some keys: {digest: (digest of the request, reply)}."""
    found = connection.execute(_ANSWERS.where(EVENTS.c.key_digest.in_(digests))) if digests else ()
    return {row.key_digest: (row.request_digest, bytes(row.reply)) for row in found}


def answered(connection: sa.Connection, key: Key) -> bytes | None:
    """What was answered to a key, None for a new one; KeyReused if its request was another."""
    found = _answers(connection, [key.digest]).get(key.digest)
    if found is None:
        return None
    key.require(found[0])
    return found[1]


def known(connection: sa.Connection, quote_ids: Collection[str]) -> dict[str, Known]:
    """The quotes with these ids and what happened to them, by id."""
    if not quote_ids:
        return {}
    kept = connection.execute(QUOTES.select().where(QUOTES.c.quote_id.in_(quote_ids))).mappings()
    quotes = {row["quote_id"]: Quote(**row) for row in kept}
    lives = {quote_id: quote.issued() for quote_id, quote in quotes.items()}
    units: dict[str, str | None] = dict.fromkeys(quotes)
    happened = EVENTS.select().where(EVENTS.c.quote_id.in_(quote_ids)).order_by(EVENTS.c.number)
    for event in connection.execute(happened):
        units[event.quote_id] = event.unit_digest or units[event.quote_id]
        if event.number:
            lives[event.quote_id] = lives[event.quote_id].then(
                Event(
                    kind=Kind(event.kind),
                    at=event.at,
                    amount_minor=event.amount_minor,
                    details=json.loads(event.details),
                )
            )
    return {one: Known(quote=quotes[one], life=lives[one], unit=units[one]) for one in quotes}
