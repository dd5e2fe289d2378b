from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from training import ratio_study, segments
from training.baselines import BASELINES
from valuation.appraisal import QUANTILE_NAMES, QUANTILES

START = date(2026, 1, 5)
Z = dict(zip(QUANTILE_NAMES, (-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449), strict=True))


def predictions(n=2_000, noise=0.1, seed=1):
    """A perfect model on an invented market: four brands, prices that scatter lognormally around its values."""
    rng = np.random.default_rng(seed)
    brand = rng.integers(0, 4, n)
    worth = 100 * 2.0**brand * np.exp(rng.normal(0, 0.4, n))
    price = worth * np.exp(rng.normal(0, noise, n))
    days = rng.integers(0, 28, n)
    return pl.DataFrame(
        {
            "window": [START] * n,
            "sale_id": [f"s{i}" for i in range(n)],
            "sold_on": [START + timedelta(days=int(d)) for d in days],
            "market": "GB",
            "currency": "GBP",
            "category": np.where(brand < 2, "tablet", "laptop"),
            "brand": [f"brand {b}" for b in brand],
            "model": [f"model {m}" for m in rng.integers(0, 10, n)],
            "storage_gb": 64.0,
            "grade": rng.choice(["FAIR", "GOOD"], n),
            "launched_on": [START - timedelta(days=int(d)) for d in rng.integers(-20, 2_000, n)],
            "price": price,
            **{name: worth * np.exp(z * noise) for name, z in Z.items()},
            "mean": worth,
            "fsd": noise,
            "basis": "model",
            "comparables": rng.integers(0, 60, n),
            "at_our_price": False,
            **dict.fromkeys(BASELINES, 0.9 * worth),
        }
    )


@pytest.fixture(scope="module")
def study():
    return ratio_study.study(predictions())


def cell(study, dimension, member):
    return next(c for c in study.segments if (c.dimension, c.member) == (dimension, member))


def test_a_model_and_its_baselines_stand_side_by_side_on_the_same_sales(study):
    table = study.table()
    assert table["valued by"].to_list() == ["reprise", *BASELINES]
    assert table["n"].unique().to_list() == [2_000]
    assert table["median_ratio"].to_list() == pytest.approx([1.0, 0.9, 0.9, 0.9, 0.9], abs=0.01)


def test_honest_intervals_cover_what_they_say(study):
    found = study.spread
    assert found.coverage_50 == pytest.approx(0.5, abs=0.03)
    assert found.coverage_80 == pytest.approx(0.8, abs=0.03)
    assert found.coverage_90 == pytest.approx(0.9, abs=0.03)
    assert 0.8 < found.worst_group <= found.coverage_90
    assert 0.8 < found.worst_week <= found.coverage_90
    assert len(QUANTILES) == len(Z)


@pytest.mark.parametrize("dimension", segments.DIMENSIONS)
def test_every_dimension_parts_all_sales(study, dimension):
    assert sum(c.n for c in study.segments if c.dimension == dimension) == study.model.n


def test_a_brand_at_half_its_price_shows_in_its_own_cell_alone():
    rows = predictions().with_columns(
        p50=pl.when(pl.col("brand") == "brand 2").then(pl.col("p50") / 2).otherwise("p50")
    )
    found = ratio_study.study(rows)
    assert cell(found, "brand", "brand 2").high < 0.55
    assert cell(found, "brand", "brand 1").low > 0.95


def test_cells_of_few_sales_are_pooled_into_one():
    rows = predictions().with_columns(
        brand=pl.when(pl.int_range(pl.len()) < 20)
        .then(pl.format("rare {}", pl.int_range(pl.len()) % 4))
        .otherwise("brand")
    )
    found = ratio_study.study(rows)
    assert cell(found, "brand", segments.POOLED).n == 20
    assert not [c for c in found.segments if c.member.startswith("rare")]


def test_brands_are_tiered_by_their_median_price_within_their_category(study):
    rows = predictions()
    tiers = rows.select("brand", tier=segments.DIMENSIONS["brand tier"]).unique().sort("brand")
    assert tiers["tier"].to_list() == ["low", "middle", "low", "middle"]


def test_age_counts_from_launch_and_says_where_that_is_not_known():
    sold = date(2026, 1, 1)
    launched = [
        date(2026, 2, 1),
        sold,
        date(2025, 1, 2),
        date(2024, 6, 1),
        date(2022, 6, 1),
        date(2020, 1, 1),
        None,
    ]
    rows = pl.DataFrame({"sold_on": [sold] * 7, "launched_on": launched})
    assert rows.select(age=segments.DIMENSIONS["age"])["age"].to_list() == [
        "before launch",
        "under 1 year",
        "under 1 year",
        "1 to 2 years",
        "2 to 4 years",
        "4 years and more",
        "not known",
    ]


def test_a_model_of_fewer_than_thirty_sales_is_a_segment_of_its_own(study):
    rows = predictions()
    thin = rows.filter(pl.col("comparables") < 30).height
    assert cell(study, "basis", "model, under 30 sales").n == thin


def test_deciles_are_of_the_value_so_that_noise_biases_none_of_them(study):
    found = [c for c in study.segments if c.dimension == "decile of value"]
    assert len(found) == 10
    assert all(abs(c.median_ratio - 1) < 0.03 for c in found)


def test_sales_at_our_own_price_are_told_apart():
    rows = predictions()
    ours = rows.head(100).with_columns(price=pl.col("p50"), at_our_price=pl.lit(True))
    found = ratio_study.study(pl.concat([rows, ours]))
    assert found.model == ratio_study.study(rows).model
    assert (found.at_our_price.n, found.at_our_price.mdape) == (100, 0.0)


def test_without_a_sale_there_is_no_study():
    with pytest.raises(ratio_study.StudyError, match="no sale to study"):
        ratio_study.study(predictions().clear())


def test_sales_at_our_own_price_alone_are_no_study():
    with pytest.raises(ratio_study.StudyError, match="apart from those at our own price"):
        ratio_study.study(predictions().with_columns(at_our_price=pl.lit(True)))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 0.0, -1.0])
def test_a_value_that_is_no_number_above_zero_is_named_and_refused(value):
    rows = predictions().with_columns(
        last_sale=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit(value)).otherwise("last_sale")
    )
    with pytest.raises(ratio_study.StudyError, match=r"^last_sale: "):
        ratio_study.study(rows)


def test_one_sale_is_studied_without_a_nan():
    found = ratio_study.study(predictions().head(1))
    assert found.model.calibration_slope is None
    assert (found.spread.worst_group, found.spread.worst_week) == (None, None)
    json.dumps(found.to_json(), allow_nan=False)


def test_json_holds_the_days_the_overall_table_and_every_segment(study):
    told = json.loads(json.dumps(study.to_json(), allow_nan=False))
    assert (told["sold_from"], told["sold_to"]) == ("2026-01-05", "2026-02-01")
    assert [line["valued by"] for line in told["overall"]] == ["reprise", *BASELINES]
    assert len(told["segments"]) == len(study.segments)


def test_a_registry_is_told_plain_numbers_only(study):
    told = study.measures()
    assert all(type(value) is float and np.isfinite(value) for value in told.values())
    assert {"n", "mdape", "coverage_90", "calibration_slope", "mdape_last_sale"} <= set(told)


def test_a_study_without_baselines_is_one_of_the_model_alone():
    found = ratio_study.study(predictions().drop(BASELINES))
    assert found.baselines == {}
    assert found.table()["valued by"].to_list() == ["reprise"]
