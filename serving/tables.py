"""The tables of the quote store, as serving/migrations makes them; both databases hold them to their checks.

Two tables only grow, and the database itself refuses to change or delete their rows: `quotes`, what was promised, and
`events`, what happened to it. `exposures` is a sum over them, kept beside them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from serving.life import Kind
from valuation.money import MAX_MINOR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DECISIONS = ("OFFER", "REVIEW", "RECYCLE", "REFUSE")
METADATA = sa.MetaData()
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class Instant(sa.TypeDecorator[datetime]):
    """An instant as whole milliseconds since 1970 in UTC, rounded down."""

    impl = BIG
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _: sa.Dialect) -> int | None:
        return None if value is None else milliseconds(value)

    def process_result_value(self, value: int | None, _: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(milliseconds=value)


def milliseconds(instant: datetime) -> int:
    """Whole milliseconds since 1970, rounded down."""
    return (instant - _EPOCH) // timedelta(milliseconds=1)


def column(name: str, kind: Any, check: str = "", **more: Any) -> sa.Column[Any]:
    """A column that is never null unless told, and meets its check: `check` reads after the column's name."""
    checks = [sa.CheckConstraint(f"{name} {check}")] if check else []
    return sa.Column(name, kind, *checks, nullable=more.pop("nullable", False), **more)


def digest(name: str, **more: Any) -> sa.Column[Any]:
    """A column of sha256 digests in hex."""
    return sa.Column(
        name,
        sa.Text,
        sa.CheckConstraint(f"length({name}) = 64"),
        nullable=more.pop("nullable", False),
        **more,
    )


def code(name: str, length: int, **more: Any) -> sa.Column[Any]:
    """A column of codes of so many capital letters."""
    return column(name, sa.Text, f"= upper({name}) AND length({name}) = {length}", **more)


def one_of(name: str, words: Any, **more: Any) -> sa.Column[Any]:
    """A column of a few words."""
    return column(name, sa.Text, f"IN ({', '.join(repr(str(word)) for word in words)})", **more)


def content(name: str) -> sa.Column[Any]:
    """A column of bytes, some at least."""
    return sa.Column(name, sa.LargeBinary, sa.CheckConstraint(f"length({name}) > 0"), nullable=False)


def minor(name: str) -> sa.Column[Any]:
    """A column of amounts in minor units."""
    return column(name, BIG, f"BETWEEN 0 AND {MAX_MINOR}")


def quotes_table(metadata: sa.MetaData) -> sa.Table:
    """What was promised. `exposure` names market and model; `inputs` is what a replay needs, JSON, or empty."""
    return sa.Table(
        "quotes",
        metadata,
        column("quote_id", sa.Text, "= lower(quote_id) AND length(quote_id) = 32", primary_key=True),
        column("caller", sa.Text),
        column("quoted_at", Instant, "> 0"),
        column("expires_at", Instant, "> quoted_at", index=True),
        code("market", 2),
        code("currency", 3),
        one_of("decision", DECISIONS),
        minor("offer_minor"),
        column("expected_minor", BIG, "BETWEEN 0 AND offer_minor"),
        column("exposure", sa.Text),
        content("request"),
        content("reply"),
        column("inputs", sa.LargeBinary),
        column("model_name", sa.Text, "<> ''"),
        column("model_version", sa.Text, "<> ''"),
        digest("model_digest"),
        column("terms_version", sa.Text, "<> ''"),
        sqlite_strict=True,
    )


def events_table(metadata: sa.MetaData) -> sa.Table:
    """What happened, in the order in which it was written: `number` counts the events of one quote from 0.

    `hash` chains every event to the one before, `unit_digest` stands for an IMEI or serial, the digests of key and
    request for an Idempotency-Key, and `reply` is what was answered to it: that of ISSUED is the quote's own.
    """
    return sa.Table(
        "events",
        metadata,
        column("seq", BIG, "> 0", primary_key=True, autoincrement=False),
        sa.Column("quote_id", sa.Text, sa.ForeignKey("quotes.quote_id"), nullable=False),
        column("number", sa.Integer, ">= 0"),
        one_of("kind", Kind),
        column("at", Instant, "> 0"),
        minor("amount_minor"),
        content("details"),
        digest("unit_digest", nullable=True, index=True),
        digest("key_digest", nullable=True, unique=True),
        digest("request_digest", nullable=True),
        column("reply", sa.LargeBinary),
        digest("hash"),
        sa.UniqueConstraint("quote_id", "number"),
        sqlite_strict=True,
    )


def exposures_table(metadata: sa.MetaData) -> sa.Table:
    """What may still have to be paid for a model in a market."""
    return sa.Table(
        "exposures",
        metadata,
        column("exposure", sa.Text, "<> ''", primary_key=True),
        minor("exposed_minor"),
        sqlite_strict=True,
    )


QUOTES, EVENTS, EXPOSURES = quotes_table(METADATA), events_table(METADATA), exposures_table(METADATA)
