"""Ladders: devices nobody thought of, valued up and down, to count values that cross, or fall where they should rise.

A walk is one device with one thing about it going from worse to better: more storage, a better battery, no lock, a
later launch. Every step of a walk is valued at every grade, which is a ladder.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation.appraisal import QUANTILE_NAMES
from valuation.appraiser import Appraiser
from valuation.grades import Grade

Floats = NDArray[np.float64]
Say = Callable[[str], object]

MONEY = (*QUANTILE_NAMES, "mean")
TOLERANCE = 1e-9  # as a share of the value: what rounding may do
AT_ONCE = 2_000  # ladders
WALKS: dict[str, tuple[Any, ...]] = {
    "storage_gb": (16.0, 64.0, 128.0, 256.0, 512.0, 2048.0),
    "battery_health": (0.5, 0.7, 0.8, 0.85, 0.9, 0.97, 1.0),
    "carrier_locked": (True, False),
    "age_days": (4000, 1500, 700, 400, 200, 60, 10, 0),
}
LOOKED_UP = "storage_gb, price looked up"
STEPS = sum(len(walk) for walk in WALKS.values())
EURO_MARKETS = ("DE", "FR", "ES")  # of other currencies the first two letters name the country
STRANGE_SHARE = 0.3  # of the devices: brands or models that nobody has seen


class Values(Protocol):
    """Whatever values devices as an appraiser does."""

    def appraise(self, *, devices: pl.DataFrame) -> pl.DataFrame:
        """Value each row: quantiles and mean."""
        ...


def count(appraiser: Appraiser, *, ladders: int, seed: int, say: Say = str) -> pl.DataFrame:
    """Count over at least so many ladders: kind, outcome, pairs looked at, broken ones, and the largest fall.

    `kind` is "crossing", of neighbouring quantiles, "grade", or what a walk changes; a fall is a share of the value. A
    walk along storage whose launch price is not told is a kind of its own: another price is looked up at every step.
    """
    rng, devices = np.random.default_rng(seed), -(-ladders // STEPS)
    at_once = max(1, AT_ONCE // STEPS)
    parts = []
    for first in range(0, devices, at_once):
        drawn = draw(appraiser, devices=min(at_once, devices - first), rng=rng)
        parts.append(_counted(valued(appraiser, walks(drawn))))
        say(f"{min(first + at_once, devices) * STEPS:,} of {devices * STEPS:,} ladders")
    return (
        pl.concat(parts)
        .group_by("kind", "outcome", maintain_order=True)
        .agg(pl.col("pairs", "broken").sum(), pl.col("largest").max())
    )


def draw(appraiser: Appraiser, *, devices: int, rng: np.random.Generator) -> pl.DataFrame:
    """Draw devices of its vocabulary, known and thin alike, and some with an invented model or brand.

    Each has a market and currency that was learnt from, a day within a year of `as_of`, and a launch, a launch price,
    a battery, a lock, a channel and attributes that are told or not.
    """
    known = appraiser.devices.drop("sales")
    rows = known[rng.integers(0, known.height, devices)]
    markets = [rng.choice(EURO_MARKETS if c == "EUR" else [c[:2]]) for c in rows["currency"]]
    days = [appraiser.as_of + timedelta(days=int(d)) for d in rng.integers(-365, 90, devices)]
    strange, unbranded = (rng.random(devices) < share for share in (STRANGE_SHARE, STRANGE_SHARE / 3))
    made_up = [f"Strange {n}" for n in rng.integers(0, 10**6, devices)]
    aged = [
        day - timedelta(days=int(age)) for day, age in zip(days, rng.integers(0, 4000, devices), strict=True)
    ]
    return rows.with_columns(
        market=pl.Series(markets),
        on=pl.Series(days),
        model=pl.when(pl.Series(strange)).then(pl.Series(made_up)).otherwise("model"),
        brand=pl.when(pl.Series(unbranded)).then(pl.lit("Nobody")).otherwise("brand"),
        launched_on=_told(rng, pl.coalesce("launched_on", pl.Series(aged))),
        launch_price=_told(
            rng, pl.coalesce("launch_price", pl.Series(np.exp(rng.normal(6.3, 0.8, devices))))
        ),
        battery_health=_told(rng, pl.Series(rng.uniform(0.5, 1.0, devices))),
        carrier_locked=_told(rng, pl.Series(rng.random(devices) < 0.5)),
        channel=_told(rng, pl.Series(rng.choice(["shop", "auction", "marketplace", "eBay"], devices))),
        **{a: _told(rng, pl.col(a)) for a in appraiser.attributes},
    ).with_columns(device=pl.int_range(pl.len()))


def _told(rng: np.random.Generator, value: pl.Expr | pl.Series) -> Any:
    """The value for half of the rows, null for the others."""
    return pl.when(pl.int_range(pl.len()).shuffle(seed=int(rng.integers(2**31))) % 2 == 0).then(value)


def walks(devices: pl.DataFrame) -> pl.DataFrame:
    """Walk each device along each of WALKS: one row a step, with `walk` and `step`, worst first."""
    parts = []
    for walk, steps in WALKS.items():
        stepped = devices.join(
            pl.DataFrame({"told": steps}, strict=False).with_row_index("step"), how="cross"
        )
        days = pl.col("on") - pl.duration(days=pl.col("told")) if walk == "age_days" else pl.col("told")
        column = "launched_on" if walk == "age_days" else walk
        parts.append(stepped.with_columns(days.alias(column), walk=pl.lit(walk)).drop("told"))
    looked_up = (pl.col("walk") == "storage_gb") & pl.col("launch_price").is_null()
    named = pl.when(looked_up).then(pl.lit(LOOKED_UP)).otherwise("walk").alias("walk")
    return (
        pl.concat(parts).with_columns(named).select("device", "walk", "step", *devices.drop("device").columns)
    )


def valued(appraiser: Values, steps: pl.DataFrame) -> pl.DataFrame:
    """Value every step at every grade: its device, walk, step, the rank of the grade, and MONEY."""
    graded = pl.concat(steps.with_columns(grade=pl.lit(g.name), rank=pl.lit(int(g))) for g in Grade)
    values = appraiser.appraise(devices=graded.drop("device", "walk", "step", "rank"))
    return graded.select("device", "walk", "step", "rank").hstack(values.select(MONEY))


def _counted(values: pl.DataFrame) -> pl.DataFrame:
    """Count the pairs that break an order, by kind and outcome."""
    lines = [_line("crossing", "quantiles", _crossings(values))]
    rungs = values.sort("device", "walk", "step", "rank")
    for outcome in MONEY:
        lines.append(_line("grade", outcome, _falls(rungs, outcome, ("device", "walk", "step"))))
    for walk in (*WALKS, LOOKED_UP):
        walked = values.filter(walk=walk).sort("device", "rank", "step")
        lines += [_line(walk, outcome, _falls(walked, outcome, ("device", "rank"))) for outcome in MONEY]
    return pl.DataFrame(lines)


def _crossings(values: pl.DataFrame) -> Floats:
    quantiles = values.select(QUANTILE_NAMES).to_numpy()
    return np.asarray(quantiles[:, :-1] / quantiles[:, 1:] - 1).ravel()


def _falls(values: pl.DataFrame, outcome: str, along: tuple[str, ...]) -> Floats:
    """How far each value lies under the one before it on its way, as a share; below 0 where it rises: (pairs,)."""
    fall = (pl.col(outcome).shift(1) / pl.col(outcome) - 1).over(along, order_by=None)
    return values.select(fall).to_series().drop_nulls().to_numpy()


def _line(kind: str, outcome: str, falls: Floats) -> dict[str, Any]:
    broken = ~(falls <= TOLERANCE)  # NaN is broken too
    return {
        "kind": kind,
        "outcome": outcome,
        "pairs": len(falls),
        "broken": int(broken.sum()),
        "largest": float(falls.max(initial=-1.0)),
    }
