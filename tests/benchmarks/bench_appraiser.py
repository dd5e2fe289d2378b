"""The appraiser beside its own trees: one device, a batch, and a fit, on one thread, each with its profile.

Targets: one device with ladder, interval and explanation in 1.5 ms at p50; a batch at least .6 times as fast as bare
Booster.predict by the same trees; a fit at most twice the time of the lgb.train calls inside it.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from training import fitting, growing
from training.simulator import market
from valuation import ledger, vocabulary
from valuation.appraiser import Appraiser
from valuation.grades import Grade

SALES, BATCH, ASKED = 40_000, 1_000_000, 500
TOLD = ("category", "brand", "model", "storage_gb", "battery_health", "carrier_locked")


@pytest.fixture(scope="module")
def sales() -> pl.DataFrame:
    invented = market.simulate(sales=SALES, seed=3)
    return ledger.audit(frame=invented.sales, contract=ledger.SALES, as_of=None).good


@pytest.fixture(scope="module")
def fitted(sales: pl.DataFrame) -> Iterator[tuple[Appraiser, float, float, str]]:
    """An appraiser, the seconds of its fit, those within lgb.train, and the profile."""
    within: list[float] = []
    train = lgb.train

    def timed(*args: Any, **told: Any) -> lgb.Booster:
        start = time.perf_counter()
        grown = train(*args, **told)
        within.append(time.perf_counter() - start)
        return grown

    growing.lgb.train = timed
    try:
        profile, start = cProfile.Profile(), time.perf_counter()
        found = profile.runcall(
            fitting.fit, sales=sales, attributes={}, as_of=sales["sold_on"].max() + timedelta(days=1)
        )
        yield found, time.perf_counter() - start, sum(within), _top(profile)
    finally:
        growing.lgb.train = train


def _top(profile: cProfile.Profile) -> str:
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(12)
    return "\n".join(line for line in text.getvalue().splitlines() if line.strip())


@pytest.mark.bench
def test_a_fit_beside_the_training_of_its_trees(fitted: tuple[Appraiser, float, float, str]) -> None:
    _, seconds, within, profile = fitted
    print(
        f"\n{profile}\nfit of {SALES:,} sales: {seconds:.1f} s, {within:.1f} s of them in lgb.train: "
        f"{seconds / within:.1f} times (target 2)"
    )


@pytest.mark.bench
def test_one_device_with_ladder_interval_and_explanation(
    sales: pl.DataFrame, fitted: tuple[Appraiser, float, float, str]
) -> None:
    appraiser = fitted[0]
    rows = sales.sample(ASKED, seed=1).to_dicts()
    asked = [
        {
            "device": {name: row[name] for name in TOLD},
            "market": row["market"],
            "currency": row["currency"],
            "grade": Grade[row["grade"]],
            "on": row["sold_on"],
        }
        for row in rows
    ]
    for ask in asked[:50]:
        appraiser.appraise_one(**ask)
    seconds = []
    for ask in asked:
        start = time.perf_counter()
        appraiser.appraise_one(**ask)
        seconds.append(time.perf_counter() - start)
    profile = cProfile.Profile()
    profile.runcall(lambda: [appraiser.appraise_one(**ask) for ask in asked])
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    print(f"\n{_top(profile)}\none device: p50 {p50:.2f} ms, p99 {p99:.2f} ms (target p50 1.5)")


@pytest.mark.bench
def test_a_batch_beside_the_bare_prediction_of_the_same_trees(
    sales: pl.DataFrame, fitted: tuple[Appraiser, float, float, str]
) -> None:
    appraiser = fitted[0]
    location = appraiser.model.location
    devices = pl.concat([sales] * (BATCH // SALES + 1)).head(BATCH).with_columns(on="sold_on")
    appraiser.appraise(devices=devices.head(5_000))
    read = appraiser._read(vocabulary.complete(devices=devices, known=appraiser._facts))
    start = time.perf_counter()
    location.anchor.predict(devices=read)
    bare = time.perf_counter() - start
    start = time.perf_counter()
    appraiser.appraise(devices=devices)
    whole = time.perf_counter() - start
    profile = cProfile.Profile()
    profile.runcall(lambda: appraiser.appraise(devices=devices.head(200_000)))
    print(
        f"\n{_top(profile)}\nbatch of {BATCH:,}: {BATCH / whole:,.0f} rows/s, its trees alone "
        f"{BATCH / bare:,.0f} rows/s: {bare / whole:.2f} times as fast (target .6)"
    )
