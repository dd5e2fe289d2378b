"""Intervals cover what they promise, group by group, and newer residuals count more."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training import calibration
from valuation import resale
from valuation.resale import GRID, PLACES

N = 6_000


def invented(seed: int) -> tuple[pl.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 6, N)
    table = pl.DataFrame(
        {
            "category": rng.choice(["laptop", "audio"], N),
            "brand": "a",
            "grade_rank": grade.astype(float),
            "age_years": rng.uniform(0, 3, N),
            "day": rng.integers(0, 60, N),
        }
    )
    spread = np.where(grade == 0, 0.4, 0.1)
    return table, rng.normal(0, spread), np.zeros(N), rng.integers(1, 100, N)


def intervals(spread: resale.Spread, table: pl.DataFrame, doubt: np.ndarray, sales: np.ndarray) -> np.ndarray:
    inputs = resale.spread_table(table=table, doubt=doubt, sales=sales)
    scale = spread.predict(devices=spread.scale.encode(table=inputs))
    grade = table["grade_rank"].cast(pl.Int64)
    cells = zip(table["category"], grade, sales > 0, strict=True)
    return scale[:, None] * np.array([grid(spread, c, g, met=m) for c, g, m in cells])


def grid(spread: resale.Spread, category: str, grade: int, *, met: bool = True) -> np.ndarray:
    return spread.grid(categories=np.array([PLACES[category]]), met=np.array([met]), grade=grade)[0]


def test_nine_in_ten_new_residuals_lie_within_the_interval_of_every_grade() -> None:
    table, residuals, doubt, sales = invented(1)
    spread = calibration.calibrate(table=table, residuals=residuals, doubt=doubt, sales=sales)
    table, residuals, doubt, sales = invented(2)
    found = intervals(spread, table, doubt, sales)
    low, high = (np.array([np.interp(q, GRID, row) for row in found]) for q in (0.05, 0.95))
    inside = (low <= residuals) & (residuals <= high)
    for grade in range(6):
        rows = (table["grade_rank"] == grade).to_numpy()
        assert inside[rows].mean() == pytest.approx(0.9, abs=0.03)


def test_the_median_residual_is_no_part_of_the_spread() -> None:
    table, residuals, doubt, sales = invented(1)
    spread = calibration.calibrate(table=table, residuals=residuals + 0.7, doubt=doubt, sales=sales)
    assert np.interp(0.5, GRID, spread.grids[""]) == pytest.approx(0.0, abs=0.1)


def test_a_group_with_too_few_residuals_borrows_those_of_its_category() -> None:
    table, residuals, doubt, sales = invented(1)
    rare = table.with_columns(grade_rank=pl.when(pl.int_range(N) < 30).then(5.0).otherwise(2.0))
    spread = calibration.calibrate(table=rare, residuals=residuals, doubt=doubt, sales=sales)
    assert "laptop|5" not in spread.grids
    assert grid(spread, "laptop", 5).tolist() == spread.grids["laptop"].tolist()
    assert grid(spread, "console", 5).tolist() == spread.grids[""].tolist()


def test_models_that_were_never_met_have_residuals_of_their_own() -> None:
    table, residuals, doubt, sales = invented(1)
    unmet = np.arange(N) % 3 == 0
    spread = calibration.calibrate(
        table=table,
        residuals=np.where(unmet, np.sign(residuals), residuals),
        doubt=doubt,
        sales=np.where(unmet, 0, sales),
    )
    assert "unmet|laptop" in spread.grids
    assert grid(spread, "console", 5, met=False).tolist() == spread.grids["unmet"].tolist()
    assert np.abs(grid(spread, "laptop", 2, met=False)).std() < np.abs(grid(spread, "laptop", 2)).std()


def test_equal_weights_give_plain_quantiles_and_a_heavy_value_pulls_them() -> None:
    values = np.arange(101.0)
    assert calibration.weighed_quantiles(values, np.ones(101), np.array([0.5])) == pytest.approx(50.0)
    heavy = np.where(values > 90, 100.0, 1.0)
    assert calibration.weighed_quantiles(values, heavy, np.array([0.5])) > 90


def test_few_residuals_widen_the_levels_and_many_do_not() -> None:
    levels = np.array([0.05, 0.5, 0.95])
    assert calibration.widened(levels, 10.0) == pytest.approx([0.005, 0.5, 0.995])
    assert calibration.widened(levels, 1e9) == pytest.approx(levels)
