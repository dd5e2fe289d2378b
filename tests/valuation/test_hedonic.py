"""The hedonic equation: its shares add up, its signs hold, what is unknown adds nothing, and doubt is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from training.layout import layout
from valuation.features import Feature
from valuation.hedonic import Hedonic

LISTED = (
    Feature(
        name="age",
        kind="number",
        direction="-",
        why="",
        expr=pl.col("age"),
        knots=(0, 1, 3),
        varies_by={"brand": 0.1},
    ),
    Feature(name="ram", kind="number", direction="+", why="", expr=pl.col("ram")),
    Feature(name="brand", kind="category", why="", expr=pl.col("brand")),
    Feature(name="market", kind="category", why="", expr=pl.col("market")),
)
TABLE = pl.DataFrame(
    {
        "age": [0.5, 2.0, 5.0, 1.0],
        "ram": [8.0, 16.0, None, 8.0],
        "brand": ["a", "b", "b", "a"],
        "market": ["FR EUR", "FR EUR", "DE EUR", "DE EUR"],
        "day": [0, 10, 20, 28],
    }
)
DAYS = (0, 28)


def drawn(seed: int = 1) -> Hedonic:
    """An equation with coefficients of any sign."""
    rng = np.random.default_rng(seed)
    blocks = layout(table=TABLE, listed=LISTED, days=DAYS)
    values = tuple(rng.normal(size=(len(block.members), block.width)) for block in blocks)
    return Hedonic(blocks=blocks, coefficients=values, until=28)


def value(equation: Hedonic, table: pl.DataFrame) -> np.ndarray:
    return equation.predict(devices=equation.encode(table=table))


def test_shares_sum_to_the_prediction() -> None:
    devices = drawn().encode(table=TABLE)
    assert sum(drawn().contributions(devices=devices).values()) == pytest.approx(value(drawn(), TABLE))


@pytest.mark.parametrize("seed", range(20))
def test_no_member_has_a_slope_of_the_wrong_sign(seed: int) -> None:
    ages = np.linspace(0, 4, 41)
    for brand in ("a", "b", "nobody"):
        row = TABLE.head(1).with_columns(brand=pl.lit(brand)).drop("age")
        older = row.join(pl.DataFrame({"age": ages}), how="cross")
        assert (np.diff(value(drawn(seed), older)) <= 1e-12).all()


def test_a_line_goes_on_flat_beyond_its_last_knot() -> None:
    far, end = (TABLE.head(1).with_columns(age=pl.lit(years)) for years in (30.0, 3.0))
    assert value(drawn(), far) == pytest.approx(value(drawn(), end))


def test_a_missing_number_is_the_median_with_a_level_of_its_own() -> None:
    (level,) = [b for b in drawn().blocks if b.missing]
    assert level.feature == "ram"
    untold, usual = (TABLE.head(1).with_columns(ram=pl.lit(ram, pl.Float64)) for ram in (None, 8.0))
    (own,) = (float(c[0, 0]) for b, c in zip(drawn().blocks, drawn().coefficients, strict=True) if b.missing)
    assert value(drawn(), untold) - value(drawn(), usual) == pytest.approx(own)


def test_a_walk_is_straight_between_its_knots_and_flat_after_the_last() -> None:
    knots, between, after = (
        value(drawn(), TABLE.head(1).join(pl.DataFrame({"on": days}), how="cross").with_columns(day="on"))
        for days in ([7, 21], [14], [28, 400])
    )
    assert after[0] == pytest.approx(after[1])
    assert between.shape == (1,)
    line = drawn()
    halves = [value(line, TABLE.head(1).with_columns(day=pl.lit(day)))[0] for day in (7, 9, 11)]
    assert halves[1] == pytest.approx((halves[0] + halves[2]) / 2)
    assert knots[0] != knots[1]


def test_a_stranger_adds_nothing_and_is_a_doubt() -> None:
    stranger = TABLE.with_columns(brand=pl.lit("nobody"))
    devices = drawn().encode(table=stranger)
    assert drawn().contributions(devices=devices)["brand"].tolist() == [0, 0, 0, 0]
    assert (drawn().doubt(devices=devices) >= 0.3**2 - 1e-9).all()
    assert drawn().doubt(devices=drawn().encode(table=TABLE)).tolist() == [0, 0, 0, 0]


def test_where_the_walks_go_is_the_less_known_the_later_the_day() -> None:
    later = TABLE.head(1).join(pl.DataFrame({"on": [38, 68, 98]}), how="cross").with_columns(day="on")
    variance = drawn().wander(devices=drawn().encode(table=later), days=10)
    assert variance[0] == 0
    assert variance[2] == pytest.approx(variance[1] * 2)


def test_a_member_sold_once_has_no_effect_of_its_own() -> None:
    table = pl.concat([TABLE, TABLE.head(1).with_columns(brand=pl.lit("once"))])
    blocks = layout(table=table, listed=LISTED)
    (block,) = [b for b in blocks if b.feature == "brand"]
    assert block.members == (("a",), ("b",))


def test_without_days_there_are_no_walks() -> None:
    assert not [b for b in layout(table=TABLE, listed=LISTED) if b.knots]


def test_only_what_is_not_there_is_missing() -> None:
    (block,) = [b for b in drawn().blocks if b.missing]
    devices = drawn().encode(table=TABLE)
    assert replace(block, missing="ram").present(devices)[:, 0].tolist() == [0, 0, 1, 0]
