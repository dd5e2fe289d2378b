from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl
import pytest

from tests.judge import figures, learners, page
from training import measures


@pytest.fixture
def rows() -> pl.DataFrame:
    """4,000 sales of two markets whose prices lie around 100: ours is right, the peer a tenth too high."""
    rng, n = np.random.default_rng(5), 4_000
    market = np.where(np.arange(n) % 2 == 0, "GB", "US")
    sold = 100 * np.exp(rng.normal(0, 0.1, n))
    told = {"ours": 100.0, "oracle": 100.0, "last_sale": 110.0}
    spread = {"p05": np.exp(-0.1645), "p50": 1.0, "p95": np.exp(0.1645)}
    return pl.DataFrame(
        {
            "sold_on": [date(2026, 1, 5)] * n,
            "market": market,
            "currency": np.where(market == "GB", "GBP", "USD"),
            "price": np.where(market == "US", sold * 0.95, sold),
            "basis": np.where(np.arange(n) < 1_000, "family", "model"),
            "comparables": np.where(np.arange(n) < 2_000, 10, 90),
            "block": np.arange(n) // 20,
            "case": "one",
        }
    ).with_columns(
        pl.lit("smartphone").alias("category"),
        pl.lit("Apple").alias("brand"),
        pl.lit("GOOD").alias("grade"),
        pl.lit(date(2024, 1, 5)).alias("launched_on"),
        pl.col("sold_on").dt.truncate("1w").alias("week"),
        pl.lit(1).alias("seed"),
        *(
            pl.lit(middle * factor).alias(f"{name}_{at}")
            for name, middle in told.items()
            for at, factor in spread.items()
        ),
        *(pl.lit(2.0).alias(f"{name}_seconds") for name in told),
    )


@pytest.fixture
def found(rows: pl.DataFrame) -> page.Page:
    return page.Page(list(figures.of_table("steady", rows)))


def test_the_mean_of_the_winkler_scores_is_the_one_of_the_product() -> None:
    rng = np.random.default_rng(2)
    sold = rng.lognormal(5, 0.4, 500)
    low, high = np.full(500, 80.0), np.full(500, 260.0)
    assert figures.winkler(low, high, sold).mean() == pytest.approx(measures.winkler(low, high, sold, 0.9))


def test_a_peer_that_is_a_tenth_too_high_is_behind(found: page.Page) -> None:
    for measure in ("mdape gap", "winkler gap"):
        gap = found.find("steady", "last_sale", measure)
        assert gap is not None and gap.note == "ahead"
        assert gap.low is not None and gap.high is not None and gap.low <= gap.value <= gap.high < 0


def test_one_who_says_the_same_is_level(found: page.Page) -> None:
    gap = found.find("steady", "oracle", "mdape gap")
    assert gap is not None and (gap.value, gap.low, gap.high, gap.note) == (0, 0, 0, "level")
    assert found.over_oracle("steady", "ours", "cod") == 1


def test_the_worst_segment_is_named(found: page.Page) -> None:
    worst = found.find("steady", "ours", "worst ratio")
    assert worst is not None and worst.note == "market US USD" and worst.n == 2_000
    assert worst.value == pytest.approx(1 / 0.95, abs=0.01)


def test_models_are_parted_by_what_ours_knows_of_them(found: page.Page) -> None:
    parted = {group: found.find("steady", "ours", f"mdape {group}") for group in figures.KNOWN}
    assert {group: f.n for group, f in parted.items() if f} == {"seen": 2_000, "thin": 1_000, "unseen": 1_000}


def test_a_mean_is_drawn_as_a_median_is() -> None:
    """With one sale a block and a symmetric law, both intervals are the usual ones."""
    values, blocks = np.random.default_rng(3).normal(1, 2, 4_000), np.arange(4_000)
    low, high = figures.mean_interval(values, blocks, 1)
    assert (high - low) / 2 == pytest.approx(1.96 * 2 / 4_000**0.5, rel=0.15)
    assert low < values.mean() < high


def test_sales_of_one_block_are_drawn_together() -> None:
    values = np.repeat(np.random.default_rng(3).normal(0, 1, 40), 50)
    apart = figures.mean_interval(values, np.arange(2_000), 1)
    together = figures.mean_interval(values, np.repeat(np.arange(40), 50), 1)
    assert together[1] - together[0] > 5 * (apart[1] - apart[0])


@pytest.mark.parametrize(
    ("covers", "weeks"), [([0.9, 0.7], 0), ([0.5, 0.8, 0.88], 2), ([0.5, 0.6], float("inf"))]
)
def test_a_week_is_recovered_when_88_in_100_are_covered(covers: list[float], weeks: float) -> None:
    assert figures.recovered(covers) == weeks


def test_an_interval_is_by_grade_where_there_are_200_sales() -> None:
    rng = np.random.default_rng(4)
    errors = np.concatenate([rng.normal(0, 0.1, 5_000), rng.normal(0, 1, 5_000), rng.normal(0, 5, 150)])
    grades = np.array(["GOOD"] * 5_000 + ["PARTS"] * 5_000 + ["NEW"] * 150)
    low, high = learners.tails(errors, grades, np.array(["PARTS", "GOOD", "NEW", "FAIR"]))
    assert high == pytest.approx([1.645, 0.1645, high[2], high[2]], rel=0.1)
    assert -low == pytest.approx([1.645, 0.1645, -low[2], -low[2]], rel=0.1)
    assert 0.1645 < high[2] < 1.645


def test_a_conformal_interval_covers_nine_in_ten_even_from_few_errors() -> None:
    rng = np.random.default_rng(6)
    grade = np.array(["GOOD"])
    hits = []
    for _ in range(2_000):
        low, high = learners.tails(rng.normal(0, 1, 50), np.repeat(grade, 50), grade)
        hits.append(low[0] <= rng.normal() <= high[0])
    assert np.mean(hits) == pytest.approx(0.9, abs=0.025)


def test_the_page_shows_what_was_found(found: page.Page) -> None:
    told = page._section(found, ["steady"])
    near, multiples = told[0], told[2]
    assert "| steady | 4,000 |" in near
    assert "1.00 (4,000)" in multiples and "market US USD (2,000)" in multiples
    assert "**ahead**" in told[5]
