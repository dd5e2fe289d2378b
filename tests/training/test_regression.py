"""The anchor's fit finds known effects, keeps its signs, and is not led by a few wild prices."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from training import regression
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


def invented(rng: np.random.Generator) -> tuple[pl.DataFrame, np.ndarray]:
    table = pl.DataFrame(
        {
            "age": rng.uniform(0, 5, N),
            "ram": rng.uniform(0, 10, N),
            "brand": rng.choice(list(BRANDS), N),
            "currency": rng.choice(["EUR", "SEK"], N),
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


def fit(table: pl.DataFrame, target: np.ndarray) -> regression.Fitted:
    folds = np.arange(table.height) % regression.FOLDS
    return regression.fit(table=table, target=target, listed=LISTED, folds=folds)


def slopes(fitted: regression.Fitted, feature: str) -> np.ndarray:
    start = 1
    for block in fitted.anchor.blocks:
        if block.feature == feature and block.kind == "line":
            return fitted.anchor.coefficients[start : start + block.width]
        start += block.width
    raise AssertionError(feature)


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
    assert slopes(fit(table, against), "ram").tolist() == [0.0]


def test_what_is_held_out_is_predicted_without_its_own_price(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    wild = target.copy()
    wild[0] += 50.0
    assert fit(table, wild).held[0] == pytest.approx(fit(table, target).held[0], abs=0.02)


def test_leaning_on_none_of_it_leaves_the_currency(rng: np.random.Generator) -> None:
    table, target = invented(rng)
    bare = fit(table, target).leaning(0.0)
    sek = (table["currency"] == "SEK").to_numpy()
    assert bare[sek].mean() - bare[~sek].mean() == pytest.approx(2.4, abs=0.05)


def test_prices_without_any_noise_can_be_fitted(rng: np.random.Generator) -> None:
    table, _ = invented(rng)
    fitted = fit(table, np.full(N, 5.0))
    assert fitted.held == pytest.approx(np.full(N, 5.0), abs=0.01)
