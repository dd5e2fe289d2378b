from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from training import baselines
from valuation import ledger
from valuation.ledger import Attribute

FIRST = date(2026, 1, 1)
COLUMNS = ("day", "price", "brand", "model", "storage_gb", "grade")
PAST = [
    (0, 300.0, "Alpha", "One", 64.0, "GOOD"),
    (50, 200.0, "Alpha", "One", 64.0, "GOOD"),
    (60, 220.0, "Alpha", "One", 64.0, "GOOD"),
    (60, 240.0, "Alpha", "One", 64.0, "GOOD"),
    (5, 150.0, "Alpha", "One", 64.0, "FAIR"),
    (6, 400.0, "Alpha", "One", 256.0, "NEW"),
    (7, 90.0, "Beta", "Two", None, "GOOD"),
]


def sales(rows, **columns):
    frame = pl.DataFrame(rows, schema=COLUMNS, orient="row").select(
        pl.format("s{}", pl.int_range(pl.len())).alias("sale_id"),
        (pl.lit(FIRST) + pl.duration(days=pl.col("day"))).cast(pl.Date).alias("sold_on"),
        pl.exclude("day"),
        market=pl.lit("GB"),
        currency=pl.lit("GBP"),
        category=pl.lit("tablet"),
    )
    return ledger.audit(
        frame=frame.with_columns(**columns), contract=ledger.SALES, as_of=None, attributes=ATTRIBUTES
    ).good


ATTRIBUTES = {"ram_gb": Attribute(name="ram_gb", direction="+", kind="number")}
NO_RAM = {"ram_gb": pl.lit(None, pl.Float64)}
TRAIN = sales(PAST, **NO_RAM)


def asked(*devices, **columns):
    return sales([(70, 1.0, *device) for device in devices], **{**NO_RAM, **columns})


def invented(n=600, seed=2):
    """Log-linear sales: price falls 1 % a day, doubles with RAM, 10 % more for Alpha; a little noise."""
    rng = np.random.default_rng(seed)
    day, ram, alpha = rng.integers(0, 60, n), 2.0 ** rng.integers(1, 5, n), rng.random(n) < 0.5
    price = 100 * np.exp(-0.01 * day + 0.1 * alpha + 0.05 * ram + rng.normal(0, 0.02, n))
    rows = [
        (int(d), float(p), "Alpha" if a else "Beta", "One", 64.0, "GOOD")
        for d, p, a in zip(day, price, alpha, strict=True)
    ]
    return sales(rows, ram_gb=pl.Series(ram))


def parted(table):
    late = pl.col("sold_on") >= FIRST + timedelta(days=50)
    return table.filter(~late), table.filter(late)


def mdape(values, rows):
    return float(np.median(np.abs(values / rows["price"].to_numpy() - 1)))


def test_the_median_of_a_model_is_that_of_its_last_four_weeks():
    value = baselines.model_median(TRAIN, asked(("Alpha", "One", 64.0, "GOOD")), ATTRIBUTES)
    assert value.tolist() == [220.0]


def test_the_median_of_a_model_not_sold_lately_is_that_of_ever():
    value = baselines.model_median(TRAIN, asked(("Alpha", "One", 64.0, "FAIR")), ATTRIBUTES)
    assert value.tolist() == [150.0]


def test_the_last_sale_is_the_newest_of_the_same_model_storage_and_grade():
    value = baselines.last_sale(
        TRAIN, asked(("Alpha", "One", 64.0, "GOOD"), ("Beta", "Two", None, "GOOD")), ATTRIBUTES
    )
    assert value.tolist() == [240.0, 90.0]


@pytest.mark.parametrize(
    ("device", "newest"),
    [
        (("Alpha", "One", 64.0, "NEW"), 240.0),
        (("Alpha", "One", 512.0, "NEW"), 240.0),
        (("Alpha", "Nine", 64.0, "NEW"), 240.0),
        (("Beta", "Nine", 64.0, "NEW"), 90.0),
        (("Gamma", "Nine", 64.0, "NEW"), 240.0),
    ],
)
def test_a_device_that_was_never_sold_is_valued_by_its_nearest_kin(device, newest):
    assert baselines.last_sale(TRAIN, asked(device), ATTRIBUTES).tolist() == [newest]


def test_prices_of_another_market_are_used_only_where_there_is_nothing_else():
    abroad = sales(
        [(65, 999.0, "Alpha", "One", 64.0, "GOOD")], market=pl.lit("DE"), currency=pl.lit("EUR"), **NO_RAM
    )
    both = pl.concat([TRAIN, abroad])
    device = ("Alpha", "One", 64.0, "GOOD")
    assert baselines.last_sale(both, asked(device), ATTRIBUTES).tolist() == [240.0]
    third = asked(device, market=pl.lit("SE"), currency=pl.lit("SEK"))
    assert baselines.last_sale(both, third, ATTRIBUTES).tolist() == [999.0]


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_no_baseline_leaves_a_device_without_a_value(name):
    strange = asked(
        ("Alpha", "One", 64.0, "GOOD"),
        ("Gamma", "Nine", None, "PARTS"),
        category=pl.Series(["tablet", "camera"]),
        market=pl.Series(["GB", "SE"]),
        currency=pl.Series(["GBP", "SEK"]),
    )
    values = baselines.BASELINES[name](TRAIN, strange, ATTRIBUTES)
    assert values.shape == (2,)
    assert np.isfinite(values).all()
    assert (values > 0).all()


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_no_baseline_looks_at_the_price_that_it_is_asked_for(name):
    train, test = parted(invented())
    value = baselines.BASELINES[name]
    dearer = test.with_columns(pl.col("price") * 7)
    assert np.array_equal(value(train, test, ATTRIBUTES), value(train, dearer, ATTRIBUTES))


@pytest.mark.parametrize("name", baselines.BASELINES)
def test_a_baseline_says_the_same_twice(name):
    train, test = parted(invented())
    first, second = (baselines.BASELINES[name](train, test, ATTRIBUTES) for _ in range(2))
    assert np.array_equal(first, second)


def test_least_squares_find_a_line_in_time_and_in_the_declared_attribute():
    train, test = parted(invented())
    assert mdape(baselines.linear_hedonic(train, test, ATTRIBUTES), test) < 0.03


def test_plain_lightgbm_sees_the_declared_attribute():
    train, test = parted(invented())
    blind = mdape(baselines.plain_lightgbm(train, test, {}), test)
    assert mdape(baselines.plain_lightgbm(train, test, ATTRIBUTES), test) < 0.6 * blind


def test_least_squares_never_leave_the_prices_that_were_seen():
    train, test = parted(invented())
    far = test.with_columns(ram_gb=pl.lit(1e6))
    values = baselines.linear_hedonic(train, far, ATTRIBUTES)
    assert values.max() <= train["price"].max() * (1 + 1e-12)
    assert values.min() >= train["price"].min() * (1 - 1e-12)
