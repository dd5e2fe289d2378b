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

from valuation import anchor, encoding, hedonic, spread
from valuation.anchor import Anchor
from valuation.appraisal import OUTCOMES
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.grades import Grade
from valuation.spread import KIND, PLACES, SALES, SD, STRANGE, STRANGERS, UNMET, Spread

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BASES = ("model", "family", "brand", "category")
FRESH_DAYS = 28  # after the last sale known: so far ahead the spread was rehearsed
GRADED = ("grade", "grade_rank")
ALIKE = ("category", "channel", "currency")  # whose members the scale tells apart
Said = tuple[dict[str, Floats], dict[str, Floats], Encoded]  # see ResaleModel.said


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
        codes = {**devices.codes, SALES: sales[model], anchor.FOLD: folds[model], KIND: _kinds(table)}
        devices = replace(devices, codes={**codes, STRANGE: strange(table=table, codes=codes)})
        return replace(
            devices, numbers={**devices.numbers, anchor.NAME: self.anchor.predict(devices=devices)}
        )

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


def strange(*, table: pl.DataFrame, codes: Mapping[str, Codes]) -> Codes:
    """What of each device was never met, as its place in STRANGERS: (n,). An untold channel is no stranger."""
    told = {"channel": encoding.told(values=table["channel"]), "market": True, "brand": True}
    found = np.where(codes[SALES] > 0, 0, STRANGERS.index("model"))
    for name, asked in told.items():
        if name in codes:
            found = np.maximum(found, (codes[name] == encoding.UNKNOWN) * asked * STRANGERS.index(name))
    return np.asarray(found)


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
        centre = np.tile(np.asarray(sum(constant.values())), len(Grade)) + sum(graded.values())
        outcomes = self.spread.outcomes(centre=centre, scale=self._scale(every, centre, doubt), devices=every)
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

    def _scale(self, devices: Encoded, centre: Floats, doubt: Floats) -> Floats:
        """The scale of each row around its log price `centre`, wider on days far ahead: (n,)."""
        unmet = devices.codes[STRANGE] >= UNMET
        scale = self._scale_as(bool(unmet.all()), devices, centre, doubt)
        if unmet.any() and not unmet.all():
            scale = np.where(unmet, self._scale_as(True, devices, centre, doubt), scale)
        ahead = self.location.equation.wander(devices=devices, days=FRESH_DAYS)
        return np.asarray(np.sqrt(scale**2 + SD**2 * ahead))

    def _scale_as(self, unmet: bool, devices: Encoded, centre: Floats, doubt: Floats) -> Floats:
        inputs = self._spread_inputs(devices, centre, doubt, self._scale_codes[unmet])
        return self.spread.predict(unmet=unmet, devices=inputs)

    def _spread_inputs(
        self, devices: Encoded, centre: Floats, doubt: Floats, codes: Mapping[str, Codes]
    ) -> Encoded:
        """What the scale depends on, as spread_table writes it."""
        return Encoded(
            rows=devices.rows,
            numbers={
                spread.VALUE: centre,
                "launch_price_log": devices.numbers["launch_price_log"],
                "doubt_log": spread.doubt_log(doubt),
                "sales_log": np.log1p(devices.codes[SALES]),
            },
            codes={
                "grade": codes["grade"][devices.numbers["grade_rank"].astype(np.int64)],
                **{name: codes[name][devices.codes[name]] for name in (STRANGE, *ALIKE) if name in codes},
            },
        )

    @cached_property
    def _scale_codes(self) -> tuple[dict[str, Codes], ...]:
        """The codes that each scale has: by grade, by place in STRANGERS, by the code of the equation for a word."""
        known = self.location.equation.members
        words = {
            "grade": [str(int(grade)) for grade in Grade],
            STRANGE: STRANGERS,
            **{name: [*known[name], ""] for name in ALIKE if name in known},
        }
        return tuple(
            {
                name: np.array([scale.members.get(name, {}).get(word, encoding.UNKNOWN) for word in told])
                for name, told in words.items()
            }
            for scale in self.spread.scales
        )

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
