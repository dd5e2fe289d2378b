"""Comparables are past sales of the same money, and what sets them apart from the device adds up."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from valuation import comparables
from valuation.appraiser import FORECAST_DAYS, Appraiser
from valuation.grades import Grade


@pytest.fixture(scope="module")
def ask(sales: pl.DataFrame) -> dict[str, object]:
    often = (
        sales.filter(pl.col("model") == sales["model"].mode().sort()[0]).sort("sold_on").row(-1, named=True)
    )
    names = ("category", "brand", "model", "storage_gb", "launched_on")
    return {
        "device": {name: often[name] for name in names},
        "market": often["market"],
        "currency": often["currency"],
        "grade": Grade.GOOD,
        "on": sales["sold_on"].max(),
    }


def test_a_sale_and_its_adjustments_add_up_to_what_it_says_of_the_device(appraiser: Appraiser, ask) -> None:
    found = appraiser.comparables(**ask)
    assert len(found) == comparables.COUNT
    for sale in found:
        assert sale.model == ask["device"]["model"]
        assert sale.price + sum(a.amount for a in sale.adjustments) == pytest.approx(sale.adjusted)
        assert sale.sold_on <= ask["on"]
    told = appraiser.appraise_one(**ask).value
    assert any(told.p05 <= sale.adjusted <= told.p95 for sale in found)


def test_the_nearest_needs_the_least_adjustment(appraiser: Appraiser, ask) -> None:
    found = appraiser.comparables(**ask)
    moved = [sum(abs(a.amount) for a in sale.adjustments) / sale.price for sale in found]
    assert moved[0] <= moved[-1] * 1.05


def test_no_sale_after_the_day_of_the_value_is_compared(
    appraiser: Appraiser, ask, sales: pl.DataFrame
) -> None:
    early = sales["sold_on"].min() + timedelta(days=60)
    assert all(sale.sold_on <= early for sale in appraiser.comparables(**{**ask, "on": early}))


def test_a_model_without_sales_is_compared_with_its_brand(appraiser: Appraiser, ask) -> None:
    unseen = {**ask, "device": {**ask["device"], "model": "Never Sold"}}
    found = appraiser.comparables(**unseen)
    assert len(found) == comparables.COUNT
    assert {sale.brand for sale in found} == {ask["device"]["brand"]}


def test_what_is_further_ahead_is_less_sure(appraiser: Appraiser, ask) -> None:
    now = appraiser.appraise_one(**ask).value
    ahead = appraiser.outlook(**ask, days=FORECAST_DAYS).forecast
    assert list(ahead) == [30, 60, 90]
    assert now.fsd < ahead[30].fsd < ahead[60].fsd < ahead[90].fsd


def test_before_the_first_sale_there_is_nothing_to_compare(
    appraiser: Appraiser, ask, sales: pl.DataFrame
) -> None:
    before = sales["sold_on"].min() - timedelta(days=1)
    assert appraiser.comparables(**{**ask, "on": before}) == ()
