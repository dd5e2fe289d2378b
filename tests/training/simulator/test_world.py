"""Worlds move as markets do: laws of what devices are worth, and the events that scenarios tell of."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import cache
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from training.simulator import market, scenario, shelf
from training.simulator.market import Market
from training.simulator.truth import Truth
from training.simulator.world import Goods, World
from valuation.grades import Grade


@cache
def world(name: str = "steady", seed: int = 3) -> World:
    return market.world(scenario=name, seed=seed)


def goods(of: World, where: pl.Expr, day: int, **told: float) -> Goods:
    """One device of every row of the shelf that fits, EXCELLENT, on a day."""
    at = of.shelf.with_row_index().filter(where)["index"].to_numpy().astype(np.int64)
    base = Goods(
        shelf=at,
        day=np.full(len(at), day),
        grade=np.full(len(at), int(Grade.EXCELLENT)),
        channel=np.zeros(len(at), dtype=np.int64),
        health=np.full(len(at), np.nan),
        locked=np.full(len(at), np.nan),
    )
    return replace(base, **{name: np.full(len(at), value) for name, value in told.items()})


def day(of: World, when: date) -> int:
    return (when - of.scenario.period.starts_on).days


def value(of: World, where: pl.Expr, when: date, **told: float) -> np.ndarray:
    return of.log_value(goods(of, where, day(of, when), **told))


EVERYTHING = pl.lit(True)
PHONES = pl.col("category") == "smartphone"
OLD = pl.col("launched_on") < date(2024, 1, 1)
ON = date(2025, 3, 1)


def test_a_better_grade_is_worth_more() -> None:
    ladder = [value(world(), OLD, ON, grade=int(grade)) for grade in Grade]
    assert all((better > worse).all() for worse, better in pairwise(ladder))


def test_the_best_refurbished_grade_is_a_fifth_to_a_third_above_the_lowest() -> None:
    best, lowest = (value(world(), OLD & PHONES, ON, grade=int(g)) for g in (Grade.PREMIUM, Grade.FAIR))
    assert (np.exp(best - lowest) > 1.20).all() and (np.exp(best - lowest) < 1.35).all()


def test_an_older_device_is_worth_less_where_the_market_stands_still() -> None:
    facts = scenario.load(scenario.find("steady"))
    still = facts.model_copy(update={"index": facts.index.model_copy(update={"season": 0.0})})
    of = World.draw(still, 3)
    young = goods(of, OLD, 0)
    for wait in (30, 365, 700):
        assert (of.log_value(young, ahead_days=wait) < of.log_value(young)).all()


def test_more_storage_is_worth_more() -> None:
    of = world()
    rows = of.shelf.with_row_index().sort("brand", "model", "market", "storage_gb")
    worth = dict(
        zip(rows["index"], of.log_value(goods(of, EVERYTHING, 700))[rows["index"].to_numpy()], strict=True)
    )
    for _, ladder in rows.group_by("brand", "model", "market"):
        steps = [worth[at] for at in ladder["index"]]
        assert steps == sorted(steps)


def test_a_worn_battery_and_a_lock_are_worth_less() -> None:
    fit, worn, free, locked = (
        value(world(), OLD & PHONES, ON, **told)
        for told in ({"health": 0.95}, {"health": 0.75}, {"locked": 0.0}, {"locked": 1.0})
    )
    assert (worn < fit).all()
    assert np.exp(locked - free) == pytest.approx(np.full(len(free), 0.94), abs=0.001)


def test_an_untold_battery_is_worth_the_usual_one() -> None:
    of = world()
    untold = goods(of, PHONES & OLD, 300)
    told = replace(untold, health=of.usual_health(untold.shelf, of.age(untold)))
    assert of.log_value(told) == pytest.approx(of.log_value(untold))


@pytest.mark.parametrize(
    ("model", "like"),
    [
        ("iPhone 13 Pro Max", "iPhone 14 Pro Max"),
        ("Galaxy S21 Ultra 5G", "Galaxy S23 Ultra"),
        ("iPad (9th gen)", "iPad (A16)"),
        ("Pixel 6a", "Pixel 7a"),
    ],
)
def test_generations_of_a_device_are_of_one_line(model: str, like: str) -> None:
    assert shelf.line(model) == shelf.line(like)


def test_tiers_of_a_generation_are_of_lines_of_their_own() -> None:
    names = (
        "iPhone 15",
        "iPhone 15 Pro",
        "iPhone 15 Pro Max",
        "Galaxy S23",
        "Galaxy S23 Ultra",
        "Galaxy S23+",
    )
    assert len({shelf.line(name) for name in names}) == len(names)


def test_a_successor_takes_its_drop_off_its_predecessor_and_a_part_of_it_off_older_ones() -> None:
    """iPhone 16 on 20 September 2024: what the iPhone 15 and 14 lost beside one without a successor."""
    of, facts = world(), world().scenario.launch
    before, after = date(2024, 8, 30), date(2024, 12, 15)

    def lost(model: str) -> float:
        own, without = (
            _foreseen(of, name, after) - _foreseen(of, name, before) for name in (model, "iPhone X")
        )
        return without - own

    direct, older = lost("iPhone 15"), lost("iPhone 14")
    assert facts.drop.least - 0.005 < direct < facts.drop.most + 0.005
    assert older == pytest.approx(direct * facts.drop_fades, abs=0.005)


def _foreseen(of: World, model: str, when: date) -> float:
    """How far season and successors had moved a model by a day."""
    where = (pl.col("model") == model) & (pl.col("market") == "US")
    return float(of.times.foreseen[day(of, when), goods(of, where, 0).shelf[0]])


def test_iphones_lose_more_than_twice_as_much_in_the_last_quarter_as_in_others() -> None:
    """Public: 17.6 % in Q4 against 5.1 % in each other quarter, which is more in a year than the relays."""
    quarters = [date(2024, 10, 1), date(2025, 1, 1), date(2025, 4, 1), date(2025, 7, 1), date(2025, 10, 1)]
    iphones = (
        pl.col("model").str.starts_with("iPhone")
        & (pl.col("launched_on") < quarters[0])
        & (pl.col("market") == "US")
    )
    worlds = [world(seed=seed) for seed in (1, 2, 3, 4, 5, 6)]
    moved = [
        np.mean([np.expm1(value(of, iphones, end) - value(of, iphones, start)).mean() for of in worlds])
        for start, end in pairwise(quarters)
    ]
    assert moved[0] < 2.5 * np.mean(moved[1:]) < 0


def test_no_used_device_is_worth_more_than_it_cost_when_it_was_new(any_market: Market) -> None:
    told = any_market.truth.filter(kind="sale").select("value_p50", "dirt")
    sold = any_market.sales.hstack(told).filter(pl.col("dirt").is_null())
    assert (
        sold.filter(pl.col("grade") != "NEW")["value_p50"]
        < sold.filter(pl.col("grade") != "NEW")["launch_price"]
    ).all()
    assert (sold["value_p50"] < 1.06 * sold["launch_price"]).all()


def test_the_noise_of_prices_is_within_what_is_assumed_and_grows_with_age_and_wear() -> None:
    of = world()
    for when in (0, 400, 729):
        launched = pl.col("launched_on") <= of.date(when)
        sds = [of.sd(goods(of, launched, when, grade=int(grade))) for grade in Grade]
        assert all((worse >= better).all() for worse, better in pairwise(sds))
        assert min(sd.min() for sd in sds) >= 0.05 and max(sd.max() for sd in sds) <= 0.25


def test_used_prices_follow_exchange_rates_in_part_and_the_euro_none() -> None:
    of = world("steady", 11)
    level = of.times.level
    usd, eur = (
        of.shelf.with_row_index().filter(market=m, category="console")["index"][0] for m in ("US", "FR")
    )
    assert np.std(np.diff(level[:, usd])) < 0.02, "a rate's step arrives over weeks, not in a day"
    assert of.scenario.exchange.yearly_sd["EUR"] == 0
    assert level[:, usd].std() > 0 and level[:, eur].std() > 0


def jump(name: str, when: date, where: pl.Expr) -> np.ndarray:
    """What values did from one day to the next beyond what they did in the steady world of the same seed."""
    of, without = world(name), world("steady")
    shared = pl.col("launched_on") < date(2025, 12, 1)
    before = date.fromordinal(when.toordinal() - 1)
    moved, usual = (value(w, where & shared, when) - value(w, where & shared, before) for w in (of, without))
    return moved - usual


def test_the_step_of_the_drift_is_6_percent_on_its_day_for_everything() -> None:
    assert jump("drift", date(2026, 3, 2), OLD) == pytest.approx(-0.06, abs=0.006)


def test_the_flagship_is_dearer_than_any_phone_and_moves_the_phones_of_its_maker() -> None:
    of = world("launch-shock")
    phones = of.shelf.filter(PHONES, market="US")
    flagship = phones.filter(model="iPhone Ultra")
    others = phones.filter(pl.col("model") != "iPhone Ultra")
    assert flagship["launch_price"].min() > others["launch_price"].max() * 0.9
    assert flagship["launch_price"].max() > others["launch_price"].max()
    own, other = (
        jump("launch-shock", date(2026, 3, 20), PHONES & (pl.col("brand") == brand))
        for brand in ("Apple", "Samsung")
    )  # the days of the two worlds are drawn apart: a day's step moves either
    assert own.mean() == pytest.approx(-0.10, abs=0.01)
    assert other.mean() == pytest.approx(0, abs=0.01)


def test_the_flood_brings_competitors_lower_prices_and_slower_sales_and_ends() -> None:
    of = world("stock-flood")
    phones = of.shelf.with_row_index().filter(PHONES, brand="Samsung")["index"].to_numpy()
    during, after = day(of, date(2026, 4, 1)), day(of, date(2026, 6, 1))
    traded = market.simulate(scenario="stock-flood", sales=20_000, seed=3).listings.filter(
        category="smartphone"
    )
    share = traded.group_by(flood=pl.col("listed_on").is_between(date(2026, 3, 10), date(2026, 5, 31))).agg(
        (pl.col("brand") == "Samsung").mean()
    )
    assert share.filter("flood")["brand"][0] > 1.5 * share.filter(~pl.col("flood"))["brand"][0]
    assert (of.times.competitors[during, phones] == 3).all() and (
        of.times.selling[during, phones] == 0.5
    ).all()
    assert (of.times.competitors[after, phones] == 1).all()
    assert jump("stock-flood", date(2026, 3, 10), PHONES & (pl.col("brand") == "Samsung")) == pytest.approx(
        -0.09, abs=0.01
    )
    assert jump("stock-flood", date(2026, 6, 1), PHONES & (pl.col("brand") == "Samsung")) == pytest.approx(
        0.09, abs=0.01
    )


def test_noisy_prices_lie_further_from_their_values() -> None:
    devices = goods(world("steady"), OLD, 100)
    assert (world("noisy").sd(devices) >= 1.29 * world("steady").sd(devices)).all()


def test_a_thin_market_has_more_models_that_are_hardly_seen() -> None:
    def share_of_the_ten_best(name: str) -> float:
        sold = market.simulate(scenario=name, sales=5_000, seed=3).sales["model"].value_counts(sort=True)
        return float(sold["count"].head(10).sum() / sold["count"].sum())

    assert share_of_the_ten_best("thin") > 1.5 * share_of_the_ten_best("steady")


def test_an_entered_market_has_few_sales(markets: tuple[str, ...] = ("PL", "SE")) -> None:
    sold = market.simulate(scenario="market-entry", sales=20_000, seed=3).sales
    for entered in markets:
        assert 20 < sold.filter(market=entered).height < 0.01 * sold.height


def test_a_new_brand_sells_from_its_launch_on() -> None:
    sold = market.simulate(scenario="new-brand", sales=20_000, seed=3).sales.filter(brand="Nova")
    assert sold.height > 50 and sold["sold_on"].min() >= date(2026, 1, 15)
    assert sold["launch_price"].null_count() == 0


def test_what_is_known_of_a_day_does_not_depend_on_what_is_asked() -> None:
    truth, devices = Truth(world()), goods(world(), OLD, 200)
    half = devices.at(slice(0, 10))
    assert truth.values(half).equals(truth.values(devices).head(10))
