"""The anchor: its shares add up, an unknown member is worth nothing, and the market is no opinion."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from valuation import anchor
from valuation.anchor import Anchor
from valuation.features import Feature

LISTED = (
    Feature(
        name="age",
        kind="number",
        direction="-",
        why="",
        expr=pl.col("age"),
        knots=(0, 1, 3),
        steeper_by=("brand",),
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
    }
)


@pytest.fixture
def fitted() -> Anchor:
    blocks = anchor.layout(table=TABLE, listed=LISTED)
    width = 1 + sum(b.width for b in blocks)
    return Anchor(blocks=blocks, coefficients=np.linspace(1.0, 2.0, width))


def test_shares_and_intercept_sum_to_the_prediction(fitted: Anchor) -> None:
    devices = fitted.encode(table=TABLE)
    shares = sum(fitted.contributions(devices=devices).values())
    assert fitted.coefficients[0] + shares == pytest.approx(fitted.predict(devices=devices))


def test_a_line_goes_on_flat_beyond_its_last_knot(fitted: Anchor) -> None:
    far = TABLE.head(1).with_columns(age=pl.lit(30.0))
    end = TABLE.head(1).with_columns(age=pl.lit(3.0))
    assert fitted.predict(devices=fitted.encode(table=far)) == fitted.predict(
        devices=fitted.encode(table=end)
    )


def test_a_missing_number_is_the_median_with_an_effect_of_its_own(fitted: Anchor) -> None:
    kinds = [(b.kind, b.feature) for b in fitted.blocks]
    assert ("missing", "ram") in kinds
    assert ("missing", "age") not in kinds


def test_an_unknown_member_adds_nothing(fitted: Anchor) -> None:
    stranger = TABLE.with_columns(brand=pl.lit("nobody"))
    assert fitted.contributions(devices=fitted.encode(table=stranger))["brand"].tolist() == [0, 0, 0, 0]


def test_leaning_on_half_of_it_halves_every_share_but_the_markets(fitted: Anchor) -> None:
    devices = fitted.encode(table=TABLE)
    whole, half = (a.contributions(devices=devices) for a in (fitted, fitted.leaning(0.5)))
    assert half["market"].tolist() == whole["market"].tolist()
    assert half["age"] == pytest.approx(whole["age"] / 2)
    assert half["brand"] == pytest.approx(whole["brand"] / 2)


def test_it_comes_back_from_json_as_it_went(fitted: Anchor) -> None:
    devices = fitted.encode(table=TABLE)
    back = Anchor.from_json(json.loads(json.dumps(fitted.to_json())))
    assert back.predict(devices=devices).tolist() == fitted.predict(devices=devices).tolist()


def test_a_member_sold_once_has_no_effect_of_its_own() -> None:
    table = pl.concat([TABLE, TABLE.head(1).with_columns(brand=pl.lit("once"))])
    (block,) = [
        b for b in anchor.layout(table=table, listed=LISTED) if b.kind == "effects" and b.feature == "brand"
    ]
    assert block.members == ("a", "b")
