"""The resale model: the distribution of what a device sells for.

log price = hedonic equation + scale x a calibrated quantile. The equation, the anchor of boosted trees in it, too, is
monotone in every feature with a direction; the ladder of grades is projected so that no quantile falls as the grade
rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import anchor, encoding, hedonic
from valuation.anchor import Anchor
from valuation.appraisal import QUANTILES
from valuation.catalogue import CATEGORIES
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.grades import Grade

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

BASES = ("model", "family", "brand", "category")
GRID = np.linspace(0.005, 0.995, 100)  # the quantile levels at which residuals are kept
UNMET = "unmet"  # the group of models that were never sold
PLACES = {category: place for place, category in enumerate(CATEGORIES)}
OUTCOMES = (*(f"p{round(100 * q):02d}" for q in QUANTILES), "mean", "fsd")


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where the median of the log price lies: the hedonic equation, which the anchor is a number of.

    `listed` are the features; `sales` counts the sales of each model that it learned from.
    """

    listed: tuple[Feature, ...]
    equation: hedonic.Hedonic
    anchor: Anchor
    sales: Mapping[str, int]

    def encode(self, *, table: pl.DataFrame) -> Encoded:
        """Turn a table of features into the arrays that anchor and equation read."""
        devices = self.equation.encode(table=table)
        devices = replace(devices, codes={**devices.codes, anchor.FOLD: self._looked_up(table)[1]})
        return replace(
            devices, numbers={**devices.numbers, anchor.NAME: self.anchor.predict(devices=devices)}
        )

    def predict(self, *, devices: Encoded) -> Floats:
        """Value each row in log price: (n,)."""
        return self.equation.predict(devices=devices)

    def contributions(self, *, devices: Encoded) -> dict[str, Floats]:
        """Split the value of each row by feature: {feature: (n,)}, in log price; the anchor by what it has seen."""
        shares = self.equation.contributions(devices=devices)
        if anchor.NAME not in shares:
            return shares
        split = self.anchor.contributions(devices=devices)
        height = devices.numbers[anchor.NAME] - anchor.FEATURE.knots[0]
        slope = shares.pop(anchor.NAME) / height
        for place, feature in enumerate(self.anchor.seen):
            shares[feature.name] = shares.get(feature.name, 0.0) + slope * split[:, place]
        shares[hedonic.BASE] = shares[hedonic.BASE] + slope * (split[:, -1] - anchor.FEATURE.knots[0])
        return shares

    def basis(self, *, table: pl.DataFrame) -> tuple[pl.Series, Codes]:
        """Tell what each value rests on, and on how many past sales of the same model: (n,) and (n,)."""
        codes = self.equation.encode(table=table.select(BASES[:-1])).codes
        known = [codes.get(name, np.full(table.height, encoding.UNKNOWN)) >= 0 for name in BASES[:-1]]
        names = np.select(known, np.arange(len(BASES) - 1), default=len(BASES) - 1)
        return pl.Series([BASES[name] for name in names], dtype=pl.String), self._looked_up(table)[0]

    @cached_property
    def _models(self) -> tuple[dict[str, int], Codes, Codes]:
        """The code of every model; by code, its sales and the trees that have not met it; last, those of none."""
        folds = [self.anchor.folds.get(model, encoding.UNKNOWN) for model in self.sales]
        return (
            {model: code for code, model in enumerate(self.sales)},
            np.array([*self.sales.values(), 0], dtype=np.int64),
            np.array([*folds, encoding.UNKNOWN], dtype=np.int64),
        )

    def _looked_up(self, table: pl.DataFrame) -> tuple[Codes, Codes]:
        """The sales of the model of each row, and the trees that have not met it: (n,) each."""
        members, sales, folds = self._models
        codes = encoding.coded(values=table["model"], members=members)
        return sales[codes], folds[codes]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far sold prices lie from the location: a scale per row, and quantiles of the scaled residuals per group.

    `grids` holds, per group, the residual over scale at each level of GRID. See `groups`.
    """

    scale: hedonic.Hedonic
    grids: Mapping[str, Floats]

    def predict(self, *, devices: Encoded) -> Floats:
        """Tell the scale of each row, in log price: (n,)."""
        return np.asarray(np.exp(self.scale.predict(devices=devices)))

    def grid(self, *, categories: Codes, met: Mask, grade: int) -> Floats:
        """Tell the scaled residuals at one grade, by category in order of CATEGORIES, and whether the model was met.

        (n, len(GRID)).
        """
        return np.asarray(self._stacked[met.astype(np.int64), categories, grade])

    @cached_property
    def _stacked(self) -> Floats:
        """The grid of every group: (met or not, categories, grades, len(GRID))."""
        return np.array(
            [
                [
                    [
                        next(self.grids[group] for group in groups(c, g, met=met) if group in self.grids)
                        for g in Grade
                    ]
                    for c in CATEGORIES
                ]
                for met in (False, True)
            ]
        )


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


USUAL_SD = 0.1  # of a log price around a value that rests on sales of its model


def spread_table(*, table: pl.DataFrame, doubt: Floats, sales: Codes) -> pl.DataFrame:
    """Write what the scale depends on: one row per row."""
    return table.select(
        pl.col("grade_rank").cast(pl.Int64).cast(pl.String).alias("grade"),
        "category",
        "brand",
        "age_years",
        met=pl.when(pl.Series(sales > 0)).then(pl.lit("met")).otherwise(pl.lit(UNMET)),
        doubt_log=pl.Series(np.log1p((doubt / USUAL_SD) ** 2) / 2),
        sales_log=pl.Series(np.log1p(sales)),
    )


@dataclass(frozen=True, kw_only=True)
class ResaleModel:
    """The distribution of the resale price of any device, at any grade."""

    location: Location
    spread: Spread

    def ladder(self, *, table: pl.DataFrame) -> Floats:
        """Value each row at every grade, none worth less than a worse one: (n, grades, OUTCOMES).

        Quantiles and mean are in major units of currency. What the table says of the grade is not looked at.
        """
        raw = self.unprojected(table=table)
        money = raw[..., :-1]
        rising = np.maximum.accumulate(money, axis=1)
        falling = np.minimum.accumulate(money[:, ::-1], axis=1)[:, ::-1]
        return np.concatenate([(rising + falling) / 2, raw[..., -1:]], axis=2)

    def unprojected(self, *, table: pl.DataFrame) -> Floats:
        """Value each row at every grade as the models say, which need not rise with it: (n, grades, OUTCOMES)."""
        _, sales = self.location.basis(table=table)
        every = self._at_every_grade(self.location.encode(table=table))
        centre = self.location.predict(devices=every)
        doubt = self.location.equation.doubt(devices=every)
        tiled = pl.concat([table.with_columns(grade_rank=pl.lit(float(grade))) for grade in Grade])
        inputs = spread_table(table=tiled, doubt=doubt, sales=np.tile(sales, len(Grade)))
        scale = self.spread.predict(devices=self.spread.scale.encode(table=inputs))
        categories = encoding.coded(values=table["category"], members=PLACES)
        rows = table.height
        rungs = []
        for grade in Grade:
            rung = slice(grade * rows, (grade + 1) * rows)
            grid = self.spread.grid(categories=categories, met=sales > 0, grade=grade)
            rungs.append(_outcomes(centre[rung], scale[rung, None] * grid))
        return np.stack(rungs, axis=1)

    def _at_every_grade(self, devices: Encoded) -> Encoded:
        """Repeat the devices, once for each grade, worst first."""
        known = self.location.equation.members.get("grade", {})
        codes = [known.get(grade.name, encoding.UNKNOWN) for grade in Grade]
        every = devices.tiled(len(Grade))
        return replace(
            every,
            numbers={**every.numbers, "grade_rank": np.repeat([float(g) for g in Grade], devices.rows)},
            codes={**every.codes, "grade": np.repeat(codes, devices.rows)},
        )


def _outcomes(centre: Floats, residuals: Floats) -> Floats:
    """Turn a log price (n,) and residuals around it (n, len(GRID)) into (n, OUTCOMES)."""
    factors = np.exp(residuals)
    quantiles = np.stack([_at(factors, q) for q in QUANTILES], axis=1)
    fsd = (_at(factors, 0.84) - _at(factors, 0.16)) / (2 * _at(factors, 0.5))
    price = np.exp(centre)
    return np.column_stack([quantiles * price[:, None], factors.mean(axis=1) * price, fsd])


def _at(factors: Floats, level: float) -> Floats:
    """Interpolate the grid of each row at one quantile level: (n,)."""
    place = (level - GRID[0]) / (GRID[1] - GRID[0])
    low = int(place)
    share = place - low
    return np.asarray(factors[:, low] * (1 - share) + factors[:, min(low + 1, len(GRID) - 1)] * share)
