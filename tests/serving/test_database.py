"""Laws of the database under the quotes: what is confirmed is kept, what fails promises nothing, and recovers."""

from __future__ import annotations

import hashlib
import signal
import time
from pathlib import Path

import alembic.autogenerate
import alembic.migration
import alembic.script
import psycopg
import pytest
import sqlalchemy as sa

from serving import database, tables
from serving.checking import check
from serving.database import Database, StoreUnavailable, sqlite3
from serving.quotes import Quotes
from serving.writer import REST_SECONDS
from tests.serving import postgres
from tests.serving.stores import AT, a_quote, given, issue, the_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "quotes.db"


@pytest.fixture
def on_file(file: Path) -> Quotes:
    return Quotes(database=Database(url=f"sqlite:///{file}"))


def test_the_tables_are_those_that_the_migrations_make(store: Quotes) -> None:
    with store.database.reading() as connection:
        context = alembic.migration.MigrationContext.configure(connection)
        assert alembic.autogenerate.compare_metadata(context, tables.METADATA) == []


def test_the_newest_form_is_that_of_the_last_migration() -> None:
    assert alembic.script.ScriptDirectory(str(database.MIGRATIONS)).get_current_head() == database.NEWEST


def test_a_store_is_opened_again_and_again_by_many(store: Quotes, store_url: str) -> None:
    given(store)
    for _ in range(3):
        Database(url=store_url).close()
    assert store.answered(key=the_key("k"))


def test_every_connection_to_a_file_is_durable(on_file: Quotes) -> None:
    engine = on_file.database.engine
    with engine.connect() as one, engine.connect() as two:
        for connection in (one, two):
            journal = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            synchronous = connection.exec_driver_sql("PRAGMA synchronous").scalar()
            assert (journal, synchronous) == (("wal", 2) if database.WAL_IS_SAFE else ("delete", 3))
    on_file.close()


def test_a_journal_mode_that_is_not_taken_is_not_accepted(
    monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setattr(database, "JOURNAL", "another")
    with pytest.raises(StoreUnavailable, match="not as another"):
        Database(url=f"sqlite:///{file}")


@pytest.mark.postgres
def test_a_postgresql_that_confirms_before_it_keeps_is_not_accepted(
    postgres_server: postgres.Server,
) -> None:
    name = postgres_server.database()
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with pytest.raises(StoreUnavailable, match="synchronous_commit = off"):
        Database(url=postgres_server.url(name))


def test_a_database_of_another_kind_is_named() -> None:
    with pytest.raises(StoreUnavailable, match=r"not mysql://"):
        Database(url="mysql://localhost/quotes")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_without_a_file_is_none(url: str) -> None:
    with pytest.raises(StoreUnavailable, match="sqlite:///FILE"):
        Database(url=url)


def test_a_locked_store_says_so_and_recovers(
    on_file: Quotes, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_MS", 50)
    on_file.database.engine.dispose()
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable):
        given(on_file)
    other.execute("ROLLBACK")
    other.close()
    time.sleep(REST_SECONDS)
    assert given(on_file)
    on_file.close()


def test_a_full_disk_keeps_nothing_and_recovers(on_file: Quotes) -> None:
    given(on_file, key="before")
    engine = on_file.database.engine
    engine.dispose()
    full = sa.event.listens_for(engine, "connect")(lambda c, _: c.execute("PRAGMA max_page_count = 1"))
    big = a_quote(reply=b"x" * 100_000)
    with pytest.raises(StoreUnavailable):
        on_file.write(issue(big)).result(10)
    assert on_file.answered(key=the_key("k")) is None
    sa.event.remove(engine, "connect", full)
    engine.dispose()
    time.sleep(REST_SECONDS)
    assert given(on_file)
    on_file.close()


@pytest.mark.postgres
def test_a_postgresql_that_crashes_keeps_what_it_confirmed_and_is_found_again() -> None:
    with postgres.running() as server:
        store = Quotes(database=Database(url=server.url(server.database())))
        kept = [given(store, key=f"{number}") for number in range(50)]
        server.stop(signal.SIGKILL)
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):  # a process of the server outlives it by a commit or two
            for number in range(20):
                kept.append(given(store, key=f"late {number}"))
        assert time.monotonic() - began < 3
        server.start()
        time.sleep(REST_SECONDS)
        again = given(store, key="again")
        assert all(store.find(quote_id=quote.quote_id) for quote in [*kept, again])
        store.close()


BEFORE = """
CREATE TABLE quotes (
    quote_id TEXT NOT NULL PRIMARY KEY CHECK (quote_id NOT GLOB '*[^0-9a-f]*'),
    key_digest TEXT NOT NULL UNIQUE, request_digest TEXT NOT NULL,
    quoted_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, market TEXT NOT NULL, currency TEXT NOT NULL,
    decision TEXT NOT NULL, offer_minor INTEGER NOT NULL, request BLOB NOT NULL, reply BLOB NOT NULL,
    model_name TEXT NOT NULL, model_version TEXT NOT NULL, model_digest TEXT NOT NULL, terms_version TEXT NOT NULL
) STRICT;
CREATE TRIGGER quotes_no_update BEFORE UPDATE ON quotes BEGIN SELECT RAISE(ABORT, 'quotes are never changed'); END;
CREATE TRIGGER quotes_no_delete BEFORE DELETE ON quotes BEGIN SELECT RAISE(ABORT, 'quotes are never changed'); END;
"""


def test_the_quotes_of_an_earlier_store_come_along(file: Path) -> None:
    earlier = [a_quote(reply=f'{{"number":{number}}}'.encode()) for number in range(30)]
    with sqlite3.connect(file) as before:
        before.executescript(BEFORE)
        for number, quote in enumerate(earlier):
            digests = [hashlib.sha256(part).hexdigest() for part in (f"key {number}".encode(), quote.request)]
            at = [tables.milliseconds(instant) for instant in (quote.quoted_at, quote.expires_at)]
            before.execute(
                f"INSERT INTO quotes VALUES ({', '.join('?' * 15)})",
                (
                    *(quote.quote_id, *digests, *at, quote.market, quote.currency, quote.decision),
                    *(quote.offer_minor, quote.request, quote.reply, quote.model_name),
                    *(quote.model_version, quote.model_digest, quote.terms_version),
                ),
            )
    before.close()
    store = Quotes(database=Database(url=f"sqlite:///{file}"))
    for number, quote in enumerate(earlier):
        found = store.find(quote_id=quote.quote_id)
        assert found and found.quote.reply == quote.reply and found.quote.expires_at == quote.expires_at
        assert store.answered(key=the_key(f"key {number}")) == quote.reply
    assert check(store.database).events == 30
    assert given(store, key="new", quoted_at=AT)
    store.close()
