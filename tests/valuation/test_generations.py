"""A newer generation takes buyers from its launch on, and only from those before it."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest

from valuation import generations
from valuation.generations import Generations

LAUNCHES = {
    "iphone 12 pro": date(2020, 10, 23),
    "iphone 13 pro": date(2021, 9, 24),
    "iphone 14 pro": date(2022, 9, 16),
    "iphone 14": date(2022, 9, 16),
}
KNOWN = Generations.of(
    pl.DataFrame({"brand_key": "apple", "model_key": list(LAUNCHES), "found": list(LAUNCHES.values())})
)


def newer(model: str, on: date, launched_on: date | None = None) -> float | None:
    own = generations.line(brand="apple", model=model)
    return KNOWN.newer_than(line=own, launched_on=launched_on or LAUNCHES.get(model), on=on)


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("iphone 13 pro max", "apple iphone pro max"),
        ("ipad (7th gen)", "apple ipad"),
        ("galaxy s20+ 5g", "apple galaxy s+"),
    ],
)
def test_a_line_is_a_name_without_its_numbers(model: str, line: str) -> None:
    assert generations.line(brand="apple", model=model) == line


def test_each_newer_generation_counts_once_it_is_out_for_a_while() -> None:
    assert newer("iphone 12 pro", date(2021, 6, 1)) == 0
    assert newer("iphone 12 pro", date(2022, 6, 1)) == 1
    assert newer("iphone 12 pro", date(2023, 6, 1)) == 2
    assert newer("iphone 13 pro", date(2023, 6, 1)) == 1


def test_it_takes_its_buyers_little_by_little() -> None:
    days = [LAUNCHES["iphone 13 pro"] + timedelta(days) for days in range(-20, 100, 5)]
    counts = [newer("iphone 12 pro", day) or 0.0 for day in days]
    assert counts == sorted(counts)
    assert 0 < counts[5] < counts[10] < 1


def test_another_line_and_the_same_launch_take_nothing() -> None:
    assert newer("iphone 14", date(2026, 1, 1)) == 0
    assert newer("strange", date(2026, 1, 1), launched_on=date(2019, 1, 1)) == 0


def test_without_a_launch_nothing_is_known() -> None:
    assert newer("strange", date(2026, 1, 1)) is None


def test_the_same_launch_told_a_few_days_off_and_a_sibling_soon_after_are_no_newer_generation() -> None:
    on = date(2023, 6, 1)
    own = LAUNCHES["iphone 13 pro"]
    assert newer("iphone 13 pro", on, own - timedelta(days=30)) == newer("iphone 13 pro", on, own) == 1
    assert newer("iphone 13 pro", on, own - timedelta(days=300)) == 2
