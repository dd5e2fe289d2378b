from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.judge import ladders
from valuation.appraisal import QUANTILE_NAMES
from valuation.appraiser import Appraiser

LADDERS = 1_000
MONEY = pl.col(*QUANTILE_NAMES, "mean")


class Faulty:
    """Values as an appraiser does, but for what `spoil` does to its values."""

    def __init__(self, appraiser: Appraiser, spoil: Any) -> None:
        self.appraiser, self.spoil = appraiser, spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self.appraiser, name)

    def appraise(self, *, devices: pl.DataFrame) -> pl.DataFrame:
        values = self.appraiser.appraise(devices=devices)
        return devices.hstack(values).with_columns(self.spoil).select(values.columns)


def broken(counts: pl.DataFrame) -> set[tuple[str, str]]:
    """The kinds and outcomes of which any pair is broken."""
    return set(counts.filter(pl.col("broken") > 0).select("kind", "outcome").iter_rows())


@pytest.fixture(scope="module")
def counts(appraiser: Appraiser) -> pl.DataFrame:
    return ladders.count(appraiser, ladders=LADDERS, seed=1)


def test_no_quantiles_cross_and_no_better_grade_is_worth_less(counts: pl.DataFrame) -> None:
    assert not {kind for kind, _ in broken(counts)} & {"crossing", "grade"}
    assert counts.filter(kind="crossing")["pairs"].item() >= 6 * 6 * LADDERS


@pytest.mark.parametrize("walk", ladders.WALKS)
def test_what_is_better_is_never_worth_less_in_the_median(counts: pl.DataFrame, walk: str) -> None:
    assert (walk, "p50") not in broken(counts)


def test_the_same_seed_draws_the_same_ladders(appraiser: Appraiser, counts: pl.DataFrame) -> None:
    drawn = [ladders.draw(appraiser, devices=50, rng=np.random.default_rng(s)) for s in (1, 1, 2)]
    assert drawn[0].equals(drawn[1]) and not drawn[0].equals(drawn[2])


def test_the_devices_are_known_thin_and_invented(appraiser: Appraiser) -> None:
    drawn = ladders.draw(appraiser, devices=500, rng=np.random.default_rng(1))
    bases = appraiser.appraise(devices=drawn.drop("device").with_columns(grade=pl.lit("GOOD")))
    assert set(bases["basis"]) >= {"model", "brand"}
    assert bases["comparables"].min() == 0 and bases["comparables"].max() > 30  # type: ignore[operator]
    assert 0 < drawn["launch_price"].null_count() < 500


@pytest.mark.parametrize(
    ("spoil", "kinds"),
    [
        (pl.col("p10").alias("p05") * 1.01, {"crossing"}),
        (pl.when(pl.col("grade") == "NEW").then(MONEY / 3).otherwise(MONEY), {"grade"}),
        (MONEY * (1 - pl.col("battery_health").fill_null(0.5) / 2), {"battery_health"}),
        (pl.col("mean") * float("nan"), {"grade", *ladders.WALKS}),
    ],
    ids=["crossing", "grade", "battery", "no number"],
)
def test_a_fault_is_counted_where_it_is(appraiser: Appraiser, spoil: pl.Expr, kinds: set[str]) -> None:
    found = broken(ladders.count(Faulty(appraiser, spoil), ladders=400, seed=2))
    assert {kind for kind, _ in found} - {ladders.LOOKED_UP} >= kinds
    assert ("crossing" in kinds) == any(kind == "crossing" for kind, _ in found)
