"""Checks that offers were drawn by chance as their propensities say: by a law that needs no middle of the draws.

Where an offer o is drawn with a density d of its logarithm, K_h(ln o - ln u) / d has a mean of at most 1 for any u that
the draw has no part in, and of about 1 where u lies within the range. Here u is the usual offer for such a device, told
by the quotes of other cells of model and day. A mean above 1 proves that propensities are too small: chances of one of
a few offers, say, or a constant. A low one has two possible reasons: they are too large, or offers were drawn around
something that no column tells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from training import accepting, off_policy
from valuation.rows import Floats

FEWEST_CELLS = 30  # of draws: what fewer tell is chance
MOST, LEAST = (
    1.1,
    0.5,
)  # of a mean weight: what drops out below the least offer, and how unsure the usual one is
SURE = 3.0  # standard errors
REMEDY = (
    "Write the density per unit of log offer, 1 / ln(highest / lowest) for an even draw; for a draw among a few offers "
    "the chance of each over the log of its ratio to the next; and `randomised` only where nothing but chance chose."
)


class PropensityError(ValueError):
    """Propensities that cannot be those with which the offers were drawn."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The mean weight of `n` drawn offers near the usual one, with its standard error: about 1, never above."""

    n: int
    mean: float
    error: float

    @property
    def doubt(self) -> str | None:
        """Why little should be built on these draws; None where nothing speaks against it."""
        if self.mean + SURE * self.error >= LEAST:
            return None
        return (
            f"Of {self.n:,} drawn offers, the weights of those near the usual offer average {self.mean:.2f} (standard "
            f"error {self.error:.2f}), where about 1 is expected: `propensity` is too large, or offers were drawn "
            f"around what no column tells. What is said rests mostly on the model. {REMEDY}"
        )


def cells(*, owners: pl.DataFrame, quotes: pl.DataFrame) -> pl.Series:
    """The cell of model and day of each quote, that shares a draw: (n,)."""
    day = quotes["quoted_at"].dt.date()
    return owners.select(pl.concat_str("model", day, separator="|", ignore_nulls=True)).to_series()


def weights(*, owners: pl.DataFrame, quotes: pl.DataFrame, flawless: Floats) -> Floats:
    """The weight of each drawn offer that was answered, NaN of any other: (n,).

    Row by row (n,), as accepting.fit learns from.
    """
    used, found = accepting.answered(quotes), np.full(quotes.height, np.nan)
    owners, drawn, rows = owners.filter(used), quotes.filter(used), used.to_numpy()
    if not drawn.height:
        return found
    number = np.unique(cells(owners=owners, quotes=drawn), return_inverse=True)[1]
    offered = np.log(drawn["offer"].to_numpy() / flawless[rows])
    usual = accepting.usual_offers(owners=owners, offered=offered, fold=number % accepting.FOLDS)
    found[rows] = off_policy.kernel(gap=usual - offered, density=drawn["propensity"].to_numpy())
    return found


def checked(*, weight: Floats, cell: pl.Series) -> Weights | None:
    """Average `weights` by cell, (n,) each; None where they are of fewer than FEWEST_CELLS.

    Raises PropensityError where they average more than they can.
    """
    drawn = ~np.isnan(weight)
    known, number = np.unique(cell.filter(drawn), return_inverse=True)
    if len(known) < FEWEST_CELLS:
        return None
    mean, error = off_policy.mean_by_cell(weight[drawn], number)
    if mean - SURE * error > MOST:
        raise PropensityError(
            f"Of {drawn.sum():,} drawn offers, the weights of those near the usual offer average {mean:.2f} (standard "
            f"error {error:.2f}), and by the true propensities they could not average more than 1. {REMEDY}"
        )
    return Weights(n=int(drawn.sum()), mean=mean, error=error)
