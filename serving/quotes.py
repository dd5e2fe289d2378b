"""The quotes that were given: an append-only store with idempotency and expiry.

A quote is a promise: it is on the disk before the customer reads it, and it is never changed afterwards.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from valuation.money import MAX_MINOR

# SQLite 3.7.0 to 3.51.2 can lose commits in WAL mode (sqlite.org/wal.html#walresetbug). Below the mended
# version the rollback journal, whose directory entry EXTRA syncs too: every commit survives a power cut.
WAL_IS_SAFE = sqlite3.sqlite_version_info >= (3, 51, 3)
JOURNAL, SYNCHRONOUS = ("wal", 2) if WAL_IS_SAFE else ("delete", 3)  # 2 is FULL, 3 is EXTRA
BUSY_MS = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

METADATA = sa.MetaData()


class _Instant(sa.TypeDecorator[datetime]):
    """An instant as whole milliseconds since 1970 in UTC, rounded down."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: sa.Dialect) -> int | None:
        return None if value is None else (value - _EPOCH) // timedelta(milliseconds=1)

    def process_result_value(self, value: int | None, _: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(milliseconds=value)


def _column(name: str, kind: type[sa.types.TypeEngine[Any]], check: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, sa.CheckConstraint(f"{name} {check}"), nullable=False, **more)


def _digest_column(name: str, **more: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, sa.CheckConstraint(f"length({name}) = 64"), nullable=False, **more)


QUOTES = sa.Table(
    "quotes",
    METADATA,
    _column("quote_id", sa.Text, "NOT GLOB '*[^0-9a-f]*'", primary_key=True),
    _digest_column("key_digest", unique=True),
    _digest_column("request_digest"),
    _column("quoted_at", _Instant, "> 0"),
    _column("expires_at", _Instant, "> quoted_at"),
    _column("market", sa.Text, "GLOB '[A-Z][A-Z]'"),
    _column("currency", sa.Text, "GLOB '[A-Z][A-Z][A-Z]'"),
    _column("decision", sa.Text, "IN ('OFFER', 'REVIEW', 'RECYCLE', 'REFUSE')"),
    _column("offer_minor", sa.Integer, f"BETWEEN 0 AND {MAX_MINOR}"),
    _column("request", sa.LargeBinary, "<> x''"),
    _column("reply", sa.LargeBinary, "<> x''"),
    _column("model_name", sa.Text, "<> ''"),
    _column("model_version", sa.Text, "<> ''"),
    _digest_column("model_digest"),
    _column("terms_version", sa.Text, "<> ''"),
    sqlite_strict=True,
)
for _verb in ("UPDATE", "DELETE"):
    sa.event.listen(
        METADATA,
        "after_create",
        sa.DDL(  # type: ignore[no-untyped-call]
            f"CREATE TRIGGER IF NOT EXISTS quotes_no_{_verb.lower()} BEFORE {_verb} ON quotes "
            "BEGIN SELECT RAISE(ABORT, 'quotes are never changed'); END"
        ),
    )


class StoreUnavailable(RuntimeError):  # noqa: N818 - said as it is
    """The store cannot keep or find anything at the moment; nothing was promised."""


class KeyReused(ValueError):  # noqa: N818 - the same
    """This idempotency key already belongs to another request."""


@dataclass(frozen=True, kw_only=True)
class Quote:
    """One quote as it was given: `request` and `reply` are the JSON bytes, both instants in UTC."""

    quote_id: str
    request: bytes
    reply: bytes
    quoted_at: datetime
    expires_at: datetime
    market: str
    currency: str
    decision: str
    offer_minor: int
    model_name: str
    model_version: str
    model_digest: str
    terms_version: str

    def expired(self, *, at: datetime) -> bool:
        """Whether the promise is over: it holds up to, and not at, `expires_at`."""
        return at >= self.expires_at


def new_id() -> str:
    """A quote id: 128 random bits, so that nobody can guess another's."""
    return secrets.token_hex(16)


class Quotes:
    """The store in one SQLite file. Every method may wait for the disk: call it in a thread.

    All raise StoreUnavailable where the file cannot be read or written, or stays locked for two seconds.
    """

    def __init__(self, *, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        # AUTOCOMMIT: sqlite3 begins nothing by itself, so that a write can begin as it must (see _writing).
        self._engine = sa.create_engine(
            f"sqlite:///{file}", isolation_level="AUTOCOMMIT", pool_size=8, max_overflow=0, pool_timeout=2
        )
        sa.event.listen(self._engine, "connect", _prepare)
        with _trouble(), self._writing() as connection:
            METADATA.create_all(connection)

    def close(self) -> None:
        """Give the file back."""
        self._engine.dispose()

    def record(self, *, quote: Quote, key: str) -> Quote:
        """Keep a quote under the customer's key, and return what the key stands for once it is on the disk.

        That is the quote given first where the key was used before with the same request. Raises KeyReused
        where it was used with another.
        """
        with _trouble(), self._writing() as connection:
            earlier = _under_key(connection, key, quote.request)
            if earlier is None:
                connection.execute(QUOTES.insert().values(_row(quote, key)))
        return earlier or quote

    def under_key(self, *, key: str, request: bytes) -> Quote | None:
        """The quote that this key stands for, None for a new key; KeyReused if its request was another."""
        with _trouble(), self._engine.connect() as connection:
            return _under_key(connection, key, request)

    def find(self, *, quote_id: str) -> Quote | None:
        """The quote with this id, None where there is none."""
        with _trouble(), self._engine.connect() as connection:
            row = connection.execute(QUOTES.select().where(QUOTES.c.quote_id == quote_id)).one_or_none()
        return _quote(row) if row else None

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that takes the write lock first: one begun by a read can fail at its first write."""
        with self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                # A full disk may have rolled back already, and then there is nothing left to roll back.
                if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                    connection.exec_driver_sql("ROLLBACK")
                raise


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    """Set what durability needs on a new connection, and make sure that it was taken."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
    journal = connection.execute(f"PRAGMA journal_mode = {JOURNAL}").fetchone()[0]
    connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
    synchronous = connection.execute("PRAGMA synchronous").fetchone()[0]
    if (journal, synchronous) != (JOURNAL, SYNCHRONOUS):
        found, wanted = f"{journal}/{synchronous}", f"{JOURNAL}/{SYNCHRONOUS}"
        raise StoreUnavailable(f"The quote store runs as {found}, not as {wanted}: is it on a network disk?")


@contextmanager
def _trouble() -> Iterator[None]:
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise StoreUnavailable(f"The quote store failed: {error.__class__.__name__}.") from error


def _under_key(connection: sa.Connection, key: str, request: bytes) -> Quote | None:
    row = connection.execute(
        QUOTES.select().where(QUOTES.c.key_digest == _digest(key.encode()))
    ).one_or_none()
    if row is None:
        return None
    if row.request_digest != _digest(request):
        raise KeyReused("This key already stands for another request: send a new one.")
    return _quote(row)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _row(quote: Quote, key: str) -> dict[str, Any]:
    """The columns of a quote; of the key only a digest, for people put names into such things."""
    return vars(quote) | {"key_digest": _digest(key.encode()), "request_digest": _digest(quote.request)}


def _quote(row: sa.Row[Any]) -> Quote:
    columns = row._asdict()
    return Quote(**{name: columns[name] for name in Quote.__annotations__})
