"""Inspection: what is found behind a declared condition, the less welcome the lower the offer that was taken.

Owners know what they own. Who has something worse than declared takes less, so a low offer is taken by more of those
(the winner's curse): Bayes' rule tells by how much, from what owners of each true condition take.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    of Condition: (6, 6), rows sum to 1. They are those of all who ask for a quote, whatever they are offered.
    """

    chances: Mapping[str, Floats]
    quotes: int

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
