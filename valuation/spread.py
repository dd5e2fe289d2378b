"""How far sold prices lie from the middle: a scale for each device, and quantiles of what is left for each group."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import hedonic
from valuation.appraisal import QUANTILES
from valuation.catalogue import CATEGORIES
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.grades import Grade

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

GRID = np.linspace(0.005, 0.995, 100)  # the quantile levels at which residuals are kept
MET, UNMET = "met", "unmet"  # whether a model was ever sold
VALUE = "value_log"  # the location, in log price
SALES, KIND = "sales", "kind"  # the sales of a device's model, and the place of its category in CATEGORIES
SCALES = np.linspace(np.log(0.005), np.log(3), 256)  # at which the mean is tabulated
PLACES = {category: place for place, category in enumerate(CATEGORIES)}
OUTCOMES = (*(f"p{round(100 * q):02d}" for q in QUANTILES), "mean", "fsd")
USUAL_SD = 0.1  # of a log price around a value that rests on sales of its model


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far sold prices lie from the location: a scale per row, and quantiles of the scaled residuals per group.

    `grids` holds, per group, the residual over scale at each level of GRID. See `groups`.
    """

    scale: hedonic.Hedonic
    grids: Mapping[str, Floats]

    def predict(self, *, devices: Encoded) -> Floats:
        """Tell the scale of each row, in log price: (n,)."""
        return np.asarray(np.exp(self.scale.predict(devices=devices))).clip(max=self._most)

    @cached_property
    def _most(self) -> float:
        """The scale above which a higher location could come with a lower quantile, as the scale falls with it."""
        falls = [b.sign * max(b.sign * c.item(), 0.0) / b.unit for b, c in self._of_value]
        return min(
            [1 / (-f * max(grid.max() for grid in self.grids.values())) for f in falls if f], default=math.inf
        )

    @property
    def _of_value(self) -> list[tuple[hedonic.Block, Floats]]:
        pairs = zip(self.scale.blocks, self.scale.coefficients, strict=True)
        return [(block, values) for block, values in pairs if block.number == VALUE]

    def outcomes(self, *, centre: Floats, scale: Floats, devices: Encoded) -> Floats:
        """Spread log prices `centre` (n,) by their `scale` (n,) as the group of each device does: (n, OUTCOMES)."""
        met = (devices.codes[SALES] > 0).astype(np.int64)
        grade = devices.numbers["grade_rank"].astype(np.int64)
        own = self.group[met, devices.codes[KIND], grade]
        at = self._levels[own]
        prices = np.exp(centre[:, None] + scale[:, None] * at[:, : len(QUANTILES)])
        low, middle, high = (np.exp(scale * at[:, place]) for place in (-2, -3, -1))
        mean = np.exp(centre) * self._mean(own, scale)
        return np.column_stack([prices, mean, (high - low) / (2 * middle)])

    def _mean(self, group: Codes, scale: Floats) -> Floats:
        """The mean of e to the residual, read off a table by group and scale: (n,)."""
        along = np.clip((np.log(scale) - SCALES[0]) / (SCALES[1] - SCALES[0]), 0, len(SCALES) - 1.001)
        before = along.astype(np.int64)
        table, share = self._means, along - before
        return np.asarray(table[group, before] * (1 - share) + table[group, before + 1] * share)

    @cached_property
    def _numbered(self) -> dict[str, int]:
        return {group: number for number, group in enumerate(self.grids)}

    @cached_property
    def group(self) -> Codes:
        """The number of the group that a device has: (met or not, categories, grades)."""
        told = [
            next(self._numbered[g] for g in groups(category, grade, met=met) if g in self._numbered)
            for met in (False, True)
            for category in CATEGORIES
            for grade in Grade
        ]
        return np.array(told).reshape(2, len(CATEGORIES), len(Grade))

    @cached_property
    def _levels(self) -> Floats:
        """The residual over scale of each group at QUANTILES, then at .5, .16 and .84: (groups, levels)."""
        levels = [*QUANTILES, 0.5, 0.16, 0.84]
        return np.array([np.interp(levels, GRID, grid) for grid in self.grids.values()])

    @cached_property
    def _means(self) -> Floats:
        """The mean of e to the residual of each group at each of SCALES: (groups, scales)."""
        return np.array([np.exp(np.exp(SCALES)[:, None] * grid).mean(axis=1) for grid in self.grids.values()])


def groups(category: str, grade: int, *, met: bool) -> tuple[str, ...]:
    """List the groups that a device at a grade belongs to, narrowest first; those of models never met stand apart."""
    if met:
        return f"{category}|{grade}", category, ""
    return f"{UNMET}|{category}", UNMET, ""


SPREAD_FEATURES: tuple[Feature, ...] = (
    Feature(name="grade", kind="category", why="worn devices differ more", expr=pl.col("grade"), spread=0.3),
    Feature(name="met", kind="category", why="a model never sold is a guess", expr=pl.col("met"), spread=1.0),
    Feature(
        name="doubt_log",
        kind="number",
        direction="+",
        why="what has not been met is a guess",
        expr=pl.col("doubt_log"),
        knots=(0, 10),
        spread=1.0,
    ),
    Feature(name="category", kind="category", why="kinds differ", expr=pl.col("category"), spread=0.3),
    Feature(name="brand", kind="category", why="brands differ", expr=pl.col("brand"), spread=0.2),
    Feature(
        name="channel", kind="category", why="an auction is not a shop", expr=pl.col("channel"), spread=0.2
    ),
    Feature(
        name="currency", kind="category", why="whose units a value is in", expr=pl.col("currency"), spread=1.0
    ),
    Feature(
        name=VALUE,
        kind="number",
        direction="-",
        why="what is left of a device differs the more, the less it is",
        expr=pl.col(VALUE),
        knots=(0, 25),
        spread=0.3,
    ),
    Feature(
        name="launch_price_log",
        kind="number",
        why="cheap devices differ more, and what was dear has lost more of its price",
        expr=pl.col("launch_price_log"),
        knots=(0, 25),
        spread=0.3,
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


def spread_table(*, table: pl.DataFrame, value: Floats, doubt: Floats, sales: Codes) -> pl.DataFrame:
    """Write what the scale depends on, of rows with this log `value` and `doubt` (see Hedonic): one row per row."""
    return table.select(
        pl.col("grade_rank").cast(pl.Int64).cast(pl.String).alias("grade"),
        "category",
        "brand",
        "channel",
        "currency",
        "launch_price_log",
        pl.Series(VALUE, value),
        met=pl.when(pl.Series(sales > 0)).then(pl.lit(MET)).otherwise(pl.lit(UNMET)),
        doubt_log=pl.Series(doubt_log(doubt)),
        sales_log=pl.Series(np.log1p(sales)),
    )


def doubt_log(doubt: Floats) -> Floats:
    """Write a doubt (see Hedonic.doubt) as the scale takes it: 0 without any, and then as its logarithm grows."""
    return np.asarray(np.log1p(doubt / USUAL_SD**2) / 2)
