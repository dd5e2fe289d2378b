"""The segments of a ratio study: the same sales parted by category, brand, grade, age and more, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import measures
from valuation.features import DAYS_PER_YEAR

FEWEST_IN_CELL = 15
POOLED = f"other (cells under {FEWEST_IN_CELL})"
THIN_SALES = 30
SEED = 20_260_101
AGE_BANDS = {  # each from this age in years on
    "before launch": float("-inf"),
    "under 1 year": 0.0,
    "1 to 2 years": 1.0,
    "2 to 4 years": 2.0,
    "4 years and more": 4.0,
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One segment: the `n` sales whose `dimension` has this `member`; `width` of the 90 % interval over the value."""

    dimension: str
    member: str
    n: int
    median_ratio: float
    low: float
    high: float
    mdape: float
    within_10: float
    within_20: float
    cod: float
    coverage_90: float
    width: float


def _brand_tier() -> pl.Expr:
    """Part the brands of a category and market into thirds by the median price of each."""
    within = ["market", "currency", "category"]
    middle = pl.col("price").median().over([*within, "brand"])
    place = middle.rank("dense").over(within).cast(pl.Int64)
    third = 3 * (place - 1) // place.max().over(within)
    return third.replace_strict({0: "low", 1: "middle", 2: "high"}, return_dtype=pl.String)


def _age() -> pl.Expr:
    years = (pl.col("sold_on") - pl.col("launched_on")).dt.total_days() / DAYS_PER_YEAR
    begun = pl.sum_horizontal(*(years >= start for start in AGE_BANDS.values()), ignore_nulls=False)
    return begun.replace_strict(
        dict(enumerate(AGE_BANDS, start=1)), default="not known", return_dtype=pl.String
    )


def _decile_of_value() -> pl.Expr:
    """Part the sales of a market into tenths by their *value*: by price, noise alone would bias the outer ones."""
    within = ["market", "currency"]
    tenth = (pl.col("p50").rank("ordinal").over(within).cast(pl.Int64) - 1) * 10 // pl.len().over(within)
    return (tenth + 1).cast(pl.String).str.zfill(2)


def _basis() -> pl.Expr:
    thin = (pl.col("basis") == "model") & (pl.col("comparables") < THIN_SALES)
    return pl.when(thin).then(pl.lit(f"model, under {THIN_SALES} sales")).otherwise("basis")


DIMENSIONS: dict[str, pl.Expr] = {
    "category": pl.col("category"),
    "brand": pl.col("brand"),
    "brand tier": _brand_tier(),
    "grade": pl.col("grade"),
    "age": _age(),
    "market": pl.concat_str("market", "currency", separator=" "),
    "decile of value": _decile_of_value(),
    "basis": _basis(),
}
OF_THE_MODEL = (
    "decile of value",
    "basis",
)  # here another model puts other sales into a cell of the same name


def cells(rows: pl.DataFrame) -> tuple[Cell, ...]:
    """Measure every segment of predictions that have their `block` (see ratio_study), by dimension and member.

    Cells of fewer than 15 sales are pooled into one of their dimension.
    """
    return tuple(
        _cell(dimension, member, part)
        for dimension, expr in DIMENSIONS.items()
        for (member,), part in _pooled(rows, expr).group_by("member", maintain_order=True)
    )


def _pooled(rows: pl.DataFrame, expr: pl.Expr) -> pl.DataFrame:
    named = rows.with_columns(member=expr)
    small = pl.len().over("member") < FEWEST_IN_CELL
    member = pl.when(small).then(pl.lit(POOLED)).otherwise("member")
    return named.with_columns(member=member).sort(pl.col("member") == POOLED, "member", maintain_order=True)


def _cell(dimension: str, member: object, part: pl.DataFrame) -> Cell:
    value, sold, low, high = (part[name].to_numpy() for name in ("p50", "price", "p05", "p95"))
    bottom, top = measures.median_interval(value / sold, blocks(part), SEED)
    return Cell(
        dimension=dimension,
        member=str(member),
        n=part.height,
        median_ratio=measures.median_ratio(value, sold),
        low=bottom,
        high=top,
        mdape=measures.mdape(value, sold),
        within_10=measures.within(value, sold, 0.10),
        within_20=measures.within(value, sold, 0.20),
        cod=measures.cod(value, sold),
        coverage_90=measures.coverage(low, high, sold),
        width=measures.width(low, high, value),
    )


def blocks(part: pl.DataFrame) -> NDArray[np.int64]:
    """Number the (model, week) blocks of these rows from 0, without a gap: (n,)."""
    return (part["block"].rank("dense").cast(pl.Int64) - 1).to_numpy()
