"""What owners of sales leave out or tell oddly: a table is learned from and valued, or refused with a reason."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training import fitting
from training.fitting import TooFewSalesError
from valuation import package
from valuation.appraisal import OUTCOMES

STRANGE = {"brand": pl.lit("Zq ") + pl.col("brand"), "model": pl.lit("Foo ") + pl.col("model")}
EVERY_OTHER = pl.int_range(pl.len()) % 2 == 0
HALF_THE_BATTERIES = pl.when(EVERY_OTHER).then("battery_health").alias("battery_health")
UNTOLD_LAUNCH = {"launched_on": pl.lit(None, pl.Date), "launch_price": pl.lit(None, pl.Float64)}
TABLES: dict[str, list[dict[str, pl.Expr] | pl.Expr]] = {
    "no battery": [{"battery_health": pl.lit(None, pl.Float64)}],
    "strangers without a launch, half of the batteries": [STRANGE, UNTOLD_LAUNCH, HALF_THE_BATTERIES],
    "a battery or a launch, never both": [
        STRANGE,
        {
            "launched_on": pl.when(EVERY_OTHER).then("launched_on"),
            "battery_health": pl.when(~EVERY_OTHER).then("battery_health"),
        },
    ],
    "all launched on the day of their sale": [{"launched_on": pl.col("sold_on")}, HALF_THE_BATTERIES],
    "all launched later": [{"launched_on": pl.col("sold_on") + timedelta(days=90)}, HALF_THE_BATTERIES],
    "every model one of its kind": [
        {"model": pl.int_range(pl.len()).hash(seed=1).cast(pl.String).str.replace_all("[0-4]", "a")}
    ],
    "no channel and no storage": [
        {"channel": pl.lit(None, pl.String), "storage_gb": pl.lit(None, pl.Float64)}
    ],
}


def changed(sales: pl.DataFrame, steps: list[dict[str, pl.Expr] | pl.Expr]) -> pl.DataFrame:
    for step in steps:
        sales = sales.with_columns(**step) if isinstance(step, dict) else sales.with_columns(step)
    return sales


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_table_with_gaps_is_learned_from_kept_and_valued(
    name: str, sales: pl.DataFrame, tmp_path: Path
) -> None:
    told = changed(sales.sort("sold_on").tail(800), TABLES[name])
    as_of = told["sold_on"].max() + timedelta(days=1)
    fitted = fitting.fit(sales=told, attributes={}, as_of=as_of)
    package.save(appraiser=fitted, directory=tmp_path / "kept")
    kept = package.load(directory=tmp_path / "kept")
    asked = told.tail(100).with_columns(on=pl.lit(as_of))
    values, again = (one.appraise(devices=asked).select(OUTCOMES).to_numpy() for one in (fitted, kept))
    assert np.isfinite(values).all()
    assert (values > 0).all()
    assert (values == again).all()


@pytest.mark.parametrize("few", [2, 30])
def test_too_few_sales_to_show_a_spread_are_refused(few: int, sales: pl.DataFrame) -> None:
    with pytest.raises(TooFewSalesError, match=f"Of {few} sales"):
        fitting.fit(sales=sales.sample(few, seed=1), attributes={}, as_of=date(2030, 1, 1))


def test_sales_of_one_day_and_one_more_are_refused(sales: pl.DataFrame) -> None:
    days = pl.when(pl.int_range(pl.len()) == 7).then(date(2026, 6, 2)).otherwise(date(2026, 6, 1))
    with pytest.raises(TooFewSalesError, match="Give more sales"):
        fitting.fit(sales=sales.with_columns(sold_on=days), attributes={}, as_of=date(2030, 1, 1))
