"""The catalogue's file: read with its facts, or refused with line and rule."""

from __future__ import annotations

import csv
from datetime import date
from types import MappingProxyType

import pytest

from valuation import catalogue
from valuation.catalogue import CatalogueError

GOOD_ROW = MappingProxyType(
    {
        "device_id": "apple-iphone-13-128gb",
        "brand": "Apple",
        "family": "iPhone",
        "model": "iPhone 13",
        "category": "smartphone",
        "storage_gb": "128",
        "launched_on": "2021-09-24",
        "launch_price": "909.00",
        "currency": "EUR",
        "source": "a test",
        "confidence": "A",
    }
)


def load(tmp_path, *rows):
    path = tmp_path / "catalogue.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(GOOD_ROW))
        writer.writeheader()
        writer.writerows(rows)
    return catalogue.load(path=path)


def test_a_good_file_is_read_with_its_facts(tmp_path):
    (variant,) = load(tmp_path, GOOD_ROW, {**GOOD_ROW, "currency": "USD", "launch_price": "799"}).variants
    assert variant.launched_on == date(2021, 9, 24)
    assert [str(launch.price) for launch in variant.launches] == ["909.00 EUR", "799.00 USD"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"brand": ""}, "brand is empty"),
        ({"source": " "}, "source is empty"),
        ({"category": "phone"}, "category 'phone' is unknown; write one of smartphone"),
        ({"confidence": "D"}, "confidence 'D' is unknown"),
        ({"storage_gb": "128 GB"}, "storage_gb '128 GB' is no whole number"),
        ({"storage_gb": "0"}, "storage_gb '0' is no whole number"),
        ({"device_id": "iphone-13"}, "device_id 'iphone-13' does not follow .* write apple-iphone-13-128gb"),
        ({"launched_on": "24.9.2021"}, "launched_on '24.9.2021' is no date"),
        ({"launch_price": "0.00"}, "launch_price 0.00 should be above zero"),
        ({"launch_price": "nan"}, "launch_price: 'nan' is no amount in EUR"),
        ({"currency": "EURO"}, "launch_price: 'EURO' is no ISO 4217 currency"),
    ],
)
def test_a_broken_row_is_refused_with_its_line_and_rule(tmp_path, broken, problem):
    other = {**GOOD_ROW, "currency": "USD"}
    with pytest.raises(CatalogueError, match=f"catalogue.csv, line 3: {problem}"):
        load(tmp_path, other, {**GOOD_ROW, **broken})


def test_a_row_that_repeats_a_device_in_a_currency_is_refused(tmp_path):
    with pytest.raises(CatalogueError, match="line 3: apple-iphone-13-128gb in EUR is there already"):
        load(tmp_path, GOOD_ROW, GOOD_ROW)


def test_rows_that_disagree_about_a_device_are_refused(tmp_path):
    other = {**GOOD_ROW, "currency": "USD", "launched_on": "2021-09-25"}
    with pytest.raises(
        CatalogueError, match=r"line 3: .* has launched_on '2021-09-24' above and '2021-09-25'"
    ):
        load(tmp_path, GOOD_ROW, other)


def test_a_row_with_a_comma_too_many_is_refused(tmp_path):
    path = tmp_path / "catalogue.csv"
    row = ",".join(GOOD_ROW.values())
    path.write_text(f"{','.join(GOOD_ROW)}\n{row},more\n", encoding="utf-8")
    with pytest.raises(CatalogueError, match="line 2: has more fields than columns"):
        catalogue.load(path=path)


@pytest.mark.parametrize("text", ["", "device_id,brand\n"])
def test_a_file_with_other_columns_is_refused(tmp_path, text):
    path = tmp_path / "catalogue.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CatalogueError, match="line 1: the columns should be device_id,brand"):
        catalogue.load(path=path)
