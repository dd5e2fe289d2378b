"""An appraisal: what one device would sell for, on one day in one market, at every grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from valuation.grades import Grade

QUANTILES = (0.05, 0.10, 0.25, 0.50, 0.75, 0.90, 0.95)
QUANTILE_NAMES = ("p05", "p10", "p25", "p50", "p75", "p90", "p95")


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
class Appraisal:
    """The ladder of values of one device: a better grade never has a lower quantile.

    `basis` says what the estimate rests on: model, family, brand or category; `comparables` counts the past
    sales behind it. `effects` add up to the median at `grade`.
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

    @property
    def value(self) -> Value:
        """The value at the device's own grade."""
        return self.ladder[self.grade]
