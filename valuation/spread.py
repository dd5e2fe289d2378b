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
from valuation.block import Block
from valuation.catalogue import CATEGORIES
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.grades import Grade

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

GRID = np.linspace(0.005, 0.995, 100)  # the quantile levels at which residuals are kept
MET = "met"
# What was never met of a device: where it is two, the later one.
STRANGERS = (MET, "channel", "market", "model", "brand")
UNMET = STRANGERS.index("model")  # from here on, the model was not
SD = 0.53  # the scale of a normal residual of sd 1: e to the mean of its log
VALUE = "value_log"  # the location, in log price
# Codes of devices: the sales of its model; places in CATEGORIES and in STRANGERS.
SALES, KIND, STRANGE = "sales", "kind", "strange"
SCALES = np.linspace(np.log(0.005), np.log(3), 256)  # at which the mean is tabulated
PLACES = {category: place for place, category in enumerate(CATEGORIES)}
LEVELS = (*QUANTILES, 0.16, 0.84)
LOW_TO_HIGH = [LEVELS.index(level) for level in (0.16, 0.5, 0.84)]
USUAL_SD = 0.1  # of a log price around a value that rests on sales of its model


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far sold prices lie from the location: a scale per row, and quantiles of the scaled residuals per group.

    `scales` are the one of models that were met, and that of those that were not. `grids` holds, per group, the
    residual over scale at each level of GRID. See `groups`.
    """

    scales: tuple[hedonic.Hedonic, hedonic.Hedonic]
    grids: Mapping[str, Floats]

    def predict(self, *, unmet: bool, devices: Encoded) -> Floats:
        """Tell the scale of each row, in log price, as of models that were met or not: (n,)."""
        return np.asarray(np.exp(self.scales[unmet].predict(devices=devices))).clip(max=self._most[unmet])

    def at_every_grade(self, *, unmet: bool, devices: Encoded, centre: Floats, doubt: Floats) -> Floats:
        """The same of devices at every grade, by their locations and doubts there: (n, grades) all."""
        numbers = {VALUE: centre, "doubt_log": doubt_log(doubt)}
        said, _ = self.scales[unmet].at_every_grade(devices=devices, numbers=numbers)
        return np.exp(said).clip(max=self._most[unmet])

    @cached_property
    def _most(self) -> tuple[float, ...]:
        """The scales above which a higher location could come with a lower quantile, as a scale falls with it."""
        farthest = self._levels.max()
        return tuple(1 / (fall * farthest) if fall else math.inf for fall in self._falls)

    @cached_property
    def _falls(self) -> tuple[float, ...]:
        """How fast each log scale falls with the location."""
        return tuple(sum(map(_fall, scale.blocks, scale.coefficients)) for scale in self.scales)

    def outcomes(self, *, centre: Floats, scale: Floats, devices: Encoded) -> Floats:
        """Spread log prices `centre` (n,) by their `scale` (n,) as the group of each device does: (n, OUTCOMES)."""
        grade = devices.numbers["grade_rank"].astype(np.int64)
        return self._outcomes(centre, scale, self.group[devices.codes[STRANGE], devices.codes[KIND], grade])

    def outcomes_at_every_grade(self, *, centre: Floats, scale: Floats, devices: Encoded) -> Floats:
        """The same for devices at every grade: (n, grades) both, (n, grades, OUTCOMES)."""
        own = self.group[devices.codes[STRANGE], devices.codes[KIND]]
        return self._outcomes(centre.ravel(), scale.ravel(), own.ravel()).reshape(*centre.shape, len(LEVELS))

    def _outcomes(self, centre: Floats, scale: Floats, own: Codes) -> Floats:
        left = (
            scale[:, None] * self._levels[own]
        )  # as many levels as OUTCOMES: what is told of each takes its place
        found, middle = np.exp(left), np.exp(centre)
        low, half, high = (found[:, place] for place in LOW_TO_HIGH)
        fsd = (high - low) / (2 * half)
        found[:, : len(QUANTILES)] *= middle[:, None]
        found[:, len(QUANTILES)] = middle * self._mean(own, scale)
        found[:, len(QUANTILES) + 1] = fsd
        return found

    def _mean(self, group: Codes, scale: Floats) -> Floats:
        """The mean of e to the residual, read off a table by group and scale: (n,)."""
        along = np.clip((np.log(scale) - SCALES[0]) / (SCALES[1] - SCALES[0]), 0, len(SCALES) - 1.001)
        before = along.astype(np.int64)
        table, share = self._log_means, along - before
        return np.asarray(np.exp(table[group, before] * (1 - share) + table[group, before + 1] * share))

    @cached_property
    def _numbered(self) -> dict[str, int]:
        return {group: number for number, group in enumerate(self.grids)}

    @cached_property
    def group(self) -> Codes:
        """The number of the group that a device has: (STRANGERS, categories, grades)."""
        told = [
            next(self._numbered[g] for g in groups(stranger, category, grade) if g in self._numbered)
            for stranger in STRANGERS
            for category in CATEGORIES
            for grade in Grade
        ]
        return np.array(told).reshape(len(STRANGERS), len(CATEGORIES), len(Grade))

    @cached_property
    def _levels(self) -> Floats:
        """The residual over scale of each group at LEVELS: (groups, levels)."""
        return np.array([np.interp(LEVELS, GRID, grid) for grid in self.grids.values()])

    @cached_property
    def _log_means(self) -> Floats:
        """The log of the mean of e to the residual of each group at each of SCALES: (groups, scales).

        It rises with the scale no faster than the scale falls with the location, so that a mean rises with that.
        """
        logs = np.log([np.exp(np.exp(SCALES)[:, None] * grid).mean(axis=1) for grid in self.grids.values()])
        fastest = (SCALES[1] - SCALES[0]) / max(*self._falls, 1e-9)
        rises = np.minimum(np.diff(logs, axis=1), fastest)
        return np.column_stack([logs[:, :1], logs[:, :1] + np.cumsum(rises, axis=1)])


def _fall(block: Block, values: Floats) -> float:
    """How fast the log scale falls with the location by this term."""
    return max(block.sign * values.item(), 0.0) / block.unit if block.number == VALUE else 0.0


def groups(stranger: str, category: str, grade: int) -> tuple[str, ...]:
    """List the groups whose spread a device may have, its own first: those of models never met stand apart."""
    unmet = (f"{stranger}|{category}", stranger, f"model|{category}", "model")
    return (*(unmet if STRANGERS.index(stranger) >= UNMET else ()), f"{category}|{grade}", category, "")


SPREAD_FEATURES: tuple[Feature, ...] = (
    Feature(name="grade", kind="category", why="worn devices differ more", expr=pl.col("grade"), spread=0.3),
    Feature(
        name=STRANGE, kind="category", why="what was never met is a guess", expr=pl.col(STRANGE), spread=1.0
    ),
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


def spread_table(
    *, table: pl.DataFrame, value: Floats, doubt: Floats, sales: Codes, strange: Codes
) -> pl.DataFrame:
    """Write what the scale depends on, of rows with this log `value` and `doubt` (see Hedonic): one row per row."""
    return table.select(
        pl.col("grade_rank").cast(pl.Int64).cast(pl.String).alias("grade"),
        "category",
        "channel",
        "currency",
        "launch_price_log",
        pl.Series(VALUE, value),
        pl.Series(STRANGE, np.array(STRANGERS)[strange]),
        doubt_log=pl.Series(doubt_log(doubt)),
        sales_log=pl.Series(np.log1p(sales)),
    )


def doubt_log(doubt: Floats) -> Floats:
    """Write a doubt (see Hedonic.doubt) as the scale takes it: 0 without any, and then as its logarithm grows."""
    return np.asarray(np.log1p(doubt / USUAL_SD**2) / 2)
