"""Dirt: rows that do not say what happened, as real tables have them. Each is labelled in the truth."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl

from training.simulator.facts import Dirt
from training.simulator.sales import NO_QUOTE, Sales
from valuation.grades import Grade
from valuation.rows import Floats, Whole

KINDS = tuple(Dirt.model_fields)
DUPLICATE = KINDS.index("duplicate")
CLEAN = -1

Soil = Callable[[pl.DataFrame, Whole, np.random.Generator], pl.DataFrame]  # table, rows -> table


def labels(told: Dirt, sales: Sales, rng: np.random.Generator) -> Whole:
    """Which of KINDS each row is, CLEAN for most: (n,). A duplicate copies the row before it, neither a quote's."""
    ends = np.cumsum([getattr(told, kind) for kind in KINDS])
    kind = np.searchsorted(ends, rng.random(len(sales.unit)), side="right")
    free = sales.quote == NO_QUOTE
    copies = free & np.roll(free, 1) & (np.arange(len(free)) > 0)
    dirty = (kind < len(KINDS)) & ((kind != DUPLICATE) | copies)
    return np.where(dirty, kind, CLEAN)


def named(kinds: Whole) -> pl.Series:
    """The labels in words, null for the clean: (n,)."""
    return pl.Series("dirt", [*KINDS, None]).gather(np.where(kinds == CLEAN, len(KINDS), kinds))


def duplicated(sales: Sales, kinds: Whole) -> Sales:
    """Make each duplicate the same sale as the one before it."""
    return sales.at(np.arange(len(kinds)) - (kinds == DUPLICATE))


def soiled(table: pl.DataFrame, kinds: Whole, rng: np.random.Generator) -> pl.DataFrame:
    """Write the other kinds into a table of sales."""
    for kind, soil in _SOILS.items():
        rows = np.flatnonzero(kinds == KINDS.index(kind))
        table = soil(table, rows, rng) if len(rows) else table
    return table


def _priced(factors: Callable[[int, np.random.Generator], Floats]) -> Soil:
    """Dirt that multiplies the price."""

    def soil(table: pl.DataFrame, rows: Whole, rng: np.random.Generator) -> pl.DataFrame:
        price = table["price"].to_numpy().copy()
        price[rows] = (price[rows] * factors(len(rows), rng)).clip(1).round(2)
        return table.with_columns(price=price)

    return soil


def _wrong_storage(table: pl.DataFrame, rows: Whole, rng: np.random.Generator) -> pl.DataFrame:
    storage = table["storage_gb"].to_numpy().copy()
    storage[rows] *= rng.choice([0.5, 2.0], len(rows))
    return table.with_columns(storage_gb=storage)


def _misgraded(table: pl.DataFrame, rows: Whole, rng: np.random.Generator) -> pl.DataFrame:
    """One grade off among those that are refurbished, mostly too good; the others stay."""
    up = rng.random(len(rows)) < 0.7
    wrong = [
        _next(Grade[name], up=rises) for name, rises in zip(table["grade"].gather(rows), up, strict=True)
    ]
    return table.with_columns(table["grade"].scatter(rows, [grade.name for grade in wrong]))


def _next(grade: Grade, *, up: bool) -> Grade:
    if grade in (Grade.PARTS, Grade.NEW):
        return grade
    return Grade(min(grade + 1, Grade.PREMIUM) if up else max(grade - 1, Grade.FAIR))


_FAULTS: tuple[tuple[str, pl.Expr], ...] = (
    ("price", -pl.col("price")),
    ("grade", pl.lit("B+")),
    ("model", pl.lit(None, pl.String)),
    ("sold_on", pl.col("sold_on") + timedelta(days=36_525)),
    ("currency", pl.lit("XXX")),
    ("category", pl.lit("telephone")),
    ("battery_health", pl.lit(87.0)),
)


def _faulty(table: pl.DataFrame, rows: Whole, rng: np.random.Generator) -> pl.DataFrame:
    """Rows that break a rule of the ledger, one each."""
    broken = np.full(table.height, len(_FAULTS))
    broken[rows] = rng.integers(0, len(_FAULTS), len(rows))
    return table.with_columns(
        pl.when(pl.Series(broken == at)).then(wrong).otherwise(pl.col(name)).alias(name)
        for at, (name, wrong) in enumerate(_FAULTS)
    )


_SOILS: dict[str, Soil] = {
    "bundle": _priced(lambda n, rng: rng.uniform(1.6, 3.0, n)),
    "for_parts": _priced(lambda n, rng: rng.uniform(0.2, 0.5, n)),
    "slip": _priced(lambda n, rng: rng.choice([0.1, 10.0], n)),
    "wrong_storage": _wrong_storage,
    "misgrade": _misgraded,
    "fault": _faulty,
}
