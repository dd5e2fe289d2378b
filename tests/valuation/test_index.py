"""The market price index looks back only, forgets, and moves little where few sales speak."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from valuation import index

BY = ("market", "category")


def table(days: list[int], category: str = "laptop") -> pl.DataFrame:
    return pl.DataFrame({"market": ["FR EUR"] * len(days), "category": [category] * len(days), "day": days})


def level(
    days: list[int], residuals: list[float], half_life: float = 10.0, prior: float = 0.0
) -> index.Level:
    return index.accumulate(
        table=table(days),
        residuals=np.array(residuals),
        by=BY,
        half_life_days=half_life,
        prior_sales=prior,
    )


def test_a_day_sees_only_the_days_before_it() -> None:
    one = level([0, 1, 2], [0.1, 0.2, 5.0])
    other = level([0, 1, 2], [0.1, 0.2, -5.0])
    asked = table([1, 2])
    assert one.at(table=asked).tolist() == other.at(table=asked).tolist()


def test_a_lag_hides_the_newest_sales() -> None:
    found = level([0, 10], [0.1, 0.9])
    assert found.at(table=table([11]), lag_days=5)[0] == pytest.approx(0.1)


def test_a_sale_one_half_life_older_counts_half() -> None:
    found = level([0, 10], [0.0, 0.3], half_life=10.0)
    assert found.at(table=table([11]))[0] == pytest.approx(0.3 * 2 / 3)


def test_few_sales_are_shrunk_by_the_prior_and_it_grows_as_they_fade() -> None:
    found = level([0, 0, 0], [0.3, 0.3, 0.3], prior=3.0)
    assert found.at(table=table([1]))[0] == pytest.approx(0.3 * 3 * 2**-0.1 / (3 * 2**-0.1 + 3))
    assert found.at(table=table([400]))[0] == pytest.approx(0.0, abs=1e-6)


def test_a_node_without_sales_stands_at_zero() -> None:
    assert level([0], [0.5], prior=1.0).at(table=table([1], category="tablet"))[0] == 0.0


def test_no_nodes_at_all_is_one_node_for_all_sales() -> None:
    found = index.accumulate(
        table=table([0, 0]), residuals=np.array([0.1, 0.3]), by=(), half_life_days=5.0, prior_sales=0.0
    )
    assert found.at(table=table([1], category="tablet"))[0] == pytest.approx(0.2)


def test_a_closed_level_says_what_the_open_one_says_from_the_next_day_on() -> None:
    found = level([0, 3, 7], [0.1, 0.2, 0.4], prior=1.0)
    asked = table([8, 20, 100])
    assert found.close().at(table=asked) == pytest.approx(found.at(table=asked))


def test_a_closed_level_stands_for_earlier_days_as_on_the_day_it_closed() -> None:
    closed = level([0, 3, 7], [0.1, 0.2, 0.4], prior=1.0).close()
    early, now = closed.at(table=table([-500, 8]))
    assert early == pytest.approx(now)
