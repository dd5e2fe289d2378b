"""Every scenario gives tables that keep the contract, say that they are simulated, and agree with each other."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest

from training.simulator import dirt, tables
from training.simulator.market import Market
from valuation import ledger, markets, rules
from valuation.catalogue import Catalogue
from valuation.grades import Condition, Grade

LAST_DAY = date(2026, 6, 30)
KINDS = ("sales", "listings", "quotes")


def audited(market: Market, kind: str) -> ledger.Audit:
    return ledger.audit(frame=getattr(market, kind), contract=ledger.CONTRACTS[kind], as_of=LAST_DAY)


@pytest.mark.parametrize("kind", KINDS)
def test_the_audit_finds_no_fault_but_the_dirt_that_was_meant(any_market: Market, kind: str) -> None:
    found = audited(any_market, kind)
    meant = any_market.truth.filter(pl.col("dirt") == "fault").height if kind == "sales" else 0
    assert found.faults["row"].n_unique() == meant
    whole = getattr(any_market, kind)
    assert found.good.drop("row").schema == whole.schema, "columns, order and types are the contract's"


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_says_that_it_is_simulated(any_market: Market, kind: str) -> None:
    table = getattr(any_market, kind)
    ids = [name for name in table.columns if name.endswith("_id")]
    for name in ids:
        assert table[name].drop_nulls().str.starts_with("sim-").all(), name


def test_the_truth_has_one_row_for_each_row_in_its_order(any_market: Market) -> None:
    assert any_market.truth.schema == tables.TRUTH
    for kind in KINDS:
        name = kind.removesuffix("s")
        assert any_market.truth.filter(kind=name)["id"].equals(
            getattr(any_market, kind)[f"{name}_id"].alias("id")
        )


def test_the_truth_is_told_of_every_row(any_market: Market) -> None:
    told = {"sale": "value_mean", "quote": "best_offer", "listing": "best_list_price"}
    for kind, column in told.items():
        known = any_market.truth.filter(kind=kind)
        assert known[column].is_finite().all() and known[column].null_count() == 0
    quantiles = any_market.truth.select(
        "value_p05", "value_p10", "value_p25", "value_p50", "value_p75", "value_p90"
    )
    for low, high in pairwise(quantiles.columns):
        assert (quantiles[low] < quantiles[high]).all()


def test_every_market_with_terms_is_there_in_its_own_currency(any_market: Market) -> None:
    pairs = audited(any_market, "sales").good.select("market", "currency").unique()
    terms = [markets.terms(market=market, on=LAST_DAY) for market in markets.markets()]
    assert set(pairs.iter_rows()) == {(t.market, t.currency) for t in terms}


def test_every_grade_condition_and_kind_of_device_is_there(any_market: Market) -> None:
    known = Catalogue.embedded().variants
    sold = audited(any_market, "sales").good
    assert set(sold["grade"]) == set(Grade.__members__)
    assert set(sold["category"]) == {variant.category for variant in known} <= set(rules.CATEGORIES)
    assert {variant.brand for variant in known} <= set(sold["brand"])
    assert set(any_market.quotes["condition"]) == set(map(str, Condition))


def test_every_device_of_the_catalogue_can_be_sold_in_every_market(any_market: Market) -> None:
    shelf = any_market.oracle.world.shelf
    offered = set(shelf.select("brand", "model", "storage_gb", "market").iter_rows())
    for variant in Catalogue.embedded().variants:
        for market in markets.markets():
            assert (variant.brand, variant.model, variant.storage_gb, market) in offered
    assert shelf["launch_price"].is_finite().all() and (shelf["launch_price"] > 0).all()


def test_nothing_is_traded_before_its_launch_or_in_a_closed_market(any_market: Market) -> None:
    facts = any_market.oracle.world.scenario
    sales, listed, quoted = (audited(any_market, kind).good for kind in KINDS)
    for table, day in ((sales, "sold_on"), (listed, "listed_on"), (quoted, "quoted_at")):
        table = table.with_columns(on=pl.col(day).cast(pl.Date))
        assert table.filter(pl.col("on") < pl.col("launched_on")).is_empty()
        assert table["on"].min() >= facts.period.starts_on and table["on"].max() <= LAST_DAY
        for market, opens_on in facts.markets.opens_on.items():
            assert table.filter(market=market)["on"].min() >= opens_on


def test_sales_and_quotes_stand_in_the_order_of_their_days(any_market: Market) -> None:
    faulty = any_market.truth.filter(kind="sale")["dirt"].fill_null("") == "fault"
    assert any_market.sales.filter(~faulty)["sold_on"].is_sorted()
    assert any_market.quotes["quoted_at"].dt.date().is_sorted()


def test_a_quote_goes_its_way_in_order(any_market: Market) -> None:
    quoted = any_market.quotes
    assert (quoted["accepted_at"].is_not_null() == quoted["accepted"].fill_null(False)).all()
    valid = {m: markets.terms(market=m, on=LAST_DAY).quote_validity_days for m in markets.markets()}
    taken = quoted.filter("accepted").with_columns(
        waited=(pl.col("accepted_at") - pl.col("quoted_at")).dt.total_days(),
        valid=pl.col("market").replace_strict(valid, return_dtype=pl.Int64),
    )
    assert taken["waited"].min() >= 0 and (taken["waited"] < taken["valid"]).all()
    inspected, paid = quoted["inspected_condition"].is_not_null(), quoted["final_amount"].is_not_null()
    assert not (inspected & ~quoted["accepted"].fill_null(False)).any()
    assert not (paid & ~inspected).any()
    assert (quoted["final_amount"].fill_null(0) <= quoted["offer"]).all()


def test_an_offer_stays_open_until_it_runs_out(any_market: Market) -> None:
    still_open = any_market.quotes.filter(pl.col("accepted").is_null())
    assert still_open["quoted_at"].dt.date().min() >= LAST_DAY - timedelta(days=30)


def test_offers_are_whole_steps_of_their_market(any_market: Market) -> None:
    for market in markets.markets():
        step = float(markets.terms(market=market, on=LAST_DAY).payable_step.amount)
        offers = any_market.quotes.filter(market=market)
        for name in ("offer", "final_amount"):
            assert (offers[name].drop_nulls() % step == 0).all()


def test_what_was_bought_is_sold_once_as_the_same_device_after_it_was_paid(any_market: Market) -> None:
    bought = any_market.quotes.filter(pl.col("sale_id").is_not_null())
    assert bought.height > 0 and bought["sale_id"].is_unique().all()
    clean = any_market.truth.filter(pl.col("kind") == "sale", pl.col("dirt").is_null()).select("id")
    sold = any_market.sales.join(clean, left_on="sale_id", right_on="id")
    both = bought.join(sold, on="sale_id", suffix=" sold")
    assert both.height > 0.8 * bought.height
    for name in ("market", "brand", "model", "storage_gb", "launched_on", "battery_health"):
        assert both[name].equals(both[f"{name} sold"].alias(name), null_equal=True), name
    assert (both["sold_on"] > both["accepted_at"].dt.date()).all()
    assert both["final_amount"].null_count() == 0


def test_drawn_offers_have_a_propensity_and_share_their_cell(steady: Market) -> None:
    quoted = steady.quotes
    assert (quoted["propensity"].is_not_null() == quoted["randomised"]).all()
    assert 0.08 < quoted["randomised"].mean() < 0.12
    cells = quoted.group_by(pl.col("quoted_at").dt.date(), "brand", "model").agg(
        pl.col("randomised").n_unique()
    )
    assert cells["randomised"].max() == 1, "per model and day, never per person"


def test_a_listing_ends_once_and_a_markdown_asks_less_afterwards(any_market: Market) -> None:
    listed = any_market.listings
    assert (listed["ended_on"].fill_null(LAST_DAY) >= listed["listed_on"]).all()
    assert not (listed["sold"] & listed["ended_on"].is_null()).any()
    chain = listed.with_columns(number=pl.col("listing_id").str.head(-2)).sort("listing_id")
    again = chain.select(
        pl.col("list_price") / pl.col("list_price").shift().over("number"),
        days=(pl.col("listed_on") - pl.col("ended_on").shift().over("number")).dt.total_days(),
    ).drop_nulls()
    assert again.height > 1000 and (again["list_price"] < 0.97).all() and (again["days"] == 1).all()


def test_competitors_have_a_lowest_price_exactly_where_there_are_any(any_market: Market) -> None:
    listed = any_market.listings
    assert ((listed["competitors"] > 0) == listed["competitor_min_price"].is_not_null()).all()


def test_some_sales_are_of_a_device_that_came_back(any_market: Market) -> None:
    clean = any_market.truth.filter(kind="sale")["dirt"].is_null()
    again = (
        any_market.sales.filter(clean).filter(pl.col("unit_id").is_duplicated()).sort("unit_id", "sold_on")
    )
    pairs = again.group_by("unit_id").agg(
        pl.col("sold_on").diff().dt.total_days().max(), pl.col("model").n_unique()
    )
    assert 0.01 < pairs.height / any_market.sales.height < 0.10
    assert pairs["model"].max() == 1
    assert pairs["sold_on"].min() >= 10


def test_only_the_dirty_scenario_is_dirty_and_it_has_every_kind(any_market: Market) -> None:
    told = any_market.oracle.world.scenario.dirt.model_dump()
    found = any_market.truth["dirt"].drop_nulls().value_counts()
    shares = {kind: count / any_market.sales.height for kind, count in found.iter_rows()}
    assert set(shares) == {kind for kind, share in told.items() if share}
    for kind, share in shares.items():
        assert share == pytest.approx(told[kind], rel=0.35), kind
    assert set(dirt.KINDS) == set(told)
