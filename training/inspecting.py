"""Learns what is found behind a declared condition, from the devices that came in.

Only devices whose owners took an offer are inspected, and who has something worse takes less: so each device counts as
many times as there are owners like its own for one who takes such an offer (inverse probability weighting).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_ndtr

from valuation.acceptance import Acceptance
from valuation.inspection import CONDITIONS, OF_ALL, PLACES, Inspection

Floats = NDArray[np.float64]

FEWEST_QUOTES = 100
LEAST_CHANCE = 0.05  # of an offer to be taken: fewer would let one device speak for too many
TRUST = 20.0  # devices of evidence that a category is as all are
HONEST = 5.0  # devices of evidence that a device is what was declared
SPARSE = 0.1  # and that it is each of the others


LEAST_LOG = -3.0  # of what is left of an offer
TRUST_IN_LEAST = 3.0  # cuts of evidence that one is as what owners take says
CUT = 0.995  # of an offer: what is left of more is no cut, but rounding
# How far a cut offer may fall short and still be taken, as a log, and how unsure that is (m).
USUAL_HASSLE, HASSLE_SD, MOST_HASSLE = 0.1, 0.1, 1.0
UNSURE = 1e-3  # no answer is ruled out


class TooFewInspectionsError(ValueError):
    """Quotes from which nothing can be learned about inspections."""


def fit(
    *, owners: pl.DataFrame, quotes: pl.DataFrame, flawless: Floats, acceptance: Acceptance
) -> Inspection:
    """Learn from the quotes whose devices were inspected.

    Row by row (n,): `owners` are the features of the devices with their `condition`, `quotes` have offer, accepted,
    inspected_condition and final_amount, `flawless` is what each device would bring flawless.

    Raises TooFewInspectionsError below FEWEST_QUOTES of them.
    """
    known = pl.col("accepted") & pl.col("inspected_condition").is_not_null() & (pl.col("offer") > 0)
    used = quotes.select(known.fill_null(value=False)).to_series()
    if used.sum() < FEWEST_QUOTES:
        raise TooFewInspectionsError(
            f"Of {quotes.height} quotes, {used.sum()} have an inspected_condition: what is found behind a declared "
            f"condition can be learned from {FEWEST_QUOTES} and more."
        )
    seen, asked, value = owners.filter(used), quotes.filter(used), flawless[used.to_numpy()]
    every = acceptance.least_by_condition(devices=seen, flawless=value)
    true = asked["inspected_condition"].replace_strict(PLACES).to_numpy()
    least = every[np.arange(len(every)), true]
    taken = acceptance.probability(offer=asked["offer"].to_numpy(), least=least)
    weight = 1 / taken.clip(LEAST_CHANCE)
    table = pl.DataFrame(
        {
            "category": seen["category"],
            "declared": seen["condition"].replace_strict(PLACES),
            "true": true,
            "weight": weight / weight.mean(),
            "offer": asked["offer"],
            "final": asked["final_amount"],
            "least": least,
        }
    )
    kept = _kept(table, np.exp(np.log(every).mean(axis=0)))
    return Inspection(
        chances=dict(_chances(table)),
        kept=kept,
        hassle=_hassle(table, kept, acceptance.spread),
        quotes=table.height,
    )


def _kept(table: pl.DataFrame, least: Floats) -> Floats:
    """What is left of an offer by declared and found condition, at most 1: (6, 6).

    Pooled toward what the `least` (6,) that owners take says that one is worth of the other.
    """
    expected = np.log(np.minimum(1.0, least / least[:, None]))
    paid = table.filter(pl.col("final") > 0).with_columns(
        left=(pl.col("final") / pl.col("offer")).log().clip(LEAST_LOG, 0)
    )
    cells = paid.group_by("declared", "true").agg(pl.len(), pl.col("left").median())
    at = cells["declared"].to_numpy(), cells["true"].to_numpy()
    counts, lefts = np.zeros_like(expected), np.zeros_like(expected)
    counts[at], lefts[at] = cells["len"].to_numpy(), cells["left"].to_numpy()
    return np.asarray(np.exp((counts * lefts + TRUST_IN_LEAST * expected) / (counts + TRUST_IN_LEAST)))


def _hassle(table: pl.DataFrame, kept: Floats, spread: float) -> float:
    """The log by which a cut offer may fall short, most likely from who then took his device back."""
    cut = kept[table["declared"].to_numpy(), table["true"].to_numpy()]
    cuts = cut < CUT
    over = np.log(table["offer"].to_numpy() / table["least"].to_numpy())[cuts] / spread
    log_cut, stayed = np.log(cut[cuts]), table["final"].is_not_null().to_numpy()[cuts]

    def unlikely(hassle: float) -> float:
        least = np.minimum(over, over + (log_cut + hassle) / spread)
        stays = np.exp(log_ndtr(least) - log_ndtr(over)).clip(UNSURE, 1 - UNSURE)
        told = np.log(np.where(stayed, stays, 1 - stays)).sum()
        return float(((hassle - USUAL_HASSLE) / HASSLE_SD) ** 2 / 2 - told)

    return float(minimize_scalar(unlikely, bounds=(0.0, MOST_HASSLE), method="bounded").x)


def _chances(table: pl.DataFrame) -> Iterator[tuple[str, Floats]]:
    size = len(CONDITIONS)
    usual = np.full((size, size), SPARSE) + HONEST * np.eye(size)
    of_all = _shares(_counts(table) + usual)
    yield OF_ALL, of_all
    for (category,), part in table.drop_nulls("category").partition_by("category", as_dict=True).items():
        yield str(category), _shares(_counts(part) + TRUST * of_all)


def _counts(table: pl.DataFrame) -> Floats:
    """The weight of each pair of a declared and a true condition: (6, 6)."""
    counts = np.zeros((len(CONDITIONS), len(CONDITIONS)))
    np.add.at(counts, (table["declared"].to_numpy(), table["true"].to_numpy()), table["weight"].to_numpy())
    return counts


def _shares(counts: Floats) -> Floats:
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))
