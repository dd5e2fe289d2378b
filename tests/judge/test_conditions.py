from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from tests.judge import conditions, real
from tests.judge.conditions import METHODS
from tests.judge.learners import OURS

GRADE = {
    "Flawless": "EXCELLENT",
    "Excellent": "EXCELLENT",
    "Good": "GOOD",
    "Fair": "FAIR",
    "Damaged": "PARTS",
}


def offers(*told: tuple[str, str, str, float], **values: list[float]) -> pl.DataFrame:
    """Offers (buyer, model, word, price) in one market; every method says 100 unless `values` say otherwise."""
    rows = pl.DataFrame(told, schema=["channel", "model", "word", "price"], orient="row")
    return rows.with_columns(
        *(pl.Series(name, values.get(name, [100.0] * rows.height)) for name in METHODS),
        pl.col("word").replace_strict(GRADE).alias("grade"),
        market=pl.lit("SG"),
        category=pl.lit("smartphone"),
        storage_gb=pl.lit(None, pl.Float64),
        value_type=pl.lit("trade_in"),
        others=pl.lit(1),
    )


def test_a_condition_is_held_against_the_best_one_of_the_same_device_and_buyer() -> None:
    rows = offers(
        ("A", "x", "Flawless", 200.0),
        ("A", "x", "Good", 150.0),
        ("A", "x", "Damaged", 50.0),
        ("B", "x", "Damaged", 30.0),
        ("B", "x", "Good", 120.0),
        ("B", "y", "Fair", 80.0),
        **{OURS: [100, 80, 40, 10, 50, 9]},
    )
    found = conditions.ratios(rows).sort("channel", "word")
    assert found.select("channel", "word", "best").rows() == [
        ("A", "Damaged", "Flawless"),
        ("A", "Good", "Flawless"),
        ("B", "Damaged", "Good"),
    ]
    assert found["price"].to_list() == [0.25, 0.75, 0.25]
    assert found[OURS].to_list() == pytest.approx([0.4, 0.8, 0.2])
    assert found["model_median"].to_list() == [1, 1, 1]


def test_offers_that_the_table_does_not_tell_apart_are_one_by_their_median() -> None:
    rows = offers(*(("A", "x", word, price) for word in ("Good", "Damaged") for price in (10.0, 20.0, 60.0)))
    assert conditions.ratios(rows)["price"].to_list() == [1.0]
    unlike = rows.with_columns(pl.when(pl.col("price") == 60).then(128.0).alias("storage_gb"))
    assert conditions.ratios(unlike).height == 2


def test_the_level_of_a_market_is_the_median_of_three_buyers_each_counted_once() -> None:
    rows = offers(
        *(("A", "x", "Good", price) for price in (1.0, 2.0, 3.0)),
        ("B", "x", "Good", 10.0),
        ("C", "x", "Good", 30.0),
        ("A", "y", "Good", 1.0),
        ("B", "y", "Good", 1.0),
        **{OURS: [5, 6, 9, 8, 7, 4, 4]},
    )
    level = conditions.market_level(rows)
    assert level["channel"].to_list() == ["A", "B", "C"]
    assert level["price"].to_list() == [10, 10, 10]
    assert level[OURS].to_list() == [6, 8, 7]


def test_a_flawless_device_of_one_and_an_excellent_one_of_another_have_one_level() -> None:
    rows = offers(("A", "x", "Flawless", 10.0), ("B", "x", "Excellent", 20.0), ("C", "x", "Flawless", 90.0))
    assert conditions.market_level(rows)["price"].to_list() == [20, 20, 20]
    assert conditions.market_level(rows.with_columns(market=pl.col("channel"))).is_empty()


def test_ours_is_held_against_the_better_of_the_peers() -> None:
    rows = offers(
        *((buyer, model, "Good", 100.0) for buyer in "ABC" for model in "xy"),
        **{OURS: [110.0] * 6, "model_median": [150.0] * 6, "plain_lightgbm": [80.0] * 6},
    )
    line = conditions.scored("all", rows)
    assert line[:4] == ["all", "6", "3", "100.0"]
    assert line[4:7] == ["10.0 (1.10)", "50.0 (1.50)", "20.0 (0.80)"]
    assert line[7:] == ["**ahead** -10.0", "[-10.0, -10.0]", "[-10.0, -10.0]"]


def test_one_buyer_has_no_interval_by_buyers() -> None:
    line = conditions.scored("all", offers(("A", "x", "Good", 90.0), ("A", "y", "Good", 90.0)))
    assert line[7:] == ["**level** +0.0", "–", "[+0.0, +0.0]"]


def test_the_page_names_where_ours_is_not_ahead() -> None:
    told = [(buyer, model, word, 100.0) for word in conditions.WORDS for buyer in "ABC" for model in "xy"]
    ours = [100.0 if word != "Fair" else 150.0 for _, _, word, _ in told]
    peers = {name: [120.0] * len(told) for name in conditions.PEERS}
    rows = offers(*told, **{OURS: ours}, **peers).with_columns(others=pl.int_range(pl.len()) % 2)
    written = conditions.write(rows)
    missed = [line for line in written.splitlines() if line.startswith("Ours is not ahead")]
    assert missed == [
        "Ours is not ahead of the better peer in: Fair (FAIR): behind +30.0.",
        "Ours is not ahead of the better peer in: FAIR: behind +30.0.",
    ]
    assert "| all | Fair / Flawless | 6 | 1.00 | 1.50 | 1.00 | 1.00 |" in written


def test_every_word_of_the_table_has_its_place(real_data: Path) -> None:
    told = pl.read_parquet(real_data / real.OFFERS[0])["condition"].unique()
    assert set(told) - {"Unknown"} == set(conditions.WORDS)
