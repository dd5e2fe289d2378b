"""Every feature, present and future, keeps the contract of the one list."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from valuation import features, ledger, vocabulary
from valuation.features import FEATURES, Feature
from valuation.ledger import Attribute

ATTRIBUTES = {
    "ram_gb": Attribute(name="ram_gb", direction="+", kind="number"),
    "gpu": Attribute(name="gpu", direction="none", kind="text"),
}
CALENDAR = ("season_cosine", "season_sine", "trend")
PHONE = {
    "on": date(2026, 6, 1),
    "market": "FR",
    "currency": "EUR",
    "category": "smartphone",
    "brand": "Apple",
    "model": "iPhone 13",
    "storage_gb": 128.0,
    "grade": "GOOD",
    "battery_health": 0.9,
    "carrier_locked": False,
    "launched_on": date(2021, 9, 24),
    "launch_price": 909.0,
    "channel": "Web",
    "ram_gb": 4.0,
    "gpu": "A15",
}


def table(**changes: object) -> dict[str, object]:
    schema = {c.name: ledger.DTYPES[c.kind] for c in ledger.DEVICES.columns}
    schema |= {a.name: ledger.DTYPES[a.kind] for a in ATTRIBUTES.values()}
    row = {**PHONE, **changes}
    frame = pl.DataFrame({name: [row.get(name)] for name in schema}, schema=schema)
    devices = vocabulary.complete(devices=frame, known=vocabulary.facts())
    return features.table(devices=devices, attributes=ATTRIBUTES).row(0, named=True)


@pytest.mark.parametrize("feature", features.declared(attributes=ATTRIBUTES), ids=lambda f: f.name)
def test_a_feature_is_a_number_or_a_text_and_says_why(feature: Feature) -> None:
    value = table()[feature.name]
    assert feature.why
    assert isinstance(value, float if feature.kind == "number" else str)


@pytest.mark.parametrize("feature", features.declared(attributes=ATTRIBUTES), ids=lambda f: f.name)
def test_a_feature_of_nothing_known_is_null_or_neutral_and_never_an_error(feature: Feature) -> None:
    """The calendar apart: a day is always told."""
    nothing = dict.fromkeys(PHONE) | {"market": "FR", "currency": "EUR", "on": date(2026, 6, 1)}
    assert table(**nothing)[feature.name] in (None, "EUR", "FR EUR") or feature.name in CALENDAR


@pytest.mark.parametrize("feature", [f for f in FEATURES if f.direction != "none"], ids=lambda f: f.name)
def test_only_numbers_have_a_direction(feature: Feature) -> None:
    assert feature.kind == "number"


def test_names_are_unique() -> None:
    names = [f.name for f in features.declared(attributes=ATTRIBUTES)]
    assert len(names) == len(set(names))


def test_spelling_and_a_repeated_maker_do_not_make_another_model() -> None:
    assert table(brand=" APPLE ", model="apple  iPhone 13")["model"] == table()["model"]


def test_a_family_is_the_first_word_of_a_model() -> None:
    assert table()["family"] == "apple iphone"
    assert table(brand="Dell", model="Latitude E7450")["family"] == "dell latitude"


def test_age_stands_still_before_the_launch_and_the_wait_is_told_instead() -> None:
    early = table(on=date(2021, 9, 14))
    assert (early["age_years"], early["days_to_launch"]) == (0.0, 10.0)
    assert table()["days_to_launch"] == 0.0


def test_one_currency_in_two_markets_is_two_markets() -> None:
    assert table(market="DE")["market"] != table()["market"]
