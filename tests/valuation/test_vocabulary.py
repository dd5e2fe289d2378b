"""What an appraiser remembers of the devices it met."""

from __future__ import annotations

from datetime import date

import polars as pl

from valuation import ledger, vocabulary
from valuation.ledger import Attribute

RAM = {"ram_gb": Attribute(name="ram_gb", direction="+", kind="number")}


def sales(**columns: list[object]) -> pl.DataFrame:
    rows = len(next(iter(columns.values())))
    told = {
        "category": ["smartphone"] * rows,
        "brand": ["Apple"] * rows,
        "model": ["iPhone 13"] * rows,
        "storage_gb": [128.0] * rows,
        "currency": ["EUR"] * rows,
        "launched_on": [None] * rows,
        "launch_price": [None] * rows,
        "ram_gb": [None] * rows,
    } | columns
    types = {c.name: ledger.DTYPES[c.kind] for c in ledger.SALES.columns} | {"ram_gb": pl.Float64}
    return pl.DataFrame(told, schema={name: types[name] for name in told})


def test_spellings_of_one_variant_are_one_device_as_most_often_spelt() -> None:
    table = sales(model=["iPhone 13", "IPHONE 13", "iPhone 13"])
    (device,) = vocabulary.of_sales(sales=table, attributes=RAM).iter_rows(named=True)
    assert (device["model"], device["sales"]) == ("iPhone 13", 3)


def test_a_device_has_the_median_of_its_attributes() -> None:
    table = sales(ram_gb=[4.0, None, 8.0, 6.0])
    assert vocabulary.of_sales(sales=table, attributes=RAM)["ram_gb"].to_list() == [6.0]


def test_launch_facts_come_from_the_catalogue_where_a_device_has_none() -> None:
    (row,) = vocabulary.with_launch(devices=sales(model=["iphone  13"])).iter_rows(named=True)
    assert row["launched_on"] == date(2021, 9, 24)


def test_own_facts_go_before_the_catalogue_and_told_ones_before_both() -> None:
    known = sales(launched_on=[date(2020, 1, 1)], launch_price=[700.0]).drop("ram_gb")
    facts = vocabulary.facts(known=known)
    devices = sales(launched_on=[None, date(2019, 1, 1)], launch_price=[None, None])
    rows = vocabulary.with_launch(devices=devices, known=facts)
    assert rows["launched_on"].to_list() == [date(2020, 1, 1), date(2019, 1, 1)]
    assert rows["launch_price"].to_list() == [700.0, 700.0]


def test_rows_keep_their_order_and_unknown_devices_stay_unknown() -> None:
    devices = sales(model=["Nothing", "iPhone 13", "Nothing else"])
    filled = vocabulary.with_launch(devices=devices)
    assert filled["model"].to_list() == ["Nothing", "iPhone 13", "Nothing else"]
    assert filled["launched_on"].is_null().to_list() == [True, False, True]


def test_more_storage_of_a_model_was_never_cheaper_at_its_launch() -> None:
    known = sales(storage_gb=[128.0, 256.0], launch_price=[900.0, 850.0]).drop("ram_gb")
    devices = sales(storage_gb=[256.0, 128.0])
    filled = vocabulary.with_launch(devices=devices, known=vocabulary.facts(known=known))
    assert filled["launch_price"].to_list() == [900.0, 900.0]


def completed(*, storage_gb: list[float], known: pl.DataFrame | None = None) -> list[float]:
    """The launch prices in EUR that the iPhone 13 is filled up with: 128 GB is told by a source, the others derived."""
    devices = sales(storage_gb=storage_gb)
    return vocabulary.with_launch(devices=devices, known=vocabulary.facts(known=known))[
        "launch_price"
    ].to_list()


def test_a_derived_launch_price_fills_in_where_none_was_told() -> None:
    assert completed(storage_gb=[128.0, 256.0]) == [899.0, 1019.0]


def test_a_told_launch_price_goes_before_a_derived_one_and_is_not_raised_by_it() -> None:
    known = sales(storage_gb=[256.0], launch_price=[850.0]).drop("ram_gb")
    assert completed(storage_gb=[256.0], known=known) == [899.0]
    known = sales(storage_gb=[512.0], launch_price=[1000.0]).drop("ram_gb")
    assert completed(storage_gb=[256.0, 512.0, 128.0], known=known) == [1000.0, 1000.0, 899.0]


def test_one_device_is_completed_as_many_are() -> None:
    table = sales(
        brand=["Apple", "apple ", "Nobody", "Samsung"],
        model=["iPhone 13", "Apple IPHONE  13", "One", "Galaxy S21"],
        storage_gb=[128.0, None, 64.0, 256.0],
        currency=["EUR", "GBP", "SEK", "USD"],
        launched_on=[None, date(2021, 1, 1), None, None],
        launch_price=[None, 50.0, 300.0, None],
    ).with_columns(on=pl.lit(date(2022, 9, 30)))
    known = vocabulary.facts(known=vocabulary.of_sales(sales=table, attributes={}))
    many = vocabulary.complete(devices=table, known=known)
    one = [vocabulary.complete_one(device=row, known=known) for row in table.iter_rows(named=True)]
    assert one == many.to_dicts()


def test_the_price_of_a_strange_variant_tells_its_storage_too() -> None:
    known = vocabulary.facts(known=sales(launch_price=[900.0]).drop("ram_gb"))
    devices = sales(model=["iPhone 13", "Strange", "Strange"], storage_gb=[256.0, 512.0, 512.0]).with_columns(
        on=pl.lit(date(2023, 1, 1)), launch_price=pl.Series([None, 1300.0, None])
    )
    rows = vocabulary.complete(devices=devices, known=known)
    assert rows["storage_apart"].to_list() == [256.0, None, 512.0]
    assert rows["base_price"].to_list()[1:] == [1300.0, None]


def test_the_maker_in_front_of_a_models_name_changes_nothing() -> None:
    known = vocabulary.facts(known=sales(launch_price=[900.0]).drop("ram_gb"))
    devices = sales(model=["iPhone 13", "Apple iPhone 13"]).with_columns(on=pl.lit(date(2023, 1, 1)))
    rows = vocabulary.complete(devices=devices, known=known).drop("model").to_dicts()
    assert rows[0] == rows[1]
    assert rows[0]["newer"] == 1


def test_what_is_known_of_a_models_price_goes_before_a_slip() -> None:
    known = vocabulary.facts(known=sales(launch_price=[900.0]).drop("ram_gb"))
    devices = sales(launch_price=[90.0]).with_columns(on=pl.lit(date(2023, 1, 1)))
    assert vocabulary.complete(devices=devices, known=known)["base_price"].to_list() == [900.0]
