"""The resale model: the distribution of what a device sells for.

log price = hedonic equation + trees + spread x a calibrated quantile. Equation and trees are monotone in every feature
with a direction but the grade; the ladder of grades is projected so that no quantile falls as the grade rises.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import encoding, hedonic
from valuation.appraisal import QUANTILES
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.grades import Grade

Floats = NDArray[np.float64]

BASES = ("model", "family", "brand", "category")
GRID = np.linspace(0.005, 0.995, 100)  # the quantile levels at which residuals are kept
OUTCOMES = (*(f"p{round(100 * q):02d}" for q in QUANTILES), "mean", "fsd")


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where the median of the log price lies: the hedonic equation, and trees on what it leaves.

    `listed` are the features; `sales` counts the sales of each model that it learned from. Of what the trees see too,
    the equation says `share`, and the trees the rest.
    """

    listed: tuple[Feature, ...]
    equation: hedonic.Hedonic
    trees: lgb.Booster
    sales: Mapping[str, int]
    share: float = 1.0

    def predict(self, *, devices: Encoded) -> Floats:
        """Value each row in log price: (n,)."""
        return self.said(devices=devices) + self.grown(devices=devices)

    def said(self, *, devices: Encoded) -> Floats:
        """Tell what the equation says of each row, in log price: (n,)."""
        return np.asarray(sum(self.contributions(devices=devices).values()))

    def contributions(self, *, devices: Encoded) -> dict[str, Floats]:
        """Split what the equation says by feature: {feature: (n,)}, in log price."""
        return leaned(
            shares=self.equation.contributions(devices=devices), listed=self.listed, share=self.share
        )

    def grown(self, *, devices: Encoded) -> Floats:
        """Tell what the trees add to each row, in log price: (n,). They do not see the grade."""
        grown = self.trees.predict(self.tree_matrix(devices=devices), num_threads=1)
        return np.asarray(grown, dtype=np.float64)

    @cached_property
    def seen(self) -> tuple[Feature, ...]:
        """The features that the trees see."""
        return tuple(feature for feature in self.listed if feature.trees)

    def tree_matrix(self, *, devices: Encoded) -> Floats:
        """Write the inputs of the trees in the order of `seen`: (n, features), NaN where not known.

        Members of a category are numbered in the order of their effects.
        """
        return np.column_stack(
            [
                devices.numbers[f.name] if f.kind == "number" else self._places[f.name][devices.codes[f.name]]
                for f in self.seen
            ]
        )

    @cached_property
    def _places(self) -> dict[str, Floats]:
        """The place of each member of a category by its effect, and NaN for the unknown one, by code."""
        places = {}
        for block, values in zip(self.equation.blocks, self.equation.coefficients, strict=True):
            if len(block.by) == 1 and block.feature == block.by[0] and not block.knots and not block.number:
                codes = self.equation.members[block.feature]
                place = np.full(len(codes) + 1, np.nan)
                for member, rank in zip(block.members, values[:, 0].argsort().argsort(), strict=True):
                    place[codes[member[0]]] = rank
                places[block.feature] = place
        return places

    def basis(self, *, table: pl.DataFrame) -> tuple[pl.Series, NDArray[np.int64]]:
        """Tell what each value rests on, and on how many past sales of the same model: (n,) and (n,)."""
        codes = self.equation.encode(table=table.select(BASES[:-1])).codes
        known = [codes.get(name, np.full(table.height, encoding.UNKNOWN)) >= 0 for name in BASES[:-1]]
        names = np.select(known, np.arange(len(BASES) - 1), default=len(BASES) - 1)
        models = table["model"].to_list()
        return (
            pl.Series([BASES[name] for name in names], dtype=pl.String),
            np.array([self.sales.get(model, 0) for model in models], dtype=np.int64),
        )


def leaned(*, shares: dict[str, Floats], listed: Sequence[Feature], share: float) -> dict[str, Floats]:
    """Keep `share` of the contributions of what the trees see."""
    seen = {feature.name for feature in listed if feature.trees}
    return {name: share * part if name in seen else part for name, part in shares.items()}


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How far sold prices lie from the location: a scale per row, and quantiles of the scaled residuals per group.

    `grids` holds, per group, the residual over scale at each level of GRID; a group is the category and grade, else
    the category, else all ("").
    """

    scale: hedonic.Hedonic
    grids: Mapping[str, Floats]

    def predict(self, *, devices: Encoded) -> Floats:
        """Tell the scale of each row, in log price: (n,)."""
        return np.asarray(np.exp(self.scale.predict(devices=devices)))

    def grid(self, *, categories: Sequence[str], grade: int) -> Floats:
        """Tell the scaled residuals of each category at one grade: (n, len(GRID))."""
        return np.array([self._grid(category, grade) for category in categories]).reshape(-1, len(GRID))

    def _grid(self, category: str, grade: int) -> Floats:
        found = (self.grids[group] for group in groups(category, grade) if group in self.grids)
        return next(found)


def groups(category: str, grade: int) -> tuple[str, ...]:
    """List the groups that a device at a grade belongs to, narrowest first."""
    return f"{category}|{grade}", category, ""


SPREAD_FEATURES: tuple[Feature, ...] = (
    Feature(name="grade", kind="category", why="worn devices differ more", expr=pl.col("grade"), spread=0.3),
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


def spread_table(*, table: pl.DataFrame, doubt: Floats, sales: NDArray[np.int64]) -> pl.DataFrame:
    """Write what the scale depends on: one row per row."""
    return table.select(
        pl.col("grade_rank").cast(pl.Int64).cast(pl.String).alias("grade"),
        "category",
        "brand",
        "age_years",
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
        devices = self.location.equation.encode(table=table)
        every = self._at_every_grade(devices)
        grown = np.tile(self.location.grown(devices=devices), len(Grade))
        centre = self.location.said(devices=every) + grown
        doubt = self.location.equation.doubt(devices=every)
        tiled = pl.concat([table.with_columns(grade_rank=pl.lit(float(grade))) for grade in Grade])
        inputs = spread_table(table=tiled, doubt=doubt, sales=np.tile(sales, len(Grade)))
        scale = self.spread.predict(devices=self.spread.scale.encode(table=inputs))
        categories = table["category"].to_list()
        rows = table.height
        rungs = []
        for grade in Grade:
            rung = slice(grade * rows, (grade + 1) * rows)
            grid = self.spread.grid(categories=categories, grade=grade)
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
