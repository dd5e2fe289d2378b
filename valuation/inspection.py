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
