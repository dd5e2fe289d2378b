"""Dirt in the sales moves no value far: slips by ten, poisoned rows, lots sold twice."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from training import fitting
from valuation.appraiser import Appraiser

SHARE = 0.02  # of the sales, at a tenth or at ten times their price


def fitted(sales: pl.DataFrame) -> Appraiser:
    return fitting.fit(sales=sales, attributes={}, as_of=sales["sold_on"].max() + timedelta(days=1))


def medians(appraiser: Appraiser, sales: pl.DataFrame) -> np.ndarray:
    asked = sales.sort("sold_on").tail(1_000).with_columns(on=pl.lit(sales["sold_on"].max()))
    return appraiser.appraise(devices=asked)["p50"].to_numpy()


def spoilt(sales: pl.DataFrame, rows: np.ndarray, factor: float) -> pl.DataFrame:
    wrong = np.isin(np.arange(sales.height), rows)
    return sales.with_columns(
        price=pl.when(pl.Series(wrong)).then(pl.col("price") * factor).otherwise("price")
    )


@pytest.fixture(scope="module")
def clean(appraiser: Appraiser, sales: pl.DataFrame) -> np.ndarray:
    return medians(appraiser, sales)


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_two_sales_in_a_hundred_at_a_tenth_or_ten_times_move_the_middle_by_two_percent_at_most(
    sales: pl.DataFrame, clean: np.ndarray, factor: float
) -> None:
    rows = np.random.default_rng(3).choice(sales.height, int(SHARE * sales.height), replace=False)
    poisoned = fitted(spoilt(sales, rows, factor))
    assert np.median(medians(poisoned, sales) / clean) == pytest.approx(1.0, abs=0.02)
    shown = set(poisoned.past["price"]) & set(sales["price"].gather(rows) * factor)
    assert len(shown) <= 0.05 * len(rows)  # as comparables


@pytest.mark.parametrize("factor", [0.1, 10.0])
def test_the_newest_sales_of_one_model_at_a_tenth_or_ten_times_move_it_by_a_tenth_at_most(
    sales: pl.DataFrame, clean: np.ndarray, factor: float
) -> None:
    name = sales["model"].mode().sort()[0]
    own = np.flatnonzero((sales["model"] == name).to_numpy())
    newest = own[sales["sold_on"].gather(own).arg_sort().to_numpy()][-len(own) // 4 :]
    assert len(newest) <= SHARE * sales.height
    moved = medians(fitted(spoilt(sales, newest, factor)), sales) / clean
    asked = sales.sort("sold_on").tail(1_000)["model"].to_numpy() == name
    assert np.median(moved[asked]) == pytest.approx(1.0, abs=0.1)
    assert np.median(moved[~asked]) == pytest.approx(1.0, abs=0.02)


def test_a_lot_told_twice_moves_the_middle_by_two_percent_at_most(
    sales: pl.DataFrame, clean: np.ndarray
) -> None:
    lot = sales.sort("sold_on").tail(200)
    twice = pl.concat([sales, lot.with_columns(sale_id=pl.col("sale_id") + "-again")])
    moved = medians(fitted(twice), sales) / clean
    assert np.median(moved) == pytest.approx(1.0, abs=0.02)
