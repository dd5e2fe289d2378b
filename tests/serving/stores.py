"""Stores and quotes for tests of the quote store."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from typing import Any

from serving import promise
from serving.life import Event, Kind, Life
from serving.promise import Key, Known, Quote
from serving.quotes import Issue, Quotes, Step

AT = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)
CAP = 10**9


def a_quote(**changes: Any) -> Quote:
    given = {
        "quote_id": promise.new_id(),
        "caller": "",
        "request": b'{"a":1}',
        "reply": b'{"offer":"1.00"}',
        "inputs": b"{}",
        "quoted_at": AT,
        "expires_at": AT + timedelta(days=14),
        "market": "GB",
        "currency": "GBP",
        "decision": "OFFER",
        "offer_minor": 12900,
        "expected_minor": 4000,
        "exposure": "GB Apple iPhone 13",
        "model_name": "reprise-appraiser",
        "model_version": "3",
        "model_digest": "d" * 64,
        "terms_version": "t",
    }
    return Quote(**given | changes)


def the_key(key: str, request: bytes = b'{"a":1}', **more: str) -> Key:
    return Key.of(key=key, request=request, **{"caller": "", **more})


def issue(quote: Quote, key: str = "k", cap: int = CAP, unit: str | None = None, **of: Any) -> Issue:
    return Issue(quote=quote, key=the_key(key, quote.request, **of), cap_minor=cap, unit=unit)


def given(store: Quotes, *, key: str = "k", unit: str | None = None, **changes: Any) -> Quote:
    """A quote that is on the disk."""
    quote = a_quote(**changes)
    assert store.write(issue(quote, key, unit=unit)).result(10) == quote.reply
    return quote


def step(
    quote_id: str, kind: Kind, key: str, *, at: datetime = AT, amount: int = 12900, unit: str | None = None
) -> Step:
    def change(known: Known) -> tuple[Life, bytes]:
        life = known.life.then(Event(kind=kind, at=at, amount_minor=amount))
        return life, f'{{"kind":"{kind}","at":"{at}","key":"{key}"}}'.encode()

    return Step(
        quote_id=quote_id, change=change, key=the_key(key, route=f"{quote_id}/{kind}"), at=at, unit=unit
    )


def happen(store: Quotes, quote: Quote, kind: Kind, key: str, **more: Any) -> Future[Any]:
    return store.write(step(quote.quote_id, kind, key, **more))
