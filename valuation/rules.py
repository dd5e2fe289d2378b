"""The rules that a row of the ledger keeps: one entry each, with the columns under it and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Literal

import polars as pl
from babel import Locale, core, numbers

from valuation.catalogue import CATEGORIES
from valuation.grades import Condition, Grade

Kind = Literal["text", "number", "date", "bool", "instant"]

# Entries of CLDR's list of territories that are no ISO 3166-1 country: reserved, user-assigned and unions.
NOT_ISO_3166 = {"AC", "CP", "CQ", "DG", "EA", "EU", "EZ", "IC", "QO", "TA", "UN", "XA", "XB", "XK", "ZZ"}
MARKETS = sorted(code for code in Locale("en").territories if code.isalpha() and code not in NOT_ISO_3166)
CURRENCIES = sorted(numbers.list_currencies())
FIRST_LAUNCH = date(1970, 1, 1)
LONGEST_PREORDER = timedelta(days=730)
MOST_STORAGE_GB = 1_000_000


@dataclass(frozen=True)
class Column:
    """One column of a contract; where it is not required it may be absent or null."""

    name: str
    kind: Kind
    required: bool = True


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a rule may look at besides the value: the day of the row, and the last day that may occur."""

    day: pl.Expr
    as_of: date | None


@dataclass(frozen=True)
class Rule:
    """What a row may not do: `broken` is true where the named column breaks the rule; null counts as kept."""

    name: str
    covers: Callable[[Column], bool]
    broken: Callable[[str, Row], pl.Expr]
    remedy: str


def given(name: str) -> str:
    """The name of the bool column, made by the audit, that says whether the cell held anything."""
    return f"{name} given"


def _named(*names: str) -> Callable[[Column], bool]:
    return lambda column: column.name in names


def _one_of(words: Sequence[str]) -> Callable[[str, Row], pl.Expr]:
    return lambda name, _row: ~pl.col(name).is_in(list(words))


def _readable(kind: Kind, remedy: str) -> Rule:
    """Something was given, and it could not be read as the kind of the column."""
    return Rule(
        f"{kind}_readable",
        lambda column: column.kind == kind,
        lambda name, _row: pl.col(given(name)) & pl.col(name).is_null(),
        remedy,
    )


def _in_the_future(name: str, row: Row) -> pl.Expr:
    return pl.lit(False) if row.as_of is None else pl.col(name).cast(pl.Date) > row.as_of


@cache
def _tender() -> tuple[dict[str, date], dict[str, date]]:
    """The first and the last day of every currency in every market, by market and currency in one word.

    From CLDR's supplemental currency data, as Babel carries it. An open end is the end of the calendar.
    """
    first: dict[str, date] = {}
    last: dict[str, date] = {}
    for market, currencies in core.get_global("territory_currencies").items():
        for currency, start, end, legal in currencies:
            if legal:
                word = market + currency
                first[word] = min(first.get(word, date.max), date(*start) if start else date.min)
                last[word] = max(last.get(word, date.min), date(*end) if end else date.max)
    return first, last


def _not_of_the_market(name: str, row: Row) -> pl.Expr:
    first, last = _tender()
    word = pl.col("market") + pl.col(name)
    since = word.replace_strict(first, default=None, return_dtype=pl.Date)
    until = word.replace_strict(last, default=None, return_dtype=pl.Date)
    known = pl.col("market").is_in(MARKETS) & pl.col(name).is_in(CURRENCIES)
    return known & (since.is_null() | (row.day < since) | (row.day > until))


RULES = (
    Rule(
        "value_given",
        lambda column: column.required,
        lambda name, _row: ~pl.col(given(name)),
        "give a value, or let the mapping file end the column's readings with a constant",
    ),
    _readable("number", "write a plain number such as 129.00, without sign of currency, unit or thousands"),
    _readable("date", "write the day as 2020-03-10, or name its format in the mapping file"),
    _readable("bool", "write true or false"),
    _readable("instant", "write the instant with its offset, as 2020-03-10T11:28:00Z"),
    Rule(
        "number_finite",
        lambda column: column.kind == "number",
        lambda name, _row: ~pl.col(name).is_finite(),
        "write a finite number, or leave the cell empty where the column is optional",
    ),
    Rule(
        "id_unique",
        _named("sale_id", "listing_id", "quote_id"),
        lambda name, _row: ~pl.col(name).is_first_distinct() & pl.col(given(name)),
        "keep one row of this id: the first one counts, this later one does not",
    ),
    Rule(
        "amount_above_zero",
        _named("price", "list_price", "competitor_min_price", "launch_price"),
        lambda name, _row: pl.col(name) <= 0,
        "write the amount in major units, above zero",
    ),
    Rule(
        "amount_not_negative",
        _named("offer", "final_amount", "competitors"),
        lambda name, _row: pl.col(name) < 0,
        "write zero or more",
    ),
    Rule(
        "storage_above_zero",
        _named("storage_gb"),
        lambda name, _row: pl.col(name) <= 0,
        "write the storage in GB, or leave it empty where it is not known",
    ),
    Rule(
        "storage_possible",
        _named("storage_gb"),
        lambda name, _row: pl.col(name).is_finite() & (pl.col(name) > MOST_STORAGE_GB),
        f"write the storage in GB, not in bytes or MB: no device has more than {MOST_STORAGE_GB:,}",
    ),
    Rule(
        "share_in_bounds",
        _named("battery_health"),
        lambda name, _row: ~pl.col(name).is_between(0, 1),
        "write a share between 0 and 1: 0.87 for 87 %",
    ),
    Rule(
        "propensity_above_zero",
        _named("propensity"),
        lambda name, _row: pl.col(name) <= 0,
        "write the density, per unit of log offer, with which the offer was drawn, above zero",
    ),
    Rule(
        "market_is_a_country",
        _named("market"),
        _one_of(MARKETS),
        "write the ISO 3166-1 alpha-2 code of the country: GB, DE, US",
    ),
    Rule("currency_known", _named("currency"), _one_of(CURRENCIES), "write the ISO 4217 code: GBP, EUR, USD"),
    Rule(
        "currency_of_the_market",
        _named("currency"),
        _not_of_the_market,
        "write the price in the legal tender of the market on that day, or correct the market",
    ),
    Rule("category_known", _named("category"), _one_of(CATEGORIES), f"write one of {', '.join(CATEGORIES)}"),
    Rule(
        "grade_known",
        _named("grade"),
        _one_of([grade.name for grade in Grade]),
        f"write one of {', '.join(g.name for g in reversed(Grade))}, or translate it in the mapping file",
    ),
    Rule(
        "condition_known",
        _named("condition", "inspected_condition"),
        _one_of(list(Condition)),
        f"write one of {', '.join(Condition)}, or translate it in the mapping file",
    ),
    Rule(
        "state_given",
        lambda column: column.name == "grade" and not column.required,
        lambda name, _row: ~pl.col(given(name)) & ~pl.col(given("condition")),
        "give the grade that the device is sold at, or the condition that it is traded in at",
    ),
    Rule(
        "not_in_the_future",
        _named("sold_on", "listed_on", "ended_on", "quoted_at", "accepted_at"),
        _in_the_future,
        "correct the date, or audit as of a later day",
    ),
    Rule(
        "begins_before_it_ends",
        _named("ended_on", "accepted_at"),
        lambda name, row: pl.col(name).cast(pl.Date) < row.day,
        "correct one of the two dates: it ends or is accepted before it is listed or quoted",
    ),
    Rule(
        "launch_plausible",
        _named("launched_on"),
        lambda name, row: (pl.col(name) < FIRST_LAUNCH) | (pl.col(name) > row.day + LONGEST_PREORDER),
        "correct the launch date: it lies before 1970 or more than two years after this row's day",
    ),
)
