"""Laws of the quote store."""

from __future__ import annotations

import dataclasses
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from serving import quotes
from serving.quotes import KeyReused, Quote, Quotes, StoreUnavailable

AT = datetime(2026, 11, 23, 12, 0, 0, 123000, tzinfo=UTC)


def _quote(**changes: Any) -> Quote:
    given = {
        "quote_id": quotes.new_id(),
        "request": b'{"a":1}',
        "reply": b'{"offer":"1.00"}',
        "quoted_at": AT,
        "expires_at": AT + timedelta(days=14),
        "market": "GB",
        "currency": "GBP",
        "decision": "OFFER",
        "offer_minor": 12900,
        "model_name": "reprise-appraiser",
        "model_version": "3",
        "model_digest": "d" * 64,
        "terms_version": "t",
    }
    return Quote(**given | changes)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "quotes.db"


@pytest.fixture
def store(file: Path) -> Iterator[Quotes]:
    opened = Quotes(file=file)
    yield opened
    opened.close()


def test_a_quote_is_found_as_it_was_kept(store: Quotes) -> None:
    kept = store.record(quote=_quote(), key="k")
    assert store.find(quote_id=kept.quote_id) == kept
    assert store.under_key(key="k", request=kept.request) == kept


def test_a_quote_survives_a_restart(store: Quotes, file: Path) -> None:
    kept = store.record(quote=_quote(), key="k")
    store.close()
    again = Quotes(file=file)
    assert again.find(quote_id=kept.quote_id) == kept
    again.close()


def test_what_is_unknown_is_none(store: Quotes) -> None:
    assert store.find(quote_id="0" * 32) is None
    assert store.under_key(key="k", request=b"{}") is None


def test_the_first_quote_under_a_key_is_the_one(store: Quotes) -> None:
    first = store.record(quote=_quote(), key="k")
    assert store.record(quote=_quote(offer_minor=1), key="k") == first


def test_a_key_used_for_another_request_is_refused(store: Quotes) -> None:
    store.record(quote=_quote(), key="k")
    with pytest.raises(KeyReused):
        store.record(quote=_quote(request=b'{"a":2}'), key="k")
    with pytest.raises(KeyReused):
        store.under_key(key="k", request=b'{"a":2}')


def test_one_key_from_many_threads_is_one_quote(store: Quotes, file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        kept = list(pool.map(lambda _: store.record(quote=_quote(), key="k"), range(40)))
    assert len({quote.quote_id for quote in kept}) == 1
    with sqlite3.connect(file) as other:
        assert other.execute("SELECT count(*) FROM quotes").fetchone() == (1,)
    other.close()


def test_the_key_itself_is_not_kept(store: Quotes, file: Path) -> None:
    store.record(quote=_quote(), key="anna@example.org")
    assert b"anna" not in file.read_bytes()


def test_a_quote_expires_at_its_instant_and_not_before(store: Quotes) -> None:
    kept = store.record(quote=_quote(), key="k")
    found = store.find(quote_id=kept.quote_id)
    assert found is not None
    assert not found.expired(at=found.expires_at - timedelta(milliseconds=1))
    assert found.expired(at=found.expires_at)


@pytest.mark.parametrize("change", ["UPDATE quotes SET offer_minor = 1", "DELETE FROM quotes"])
def test_a_quote_is_never_changed_nor_deleted(store: Quotes, file: Path, change: str) -> None:
    store.record(quote=_quote(), key="k")
    other = sqlite3.connect(file)
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        other.execute(change)
    other.close()


WRONG = [
    {"offer_minor": -1},
    {"offer_minor": 10**15 + 1},
    {"offer_minor": "12abc"},
    {"decision": "MAYBE"},
    {"market": "gb"},
    {"currency": "GB"},
    {"model_digest": "d"},
    {"quote_id": "Z" * 32},
    {"expires_at": AT},
    {"reply": b""},
]


@pytest.mark.parametrize("change", WRONG, ids=[next(iter(change)) for change in WRONG])
def test_the_store_itself_refuses_what_is_no_quote(store: Quotes, change: dict[str, Any]) -> None:
    with pytest.raises(StoreUnavailable):
        store.record(quote=_quote(**change), key="k")
    assert store.under_key(key="k", request=b'{"a":1}') is None


def test_every_connection_is_durable(store: Quotes) -> None:
    with store._engine.connect() as one, store._engine.connect() as two:
        for connection in (one, two):
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            assert (journal, synchronous) == (("wal", 2) if quotes.WAL_IS_SAFE else ("delete", 3))


def test_a_journal_mode_that_is_not_taken_is_not_accepted(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setattr(quotes, "JOURNAL", "another")
    with pytest.raises(StoreUnavailable, match="not as another"):
        Quotes(file=file)


def test_a_locked_store_says_so_and_recovers(
    store: Quotes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotes, "BUSY_MS", 50)
    store.close()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable):
        store.record(quote=_quote(), key="k")
    other.execute("ROLLBACK")
    other.close()
    assert store.record(quote=_quote(), key="k")


def test_a_full_disk_keeps_nothing_and_recovers(store: Quotes, monkeypatch: pytest.MonkeyPatch) -> None:
    store.record(quote=_quote(), key="before")
    store.close()
    full = sa.event.listens_for(store._engine, "connect")(lambda c, _: c.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(StoreUnavailable):
        store.record(quote=_quote(reply=b"x" * 100_000), key="k")
    assert store.under_key(key="k", request=b'{"a":1}') is None
    sa.event.remove(store._engine, "connect", full)
    store.close()
    assert store.record(quote=_quote(), key="k")


def test_ids_are_not_to_be_guessed() -> None:
    ids = {quotes.new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(len(one) == 32 for one in ids)


def test_a_quote_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        _quote().offer_minor = 1  # type: ignore[misc]
