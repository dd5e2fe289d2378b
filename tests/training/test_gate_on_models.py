"""The gate, tried on honest and on spoilt models that are really fitted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from training import backtest, baselines, fitting, gate, ratio_study
from valuation import ledger

FIRST = date(2024, 1, 1)
GRADES = ("FAIR", "GOOD", "EXCELLENT", "PREMIUM")


def market(n=1_500, seed=4):
    """Sales of an invented market over 700 days, more of them late: twelve models of three brands, rising prices.

    log price = elasticity x launch price + reputation - root of age + grade + storage + level + heavy-tailed noise.
    """
    rng = np.random.default_rng(seed)
    model = rng.choice(12, n, p=np.repeat([0.14, 0.06, 0.05], 4))
    day = np.floor(700 * np.sqrt(rng.random(n))).astype(int)
    launch_price = np.array([300.0, 450.0, 600.0, 900.0] * 3)[model]
    launched = -600 + 170 * (model % 4) + 40 * (model // 4)
    grade, storage = rng.integers(0, 4, n), 2.0 ** rng.integers(6, 9, n)
    level = 0.3 * day / 365.25 + 0.08 * np.sin(day / 40)
    age = np.maximum(day - launched, 0) / 365.25
    worth = 0.8 * np.log(launch_price) + rng.normal(0, 0.12, 12)[model] - 0.35 * np.sqrt(age) + level
    log_price = worth + 0.07 * grade + 0.06 * np.log2(storage / 64) + 0.09 * rng.standard_t(5, n)
    brand = np.array(["Alpha", "Beta", "Gamma"])[model // 4]
    frame = pl.DataFrame(
        {
            "sale_id": [f"s{i}" for i in range(n)],
            "sold_on": [FIRST + timedelta(days=int(d)) for d in day],
            "market": "GB",
            "currency": "GBP",
            "price": np.exp(log_price + 1),
            "category": "smartphone",
            "brand": brand,
            "model": [f"{b} {m}" for b, m in zip(brand, model % 4, strict=True)],
            "storage_gb": storage,
            "grade": np.array(GRADES)[grade],
            "launched_on": [FIRST + timedelta(days=int(d)) for d in launched],
            "launch_price": launch_price,
        }
    )
    return ledger.audit(frame=frame, contract=ledger.SALES, as_of=None).good


SALES = market()
WINDOWS = backtest.windows(sales=SALES, window_days=60, origins=1)
START = WINDOWS[0].start
EARLIER = SALES.filter(pl.col("sold_on") < START)


def fitted(sales, seed=1):
    return fitting.fit(sales=sales, attributes={}, as_of=START, seed=seed, threads=1)


def times(factor, brand):
    return pl.when(pl.col("brand") == brand).then(pl.col("price") * factor).otherwise("price").alias("price")


SPOILT = {
    "shuffled prices": lambda sales: sales.with_columns(pl.col("price").shuffle(seed=1)),
    "pence for pounds": lambda sales: sales.with_columns(pl.col("price") * 100),
    "one brand at half its price": lambda sales: sales.with_columns(times(0.5, "Alpha")),
    "one price for all": lambda sales: sales.with_columns(pl.col("price").median()),
    "a year old": lambda sales: sales.filter(pl.col("sold_on") < START - timedelta(days=365)),
}


@pytest.fixture(scope="module")
def good():
    """The predictions of an honest appraiser beside the baselines, and that appraiser."""
    kept = []

    def fit(**told):
        kept.append(fitting.fit(**told, threads=1))
        return kept[-1]

    return backtest.run(sales=SALES, attributes={}, windows=WINDOWS, seed=1, fit=fit), kept[0]


def judged(predictions, appraiser, incumbent=None):
    study = ratio_study.study(predictions)
    return gate.judge(
        study=study, incumbent=incumbent, fault_share=0.0, max_fault_share=0.02, appraiser=appraiser
    )


def broken(verdict):
    return {reason.rule for reason in verdict.reasons if not reason.passed}


def test_a_good_model_passes(good):
    verdict = judged(*good)
    assert broken(verdict) == set()
    assert verdict.passed


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_model_is_refused(good, how):
    bad = fitted(SPOILT[how](EARLIER))
    beside = good[0].select("sale_id", *baselines.BASELINES)
    valued = backtest.score(appraiser=bad, sales=SALES, windows=WINDOWS)
    verdict = judged(valued.join(beside, on="sale_id", maintain_order="left"), bad)
    assert not verdict.passed
    assert "baselines" in broken(verdict)


@pytest.mark.parametrize("how", ["pence for pounds", "one brand at half its price", "a year old"])
def test_a_champion_that_is_as_good_refuses_a_worse_heir(good, how):
    predictions, champion = good
    bad = backtest.score(appraiser=fitted(SPOILT[how](EARLIER)), sales=SALES, windows=WINDOWS)
    verdict = judged(predictions, champion, gate.rivals(champion=champion, sales=SALES, predictions=bad))
    assert {"champion's error", "champion's segments"} <= broken(verdict)


def test_champion_and_challenger_are_judged_on_the_same_later_sales(good):
    predictions, appraiser = good
    champion = replace(appraiser, as_of=START + timedelta(days=20))
    rivals = gate.rivals(champion=champion, sales=SALES, predictions=predictions)
    assert rivals.challenger.sold_from >= champion.as_of
    assert rivals.challenger.model == rivals.champion.model
    assert rivals.challenger.spread == rivals.champion.spread


def test_a_champion_that_learnt_from_the_sales_is_no_measure(good):
    predictions, appraiser = good
    champion = replace(appraiser, as_of=predictions["sold_on"].max() + timedelta(days=1))
    assert gate.rivals(champion=champion, sales=SALES, predictions=predictions) is None
