"""Acceptance: the chance that an owner takes an offer.

The least that owners take is log-normal around what their device would bring flawless, shifted by what it is and where:
so the chance is a probit in the log of the offer, and never falls as the offer rises.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

from valuation.grades import Condition
from valuation.rows import Table

Floats = NDArray[np.float64]
Words = Mapping[str, Sequence[str | None]]  # by column, (n,) each

BETWEEN = "|"  # the words of a member of two columns
OLDEST = 8  # years, and older
AGES = tuple(map(str, range(OLDEST + 1)))
CONDITION = "condition"


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What owners take, as learned from `quotes` drawn offers.

    `base` is the median of the log of the least that owners take over what their device would bring flawless; `shifts`
    are added to it by the member of one or two columns of a device, the key having their names joined by BETWEEN, as
    are the words of a member; one not met shifts nothing. `spread` is the sd of the log of the least, and
    `spread_error` how unsure that is, as the sd of its log.
    """

    base: float
    shifts: Mapping[str, Mapping[str, float]]
    spread: float
    spread_error: float
    quotes: int

    def least(self, *, owners: pl.DataFrame, flawless: Floats) -> Floats:
        """What half of the owners take, from what each device would bring `flawless` (n,): major units, (n,).

        `owners` are the features of the devices with their `condition`.
        """
        return np.asarray(flawless * np.exp(self.base + self._shift(told(owners), list(self.shifts))))

    def least_by_condition(self, *, devices: Table, flawless: Floats) -> Floats:
        """The same for each device in every condition, in the order of Condition: (n, 6)."""
        words = told(devices)
        of_condition = [names for names in self.shifts if CONDITION in names.split(BETWEEN)]
        shift = self._shift(words, [names for names in self.shifts if names not in of_condition])
        every = [
            self._shift({**words, CONDITION: [str(condition)] * len(flawless)}, of_condition)
            for condition in Condition
        ]
        return np.asarray(flawless[:, None] * np.exp(self.base + shift[:, None] + np.stack(every, axis=1)))

    def _shift(self, words: Words, of: Iterable[str]) -> Floats:
        shift = np.zeros(len(words["brand"]))
        for names in of:
            shifts = self.shifts[names]
            shift += [shifts.get(member, 0.0) if member else 0.0 for member in members(words, names)]
        return shift

    def probability(self, *, offer: Floats, least: Floats) -> Floats:
        """The chance that each offer is taken where half of the owners take `least`: (n,); 0 for an offer of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(ndtr(np.log(offer / least) / self.spread))


def told(devices: Table) -> dict[str, list[str | None]]:
    """The words of each device by column, its age among them as one of AGES."""
    names = [name for name in (CONDITION, "market", "category", "brand", "model") if name in devices]
    return {name: list(devices[name]) for name in names} | {
        "age": [None if age is None or math.isnan(age) else AGES[_year(age)] for age in devices["age_years"]]
    }


def _year(age: float) -> int:
    return min(max(int(age), 0), OLDEST)


def members(words: Words, names: str) -> list[str | None]:
    """The member that each device is of the columns named: (n,), None where one of them is not told."""
    columns = names.split(BETWEEN)
    if len(columns) == 1:
        return list(words[names])
    rows = zip(*(words[column] for column in columns), strict=True)
    return [None if None in row else BETWEEN.join(map(str, row)) for row in rows]
