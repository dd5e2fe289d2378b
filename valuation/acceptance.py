"""Acceptance: the chance that an owner takes an offer.

The least that owners take is log-normal around what their device would bring flawless, shifted by what it is and where:
so the chance is a probit in the log of the offer, and never falls as the offer rises.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]

BETWEEN = "|"  # the words of a member of two columns
OLDEST = 8  # years, and older
_AGE = pl.col("age_years").floor().clip(0, OLDEST).cast(pl.Int64).cast(pl.String)


@dataclass(frozen=True, kw_only=True)
class Acceptance:
    """What owners take, as learned from `quotes` drawn offers.

    `base` is the median of the log of the least that owners take over what their device would bring flawless; `shifts`
    are added to it by the member of one or two columns of a device, the key having their names joined by BETWEEN, as
    are the words of a member; one not met shifts nothing. `spread` is the sd of the log of the least.
    """

    base: float
    shifts: Mapping[str, Mapping[str, float]]
    spread: float
    quotes: int

    def least(self, *, owners: pl.DataFrame, flawless: Floats) -> Floats:
        """What half of the owners take, from what each device would bring `flawless` (n,): major units, (n,).

        `owners` are the features of the devices with their `condition`.
        """
        shift = np.full(owners.height, self.base)
        for names, shifts in self.shifts.items():
            told = members(owners, names)
            shift += told.replace_strict(shifts, default=0.0, return_dtype=pl.Float64).to_numpy()
        return np.asarray(flawless * np.exp(shift))

    def probability(self, *, offer: Floats, least: Floats) -> Floats:
        """The chance that each offer is taken where half of the owners take `least`: (n,); 0 for an offer of 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(ndtr(np.log(offer / least) / self.spread))


def members(owners: pl.DataFrame, names: str) -> pl.Series:
    """The word of each owner for the columns named: (n,), null where one of them is."""
    columns = [_AGE if name == "age" else pl.col(name) for name in names.split(BETWEEN)]
    return owners.select(pl.concat_str(columns, separator=BETWEEN)).to_series()
