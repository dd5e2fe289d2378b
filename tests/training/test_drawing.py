"""Draws that are not what their propensities say are found out, whatever the middle of the draws knew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from training import drawing
from training.drawing import PropensityError, Weights

WITHIN = 0.08
DENSITY = 1 / (np.log1p(WITHIN) - np.log1p(-WITHIN))
LEVELS = {"a": 0.6, "b": 0.5, "c": 0.4}


def weighed(
    propensity: float = DENSITY, *, knows: float = 0.02, draws: bool = True, days: int = 300, seed: int = 1
) -> Weights | None:
    """Five quotes for each model on each day, which share a draw; its middle `knows` more than a table does."""
    rng = np.random.default_rng(seed)
    cell = np.arange(days * len(LEVELS) * 5) // 5
    model = np.array(list(LEVELS))[cell % len(LEVELS)]
    draw = rng.uniform(np.log1p(-WITHIN), np.log1p(WITHIN), cell.max() + 1)[cell] if draws else 0.0
    log = np.array([np.log(LEVELS[name]) for name in model]) + knows * rng.standard_normal(len(cell)) + draw
    start = datetime(2026, 1, 1, tzinfo=UTC)
    quotes = pl.DataFrame({"offer": 300 * np.exp(log)}).with_columns(
        quoted_at=pl.Series([start + timedelta(days=int(day)) for day in cell // len(LEVELS)]),
        randomised=pl.lit(value=True),
        accepted=pl.lit(value=True),
        propensity=pl.lit(propensity),
    )
    owners = pl.DataFrame({"model": model}).with_columns(
        condition=pl.lit("FUNCTIONAL_GOOD"),
        market=pl.lit("FR"),
        category=pl.lit("smartphone"),
        brand=pl.lit("x"),
        age_years=pl.lit(1.0),
    )
    weight = drawing.weights(owners=owners, quotes=quotes, flawless=np.full(len(cell), 300.0))
    return drawing.checked(weight=weight, cell=drawing.cells(owners=owners, quotes=quotes))


@pytest.mark.parametrize("knows", [0.0, 0.02, 0.06])
def test_true_propensities_weigh_no_more_than_one_and_are_not_doubted(knows: float) -> None:
    found = weighed(knows=knows)
    assert found is not None
    assert 0.7 < found.mean < 1 + 3 * found.error
    assert found.doubt is None


@pytest.mark.parametrize("propensity", [0.2, 0.5, 1.0, DENSITY / 2], ids=str)
def test_a_probability_or_a_constant_in_place_of_a_density_is_refused_with_the_number_and_the_remedy(
    propensity: float,
) -> None:
    with pytest.raises(
        PropensityError, match=r"average \d+\.\d\d .*not average more than 1.* 1 / ln\(highest"
    ):
        weighed(propensity)


def test_offers_that_chance_did_not_move_are_refused() -> None:
    with pytest.raises(PropensityError):
        weighed(draws=False)


def test_propensities_that_are_far_too_large_are_doubted() -> None:
    found = weighed(5 * DENSITY)
    assert found is not None
    assert found.doubt is not None
    assert "average 0.1" in found.doubt or "average 0.2" in found.doubt


def test_true_propensities_are_hardly_ever_refused() -> None:
    for seed in range(20):
        weighed(knows=0.0, days=15, seed=seed)


def test_a_few_draws_tell_nothing() -> None:
    assert weighed(0.5, days=9) is None
