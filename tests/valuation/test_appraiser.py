"""One device or many: the same values, explained to the sum, and never in a currency without sales."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from valuation.appraiser import Appraiser, AppraiserError, CurrencyNotLearnedError
from valuation.explanation import TYPICAL
from valuation.grades import Grade


def told(appraiser: Appraiser, row: int = 0) -> dict[str, object]:
    device = appraiser.devices.row(row, named=True)
    return {k: v for k, v in device.items() if k not in ("sales", "currency")}


@pytest.mark.parametrize("row", range(12))
def test_the_effects_sum_to_the_median(appraiser: Appraiser, row: int) -> None:
    found = appraiser.appraise_one(
        device=told(appraiser, row), market="FR", currency="EUR", grade=Grade(row % 6), on=appraiser.as_of
    )
    assert sum(effect.amount for effect in found.effects) == pytest.approx(found.value.p50)
    assert found.effects[0].feature == TYPICAL
    assert len({effect.feature for effect in found.effects}) == len(found.effects)


def test_one_device_is_worth_alone_what_it_is_worth_in_a_table(
    appraiser: Appraiser, sales: pl.DataFrame
) -> None:
    row = sales.filter(pl.col("currency") == "EUR").head(1).with_columns(on=pl.lit(appraiser.as_of))
    (many,) = appraiser.appraise(devices=row).iter_rows(named=True)
    device = row.row(0, named=True)
    names = ("category", "brand", "model", "storage_gb", "battery_health", "carrier_locked", "launched_on")
    one = appraiser.appraise_one(
        device={name: device[name] for name in (*names, "launch_price", "channel")},
        market=device["market"],
        currency="EUR",
        grade=Grade[device["grade"]],
        on=appraiser.as_of,
    )
    assert one.value.p50 == pytest.approx(many["p50"])
    assert (one.basis, one.comparables) == (many["basis"], many["comparables"])


def test_an_empty_table_of_devices_has_no_values(appraiser: Appraiser, sales: pl.DataFrame) -> None:
    assert appraiser.appraise(devices=sales.head(0).with_columns(on=pl.lit(appraiser.as_of))).height == 0


def test_an_older_day_is_worth_no_less(appraiser: Appraiser) -> None:
    device = told(appraiser)
    now, later = (
        appraiser.appraise_one(
            device=device,
            market="FR",
            currency="EUR",
            grade=Grade.GOOD,
            on=appraiser.as_of + timedelta(days=days),
        )
        for days in (0, 700)
    )
    assert later.value.p50 < now.value.p50


def test_launch_facts_that_are_not_told_are_remembered(appraiser: Appraiser) -> None:
    device = told(appraiser)
    bare = {name: device[name] for name in ("category", "brand", "model", "storage_gb")}
    home = appraiser.devices["currency"][0]
    market = next(m for m in ("FR", "GB", "US", "PL", "SE") if (m, home) in HOMES)
    values = [
        appraiser.appraise_one(device=d, market=market, currency=home, grade=Grade.GOOD, on=appraiser.as_of)
        for d in (device, bare)
    ]
    assert values[0].value.p50 == pytest.approx(values[1].value.p50)


HOMES = {("FR", "EUR"), ("GB", "GBP"), ("US", "USD"), ("PL", "PLN"), ("SE", "SEK")}


def test_a_currency_without_sales_is_refused_and_the_known_ones_are_told(appraiser: Appraiser) -> None:
    with pytest.raises(CurrencyNotLearnedError, match=r"no past sales in JPY.*EUR"):
        appraiser.appraise_one(
            device=told(appraiser), market="JP", currency="JPY", grade=Grade.GOOD, on=appraiser.as_of
        )


def test_a_word_that_is_no_feature_of_a_device_is_refused(appraiser: Appraiser) -> None:
    with pytest.raises(AppraiserError, match="no colour"):
        appraiser.appraise_one(
            device={**told(appraiser), "colour": "red"},
            market="FR",
            currency="EUR",
            grade=Grade.GOOD,
            on=appraiser.as_of,
        )
