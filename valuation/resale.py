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
from numpy.typing import NDArray

from valuation import anchor, encoding, hedonic, spread
from valuation.anchor import Anchor
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.grades import Grade
from valuation.rows import Table
from valuation.spread import KIND, PLACES, SALES, SD, STRANGE, STRANGERS, UNMET, Spread

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

BASES = ("model", "family", "brand", "category")
FRESH_DAYS = 28  # after the last sale known: so far ahead the spread was rehearsed
ALIKE = ("category", "channel", "currency")  # whose members the scale tells apart
GRADES = len(Grade)


@dataclass(frozen=True, kw_only=True)
class Location:
    """Where the median of the log price lies: the hedonic equation, which the anchor is a number of.

    `listed` are the features; `sales` counts the sales of each model that it learned from.
    """

    listed: tuple[Feature, ...]
    equation: hedonic.Hedonic
    anchor: Anchor
    sales: Mapping[str, int]

    def encode(self, *, table: Table) -> Encoded:
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


def _kinds(table: Table) -> Codes:
    return encoding.coded(values=table["category"], members=PLACES)


def strange(*, table: Table, codes: Mapping[str, Codes]) -> Codes:
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

    def ladder(self, *, devices: Encoded) -> Floats:
        """Value each device at every grade, none worth less than a worse one: (n, grades, OUTCOMES).

        Quantiles and mean are in major units of currency. What is told of the grade is not looked at.
        """
        return np.concatenate([_rising(self._unprojected(part)) for part in devices.parts()])

    def unprojected(self, *, devices: Encoded) -> Floats:
        """Value each device at every grade as the models say, which need not rise with it: (n, grades, OUTCOMES)."""
        return np.concatenate([self._unprojected(part) for part in devices.parts()])

    def _unprojected(self, devices: Encoded) -> Floats:
        centre, doubt = self.location.equation.at_every_grade(devices=devices)
        scale = self._scale(devices, centre, doubt)
        return self.spread.outcomes_at_every_grade(centre=centre, scale=scale, devices=devices)

    def _scale(self, devices: Encoded, centre: Floats, doubt: Floats) -> Floats:
        """The scale of each device around its log prices `centre` by grade, wider on days far ahead: (n, grades)."""
        unmet = devices.codes[STRANGE] >= UNMET
        scale = np.empty_like(centre)
        for strange in (False, True):
            rows = unmet == strange
            if rows.any():
                codes = {name: devices.codes[name][rows] for name in (SALES, STRANGE, *self._alike)}
                numbers = {"launch_price_log": devices.numbers["launch_price_log"][rows]}
                some = Encoded(rows=int(rows.sum()), numbers=numbers, codes=codes)
                inputs = self._spread_inputs(some, centre[rows], doubt[rows], self._scale_codes[strange])
                scale[rows] = self.spread.predict(unmet=strange, devices=inputs).reshape(-1, GRADES)
        ahead = self.location.equation.wander(devices=devices, days=FRESH_DAYS)
        return np.asarray(np.sqrt(scale**2 + (SD**2 * ahead)[:, None]))

    def _spread_inputs(
        self, devices: Encoded, centre: Floats, doubt: Floats, codes: Mapping[str, Codes]
    ) -> Encoded:
        """What the scale depends on, as spread_table writes it: each device at every grade, one after the other."""
        return Encoded(
            rows=centre.size,
            numbers={
                spread.VALUE: centre.ravel(),
                "launch_price_log": devices.numbers["launch_price_log"].repeat(GRADES),
                "doubt_log": spread.doubt_log(doubt.ravel()),
                "sales_log": np.log1p(devices.codes[SALES]).repeat(GRADES),
            },
            codes={
                "grade": np.tile(codes["grade"], devices.rows),
                **{name: codes[name][devices.codes[name]].repeat(GRADES) for name in (STRANGE, *self._alike)},
            },
        )

    @cached_property
    def _alike(self) -> tuple[str, ...]:
        return tuple(name for name in ALIKE if name in self.location.equation.members)

    @cached_property
    def _scale_codes(self) -> tuple[dict[str, Codes], ...]:
        """The codes that each scale has: by grade, by place in STRANGERS, by the code of the equation for a word."""
        known = self.location.equation.members
        words = {
            "grade": [str(int(grade)) for grade in Grade],
            STRANGE: STRANGERS,
            **{name: [*known[name], ""] for name in self._alike},
        }
        return tuple(
            {
                name: np.array([scale.members.get(name, {}).get(word, encoding.UNKNOWN) for word in told])
                for name, told in words.items()
            }
            for scale in self.spread.scales
        )


def _rising(ladder: Floats) -> Floats:
    """Ladders (n, grades, OUTCOMES) in which no quantile and no mean falls as the grade rises."""
    money = ladder[..., :-1]
    if (money[:, 1:] >= money[:, :-1]).all():
        return ladder
    rising = np.maximum.accumulate(money, axis=1)
    falling = np.minimum.accumulate(money[:, ::-1], axis=1)[:, ::-1]
    return np.concatenate([(rising + falling) / 2, ladder[..., -1:]], axis=2)
