"""The measures of a ratio study: level, dispersion and price-related bias of values, and honesty of their intervals.

A ratio is value / price. `predicted` and `sold` are (n,), major units of one currency a row, above zero. The names and
definitions of median ratio, COD, PRD and PRB are those of the IAAO Standard on Ratio Studies (2013), table 1-1 and
appendices; shares run 0..1, COD too (the Standard prints it in per cent).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

RESAMPLES = 400
LEVEL = 0.95
OVERVALUED = 0.20
SURE_FSD = 0.15  # HouseCanary calls a value with at most this FSD a sure one (design notes, section 5)


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A slope of least squares, and its standard error under equal variances."""

    slope: float
    error: float


def median_ratio(predicted: Floats, sold: Floats) -> float:
    """Tell the level: the median of value / price; 1 where values are neither high nor low."""
    return float(np.median(predicted / sold))


def cod(predicted: Floats, sold: Floats) -> float:
    """Tell the dispersion: the mean absolute deviation of the ratios from their median, as a share of it."""
    ratio = predicted / sold
    middle = np.median(ratio)
    return float(np.abs(ratio - middle).mean() / middle)


def prd(predicted: Floats, sold: Floats) -> float:
    """Tell the price-related differential: mean ratio over the ratio of the sums; above 1 where dear ones are low."""
    return float((predicted / sold).mean() * sold.sum() / predicted.sum())


def prb(predicted: Floats, sold: Floats) -> Slope | None:
    """Tell the price-related bias: by which share of its median the ratio moves as worth doubles.

    The slope, not the intercept, of (ratio - median) / median on log2 of worth, which is half price and half value
    over the median ratio. A perfect model on noisy prices is below 0: see calibration_slope.
    """
    return _slope(
        np.log2((sold + predicted / median_ratio(predicted, sold)) / 2), _deviation(predicted, sold)
    )


def calibration_slope(predicted: Floats, sold: Floats) -> Slope | None:
    """Tell by which share of its median the ratio moves as the *value* doubles: 0 for a perfect model.

    PRB with log2 of the prediction alone on the right: what is regressed on holds no noise of the price, so noise
    alone makes no slope. Above 0, dear devices are valued too high beside cheap ones: the values spread too far.
    """
    return _slope(np.log2(predicted), _deviation(predicted, sold))


def _deviation(predicted: Floats, sold: Floats) -> Floats:
    ratio = predicted / sold
    middle = float(np.median(ratio))
    return np.asarray((ratio - middle) / middle)


def _slope(x: Floats, y: Floats) -> Slope | None:
    """Regress y on x; None below 3 rows, or where x does not move."""
    spread = float(((x - x.mean()) ** 2).sum())
    if len(x) < 3 or spread < 1e-12:
        return None
    slope = float(((x - x.mean()) * y).sum()) / spread
    left = y - y.mean() - slope * (x - x.mean())
    return Slope(slope=slope, error=float(np.sqrt((left**2).sum() / (len(x) - 2) / spread)))


def mdape(predicted: Floats, sold: Floats) -> float:
    """Tell the median absolute error, as a share of the price."""
    return float(np.median(np.abs(predicted / sold - 1)))


def mape(predicted: Floats, sold: Floats) -> float:
    """Tell the mean absolute error, as a share of the price; a low value is punished less than a high one."""
    return float(np.abs(predicted / sold - 1).mean())


def within(predicted: Floats, sold: Floats, share: float) -> float:
    """Tell the share of values that lie no further than `share` of the price from it."""
    return float((np.abs(predicted / sold - 1) <= share).mean())


def rt20(predicted: Floats, sold: Floats) -> float:
    """Tell the share of devices that are valued more than 20 % above their price."""
    return float((predicted / sold > 1 + OVERVALUED).mean())


def pinball(quantiles: Floats, levels: Floats, sold: Floats) -> float:
    """Tell the mean pinball loss over all levels, in log price as currencies weigh alike; quantiles (n, levels)."""
    above = np.log(sold)[:, None] - np.log(quantiles)
    return float(np.maximum(levels * above, (levels - 1) * above).mean())


def winkler(low: Floats, high: Floats, sold: Floats, cover: float) -> float:
    """Tell the mean Winkler score in log price of intervals meant to cover `cover`: width, and a fine for each miss.

    The fine is the distance missed by, times 2 / (1 - cover).
    """
    bottom, top, price = np.log(low), np.log(high), np.log(sold)
    missed = np.maximum(bottom - price, 0) + np.maximum(price - top, 0)
    return float((top - bottom + 2 / (1 - cover) * missed).mean())


def coverage(low: Floats, high: Floats, sold: Floats) -> float:
    """Tell the share of prices within [low, high]."""
    return float(((sold >= low) & (sold <= high)).mean())


def width(low: Floats, high: Floats, middle: Floats) -> float:
    """Tell the median width of an interval as a share of the value; coverage without it says nothing."""
    return float(np.median((high - low) / middle))


def hit_rate(fsd: Floats) -> float:
    """Tell the share of values that are sure of themselves: an FSD of at most .15."""
    return float((fsd <= SURE_FSD).mean())


def median_interval(ratio: Floats, blocks: Whole, seed: int) -> tuple[float, float]:
    """Tell the 95 % interval of the median ratio by a bootstrap of whole blocks, numbered from 0: (n,) and (n,)."""
    return _middle(drawn_medians(ratio, blocks, seed))


def mdape_gap(ours: Floats, theirs: Floats, sold: Floats, blocks: Whole, seed: int) -> tuple[float, float]:
    """Tell the 95 % interval of our MdAPE less theirs on the same sales; above 0 all through: theirs is better.

    Both are drawn from the same blocks each time, so what the sales have in common cancels.
    """
    drawn = [drawn_medians(np.abs(value / sold - 1), blocks, seed) for value in (ours, theirs)]
    return _middle(drawn[0] - drawn[1])


def _middle(drawn: Floats) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return float(low), float(high)


def drawn_medians(values: Floats, blocks: Whole, seed: int) -> Floats:
    """Draw whole blocks with replacement, again and again, and take the median of each draw: (RESAMPLES,).

    Sales of a block (a model in a week) err together, so they are drawn together. The draws depend on seed and blocks
    alone. With one block all draws are alike: there is nothing to tell the uncertainty by.
    """
    order = np.argsort(values, kind="stable")
    count, which, values = int(blocks.max()) + 1, blocks[order], values[order]
    rng = np.random.default_rng(seed)
    medians = np.empty(RESAMPLES)
    for draw in range(RESAMPLES):
        rows = np.cumsum(np.bincount(rng.integers(0, count, count), minlength=count)[which])
        low, high = np.searchsorted(rows, [(rows[-1] + 1) // 2, rows[-1] // 2 + 1])
        medians[draw] = (values[low] + values[high]) / 2
    return medians


def calibration_error(*, told: Floats, happened: Floats, bins: int = 10) -> float:
    """How far chances told (n,) lie from what happened (n,), 0 or 1 or a known chance: the mean over bins of as many.

    The expected calibration error of M. P. Naeini et al., Obtaining Well Calibrated Probabilities Using Bayesian
    Binning, 2015. Of n chances told rightly, about sqrt(2 p (1 - p) bins / (pi n)) is left by chance. NaN of none.
    """
    if not len(told):
        return float("nan")
    parts = np.array_split(np.argsort(told, kind="stable"), min(bins, len(told)))
    return float(sum(len(p) * abs(told[p].mean() - happened[p].mean()) for p in parts) / len(told))
