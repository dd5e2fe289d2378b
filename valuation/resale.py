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
MET, UNMET = "met", "unmet"  # whether a model was ever sold
SALES, KIND = "sales", "kind"  # the sales of a device's model, and the place of its category in CATEGORIES
SCALES = np.linspace(np.log(0.005), np.log(3), 256)  # at which the mean is tabulated
GRADED = ("grade", "grade_rank")
Said = tuple[dict[str, Floats], dict[str, Floats], Encoded]  # see ResaleModel.said
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
        """Turn a table of features into the arrays that all parts read, with the anchor and SALES of each model."""
        devices = self.equation.encode(table=table)
        members, sales, folds = self._models
        model = encoding.coded(values=table["model"], members=members)
        devices = replace(
            devices,
            codes={**devices.codes, SALES: sales[model], anchor.FOLD: folds[model], KIND: _kinds(table)},
        )
        return replace(
            devices, numbers={**devices.numbers, anchor.NAME: self.anchor.predict(devices=devices)}
        )

    def predict(self, *, devices: Encoded) -> Floats:
        """Value each row in log price: (n,)."""
        return self.equation.predict(devices=devices)

    def contributions(self, *, devices: Encoded) -> dict[str, Floats]:
        """Split the value of each row by feature: {feature: (n,)}, in log price; the anchor by what it has seen."""
        return self.split(devices=devices, shares=self.equation.contributions(devices=devices))

    def split(self, *, devices: Encoded, shares: Mapping[str, Floats]) -> dict[str, Floats]:
        """Split what the equation says by feature: the anchor's share among what it has seen."""
        shares = dict(shares)
        if anchor.NAME not in shares:
            return shares
        split = self.anchor.contributions(devices=devices)
        height = devices.numbers[anchor.NAME] - anchor.FEATURE.knots[0]
        slope = shares.pop(anchor.NAME) / height
        for place, feature in enumerate(self.anchor.seen):
            shares[feature.name] = shares.get(feature.name, 0.0) + slope * split[:, place]
        shares[hedonic.BASE] = shares[hedonic.BASE] + slope * (split[:, -1] - anchor.FEATURE.knots[0])
        return shares

    def basis(self, *, devices: Encoded) -> Codes:
        """Tell what each value rests on, as its place in BASES: (n,)."""
        unknown = np.full(devices.rows, encoding.UNKNOWN)
        known = [devices.codes.get(name, unknown) >= 0 for name in BASES[:-1]]
        return np.select(known, np.arange(len(BASES) - 1), default=len(BASES) - 1)

    @cached_property
    def _models(self) -> tuple[dict[str, int], Codes, Codes]:
        """The code of every model; by code, its sales and the trees that have not met it; last, those of none."""
        folds = [self.anchor.folds.get(model, encoding.UNKNOWN) for model in self.sales]
        return (
            {model: code for code, model in enumerate(self.sales)},
            np.array([*self.sales.values(), 0], dtype=np.int64),
            np.array([*folds, encoding.UNKNOWN], dtype=np.int64),
        )


def _kinds(table: pl.DataFrame) -> Codes:
    return encoding.coded(values=table["category"], members=PLACES)


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
    """Write what the scale depends on, of rows with this `doubt` (see Hedonic.doubt): one row per row."""
    return table.select(
        pl.col("grade_rank").cast(pl.Int64).cast(pl.String).alias("grade"),
        "category",
        "brand",
        "age_years",
        met=pl.when(pl.Series(sales > 0)).then(pl.lit(MET)).otherwise(pl.lit(UNMET)),
        doubt_log=pl.Series(_doubt_log(doubt)),
        sales_log=pl.Series(np.log1p(sales)),
    )


def _doubt_log(doubt: Floats) -> Floats:
    return np.asarray(np.log1p(doubt / USUAL_SD**2) / 2)


@dataclass(frozen=True, kw_only=True)
class ResaleModel:
    """The distribution of the resale price of any device, at any grade."""

    location: Location
    spread: Spread

    def ladder(self, *, devices: Encoded, said: Said | None = None) -> Floats:
        """Value each device at every grade, none worth less than a worse one: (n, grades, OUTCOMES).

        Quantiles and mean are in major units of currency. What is told of the grade is not looked at. Who has asked
        what is `said` of the devices gives it.
        """
        raw = self.unprojected(devices=devices, said=said)
        money = raw[..., :-1]
        if (money[:, 1:] >= money[:, :-1]).all():
            return raw
        rising = np.maximum.accumulate(money, axis=1)
        falling = np.minimum.accumulate(money[:, ::-1], axis=1)[:, ::-1]
        return np.concatenate([(rising + falling) / 2, raw[..., -1:]], axis=2)

    def unprojected(self, *, devices: Encoded, said: Said | None = None) -> Floats:
        """Value each device at every grade as the models say, which need not rise with it: (n, grades, OUTCOMES)."""
        constant, graded, every = said or self.said(devices=devices)
        equation = self.location.equation
        doubt = np.tile(equation.doubt(devices=devices, but=self._graded), len(Grade))
        doubt += equation.doubt(devices=every, only=self._graded)
        outcomes = self.spread.outcomes(
            centre=np.tile(np.asarray(sum(constant.values())), len(Grade)) + sum(graded.values()),
            scale=self.spread.predict(devices=self._spread_inputs(every, doubt)),
            devices=every,
        )
        return outcomes.reshape(len(Grade), devices.rows, len(OUTCOMES)).transpose(1, 0, 2)

    def said(self, *, devices: Encoded) -> Said:
        """Tell what the equation says of n devices, by feature: (n,) at any grade, and (grades x n,) at every grade.

        With them come the devices at every grade, worst first.
        """
        equation, every = self.location.equation, self._at_every_grade(devices)
        return (
            equation.contributions(devices=devices, but=self._graded),
            equation.contributions(devices=every, only=self._graded),
            every,
        )

    @cached_property
    def _graded(self) -> frozenset[str]:
        """The features that say something else of another grade."""
        return self.location.equation.touched(names=GRADED)

    def _spread_inputs(self, devices: Encoded, doubt: Floats) -> Encoded:
        """What the scale depends on, as spread_table writes it."""
        codes, sales = self._scale_codes, devices.codes[SALES]
        return Encoded(
            rows=devices.rows,
            numbers={
                "age_years": devices.numbers["age_years"],
                "doubt_log": _doubt_log(doubt),
                "sales_log": np.log1p(sales),
            },
            codes={
                "grade": codes["grade"][devices.numbers["grade_rank"].astype(np.int64)],
                "met": codes["met"][(sales > 0).astype(np.int64)],
                "category": codes["category"][devices.codes["category"]],
                "brand": codes["brand"][devices.codes["brand"]],
            },
        )

    @cached_property
    def _scale_codes(self) -> dict[str, Codes]:
        """The code that the scale has, by grade, by whether it was met, and by the code of the equation for a word."""
        words = {
            "grade": [str(int(grade)) for grade in Grade],
            "met": [UNMET, MET],
            **{name: [*self.location.equation.members[name], ""] for name in ("category", "brand")},
        }
        members = self.spread.scale.members
        return {
            name: np.array([members[name].get(word, encoding.UNKNOWN) for word in told])
            for name, told in words.items()
        }

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
