"""An appraisal: what one device would sell for, on one day in one market, at every grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from valuation.grades import Grade
from valuation.rows import Floats, Rows

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILE_NAMES = ("p05", "p10", "p25", "p50", "p75", "p90", "p95")
OUTCOMES = (*QUANTILE_NAMES, "mean", "fsd")


@dataclass(frozen=True, kw_only=True)
class Value:
    """The distribution of a resale price in major units of currency: ordered quantiles, the mean, and fsd.

    fsd, the forecast standard deviation, is half the width of the central 68 % as a share of the median.
    """

    p05: float
    p10: float
    p25: float
    p50: float
    p75: float
    p90: float
    p95: float
    mean: float
    fsd: float


@dataclass(frozen=True, kw_only=True)
class Effect:
    """How much one group of features moves the estimate, in major units of currency."""

    feature: str
    amount: float


@dataclass(frozen=True, kw_only=True)
class Prospects(Rows):
    """What n devices bring at every grade, today and on the day when each would be sold: (n, grades, OUTCOMES) both.

    `category` and `basis` are words (n,); `least` is what half of the owners would take for each in every Condition,
    (n, 6), where that is known; `usual` are the same of the usual device of each one's model, of which nothing else is
    told. Amounts are major units of one currency.
    """

    today: Floats
    later: Floats
    category: NDArray[np.str_]
    basis: NDArray[np.str_]
    least: Floats | None
    usual: Prospects | None = None

    def __len__(self) -> int:
        return len(self.category)


@dataclass(frozen=True, kw_only=True)
class Appraisal:
    """The ladder of values of one device: a better grade never has a lower quantile.

    `basis` says what the estimate rests on: model, family, brand or category; `comparables` counts the past
    sales behind it. `effects` add up to the median at `grade`. `later` is the ladder on the day when the device would
    be sold if it were bought now, the same as today's where nobody said; `least`, what half of the owners would take
    for it in each Condition, where that is known.
    """

    market: str
    currency: str
    category: str
    on: date
    grade: Grade
    ladder: Mapping[Grade, Value]
    basis: str
    comparables: int
    effects: tuple[Effect, ...]
    later: Mapping[Grade, Value] | None = None
    least: tuple[float, ...] | None = None

    @property
    def prospects(self) -> Prospects:
        """The same as rows: one."""
        today, later = (
            np.array([[[getattr(ladder[grade], name) for name in OUTCOMES] for grade in Grade]])
            for ladder in (self.ladder, self.later or self.ladder)
        )
        return Prospects(
            today=today,
            later=later,
            category=np.array([self.category]),
            basis=np.array([self.basis]),
            least=None if self.least is None else np.array([self.least]),
        )

    @property
    def value(self) -> Value:
        """The value at the device's own grade."""
        return self.ladder[self.grade]


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """A device: its appraisal, the `prospects` of it and of it with each of some changes, and what it sells for so many
    days later, by days.
    """

    appraisal: Appraisal
    prospects: Prospects
    forecast: Mapping[int, Value]
