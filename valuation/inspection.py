"""Inspection: what is found behind a declared condition, the less welcome the lower the offer that was taken.

Owners know what they own. Who has something worse than declared takes less, so a low offer is taken by more of those
(the winner's curse): Bayes' rule tells by how much, from what owners of each true condition take.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valuation.grades import Condition

Floats = NDArray[np.float64]

CONDITIONS = tuple(Condition)
PLACES = {condition: place for place, condition in enumerate(CONDITIONS)}
OF_ALL = ""  # the category of devices of a category that was not met


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is behind the conditions that owners declare, as learned from `quotes` inspected devices.

    `chances` has, by category, the chance of each true condition (columns) for each declared one (rows), in the order
    of Condition: (6, 6), rows sum to 1. They are those of all who ask for a quote, whatever they are offered. `kept`
    has what is left of an offer once a condition is found behind another, (6, 6), at most 1; `hassle` is the log by
    which what is left may fall short of the least that an owner takes.
    """

    chances: Mapping[str, Floats]
    kept: Floats
    hassle: float
    quotes: int

    def by_declared(self, *, categories: Sequence[str | None]) -> Floats:
        """The chance of each true condition (last axis) behind each declared one, by device: (n, 6, 6)."""
        return np.array(
            [self.chances.get(category or OF_ALL, self.chances[OF_ALL]) for category in categories]
        )

    def true(self, *, declared: str, category: str) -> Floats:
        """The chance of each true condition of a device, before any offer: (6,)."""
        return np.asarray(self.chances.get(category, self.chances[OF_ALL])[PLACES[Condition(declared)]])


def among_takers(*, true: Floats, takes: Floats) -> tuple[Floats, Floats]:
    """The chance that an offer is taken (n,), and that of each true condition among those who take it (n, 6).

    From the chance of each true condition (n, 6) and that its owner takes the offer (n, 6). Where nobody does, all are
    as likely as before.
    """
    both = true * takes
    taken = both.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        among = np.where(taken[:, None] > 0, both / taken[:, None], true)
    return taken, among
