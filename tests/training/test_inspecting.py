"""Laws of inspection: what comes in is worse than what is declared, and what is declared better than what comes in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from training import inspecting
from training.inspecting import TooFewInspectionsError
from valuation.acceptance import Acceptance
from valuation.grades import Condition
from valuation.inspection import CONDITIONS, PLACES, Inspection

N, SPREAD = 20_000, 0.25
KEPT, HASSLE = 0.7, 0.15
GOOD, USED = "FUNCTIONAL_GOOD", "FUNCTIONAL_USED"
WORTH = {GOOD: 0.6, USED: 0.4}  # what owners take of the flawless value, by what they own
HONEST = {"smartphone": 0.9, "laptop": 0.7}
ACCEPTANCE = Acceptance(
    base=0.0,
    shifts={"condition": {condition: float(np.log(worth)) for condition, worth in WORTH.items()}},
    spread=SPREAD,
    spread_error=0.1,
    quotes=1_000,
)


def owners_of(category: Sequence[str]) -> pl.DataFrame:
    return pl.DataFrame({"category": category}).with_columns(
        condition=pl.lit(GOOD),
        market=pl.lit("FR"),
        brand=pl.lit("x"),
        model=pl.lit("y"),
        age_years=pl.lit(1.0),
    )


@pytest.fixture(scope="module")
def learned() -> Inspection:
    """All declare GOOD; in truth some are USED, and those owners take more of the offers."""
    rng = np.random.default_rng(3)
    category = rng.choice(list(HONEST), N)
    honest = rng.random(N) < np.array([HONEST[c] for c in category])
    flawless, true = np.full(N, 300.0), np.where(honest, GOOD, USED)
    offer = flawless * rng.uniform(0.4, 0.6, N)
    least = flawless * np.array([WORTH[c] for c in true]) * np.exp(SPREAD * rng.standard_normal(N))
    taken = offer >= least
    stays = taken & (honest | (offer * KEPT * np.exp(HASSLE) >= least))
    quotes = pl.DataFrame(
        {
            "offer": offer,
            "accepted": taken,
            "inspected_condition": np.where(taken, true, None),
            "final_amount": pl.Series(
                np.where(stays, np.where(honest, offer, KEPT * offer), np.nan)
            ).fill_nan(None),
        }
    )
    owners = owners_of(category)
    return inspecting.fit(owners=owners, quotes=quotes, flawless=flawless, acceptance=ACCEPTANCE)


def chances_of(learned: Inspection, declared: str, category: str) -> np.ndarray:
    return np.asarray(learned.by_declared(categories=[category])[0, PLACES[Condition(declared)]])


@pytest.mark.parametrize("category", HONEST)
def test_those_who_refused_count_as_much_as_those_who_took_an_offer(
    learned: Inspection, category: str
) -> None:
    chances = chances_of(learned, GOOD, category)
    assert chances[PLACES[GOOD]] == pytest.approx(HONEST[category], abs=0.02)


def test_a_category_that_was_not_met_is_as_all_are(learned: Inspection) -> None:
    chances = chances_of(learned, GOOD, "console")
    assert chances[PLACES[GOOD]] == pytest.approx(np.mean(list(HONEST.values())), abs=0.02)
    assert chances.sum() == pytest.approx(1)


def test_a_condition_that_nobody_declared_is_mostly_true(learned: Inspection) -> None:
    assert chances_of(learned, CONDITIONS[0], "smartphone")[0] > 0.9


def test_what_is_left_of_a_cut_offer_and_who_still_takes_it_is_found(learned: Inspection) -> None:
    assert learned.kept[PLACES[GOOD], PLACES[USED]] == pytest.approx(KEPT, abs=0.01)
    assert (np.diag(learned.kept) == 1).all()
    assert (learned.kept <= 1).all()
    assert learned.hassle == pytest.approx(HASSLE, abs=0.04)


def test_few_inspections_are_refused() -> None:
    few = pl.DataFrame({"offer": [100.0], "accepted": [True], "inspected_condition": [GOOD]})
    owners = owners_of(["laptop"])
    with pytest.raises(TooFewInspectionsError, match="Of 1 quotes, 1 have an inspected_condition"):
        inspecting.fit(owners=owners, quotes=few, flawless=np.ones(1), acceptance=ACCEPTANCE)
