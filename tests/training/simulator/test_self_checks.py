"""The market does what the truth beside it says, in every scenario; the oracle is judged as a model would be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from training.simulator.market import Market

Told = Callable[[str], pl.DataFrame]

STANDARD_ERRORS = 4.0  # one in 16,000 checks fails by chance, and the seed is fixed


def near(shares: float, expected: float, n: int) -> bool:
    """Whether a share of n draws lies within its sampling error of the expected one."""
    return abs(shares - expected) < STANDARD_ERRORS * np.sqrt(expected * (1 - expected) / n)


def tenths(table: pl.DataFrame, by: str) -> list[pl.DataFrame]:
    """The rows in ten parts of one size, by a column."""
    tenth = (pl.col(by).rank("ordinal") * 10 / (pl.len() + 1)).floor()
    return table.with_columns(tenth=tenth).partition_by("tenth", maintain_order=True)


@pytest.mark.parametrize(
    ("low", "high", "share"), [("p25", "p75", 0.5), ("p10", "p90", 0.8), ("p05", "p95", 0.9)]
)
def test_the_oracles_intervals_cover_what_they_say(
    with_truth: Told, low: str, high: str, share: float
) -> None:
    sold = with_truth("sale")
    covered = sold.select(pl.col("price").is_between(f"value_{low}", f"value_{high}").mean()).item()
    assert near(covered, share, sold.height)


def test_the_oracles_intervals_cover_in_every_grade_market_and_year(with_truth: Told) -> None:
    sold = with_truth("sale").with_columns(year=pl.col("sold_on").dt.year())
    for by in ("grade", "market", "category", "year"):
        for part in sold.partition_by(by):
            covered = part.select(pl.col("price").is_between("value_p05", "value_p95").mean()).item()
            assert part.height < 200 or near(covered, 0.9, part.height), (by, part[by][0])


def test_the_oracles_calibration_slope_is_one(with_truth: Told) -> None:
    sold = with_truth("sale").select(value=pl.col("value_p50").log(), price=pl.col("price").log()).to_numpy()
    assert np.polyfit(sold[:, 0], sold[:, 1], 1)[0] == pytest.approx(1, abs=0.01)


def test_the_oracle_is_right_in_the_median_and_in_the_mean(with_truth: Told) -> None:
    sold = with_truth("sale")
    above = sold.select((pl.col("price") > pl.col("value_p50")).mean()).item()
    assert near(above, 0.5, sold.height)
    ratio = (sold["price"] / sold["value_mean"]).to_numpy()
    assert abs(ratio.mean() - 1) < STANDARD_ERRORS * ratio.std() / np.sqrt(len(ratio))


def test_drawn_offers_are_accepted_as_often_as_the_truth_says(with_truth: Told) -> None:
    """P(accept | offer): what would happen were the offer set by chance, which is how these were set."""
    settled = with_truth("quote").filter(pl.col("randomised"), pl.col("accepted").is_not_null())
    for part in tenths(settled, "accept_probability"):
        assert near(part["accepted"].mean(), part["accept_probability"].mean(), part.height)


def test_owners_accept_as_often_as_all_that_is_hidden_says(with_truth: Told) -> None:
    settled = with_truth("quote").filter(pl.col("accepted").is_not_null())
    for part in tenths(settled, "accept_chance"):
        assert near(part["accepted"].mean(), part["accept_chance"].mean(), part.height)


def test_offers_of_people_who_see_competitors_mislead(steady: Market) -> None:
    """Among past offers the dear ones met dear competitors: acceptance rises by far less than the truth says."""
    known = steady.truth.filter(kind="quote").select("id", "accept_probability", "reserve_p50")
    settled = steady.quotes.join(known, left_on="quote_id", right_on="id").filter(
        pl.col("accepted").is_not_null()
    )
    settled = settled.with_columns(far=(pl.col("offer") / pl.col("reserve_p50")).log())

    def slope(rows: pl.DataFrame) -> float:
        return float(np.polyfit(rows["far"].to_numpy(), rows["accepted"].cast(pl.Float64).to_numpy(), 1)[0])

    people, drawn = settled.filter(~pl.col("randomised")), settled.filter("randomised")
    truth = np.polyfit(drawn["far"].to_numpy(), drawn["accept_probability"].to_numpy(), 1)[0]
    assert slope(people) < 0.75 * truth
    assert slope(drawn) == pytest.approx(truth, rel=0.25)


def test_listings_sell_as_fast_as_their_hazard_says(with_truth: Told) -> None:
    listed = with_truth("listing")
    last = listed["listed_on"].max()
    lasted = (pl.col("ended_on").fill_null(last) - pl.col("listed_on")).dt.total_days() + 1
    for part in tenths(listed.with_columns(days=lasted), "hazard"):
        expected = (part["hazard"] * part["days"]).sum()
        assert abs(part["sold"].sum() - expected) < STANDARD_ERRORS * np.sqrt(expected)


def test_no_offer_that_was_made_earns_more_than_the_best_one(with_truth: Told) -> None:
    quoted = with_truth("quote")
    assert (quoted["margin_at_offer"] <= quoted["best_margin"] * 1.00001 + 0.02).all()
    assert (quoted["best_margin"] >= 0).all()


def test_no_price_that_was_asked_brings_more_than_the_best_one(with_truth: Told) -> None:
    """The best price is one of a grid of 1 %: what it misses is below 0.1 % of the value."""
    listed = with_truth("listing")
    assert (listed["brings"] <= listed["best_brings"] + 0.001 * listed["value_p50"]).all()


def test_acceptance_and_requotes_are_within_what_is_assumed(with_truth: Told) -> None:
    quoted = with_truth("quote")
    assert 0.25 < quoted["accepted"].mean() < 0.45
    inspected = quoted.filter(pl.col("inspected_condition").is_not_null())
    lowered = inspected["final_amount"].is_null() | (inspected["final_amount"] < inspected["offer"])
    assert 0.06 < lowered.mean() < 0.18, "about 1 in 10"


def test_what_is_accepted_is_worth_less_than_what_was_declared(with_truth: Told) -> None:
    """The winner's curse: owners who know of a hidden fault accept more often."""
    quoted = with_truth("quote").with_columns(other=pl.col("condition") != pl.col("inspected_condition"))
    found = quoted.filter(pl.col("other").is_not_null())
    assert found["other"].mean() > 0.10
