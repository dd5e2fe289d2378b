"""The fit of an equation finds known effects, keeps its signs, and is not led by a few wild prices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from training.regression import Regression
from valuation.features import Feature

N = 3_000
BRANDS = {"a": 0.3, "b": 0.0, "c": -0.3}
LISTED = (
    Feature(
        name="age", kind="number", direction="-", why="", expr=pl.col("age"), knots=(0, 2, 5), spread=0.5
    ),
    Feature(name="ram", kind="number", direction="+", why="", expr=pl.col("ram"), knots=(0, 10), spread=0.5),
    Feature(name="brand", kind="category", why="", expr=pl.col("brand"), spread=0.3),
    Feature(name="currency", kind="category", why="", expr=pl.col("currency"), spread=3.0),
)
ALL = np.ones(N, dtype=bool)


def invented(rng: np.random.Generator) -> tuple[pl.DataFrame, np.ndarray]:
    table = pl.DataFrame(
        {
            "age": rng.uniform(0, 5, N),
            "ram": rng.uniform(0, 10, N),
            "brand": rng.choice(list(BRANDS), N),
            "currency": rng.choice(["EUR", "SEK"], N),
            "day": np.sort(rng.integers(0, 200, N)),
        }
    )
    age = table["age"].to_numpy()
    brand = np.array([BRANDS[b] for b in table["brand"]])
    money = np.where(table["currency"] == "SEK", 2.4, 0.0)
    target = 6 - 0.3 * np.minimum(age, 2) - 0.1 * np.maximum(age - 2, 0) + 0.02 * table["ram"].to_numpy()
    return table, target + brand + money + rng.normal(0, 0.1, N)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def fit(table: pl.DataFrame, target: np.ndarray, known: np.ndarray = ALL) -> Regression:
    laid = Regression.lay(table=table, target=target, listed=LISTED, known=known)
    laid.learn(known, rng=np.random.default_rng(1))
    return laid


def slopes(fitted: Regression, feature: str) -> np.ndarray:
    equation = fitted.equation
    (found,) = (
        values[0]
        for block, values in zip(equation.blocks, equation.coefficients, strict=True)
        if block.number == feature
    )
    return found


def test_it_finds_the_slopes_that_made_the_prices(rng: np.random.Generator) -> None:
    fitted = fit(*invented(rng))
    assert slopes(fitted, "age") == pytest.approx([-0.3, -0.1], abs=0.02)
    assert slopes(fitted, "ram") == pytest.approx([0.02], abs=0.003)


def test_three_sales_in_a_hundred_at_ten_times_the_price_move_no_slope_much(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    target[rng.random(N) < 0.03] += np.log(10)
    assert slopes(fit(table, target), "age") == pytest.approx([-0.3, -0.1], abs=0.04)


def test_a_slope_of_the_wrong_sign_becomes_none_at_all(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    against = target - 0.1 * table["ram"].to_numpy()
    assert slopes(fit(table, against), "ram") == pytest.approx([0.0], abs=1e-3)


def test_where_one_brand_goes_against_the_sign_its_level_is_right_all_the_same(
    rng: np.random.Generator,
) -> None:
    table, target = invented(rng)
    odd = (table["brand"] == "a").to_numpy()
    against = target - 0.05 * odd * table["ram"].to_numpy()
    varied = [replace(f, varies_by={"brand": 0.1}) if f.name == "ram" else f for f in LISTED]
    laid = Regression.lay(table=table, target=against, listed=varied, known=ALL)
    laid.learn(ALL, rng=np.random.default_rng(1))
    left = against - laid.equation.predict(devices=laid.equation.encode(table=table))
    assert left[odd].mean() == pytest.approx(0.0, abs=0.01)
    assert left[~odd].mean() == pytest.approx(0.0, abs=0.01)


def test_a_step_of_the_whole_market_is_followed(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    after = (table["day"] >= 150).to_numpy()
    fitted = fit(table, target - 0.06 * after).equation
    devices = (
        table.head(1).with_columns(day=pl.Series([100])),
        table.head(1).with_columns(day=pl.Series([190])),
    )
    before, now = (fitted.predict(devices=fitted.encode(table=one))[0] for one in devices)
    assert now - before == pytest.approx(-0.06, abs=0.02)


def test_only_known_rows_count(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    known = (table["day"] < 150).to_numpy()
    other = np.where(known, target, target + 3)
    first, second = (fit(table, t, known).equation for t in (target, other))
    assert first.until == table.filter(known)["day"].max()
    for a, b in zip(first.coefficients, second.coefficients, strict=True):
        assert a == pytest.approx(b)


def test_one_seed_fits_alike_and_a_follower_starts_where_the_first_ended(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    first, second = fit(table, target), fit(table, target)
    assert (first.coefficients == second.coefficients).all()
    third = Regression.lay(table=table, target=target, listed=LISTED, known=ALL)
    third.follow(first)
    assert (third.coefficients == first.coefficients).all()
    assert third.prior.spreads == first.prior.spreads


def test_prices_without_any_noise_can_be_fitted(rng: np.random.Generator) -> None:
    table, _ = invented(rng)
    equation = fit(table, np.full(N, 5.0)).equation
    assert equation.predict(devices=equation.encode(table=table)) == pytest.approx(np.full(N, 5.0), abs=0.01)
