"""A fit learns what the market shows, says the same twice, and refuses what it cannot learn from."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training import fitting, growing
from training.simulator import market
from training.simulator.oracle import Oracle
from valuation import package
from valuation.appraiser import Appraiser
from valuation.ledger import Attribute

SEED = 7  # of the sales in tests/conftest.py


@pytest.fixture(scope="module")
def split(sales: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    cut = sales["sold_on"].max() - timedelta(days=28)
    return sales.filter(pl.col("sold_on") <= cut), sales.filter(pl.col("sold_on") > cut)


@pytest.fixture(scope="module")
def young(split: tuple[pl.DataFrame, pl.DataFrame]) -> Appraiser:
    return fitting.fit(sales=split[0], attributes={}, as_of=split[1]["sold_on"].min())


def errors(appraiser: Appraiser, sales: pl.DataFrame) -> np.ndarray:
    valued = appraiser.appraise(devices=sales.with_columns(on=pl.col("sold_on")))
    return np.log(valued["p50"].to_numpy() / sales["price"].to_numpy())


def test_it_predicts_later_sales_better_than_the_median_of_their_model(
    young: Appraiser, split: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    past, later = split
    keys = ["brand", "model", "storage_gb", "currency"]
    medians = past.group_by(keys).agg(pl.col("price").median().alias("median"))
    joined = later.join(medians, on=keys, how="left", maintain_order="left")
    known = joined["median"].is_not_null().to_numpy()
    naive = np.log(joined["median"].to_numpy()[known] / joined["price"].to_numpy()[known])
    assert np.median(np.abs(errors(young, later)[known])) < 0.8 * np.median(np.abs(naive))


def test_nearly_as_many_later_sales_lie_within_the_range_as_within_the_oracles(
    young: Appraiser, split: tuple[pl.DataFrame, pl.DataFrame]
) -> None:
    """Of the same few sales: the share that the truth itself covers is nine in ten only in the long run."""
    later = split[1].with_columns(on="sold_on")
    oracle = Oracle(market.world(seed=SEED))
    model, truth = (_covered(one.appraise(devices=later), later) for one in (young, oracle))
    assert truth - 0.08 <= model <= 0.97


def _covered(values: pl.DataFrame, sold: pl.DataFrame) -> float:
    return float(((values["p05"] <= sold["price"]) & (sold["price"] <= values["p95"])).mean())


def test_the_same_sales_and_seed_make_the_same_directory_to_the_byte(
    split: tuple[pl.DataFrame, pl.DataFrame], young: Appraiser, tmp_path: Path
) -> None:
    again = fitting.fit(
        sales=split[0].sample(fraction=1, shuffle=True, seed=5), attributes={}, as_of=young.as_of
    )
    digests = [package.save(appraiser=a, directory=tmp_path / str(i)) for i, a in enumerate((young, again))]
    assert digests[0] == digests[1]


def test_a_declared_attribute_is_learned_and_keeps_its_direction(sales: pl.DataFrame) -> None:
    rng = np.random.default_rng(1)
    ram = pl.Series("ram_gb", rng.choice([4.0, 8.0, 16.0], sales.height))
    dearer = sales.with_columns(ram).with_columns(price=pl.col("price") * (1 + pl.col("ram_gb") / 40))
    attribute = Attribute(name="ram_gb", direction="+", kind="number")
    fitted = fitting.fit(sales=dearer, attributes={"ram_gb": attribute}, as_of=sales["sold_on"].max())
    rows = sales.head(200).with_columns(on=pl.col("sold_on"))
    small, large = (
        fitted.appraise(devices=rows.with_columns(ram_gb=pl.lit(gb)))["p50"].to_numpy() for gb in (4.0, 16.0)
    )
    assert np.median(large / small) == pytest.approx(1.4 / 1.1, rel=0.1)


def test_sales_of_one_model_lie_in_one_fold_and_so_do_a_sale_and_its_relist(sales: pl.DataFrame) -> None:
    twice = pl.concat([sales.head(500), sales.head(500).with_columns(sale_id=pl.col("sale_id") + "-again")])
    twice = twice.with_columns(unit_id=pl.col("sale_id").str.strip_suffix("-again"))
    nameless = twice.select(model=pl.when(pl.int_range(pl.len()) % 500 < 250).then("model"))
    folds = growing.fold(table=nameless, sales=twice, rng=np.random.default_rng(0))
    assert folds[:500].tolist() == folds[500:].tolist()
    assert set(folds.tolist()) == set(range(growing.FOLDS))
    dealt = nameless.with_columns(fold=pl.Series(folds)).drop_nulls()
    assert dealt.group_by("model").agg(pl.col("fold").n_unique())["fold"].unique().to_list() == [1]


def test_sales_of_a_single_day_are_refused_with_what_to_do(sales: pl.DataFrame) -> None:
    one_day = sales.with_columns(sold_on=pl.lit(sales["sold_on"].max()))
    with pytest.raises(fitting.TooFewSalesError, match="more days"):
        fitting.fit(sales=one_day, attributes={}, as_of=sales["sold_on"].max())
