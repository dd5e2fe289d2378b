"""Asking a price with known truth: the chance that a listing sells on a day, and the price that brings most.

On every day a listing sells with the same chance: that of its category at its value, times the ratio of its price to
its value to the power of minus `price_effect`, less where a competitor asks less, more in the season.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valuation.rows import Floats, Rows

SURE = 0.95  # the highest chance of a day
GRID = np.exp(np.linspace(-0.35, 0.45, 81))  # prices tried, over the value
CHUNK = 8_192


@dataclass(frozen=True, kw_only=True)
class Asking(Rows):
    """Listings (n,), amounts in major units: median `value`, the lowest price of a competitor (`cheapest`, infinite
    where there is none), the chance of a day at the value (`base`), what is kept of a price (`proceeds`), the share
    of the value that a day costs (`holding`).
    """

    value: Floats
    cheapest: Floats
    base: Floats
    proceeds: Floats
    holding: Floats
    price_effect: float
    undercut: float
    horizon_days: int
    salvage: float

    def __len__(self) -> int:
        return len(self.value)

    def hazard(self, price: Floats) -> Floats:
        """The chance to sell on a day, at a price (n,) or several (k, n)."""
        chance = self.base * (price / self.value) ** -self.price_effect
        return np.asarray(
            (chance * np.where(price > self.cheapest, np.exp(-self.undercut), 1.0)).clip(max=SURE)
        )

    def brings(self, price: Floats) -> Floats:
        """The mean of what a price brings: sold within the horizon or for the salvage, less the days of waiting."""
        hazard = self.hazard(price)
        sold = 1 - (1 - hazard) ** self.horizon_days
        kept = self.proceeds * (sold * price + (1 - sold) * self.salvage * self.value)
        return np.asarray(kept - self.holding * self.value * sold / hazard)

    def best(self) -> tuple[Floats, Floats]:
        """The price that brings most, of the grid and the cheapest competitor's own, and what it brings: (n,), (n,)."""
        chunks = [self.at(slice(first, first + CHUNK)) for first in range(0, len(self), CHUNK)]
        found = [_best(chunk) for chunk in chunks]
        prices, brought = (np.concatenate([pair[side] for pair in found] or [np.zeros(0)]) for side in (0, 1))
        return prices, brought


def _best(part: Asking) -> tuple[Floats, Floats]:
    met = np.where(np.isfinite(part.cheapest), part.cheapest, part.value)
    prices = np.vstack([np.outer(GRID, part.value), met])
    brought = part.brings(prices)
    top = brought.argmax(axis=0)[None]
    return np.take_along_axis(prices, top, axis=0)[0], np.take_along_axis(brought, top, axis=0)[0]
