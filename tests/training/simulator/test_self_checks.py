"""The market does what the truth beside it says, in every scenario; the oracle is judged as a model would be."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
import pytest

from training.simulator import market, quotes, scenario
from training.simulator.market import Market
from training.simulator.world import World
from valuation import markets

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


@pytest.fixture(scope="module")
def drawn() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The settled quotes of a world in which nearly every offer is drawn, with their truth; and its sales."""
    facts = scenario.load(scenario.find("steady"))
    policy = facts.policy.model_copy(update={"explored_share": 0.95, "explored_within": 0.30})
    world = World.draw(facts.model_copy(update={"policy": policy}), 5)
    made = list(market.parts(world, sales=150_000))
    offers, truth, sales = (pl.concat([part[name] for part in made]) for name in ("quotes", "truth", "sales"))
    known = truth.filter(kind="quote").drop("market", "currency", "kind")
    both = offers.join(known, left_on="quote_id", right_on="id", maintain_order="left")
    return both.filter(pl.col("randomised")), sales


def test_tens_of_thousands_of_drawn_offers_are_accepted_as_the_truth_says(
    drawn: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    settled = drawn[0].filter(pl.col("accepted").is_not_null())
    assert settled.height > 60_000
    squares = [
        (part["accepted"].sum() - expected) ** 2 / (expected * (1 - expected / part.height))
        for part in tenths(settled, "accept_probability")
        for expected in (part["accept_probability"].sum(),)
    ]
    assert sum(squares) < 36, "chi-squared of 10 parts: one in 10,000 is above"
    far = (settled["offer"] / settled["reserve_p50"]).log().to_numpy()
    seen, told = (
        np.polyfit(far, settled[name].cast(pl.Float64).to_numpy(), 1)[0]
        for name in ("accepted", "accept_probability")
    )
    assert seen == pytest.approx(told, rel=0.05)


def test_what_trade_earned_is_what_the_truth_expected_of_it(drawn: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """From the tables and the terms alone: what each offer brought in the end, over all offers made."""
    offers, sales = drawn
    old = offers.filter(
        pl.col("quoted_at").dt.date() < date(2026, 3, 1)
    )  # what was accepted has been sold by now
    sold = old.join(
        sales.select("sale_id", "price", grade="grade"), on="sale_id", how="left", maintain_order="left"
    )
    earned = np.array([_earned(row) for row in sold.iter_rows(named=True)]) / sold["value_p50"].to_numpy()
    told = (sold["margin_at_offer"] / sold["value_p50"]).to_numpy()
    missed, error = (earned - told).mean(), (earned - told).std() / np.sqrt(len(earned))
    assert told.mean() > 0.005 and error < 0.0005
    assert abs(missed) < 0.002, "of the value: what nobody could foresee moves all of them together"


def _earned(row: dict[str, Any]) -> float:
    """The margin of one quote: nothing where it was refused, the way back where the owner took the device back."""
    terms = markets.terms(market=row["market"], on=date(2026, 6, 30))
    category, condition = row["category"], row["inspected_condition"]
    if not row["accepted"]:
        return 0.0
    if row["final_amount"] is None:
        return -float(terms.shipping[category].amount)
    price, paid, rate = row["price"], row["final_amount"], float(terms.vat_rate)
    work = terms.refurbishment[category][condition] + terms.parts[category][condition]
    if row["grade"] == "PARTS":
        work = terms.parts_handling[category]
    costs = float((work + terms.shipping[category] + terms.payment_fee).amount)
    kept = 1 - float(terms.commission_share + terms.after_sale_share)
    return price * kept - max(price - paid, 0) * rate / (1 + rate) - paid - costs


def test_what_the_truth_tells_of_other_offers_leads_to_what_it_tells_of_this_one(with_truth: Told) -> None:
    """Between two points of the curve lies the chance at the offer that was made."""
    quoted = with_truth("quote").with_columns(percent=100 * pl.col("offer") / pl.col("reserve_p50"))
    for low, high in pairwise(quotes.CURVE):
        part = quoted.filter(pl.col("percent").is_between(low, high))
        lowest, highest = part[f"accept_at_{low}"] - 1e-6, part[f"accept_at_{high}"] + 1e-6
        assert part["accept_probability"].is_between(lowest, highest).all()


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


def test_what_is_accepted_is_worth_less_than_what_was_declared(with_truth: Told, any_market: Market) -> None:
    """The winner's curse: owners who know of a hidden fault accept more often; what was bought sells for less."""
    bought = with_truth("quote").filter(pl.col("sale_id").is_not_null())
    clean = any_market.truth.filter(pl.col("kind") == "sale", pl.col("dirt").is_null()).select(sale_id="id")
    sold = bought.join(any_market.sales.join(clean, on="sale_id").select("sale_id", "price"), on="sale_id")
    assert 0.88 < sold["price"].sum() / sold["value_mean"].sum() < 0.98


def test_a_hazard_at_another_price_follows_from_the_truth_as_it_says(with_truth: Told) -> None:
    listed = with_truth("listing")
    ratio = pl.col("list_price") / pl.col("value_p50")
    above = (pl.col("list_price") > pl.col("competitor_min_price")).fill_null(False).cast(pl.Float64)
    value_above = (pl.col("value_p50") > pl.col("competitor_min_price")).fill_null(False).cast(pl.Float64)
    told = pl.col("hazard_at_value") * ratio.pow(-pl.col("price_effect"))
    told = (told * ((value_above - above) * pl.col("undercut")).exp()).clip(upper_bound=0.95)
    assert listed.select((told / pl.col("hazard") - 1).abs().max()).item() < 1e-6
