"""Checking the quote store: the chain of events, every life, and what is exposed, from the first row to the last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from serving import chain
from serving.batch import exposed
from serving.database import Database
from serving.life import Event, Kind, Life, WrongStatus
from serving.promise import Quote
from serving.tables import EVENTS, EXPOSURES, QUOTES

AT_ONCE = 2000
_WITHOUT_WORDS = {"request": b"", "reply": b"", "inputs": b""}


class StoreDamaged(ValueError):  # noqa: N818 - said as it is
    """Something in the store is not as it was written."""


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was checked; `head` is the hash of the last event: written down elsewhere, it tells if any are cut off."""

    quotes: int
    events: int
    head: str


@dataclass(frozen=True, kw_only=True)
class _Sums:
    """What stood beside the events at one instant, when `until` was the last of them."""

    until: int
    quotes: int
    exposed: Mapping[str, int]


def check(database: Database, *, head: str = "") -> Checked:
    """Go through the whole store. StoreDamaged names the first event that does not fit, or that no event has `head`.

    Others may write meanwhile. What is summed up beside the events is read in one snapshot, and held against the
    events up to that instant: these are never changed, so they are gone through without a lock.
    """
    if database.is_sqlite:
        _check_file(database)
    sums = _sums(database)
    lives: dict[str, tuple[Quote, Life]] = {}
    last, count, seen = chain.START, 0, not head
    with database.reading() as connection:
        for count, (event, quote) in enumerate(rows(connection, until=sums.until), 1):
            last = linked(last, count, event, quote)
            seen = seen or last == head
            live(lives, event, quote)
    if not seen:
        raise StoreDamaged(f"No event has the hash {head}: events are missing. Restore a backup.")
    _check_sums(sums, lives)
    return Checked(quotes=len(lives), events=count, head=last)


def _check_file(database: Database) -> None:
    with database.reading() as connection:
        told = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    if told != "ok":
        raise StoreDamaged(f"SQLite finds the file damaged: {told:.300}. Restore a backup.")


def _sums(database: Database) -> _Sums:
    with database.snapshot() as connection:
        return _Sums(
            until=connection.scalar(sa.select(sa.func.max(EVENTS.c.seq))) or 0,
            quotes=connection.scalar(sa.select(sa.func.count()).select_from(QUOTES)) or 0,
            exposed={row.exposure: row.exposed_minor for row in connection.execute(EXPOSURES.select())},
        )


def rows(
    connection: sa.Connection, *, until: int | None = None
) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The events in their order, up to one of them, with the quotes of those that issued one."""
    after = 0
    asked_for = EVENTS.select() if until is None else EVENTS.select().where(EVENTS.c.seq <= until)
    while True:
        asked = asked_for.where(EVENTS.c.seq > after).order_by(EVENTS.c.seq).limit(AT_ONCE)
        events = _read(connection, asked, after)
        if not events:
            return
        issued = [event["quote_id"] for event in events if event["kind"] == Kind.ISSUED]
        found = _read(connection, QUOTES.select().where(QUOTES.c.quote_id.in_(issued)), after)
        quotes = {row["quote_id"]: row for row in found}
        for event in events:
            yield event, quotes.get(event["quote_id"]) if event["kind"] == Kind.ISSUED else None
        after = events[-1]["seq"]


def _read(connection: sa.Connection, asked: sa.Select[Any], after: int) -> list[dict[str, Any]]:
    try:
        return [dict(row) for row in connection.execute(asked).mappings()]
    except OverflowError as error:
        raise StoreDamaged(
            f"An event after {after}, or its quote, has an instant beyond all calendars. Restore a backup."
        ) from error


def newest(connection: sa.Connection, *, most: int, quote_ids: Sequence[str] = ()) -> Iterator[Quote]:
    """The quotes with some ids, or else the newest ones."""
    asked = QUOTES.select().order_by(QUOTES.c.quoted_at.desc()).limit(most)
    if quote_ids:
        asked = QUOTES.select().where(QUOTES.c.quote_id.in_(quote_ids))
    for row in connection.execute(asked).mappings():
        yield Quote(**row)


def linked(last: str, number: int, event: dict[str, Any], quote: dict[str, Any] | None) -> str:
    """The hash of an event that is the next in the chain; StoreDamaged where it is not."""
    if event["seq"] != number:
        raise StoreDamaged(f"Event {number} is missing: the next one is {event['seq']}. Restore a backup.")
    if chain.link(previous=last, event=event, quote=quote) != event["hash"]:
        raise StoreDamaged(
            f"Event {number}, {event['kind']} of quote {event['quote_id']}, or its quote, was changed after it was "
            "written. Restore a backup."
        )
    return str(event["hash"])


def live(
    lives: dict[str, tuple[Quote, Life]],
    event: dict[str, Any],
    row: dict[str, Any] | None,
    *,
    whole: bool = False,
) -> None:
    """Let an event happen to its quote; StoreDamaged where it cannot have.

    Unless they are wanted `whole`, quotes are kept without the words of request, reply and inputs: nine tenths of them.
    """
    quote_id = event["quote_id"]
    if row is not None:
        quote = Quote(**row if whole else row | _WITHOUT_WORDS)
        lives[quote_id] = quote, quote.issued()
        return
    happened = Event(
        kind=Kind(event["kind"]),
        at=event["at"],
        amount_minor=event["amount_minor"],
        details=json.loads(event["details"]),
    )
    try:
        quote, life = lives[quote_id]
        lives[quote_id] = quote, life.then(happened)
    except (KeyError, WrongStatus) as error:
        raise StoreDamaged(
            f"Event {event['seq']} cannot have happened to quote {quote_id}: {error}"
        ) from error


def exposures(lives: Mapping[str, tuple[Quote, Life]]) -> Counter[str]:
    """What is exposed for each model, from the lives of all quotes."""
    wanted: Counter[str] = Counter()
    for quote, life in lives.values():
        if quote.exposure:
            wanted[quote.exposure] += exposed(quote, life)
    return wanted


def _check_sums(sums: _Sums, lives: Mapping[str, tuple[Quote, Life]]) -> None:
    if sums.quotes != len(lives):
        raise StoreDamaged(
            f"There are {sums.quotes} quotes, {len(lives)} of them were issued: rows were put in."
        )
    wanted = exposures(lives)
    for exposure in {*wanted, *sums.exposed}:
        if wanted[exposure] != (kept := sums.exposed.get(exposure, 0)):
            raise StoreDamaged(
                f"{exposure}: {kept} minor units are noted as exposed, the events say {wanted[exposure]}."
            )
