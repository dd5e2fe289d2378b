"""The resale model: the distribution of what a device sells for.

log price = anchor + levels of the index + trees + spread x a calibrated quantile. The anchor and the trees are monotone
in every feature with a direction; the ladder of grades is projected so that no quantile falls as the grade rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import anchor, index
from valuation.appraisal import QUANTILES
from valuation.features import Feature
from valuation.grades import Grade

Floats = NDArray[np.float64]

BASES = ("model", "family", "brand", "category")
GRID = np.linspace(0.005, 0.995, 100)  # the quantile levels at which residuals are kept
OUTCOMES = (*(f"p{round(100 * q):02d}" for q in QUANTILES), "mean", "fsd")


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where the median of the log price lies: anchor, levels and trees.

    `codes` numbers the members of each category for the trees; `sales` counts the sales of each model that it
    learned from.
    """

    listed: tuple[Feature, ...]
    anchor: anchor.Anchor
    levels: tuple[index.Level, ...]
    trees: lgb.Booster
    codes: Mapping[str, Mapping[str, int]]
    sales: Mapping[str, int]

    def predict(self, *, table: pl.DataFrame, lag_days: NDArray[np.int64] | int = 0) -> Floats:
        """Value each row in log price, from sales before its day less `lag_days`: (n,)."""
        base = self.anchor.predict(table=table) + self.level(table=table, lag_days=lag_days)
        grown = self.trees.predict(self.tree_matrix(table=table), num_threads=1)
        return base + np.asarray(grown, dtype=np.float64)

    def level(self, *, table: pl.DataFrame, lag_days: NDArray[np.int64] | int = 0) -> Floats:
        """Tell where the market stands for each row, in log price: (n,)."""
        levels = [level.at(table=table, lag_days=lag_days) for level in self.levels]
        return np.asarray(np.sum(levels, axis=0), dtype=np.float64)

    def tree_matrix(self, *, table: pl.DataFrame) -> Floats:
        """Write the inputs of the trees in the order of `listed`: (n, features), NaN where not known."""
        return np.column_stack([self._tree_column(table[f.name], f) for f in self.listed])

    def _tree_column(self, values: pl.Series, feature: Feature) -> Floats:
        if feature.kind == "number":
            return values.fill_null(float("nan")).to_numpy()
        return _translated(values, self.codes[feature.name], float("nan"))

    def basis(self, *, table: pl.DataFrame) -> tuple[pl.Series, NDArray[np.int64]]:
        """Tell what each value rests on, and on how many past sales of the same model: (n,) and (n,)."""
        known = [pl.col(name).is_in(list(self.anchor.members(name))).fill_null(False) for name in BASES[:3]]
        names = pl.coalesce(
            *(pl.when(k).then(pl.lit(n)) for k, n in zip(known, BASES[:3], strict=True)), pl.lit(BASES[3])
        )
        return table.select(names.alias("basis"))["basis"], _translated(
            table["model"], self.sales, 0.0
        ).astype(np.int64)


def _translated(values: pl.Series, meaning: Mapping[str, float], unknown: float) -> Floats:
    if not meaning:
        return np.full(len(values), unknown)
    known = values.replace_strict(meaning, default=unknown, return_dtype=pl.Float64)
    return known.fill_null(unknown).to_numpy()


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far sold prices lie from the location: a scale per row, and quantiles of the scaled residuals per group.

    `grids` holds, per group, the residual over scale at each level of GRID; a group is the category and grade, else
    the category, else all ("").
    """

    scale: anchor.Anchor
    grids: Mapping[str, Floats]

    def predict(
        self, *, table: pl.DataFrame, basis: pl.Series, sales: NDArray[np.int64]
    ) -> tuple[Floats, Floats]:
        """Tell the scale of each row, (n,), and its grid of scaled residuals, (n, len(GRID)), in log price."""
        scale = np.exp(self.scale.predict(table=spread_table(table=table, basis=basis, sales=sales)))
        groups = table.select(groups=group_keys())["groups"].to_list()
        rows = [next(self.grids[g] for g in group if g in self.grids) for group in groups]
        return scale, np.array(rows)


def group_keys() -> pl.Expr:
    """List the groups of a row, narrowest first, as its column `groups`."""
    category = pl.col("category").fill_null("")
    grade = pl.col("grade_rank").cast(pl.Int64).cast(pl.String)
    return pl.concat_list(pl.concat_str(category, grade, separator="|"), category, pl.lit(""))


SPREAD_FEATURES: tuple[Feature, ...] = (
    Feature(name="grade", kind="category", why="worn devices differ more", expr=pl.col("grade"), spread=0.3),
    Feature(
        name="basis", kind="category", why="an unseen model is a guess", expr=pl.col("basis"), spread=0.5
    ),
    Feature(name="category", kind="category", why="kinds differ", expr=pl.col("category"), spread=0.3),
    Feature(name="brand", kind="category", why="brands differ", expr=pl.col("brand"), spread=0.2),
    Feature(
        name="age_years",
        kind="number",
        why="old devices differ more",
        expr=pl.col("age_years"),
        knots=(0, 1, 3),
    ),
    Feature(
        name="sales_log",
        kind="number",
        direction="-",
        why="more sales, less doubt",
        expr=pl.col("sales_log"),
        knots=(0, 3, 6),
    ),
)


def spread_table(*, table: pl.DataFrame, basis: pl.Series, sales: NDArray[np.int64]) -> pl.DataFrame:
    """Write what the scale depends on: one row per row."""
    return table.select(
        pl.col("grade_rank").cast(pl.Int64).cast(pl.String).alias("grade"),
        "category",
        "brand",
        "age_years",
        basis.alias("basis"),
        sales_log=pl.Series(np.log1p(sales)),
    )


@dataclass(frozen=True, kw_only=True)
class ResaleModel:
    """The distribution of the resale price of any device, at any grade."""

    location: Location
    spread: Spread

    def distribution(self, *, table: pl.DataFrame) -> Floats:
        """Value each row at its own grade, before any projection: (n, OUTCOMES), in major units of currency."""
        basis, sales = self.location.basis(table=table)
        scale, grid = self.spread.predict(table=table, basis=basis, sales=sales)
        centre = np.exp(self.location.predict(table=table))
        factors = np.exp(scale[:, None] * grid)
        quantiles = np.stack([_at(factors, q) for q in QUANTILES], axis=1)
        fsd = (_at(factors, 0.84) - _at(factors, 0.16)) / (2 * _at(factors, 0.5))
        mean = factors.mean(axis=1)
        return np.column_stack([quantiles * centre[:, None], mean * centre, fsd])

    def ladder(self, *, table: pl.DataFrame) -> Floats:
        """Value each row at every grade, none worth less than a worse one: (n, grades, OUTCOMES)."""
        every = pl.concat([table.with_columns(grade_rank=pl.lit(float(g))) for g in Grade])
        values = self.distribution(table=every).reshape(len(Grade), table.height, len(OUTCOMES))
        money = values[..., :-1]
        rising = np.maximum.accumulate(money, axis=0)
        falling = np.minimum.accumulate(money[::-1], axis=0)[::-1]
        projected = (rising + falling) / 2
        return np.concatenate([projected, values[..., -1:]], axis=2).transpose(1, 0, 2)


def _at(factors: Floats, level: float) -> Floats:
    """Interpolate the grid of each row at one quantile level: (n,)."""
    place = (level - GRID[0]) / (GRID[1] - GRID[0])
    low = int(place)
    share = place - low
    return np.asarray(factors[:, low] * (1 - share) + factors[:, min(low + 1, len(GRID) - 1)] * share)
