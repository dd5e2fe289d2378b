"""Learns what is found behind a declared condition, from the devices that came in.

Only devices whose owners took an offer are inspected, and who has something worse takes less: so each device counts as
many times as there are owners like its own for one who takes such an offer (inverse probability weighting).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation.acceptance import Acceptance
from valuation.inspection import CONDITIONS, OF_ALL, PLACES, Inspection

Floats = NDArray[np.float64]

FEWEST_QUOTES = 100
LEAST_CHANCE = 0.05  # of an offer to be taken: fewer would let one device speak for too many
TRUST = 20.0  # devices of evidence that a category is as all are
HONEST = 5.0  # devices of evidence that a device is what was declared
SPARSE = 0.1  # and that it is each of the others


class TooFewInspectionsError(ValueError):
    """Quotes from which nothing can be learned about inspections."""


def fit(
    *, owners: pl.DataFrame, quotes: pl.DataFrame, flawless: Floats, acceptance: Acceptance
) -> Inspection:
    """Learn from the quotes whose devices were inspected.

    Row by row (n,): `owners` are the features of the devices with their `condition`, `quotes` have offer, accepted and
    inspected_condition, `flawless` is what each device would bring flawless.

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
    true = seen.with_columns(condition=asked["inspected_condition"])
    least = acceptance.least(owners=true, flawless=value)
    taken = acceptance.probability(offer=asked["offer"].to_numpy(), least=least)
    weight = 1 / taken.clip(LEAST_CHANCE)
    table = pl.DataFrame(
        {
            "category": seen["category"],
            "declared": seen["condition"].replace_strict(PLACES),
            "true": true["condition"].replace_strict(PLACES),
            "weight": weight / weight.mean(),
        }
    )
    return Inspection(chances=dict(_chances(table)), quotes=table.height)


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
