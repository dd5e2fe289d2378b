"""The laws of a resale value, on ten thousand devices that were drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from valuation import features, ledger, vocabulary
from valuation.appraisal import OUTCOMES
from valuation.appraiser import Appraiser
from valuation.grades import Grade

N = 10_000
QUANTILES = slice(0, 7)
MEAN = OUTCOMES.index("mean")


@pytest.fixture(scope="module")
def devices(sales: pl.DataFrame) -> pl.DataFrame:
    """Any mixture of what devices can be, half of them of models and brands that nobody ever sold."""
    rng = np.random.default_rng(3)

    def drawn(column: str) -> pl.Series:
        return sales[column].gather(rng.integers(0, sales.height, N))

    unseen = rng.random(N) < 0.5
    homes = sales.select("market", "currency").unique().sort("market")
    homes = homes[rng.integers(0, homes.height, N)]
    known = sales["sold_on"].max()
    columns = {
        "on": [known + timedelta(days=int(days)) for days in rng.integers(-400, 200, N)],
        "market": homes["market"],
        "currency": homes["currency"],
        "category": rng.choice(["smartphone", "tablet", "laptop", "audio"], N),
        "brand": np.where(rng.random(N) < 0.2, "Nobody", drawn("brand").to_numpy()),
        "model": np.where(unseen, "Model X", drawn("model").to_numpy()),
        "storage_gb": rng.choice([np.nan, 16, 64, 128, 200, 512, 4096], N),
        "grade": rng.choice([g.name for g in Grade], N),
        "battery_health": np.where(rng.random(N) < 0.5, np.nan, rng.random(N)),
        "carrier_locked": rng.random(N) < 0.2,
        "launched_on": drawn("launched_on"),
        "launch_price": np.where(rng.random(N) < 0.3, np.nan, np.exp(rng.normal(6.5, 1, N))),
    }
    frame = pl.DataFrame(columns).with_columns(pl.col(pl.Float64).fill_nan(None))
    absent = [c for c in ledger.DEVICES.columns if c.name not in columns]
    return frame.with_columns(pl.lit(None, ledger.DTYPES[c.kind]).alias(c.name) for c in absent)


def table(appraiser: Appraiser, devices: pl.DataFrame) -> pl.DataFrame:
    known = vocabulary.complete(devices=devices, known=vocabulary.facts(known=appraiser.devices))
    return features.table(devices=known, attributes=appraiser.attributes)


def test_no_quantile_of_a_better_grade_is_lower_and_quantiles_are_ordered(
    appraiser: Appraiser, devices: pl.DataFrame
) -> None:
    ladder = appraiser.model.ladder(devices=appraiser.model.location.encode(table=table(appraiser, devices)))
    assert ladder.shape == (N, len(Grade), len(OUTCOMES))
    assert np.isfinite(ladder).all()
    assert (ladder > 0).all()
    assert (np.diff(ladder[..., : MEAN + 1], axis=1) >= 0).all()
    assert (np.diff(ladder[..., QUANTILES], axis=2) >= 0).all()


def money(appraiser: Appraiser, devices: pl.DataFrame) -> np.ndarray:
    """Every quantile and the mean of each device at every grade, as the models say: (n, grades, MONEY)."""
    read = appraiser.model.location.encode(table=table(appraiser, devices))
    return appraiser.model.ladder(devices=read)[..., : MEAN + 1]


BETTER: dict[str, Callable[[], pl.Expr]] = {
    "storage_gb": lambda: pl.col("storage_gb") * 2,
    "battery_health": lambda: pl.col("battery_health") + (1 - pl.col("battery_health")) / 2,
    "launched_on": lambda: pl.col("launched_on") + timedelta(days=200),
    "carrier_locked": lambda: pl.lit(value=False),
}


@pytest.mark.parametrize("column", BETTER)
def test_no_quantile_of_a_better_device_is_lower(
    appraiser: Appraiser, devices: pl.DataFrame, column: str
) -> None:
    out = devices.filter(pl.col("launched_on") + timedelta(days=200) <= pl.col("on"))
    worse = out.with_columns(carrier_locked=pl.lit(value=True)) if column == "carrier_locked" else out
    better = worse.with_columns(BETTER[column]().alias(column))
    assert (money(appraiser, better) >= money(appraiser, worse) * (1 - 1e-9)).all()


def test_a_device_that_was_dearer_when_new_is_worth_no_less_in_the_middle(
    appraiser: Appraiser, devices: pl.DataFrame
) -> None:
    dearer = devices.with_columns(pl.col("launch_price") * 1.5)
    middle = OUTCOMES.index("p50")
    falls = money(appraiser, dearer)[..., middle] < money(appraiser, devices)[..., middle] * (1 - 1e-9)
    assert not falls.any()


def test_an_unseen_model_is_valued_with_a_wider_range_and_says_what_it_rests_on(
    appraiser: Appraiser, sales: pl.DataFrame
) -> None:
    seen = sales.sort("sold_on").tail(500).with_columns(on=pl.col("sold_on"))
    strange = [pl.lit("Never Sold").alias("model"), pl.lit("Nobody").alias("brand")]
    known, unseen, unbranded = (
        appraiser.appraise(devices=seen.with_columns(changed)) for changed in ([], strange[:1], strange)
    )
    assert set(unseen["basis"]) <= {"family", "brand"}
    assert set(unbranded["basis"]) == {"category"}
    assert set(unseen["comparables"]) == {0}
    assert known["fsd"].median() < unseen["fsd"].median() < unbranded["fsd"].median()


@pytest.mark.parametrize(("column", "word"), [("channel", "bazaar"), ("market", "ES")])
def test_no_strange_channel_or_market_is_surer_than_a_known_one(
    appraiser: Appraiser, sales: pl.DataFrame, column: str, word: str
) -> None:
    seen = sales.filter(pl.col("currency") == "EUR").tail(500).with_columns(on=pl.col("sold_on"))
    known, strange = (
        appraiser.appraise(devices=seen.with_columns(changed)) for changed in ([], pl.lit(word).alias(column))
    )
    wider = (strange["p95"] / strange["p05"]).log() / (known["p95"] / known["p05"]).log()
    assert wider.median() >= 1


def test_a_backdated_value_stands_where_the_market_stood(appraiser: Appraiser, sales: pl.DataFrame) -> None:
    rows = sales.head(50)
    early = appraiser.appraise(devices=rows.with_columns(on=pl.col("sold_on")))
    assert np.median(np.abs(np.log(early["p50"].to_numpy() / rows["price"].to_numpy()))) < 0.2
