"""What a policy of offers would have earned on logged quotes: doubly robust, from the offers that were drawn by chance.

Of a drawn offer it is known how it was drawn, not around what: that may know more of the device than a table does. But
where the offer b of a policy lies within the range, an offer falls near it with a density d whoever the owner is. So
with a kernel K of log offers, of bandwidth h, and the model's margins m,

    value = mean m(b) + mean over drawn K_h(ln b - ln o) / d (reward - m(o)),

which is right if the model or the draws are, as far as the policy lies within reach of the draws (M. Dudik et al.,
Doubly Robust Policy Evaluation and Optimization, 2014; N. Kallus and A. Zhou, Policy Evaluation and Optimization with
Continuous Treatments, 2018). What is farther off is corrected by how far the model was off for quotes whose offers were
far from the policy's; by as much, and by how unsure the slope of acceptance is, the interval grows. Quotes of a cell of
model and day share a draw, and err together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valuation.rows import Floats, Mask, Whole

BANDWIDTH = 0.04  # of log offers: half of the usual range to either side
FAR = 0.08  # of log offers: a quote whose drawn offer lies so far from a policy's is likely out of its reach
Z95 = 1.96


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Quotes as they were answered, (n,) each: whether the offer was `drawn`, its `density` per unit of log offer, the
    `offer`, above zero, the `reward`, NaN where it is not known, what the model says that `offer` earns (`told`), and
    the number of the `cell` that shares a draw.
    """

    drawn: Mask
    density: Floats
    offer: Floats
    reward: Floats
    told: Floats
    cell: Whole

    @property
    def known(self) -> Mask:
        """Which of the drawn ones are known to the end: (n,)."""
        return self.drawn & np.isfinite(self.reward)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean per quote with its 95 % interval; `n` drawn quotes bear on it, and `within_reach` is the share of quotes
    for which they tell, the rest being the model's word. `direct` is the model's word for all, `snips` what the drawn
    quotes say alone, of those within reach.
    """

    value: float
    low: float
    high: float
    n: int
    within_reach: float
    direct: float
    snips: float | None

    def holds(self, truth: float) -> bool:
        """Whether a value lies within the interval."""
        return self.low <= truth <= self.high


def value(*, logged: Logged, target: Floats, told: Floats, unsure: Floats) -> Estimate:
    """Estimate what a policy that offers `target` (n,), 0 for nothing, would have earned per quote.

    `told` is what the model says that it earns (n,), `unsure` how far that moves with an error of its slope (n,).
    """
    rows = np.flatnonzero(logged.known)
    density, gap = logged.density[rows], np.full(len(rows), np.inf)
    made = target[rows] > 0
    gap[made] = np.log(target[rows][made] / logged.offer[rows][made])
    weight = kernel(gap=gap, density=density)
    off = logged.reward[rows] - logged.told[rows]
    nothing = ~made  # what is not offered earns nothing, whoever asks
    reach = min(1.0, float(weight.mean() + nothing.mean())) if len(rows) else 0.0
    near, error = mean_by_cell(weight * off, logged.cell[rows])
    away = (np.abs(gap) > FAR) & made
    far, far_error = mean_by_cell(off[away], logged.cell[rows][away])
    beyond = 1 - reach
    if beyond == 0 or not away.any():
        far, far_error = 0.0, 0.0 if beyond == 0 else np.inf
    middle = float(told.mean()) + near + beyond * far
    spread = (
        np.hypot(error, beyond * np.sqrt(far**2 + far_error**2 + float(unsure.mean()) ** 2))
        if beyond
        else error
    )
    return Estimate(
        value=middle,
        low=middle - Z95 * spread,
        high=middle + Z95 * spread,
        n=int((weight > 0).sum()),
        within_reach=reach,
        direct=float(told.mean()),
        snips=float((weight * logged.reward[rows]).sum() / weight.sum()) if weight.sum() else None,
    )


def as_it_was(*, logged: Logged) -> Estimate:
    """What the offers that were made earned per quote, drawn or not."""
    rows = np.isfinite(logged.reward)
    mean, error = mean_by_cell(logged.reward[rows], logged.cell[rows])
    return Estimate(
        value=mean,
        low=mean - Z95 * error,
        high=mean + Z95 * error,
        n=int(rows.sum()),
        within_reach=1.0,
        direct=float(logged.told.mean()),
        snips=mean,
    )


def kernel(*, gap: Floats, density: Floats) -> Floats:
    """The weight of each drawn offer: even where its log is within a `gap` of BANDWIDTH, over its density: (n,)."""
    return np.asarray((np.abs(gap) <= BANDWIDTH) / (2 * BANDWIDTH * density))


def mean_by_cell(values: Floats, cell: Whole) -> tuple[float, float]:
    """A mean and its standard error, where values of a cell err together; no values leave both unknown: infinite."""
    if not len(values):
        return 0.0, np.inf
    mean = float(values.mean())
    sums = np.bincount(np.unique(cell, return_inverse=True)[1], values - mean)
    return mean, float(np.sqrt((sums**2).sum()) / len(values))


def ratio_interval(
    above: Floats, below: Floats, cell: Whole, seed: int, draws: int = 400
) -> tuple[float, float]:
    """The 95 % interval of a ratio of sums, by a bootstrap of whole cells: (n,) each."""
    number = np.unique(cell, return_inverse=True)[1]
    sums = np.column_stack([np.bincount(number, above), np.bincount(number, below)])
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), draws) @ sums
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [0.025, 0.975])
    return float(low), float(high)
