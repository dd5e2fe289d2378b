"""The catalogue's file: read with its facts, or refused with line and rule."""

from __future__ import annotations

import csv
import re
from datetime import date
from types import MappingProxyType

import pytest

from valuation import catalogue
from valuation.catalogue_file import CatalogueError

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


class Refusal(str):
    """What was told of a file."""

    __slots__ = ()

    def matches(self, problem):
        """Whether it is this one problem and no other."""
        return re.fullmatch(f"catalogue.csv, {problem}.*\\.", self) is not None


def refusal(tmp_path, *rows):
    with pytest.raises(CatalogueError) as error:
        load(tmp_path, *rows)
    return Refusal(str(error.value))


def test_a_good_file_is_read_with_its_facts(tmp_path):
    (variant,) = load(tmp_path, GOOD_ROW, {**GOOD_ROW, "currency": "USD", "launch_price": "799"}).variants
    assert variant.launched_on == date(2021, 9, 24)
    assert [str(launch.price) for launch in variant.launches] == ["909.00 EUR", "799.00 USD"]


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ({"brand": ""}, "brand is empty; fill it in"),
        ({"source": " "}, "source is empty"),
        ({"family": " iPhone"}, "family ' iPhone' has spaces to spare; write 'iPhone'"),
        ({"category": "phone"}, "category 'phone' is unknown; write one of smartphone"),
        ({"confidence": "D"}, "confidence 'D' is unknown"),
        ({"storage_gb": "128 GB"}, "storage_gb '128 GB' is no whole number"),
        ({"storage_gb": "0"}, "storage_gb '0' is no whole number"),
        ({"device_id": "iphone-13"}, "device_id 'iphone-13' does not follow .* write apple-iphone-13-128gb"),
        ({"launched_on": "24.9.2021"}, "launched_on '24.9.2021' is no date; write it as 2021-01-31"),
        ({"launched_on": "20210924"}, "launched_on '20210924' is no date"),
        ({"launched_on": "2021-09-31"}, "launched_on '2021-09-31' is no date"),
        ({"launched_on": "0021-09-24"}, "launched_on 0021-09-24 is not possible; write a year from 1970"),
        ({"launch_price": "0.00"}, "launch_price 0.00 should be above zero"),
        ({"launch_price": "nan"}, "launch_price: 'nan' is no amount in EUR"),
        ({"currency": "EURO"}, "currency 'EURO' is of no market; write one of EUR, USD"),
        ({"currency": "eur"}, "currency 'eur' is of no market"),
        ({"currency": "CHF"}, "currency 'CHF' is of no market"),
    ],
)
def test_a_broken_row_is_refused_with_its_line_and_rule(tmp_path, broken, problem):
    other = {**GOOD_ROW, "currency": "USD"}
    assert refusal(tmp_path, other, {**GOOD_ROW, **broken}).matches(f"line 3: {problem}")


def test_a_row_that_repeats_a_device_in_a_currency_is_refused(tmp_path):
    told = refusal(tmp_path, GOOD_ROW, {**GOOD_ROW, "launch_price": "899"})
    assert told.matches("line 3: apple-iphone-13-128gb in EUR is on line 2 already; keep one")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("launched_on", "2021-09-25"),
        ("family", "Phones"),
        ("category", "tablet"),
        ("model", "iPhone-13"),
        ("brand", "APPLE"),
    ],
)
def test_rows_that_disagree_about_a_device_are_refused(tmp_path, name, other):
    told = refusal(tmp_path, GOOD_ROW, {**GOOD_ROW, "currency": "USD", name: other})
    assert told.matches(f"line 3: .* has {name} '{GOOD_ROW[name]}' above and '{other}' here; keep one")


BIGGER = {**GOOD_ROW, "device_id": "apple-iphone-13-256gb", "storage_gb": "256", "launch_price": "1029.00"}


def test_a_row_that_stands_apart_from_its_device_is_refused(tmp_path):
    told = refusal(
        tmp_path, GOOD_ROW, BIGGER, {**GOOD_ROW, "currency": "USD"}, {**GOOD_ROW, "currency": "GBP"}
    )
    assert told.matches(
        "line 4: apple-iphone-13-128gb stands apart from its rows above; move this one under line 2"
    )


def test_more_storage_that_was_cheaper_is_refused_in_any_order_of_the_rows(tmp_path):
    cheap = {**BIGGER, "launch_price": "809.00"}
    told = refusal(tmp_path, GOOD_ROW, cheap)
    assert told.matches(
        "line 3: launch_price 809.00 EUR is below the 909.00 EUR of 128 GB on line 2; correct one"
    )
    told = refusal(tmp_path, cheap, GOOD_ROW)
    assert told.matches(
        "line 2: launch_price 809.00 EUR is below the 909.00 EUR of 128 GB on line 3; correct one"
    )


def test_prices_are_compared_in_one_currency_and_equal_ones_are_good(tmp_path):
    assert load(tmp_path, GOOD_ROW, {**BIGGER, "currency": "USD", "launch_price": "1"}).variants
    assert load(tmp_path, GOOD_ROW, {**BIGGER, "launch_price": "909.00"}).variants


def test_every_problem_is_told_once_in_the_order_of_the_lines(tmp_path):
    rows = [
        {**GOOD_ROW, "launched_on": "x"},
        {**BIGGER, "launch_price": "1"},
        {**GOOD_ROW, "currency": "EURO"},
    ]
    with pytest.raises(CatalogueError) as error:
        load(tmp_path, *rows)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [
        "catalogue.csv, line 2",
        "catalogue.csv, line 4",
    ]


HEADER = ",".join(GOOD_ROW)
LINE = ",".join(GOOD_ROW.values())


def renamed(old, new):
    return HEADER.replace(old, new)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the file is empty; begin it with device_id,brand"),
        (f"{HEADER}\n", "line 1: no device follows; add one"),
        (
            f"{renamed('launched_on', 'lauched_on')}\n{LINE}\n",
            "line 1: column 'lauched_on' is unknown; write launched_on",
        ),
        (f"{renamed('currency,', '')}\n{LINE}\n", "line 1: column currency is missing; add it"),
        (f"{HEADER},colour\n{LINE},blue\n", "line 1: column 'colour' is unknown; remove it"),
        (f"{HEADER},brand\n{LINE},Apple\n", "line 1: column brand is there 2 times; keep one"),
        (
            f"{renamed('brand,family', 'family,brand')}\n{LINE}\n",
            "line 1: the columns are in another order; write them",
        ),
        (f"{HEADER}\n{LINE},more\n", "line 2: has more fields than columns; quote a field"),
        (f"{HEADER}\n{LINE.removesuffix(',A')}\n", "line 2: has fewer fields than columns; fill in"),
        (f'{HEADER}\n{LINE}\n"a"b\n', "line 2: cannot be read as CSV here or a little below"),
        (
            f"{HEADER}\n{LINE}\n".encode("utf-16"),
            "line 1: is not UTF-8 here or a little below; save the file",
        ),
    ],
)
def test_a_file_that_is_broken_as_a_whole_is_refused(tmp_path, text, problem):
    path = tmp_path / "catalogue.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(CatalogueError) as error:
        catalogue.load(path=path)
    assert Refusal(str(error.value)).matches(problem)


def test_two_misspelt_columns_are_two_problems(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text(
        f"{HEADER.replace('brand', 'Brand').replace('source', 'sorce')}\n{LINE}\n", encoding="utf-8"
    )
    with pytest.raises(CatalogueError) as error:
        catalogue.load(path=path)
    assert str(error.value).splitlines() == [
        "catalogue.csv, line 1: column 'Brand' is unknown; write brand.",
        "catalogue.csv, line 1: column 'sorce' is unknown; write source.",
    ]


def test_a_mark_of_byte_order_before_the_first_column_does_no_harm(tmp_path):
    path = tmp_path / "catalogue.csv"
    path.write_text(f"\ufeff{HEADER}\n{LINE}\n", encoding="utf-8")
    assert len(catalogue.load(path=path).variants) == 1
