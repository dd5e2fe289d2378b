"""Intervals cover what they promise, group by group, and newer residuals count more."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training import calibration
from valuation import spread
from valuation.appraisal import OUTCOMES
from valuation.encoding import Encoded
from valuation.spread import GRID

N = 6_000


def invented(seed: int) -> tuple[pl.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 6, N)
    table = pl.DataFrame(
        {
            "category": rng.choice(["laptop", "audio"], N),
            "channel": "shop",
            "currency": "EUR",
            "grade_rank": grade.astype(float),
            "launch_price_log": rng.normal(6, 1, N),
            "day": rng.integers(0, 60, N),
        }
    )
    spread = np.where(grade == 0, 0.4, 0.1)
    return table, rng.normal(0, spread), np.zeros(N), rng.integers(1, 100, N)


def intervals(fitted: spread.Spread, table: pl.DataFrame, doubt: np.ndarray, sales: np.ndarray) -> np.ndarray:
    """The logs of the p05 and p95 of each row around a log price of 0."""
    strange, value = np.zeros(N, dtype=int), np.zeros(N)
    inputs = spread.spread_table(table=table, value=value, doubt=doubt, sales=sales, strange=strange)
    scale = fitted.predict(unmet=False, devices=fitted.scales[0].encode(table=inputs))
    devices = Encoded(
        rows=N,
        numbers={"grade_rank": table["grade_rank"].to_numpy()},
        codes={
            spread.STRANGE: strange,
            spread.KIND: np.array([spread.PLACES[word] for word in table["category"]]),
        },
    )
    found = fitted.outcomes(centre=np.zeros(N), scale=scale, devices=devices)
    return np.log(found[:, [OUTCOMES.index("p05"), OUTCOMES.index("p95")]]).T


def calibrate(
    table: pl.DataFrame,
    residuals: np.ndarray,
    doubt: np.ndarray,
    sales: np.ndarray,
    stranger: str = spread.MET,
) -> spread.Spread:
    """Calibrate rows around a log price of 0; those of models without sales are strangers."""
    strange = np.where(sales > 0, 0, spread.STRANGERS.index(stranger))
    value = np.zeros(N)
    return calibration.calibrate(
        table=table, value=value, residuals=residuals, doubt=doubt, sales=sales, strange=strange
    )


def group(fitted: spread.Spread, category: str, grade: int, stranger: str = spread.MET) -> str:
    place = spread.STRANGERS.index(stranger)
    return list(fitted.grids)[fitted.group[place, spread.PLACES[category], grade]]


def test_nine_in_ten_new_residuals_lie_within_the_interval_of_every_grade() -> None:
    table, residuals, doubt, sales = invented(1)
    fitted = calibrate(table, residuals, doubt, sales)
    table, residuals, doubt, sales = invented(2)
    low, high = intervals(fitted, table, doubt, sales)
    inside = (low <= residuals) & (residuals <= high)
    for grade in range(6):
        rows = (table["grade_rank"] == grade).to_numpy()
        assert inside[rows].mean() == pytest.approx(0.9, abs=0.03)


def test_the_median_residual_is_no_part_of_the_spread() -> None:
    table, residuals, doubt, sales = invented(1)
    fitted = calibrate(table, residuals + 0.7, doubt, sales)
    assert np.interp(0.5, GRID, fitted.grids[""]) == pytest.approx(0.0, abs=0.1)


def test_a_group_with_too_few_residuals_borrows_those_of_its_category() -> None:
    table, residuals, doubt, sales = invented(1)
    rare = table.with_columns(grade_rank=pl.when(pl.int_range(N) < 30).then(5.0).otherwise(2.0))
    fitted = calibrate(rare, residuals, doubt, sales)
    assert "laptop|5" not in fitted.grids
    assert group(fitted, "laptop", 5) == "laptop"
    assert group(fitted, "console", 5) == ""


def test_models_that_were_never_met_have_residuals_of_their_own() -> None:
    table, residuals, doubt, sales = invented(1)
    unmet = np.arange(N) % 3 == 0
    left = np.where(unmet, np.sign(residuals), residuals)
    fitted = calibrate(table, left, doubt, np.where(unmet, 0, sales), "model")
    assert group(fitted, "laptop", 2, "model") == group(fitted, "laptop", 2, "brand") == "model|laptop"
    assert group(fitted, "console", 2, "model") == "model"
    assert group(fitted, "laptop", 2, "channel") == "laptop|2"
    assert np.abs(fitted.grids["model|laptop"]).std() < np.abs(fitted.grids["laptop|2"]).std()


def test_the_mean_of_a_value_is_that_of_its_whole_distribution() -> None:
    table, residuals, doubt, sales = invented(1)
    fitted = calibrate(table, residuals, doubt, sales)
    devices = Encoded(
        rows=3,
        numbers={"grade_rank": np.full(3, 2.0)},
        codes={spread.STRANGE: np.zeros(3, dtype=int), spread.KIND: np.zeros(3, dtype=int)},
    )
    scale = np.array([0.01, 0.2, 1.0])
    found = fitted.outcomes(centre=np.ones(3), scale=scale, devices=devices)[:, OUTCOMES.index("mean")]
    grid = list(fitted.grids.values())[fitted.group[0, 0, 2]]
    assert found == pytest.approx(np.exp(1 + scale[:, None] * grid).mean(axis=1), rel=1e-3)


def test_equal_weights_give_plain_quantiles_and_a_heavy_value_pulls_them() -> None:
    values = np.arange(101.0)
    assert calibration.weighed_quantiles(values, np.ones(101), np.array([0.5])) == pytest.approx(50.0)
    heavy = np.where(values > 90, 100.0, 1.0)
    assert calibration.weighed_quantiles(values, heavy, np.array([0.5])) > 90


def test_few_residuals_widen_the_levels_and_many_do_not() -> None:
    levels = np.array([0.05, 0.5, 0.95])
    assert calibration.widened(levels, 10.0) == pytest.approx([0.005, 0.5, 0.995])
    assert calibration.widened(levels, 1e9) == pytest.approx(levels)
