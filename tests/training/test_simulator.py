"""Laws of the invented market: it obeys the ledger, repeats itself by its seed, and moves as markets do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from training import intake, simulator
from training.simulator import SimulatorError
from valuation import catalogue, ledger, markets
from valuation.grades import Grade

LAST_DAY = date(2026, 6, 30)


@pytest.fixture(scope="module", params=simulator.scenarios())
def sales(request: pytest.FixtureRequest) -> pl.DataFrame:
    """Enough sales for the medians of small groups to settle."""
    return simulator.simulate(scenario=request.param, sales=120_000, seed=3).sales


def _kept(sales: pl.DataFrame, *conditions: pl.Expr) -> float:
    """The median share of the launch price that these sales fetched."""
    found = sales.filter(pl.col("grade") != "PARTS", *conditions)
    assert found.height > 100, "too few sales to judge by"
    share = found.select((pl.col("price") / pl.col("launch_price")).median()).item()
    assert isinstance(share, float)
    return share


def _aged(years: float, within: float = 0.25) -> pl.Expr:
    age_years = (pl.col("sold_on") - pl.col("launched_on")).dt.total_days() / 365.25
    return age_years.is_between(years - within, years + within)


def _falling(values: Sequence[float]) -> bool:
    return all(later < earlier for earlier, later in pairwise(values))


def test_the_audit_finds_no_fault(sales: pl.DataFrame) -> None:
    audit = ledger.audit(frame=sales, contract=ledger.SALES, as_of=LAST_DAY)
    assert audit.faults.is_empty()
    assert audit.good.drop("row").equals(sales), "the columns, in their order and types, are the contract's"


def test_a_market_written_and_taken_in_is_the_market_invented(tmp_path: Path) -> None:
    market = simulator.simulate(sales=500, seed=1)
    path = simulator.write(market, tmp_path / "out")
    assert path == tmp_path / "out" / "sales.parquet"
    read = intake.read(path=path, contract=ledger.SALES, mapping=None, as_of=LAST_DAY)
    assert read.good.drop("row").equals(market.sales)


def test_a_seed_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from training import simulator; "
        "simulator.write(simulator.simulate(sales=2000, seed=7), pathlib.Path(sys.argv[1]))"
    )
    for name, hash_seed in (("a", "1"), ("b", "2")):
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / name)],
            check=True,
            env={"PYTHONHASHSEED": hash_seed},
        )
    first, second = ((tmp_path / name / "sales.parquet").read_bytes() for name in "ab")
    assert first == second


def test_another_seed_gives_other_sales() -> None:
    first, second = (simulator.simulate(sales=100, seed=seed).sales for seed in (1, 2))
    assert not first["price"].equals(second["price"])


def test_every_row_says_that_it_is_simulated() -> None:
    market = simulator.simulate(sales=100, seed=1)
    assert market.simulated is True
    assert market.sales["sale_id"].str.starts_with("sim-").all()


def test_as_many_sales_are_invented_as_were_asked_for() -> None:
    for sales in (1, 12_000):
        assert simulator.simulate(sales=sales, seed=1).sales.height == sales


def test_every_market_with_terms_is_there_in_its_own_currency() -> None:
    pairs = simulator.simulate(sales=2000, seed=1).sales.select("market", "currency").unique()
    terms = [markets.terms(market=market, on=LAST_DAY) for market in markets.markets()]
    assert set(pairs.iter_rows()) == {(t.market.upper(), t.currency) for t in terms}


def test_every_grade_and_every_kind_of_device_in_the_catalogue_is_sold(sales: pl.DataFrame) -> None:
    known = catalogue.Catalogue.embedded().variants
    assert set(sales["grade"]) == set(Grade.__members__)
    assert set(sales["category"]) == {variant.category for variant in known}
    assert set(sales["brand"]) == {variant.brand for variant in known}


def test_sales_cover_two_years_and_nothing_is_sold_before_its_launch(sales: pl.DataFrame) -> None:
    assert sales["sold_on"].max() == LAST_DAY
    assert sales["sold_on"].min() == LAST_DAY - timedelta(days=729)
    assert sales["sold_on"].is_sorted()
    assert sales.filter(pl.col("sold_on") < pl.col("launched_on")).is_empty()


def test_the_new_is_sold_more_often_than_the_old(sales: pl.DataFrame) -> None:
    variants = sales.select("brand", "model", "storage_gb", "launched_on").unique()
    launched = variants["launched_on"].dt.year().value_counts().sort("launched_on")
    sold = sales["launched_on"].dt.year().value_counts().sort("launched_on")
    each = dict(zip(launched["launched_on"], sold["count"] / launched["count"], strict=True))
    assert each[2024] > each[2021] > each[2018]


@pytest.mark.parametrize("brand", ["Apple", "Samsung", "Google"])
def test_a_phone_keeps_less_of_its_price_with_every_year(sales: pl.DataFrame, brand: str) -> None:
    phones = (pl.col("category") == "smartphone") & (pl.col("brand") == brand)
    assert _falling([_kept(sales, phones, _aged(years)) for years in (1, 2, 3, 4, 5)])


def test_the_brands_lose_what_they_are_known_to_lose(sales: pl.DataFrame) -> None:
    """The yearly decay of one buyer's posted prices, February 2026: iPhone 22.5 %, Galaxy 33.9 %."""
    for brand, loss in (("Apple", 0.225), ("Samsung", 0.339)):
        phones = (pl.col("category") == "smartphone") & (pl.col("brand") == brand)
        early, late = (_kept(sales, phones, _aged(years)) for years in (2, 5))
        assert 1 - (late / early) ** (1 / 3) == pytest.approx(loss, abs=0.04)


def test_a_better_grade_sells_for_more(sales: pl.DataFrame) -> None:
    share = (pl.col("price") / pl.col("launch_price")).median()
    by_grade = dict(sales.filter(_aged(3)).group_by("grade").agg(share).iter_rows())
    assert _falling([by_grade[grade.name] for grade in reversed(Grade)])


def test_a_better_battery_sells_for_more_and_only_some_tell_of_it(sales: pl.DataFrame) -> None:
    old = _aged(4, within=0.5) & (pl.col("category") == "smartphone")
    worn, fit = pl.col("battery_health") < 0.75, pl.col("battery_health") > 0.85
    assert _kept(sales, old, worn) < _kept(sales, old, fit)
    assert 0.3 < sales["battery_health"].null_count() / sales.height < 0.7
    assert (
        sales.filter(category="console")["battery_health"].null_count()
        == sales.filter(category="console").height
    )


def test_a_locked_phone_sells_for_less_and_locks_are_american(sales: pl.DataFrame) -> None:
    apple = (pl.col("brand") == "Apple") & (pl.col("market") == "US") & _aged(3, within=1)
    assert _kept(sales, apple, pl.col("carrier_locked")) < _kept(sales, apple, ~pl.col("carrier_locked"))
    assert set(sales.filter("carrier_locked")["market"]) == {"US"}


def test_more_storage_sells_for_more(sales: pl.DataFrame) -> None:
    phones = sales.filter(model="iPhone 15", currency="EUR", grade="GOOD")
    by_storage = phones.group_by("storage_gb").agg(pl.col("price").median()).sort("storage_gb")
    assert by_storage.height >= 3
    assert by_storage["price"].is_sorted()


def test_an_auction_fetches_less_than_a_shop(sales: pl.DataFrame) -> None:
    assert _kept(sales, _aged(3), pl.col("channel") == "auction") < _kept(
        sales, _aged(3), pl.col("channel") == "shop"
    )


def test_launch_prices_are_the_catalogues_where_it_has_them_and_dollars_at_the_rate_elsewhere(
    sales: pl.DataFrame,
) -> None:
    paid = sales.filter(model="iPhone 15", storage_gb=128).select("currency", "launch_price").unique()
    known = {"USD": 799.0, "EUR": 949.0, "GBP": 799.0, "PLN": 4699.0, "SEK": 799.0 * 13}
    assert dict(paid.iter_rows()) == known


def test_an_unknown_scenario_is_told_beside_the_known_ones() -> None:
    with pytest.raises(SimulatorError, match=r"no scenario 'boom'\. There are: steady\."):
        simulator.simulate(scenario="boom", sales=10, seed=1)
    with pytest.raises(SimulatorError, match="There are: steady"):
        simulator.simulate(scenario="../simulator", sales=10, seed=1)


@pytest.mark.parametrize(("sales", "seed"), [(0, 1), (-5, 1), (10, -1)])
def test_a_market_of_no_sales_or_a_negative_seed_is_refused(sales: int, seed: int) -> None:
    with pytest.raises(SimulatorError, match="at least 1 sale, and a seed from 0"):
        simulator.simulate(sales=sales, seed=seed)
