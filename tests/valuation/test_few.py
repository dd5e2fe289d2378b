"""A few devices are read as many are: every feature without a table says what it says in one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from valuation import features, few, ledger, vocabulary
from valuation.appraiser import Appraiser
from valuation.catalogue import CATEGORIES
from valuation.features import Feature
from valuation.grades import Grade
from valuation.ledger import Attribute

N = 2_000
ATTRIBUTES = {
    "ram_gb": Attribute(name="ram_gb", direction="+", kind="number"),
    "gpu": Attribute(name="gpu", direction="none", kind="text"),
}
SCHEMA = {c.name: ledger.DTYPES[c.kind] for c in ledger.DEVICES.columns}
SCHEMA |= {a.name: ledger.DTYPES[a.kind] for a in ATTRIBUTES.values()}
WORDS: dict[str, list[str | None]] = {
    "market": ["FR", "DE", "GB"],
    "currency": ["EUR", "GBP"],
    "category": [*CATEGORIES],
    "brand": ["Apple", " APPLE ", "Nokia", "Ａpple", "Dell", "O2"],
    "model": ["iPhone 13", "apple  iPhone 13 Pro", "3310", "Latitude E7450", "Galaxy S21", "X-é ½", "-"],
    "grade": [*(grade.name for grade in Grade), "UNHEARD", None],
    "channel": ["Web", " web", "auction", None],
    "gpu": ["A15", "a15 ", None],
}


def told(rng: np.random.Generator) -> dict[str, Any]:
    """Any device, of which much may not be told, with numbers that cannot be among them."""

    def maybe(value: Any) -> Any:
        return value if rng.random() < 0.7 else None

    day = date(2020, 1, 1) + timedelta(days=int(rng.integers(0, 2500)))
    words = {name: options[rng.integers(len(options))] for name, options in WORDS.items()}
    return dict.fromkeys(SCHEMA) | {
        **words,
        "on": day,
        "storage_gb": maybe(float(rng.choice([0, 16, 100, 128, 1024]))),
        "battery_health": maybe(float(rng.random())),
        "carrier_locked": maybe(bool(rng.random() < 0.5)),
        "launched_on": maybe(day - timedelta(days=int(rng.integers(-200, 4000)))),
        "launch_price": maybe(float(rng.choice([0.0, 199.0, 909.0]))),
        "ram_gb": maybe(float(rng.choice([4, 8]))),
    }


@pytest.fixture(scope="module")
def both() -> tuple[pl.DataFrame, Mapping[str, list[Any]]]:
    """The features of devices drawn at random, in a table and without one."""
    rng, known = np.random.default_rng(11), vocabulary.facts()
    drawn = [told(rng) for _ in range(N)]
    many = vocabulary.complete(devices=pl.DataFrame(drawn, schema=SCHEMA, orient="row"), known=known)
    one = [vocabulary.complete_one(device=device, known=known) for device in drawn]
    table = features.table(devices=many, attributes=ATTRIBUTES)
    return table, few.features_of(devices=one, attributes=ATTRIBUTES)


@pytest.mark.parametrize("feature", features.declared(attributes=ATTRIBUTES), ids=lambda f: f.name)
def test_a_feature_of_one_device_is_that_of_a_table(
    both: tuple[pl.DataFrame, Mapping[str, list[Any]]], feature: Feature
) -> None:
    many, alone = both[0][feature.name].to_list(), both[1][feature.name]
    assert feature.one is not None
    if feature.kind == "category":
        assert alone == many
        return
    numbers = [math.nan if value is None else value for value in alone]
    assert numbers == pytest.approx(
        [math.nan if v is None else v for v in many], rel=1e-12, abs=1e-12, nan_ok=True
    )


def test_the_same_columns_are_told_without_a_table(
    both: tuple[pl.DataFrame, Mapping[str, list[Any]]],
) -> None:
    assert both[0].columns == list(both[1])
    assert both[0]["day"].to_list() == both[1]["day"]


def test_a_feature_that_is_told_of_tables_only_is_told_of_one_device_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = told(np.random.default_rng(1))
    one = vocabulary.complete_one(device=device, known=vocabulary.facts())
    before = few.features_of(devices=[one], attributes=ATTRIBUTES)
    only = tuple(replace(f, one=None) if f.name == "trend" else f for f in features.FEATURES)
    monkeypatch.setattr(features, "FEATURES", only)
    after = few.features_of(devices=[one], attributes=ATTRIBUTES)
    assert list(after) == list(before)
    assert after["trend"] == pytest.approx(before["trend"])


def test_devices_are_worth_together_what_each_is_worth_alone_and_in_a_table(
    appraiser: Appraiser, sales: pl.DataFrame
) -> None:
    names = ("category", "brand", "model", "storage_gb", "battery_health", "carrier_locked", "channel")
    rows = sales.filter(pl.col("market") == "FR").sample(30, seed=2).with_columns(on=pl.lit(appraiser.as_of))
    rows = rows.with_columns(
        model=pl.when(pl.int_range(pl.len()) % 5 == 0).then(pl.lit("X")).otherwise("model")
    )
    devices = [{name: row[name] for name in names} for row in rows.to_dicts()]
    place: dict[str, Any] = {"market": "FR", "currency": "EUR", "on": appraiser.as_of, "grade": Grade.FAIR}
    together = appraiser.ladders(devices=devices, **place)
    alone = [appraiser.appraise_one(device=device, **place) for device in devices]
    many = appraiser.appraise(
        devices=rows.with_columns(
            launched_on=pl.lit(None, pl.Date), launch_price=pl.lit(None, pl.Float64), grade=pl.lit("FAIR")
        )
    )
    for one, other, row in zip(together, alone, many.to_dicts(), strict=True):
        assert [v.p50 for v in one.ladder.values()] == pytest.approx([v.p50 for v in other.ladder.values()])
        assert (one.value.p05, one.value.mean, one.value.fsd) == pytest.approx(
            (row["p05"], row["mean"], row["fsd"]), rel=1e-9
        )
        assert (one.basis, one.comparables, one.effects) == (row["basis"], row["comparables"], ())


def test_no_devices_have_no_ladders(appraiser: Appraiser) -> None:
    assert appraiser.ladders(devices=[], market="FR", currency="EUR", on=appraiser.as_of) == ()
