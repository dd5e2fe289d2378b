"""The appraiser beside its own trees: one device, a batch, and a fit, on one thread, each with its profile.

Targets: one device with ladder, interval and explanation in 1.5 ms at p50, its ladder alone in .8, the outlook of a
quote in 3 and the advice in 1; a batch at least .6 times as fast as bare Booster.predict by the same trees; a fit at
most twice the time of the lgb.train calls inside it. Pin it to a core, with POLARS_MAX_THREADS=1.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
import pytest

from training import fitting, growing, owning
from training.simulator import market
from valuation import advice, ledger, markets
from valuation.anchor import FOLD
from valuation.appraisal import Outlook
from valuation.appraiser import FORECAST_DAYS, Appraiser
from valuation.grades import Answers, Grade, Wear

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


@pytest.fixture(scope="module")
def knowing(fitted: tuple[Appraiser, float, float, str]) -> Appraiser:
    """The appraiser, with what the owners of the same market take."""
    quotes = market.simulate(sales=SALES, seed=3).quotes
    good = ledger.audit(frame=quotes, contract=ledger.QUOTES, as_of=None).good
    return replace(
        fitted[0], owners=owning.fit(owning.asked(quotes=good, appraiser=fitted[0], sold_in="marketplace"))
    )


@pytest.fixture(scope="module")
def asked(sales: pl.DataFrame) -> list[dict[str, Any]]:
    """Devices of markets with terms, asked about today."""
    today = sales["sold_on"].max() + timedelta(days=1)
    rows = sales.filter(pl.col("market").is_in(markets.markets())).sample(ASKED, seed=1).to_dicts()
    return [
        {
            "device": {name: row[name] for name in TOLD},
            "market": row["market"],
            "currency": row["currency"],
            "on": today,
        }
        for row in rows
    ]


def _answers(device: dict[str, Any]) -> Answers:
    """Light wear: most of the changes are possible."""
    return Answers(
        powers_on=True,
        fully_functional=True,
        screen=Wear.LIGHT,
        body=Wear.LIGHT,
        battery_health=device["battery_health"],
        carrier_locked=bool(device["carrier_locked"]),
        activation_locked=False,
        blacklisted=False,
        accessories=False,
    )


def _outlook(appraiser: Appraiser, ask: dict[str, Any]) -> Outlook:
    """As the desk asks."""
    changes = [change.device for change in advice.changes(answers=_answers(ask["device"]))]
    until_sold = markets.terms(market=ask["market"], on=ask["on"]).days_until_sold(ask["device"]["category"])
    return appraiser.outlook(
        **ask, grade=Grade.GOOD, days_later=until_sold, changes=changes, days=FORECAST_DAYS
    )


def _timed(step: Callable[[Any], object], asked: Sequence[Any]) -> tuple[float, float]:
    """The p50 and p99 of a step, in ms."""
    for ask in asked[:50]:
        step(ask)
    seconds = []
    for ask in asked:
        start = time.perf_counter()
        step(ask)
        seconds.append(time.perf_counter() - start)
    p50, p99 = np.quantile(seconds, [0.5, 0.99]) * 1000
    return p50, p99


@pytest.mark.bench
def test_one_device_beside_the_bare_prediction_of_its_trees(
    knowing: Appraiser, asked: list[dict[str, Any]]
) -> None:
    anchor = knowing.model.location.anchor
    past = knowing.model.location.encode(table=knowing.features(devices=knowing.past.head(1)))
    row = anchor.matrix(devices=past)

    def advise(of: tuple[dict[str, Any], Outlook]) -> None:
        terms = markets.terms(market=of[0]["market"], on=of[0]["on"])
        answers = _answers(of[0]["device"])
        advice.advise(prospects=of[1].prospects, answers=answers, terms=terms, owners=knowing.owners)

    def ladder(ask: dict[str, Any]) -> None:
        knowing.ladders(devices=[ask["device"]], **{name: ask[name] for name in ("market", "currency", "on")})

    rows = {
        "its trees alone, Booster.predict": (
            "",
            _timed(lambda _: anchor.trees[0].predict(row, num_threads=1), asked),
        ),
        "its trees alone, split by feature": (
            "",
            _timed(lambda _: anchor.trees[0].predict(row, pred_contrib=True, num_threads=1), asked),
        ),
        "ladder, interval, explanation": (
            "1.5",
            _timed(lambda ask: knowing.appraise_one(**ask, grade=Grade.GOOD), asked),
        ),
        "outlook of a quote": ("3", _timed(lambda ask: _outlook(knowing, ask), asked)),
        "advice of a quote": ("1", _timed(advise, [(ask, _outlook(knowing, ask)) for ask in asked])),
        "ladder without explanation": ("0.8", _timed(ladder, asked)),
    }
    print("\none device".ljust(36) + "p50 ms   p99 ms   target p50")
    for name, (target, (p50, p99)) in rows.items():
        print(f"{name:35}{p50:6.2f}{p99:9.2f}   {target}")


@pytest.mark.bench
def test_a_batch_beside_the_bare_prediction_of_the_same_trees(
    sales: pl.DataFrame, fitted: tuple[Appraiser, float, float, str]
) -> None:
    appraiser = fitted[0]
    anchor = appraiser.model.location.anchor
    devices = pl.concat([sales] * (BATCH // sales.height + 1)).head(BATCH).with_columns(on="sold_on")
    appraiser.appraise(devices=devices.head(5_000))
    read = appraiser.model.location.encode(table=appraiser.features(devices=devices))
    matrix, folds = anchor.matrix(devices=read), read.codes[FOLD]
    parts = [matrix[(folds == fold) | (folds < 0)] for fold in range(len(anchor.trees))]
    start = time.perf_counter()
    for trees, rows in zip(anchor.trees, parts, strict=True):
        trees.predict(rows, num_threads=1)
    bare = time.perf_counter() - start
    del read, matrix, parts
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    appraiser.appraise(devices=devices)
    whole = time.perf_counter() - start
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    profile = cProfile.Profile()
    profile.runcall(lambda: appraiser.appraise(devices=devices.head(200_000)))
    print(
        f"\n{_top(profile)}\nbatch of {BATCH:,}: {BATCH / whole:,.0f} rows/s, its trees alone "
        f"{BATCH / bare:,.0f} rows/s: {bare / whole:.2f} times as fast (target .6); {grown:.0f} MB more"
    )
