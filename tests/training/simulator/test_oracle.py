"""The oracle stands in for a model: it is judged by the same backtest and study, and nothing is nearer."""

from __future__ import annotations

import polars as pl
import pytest

from training import backtest, ratio_study
from training.simulator import market
from training.simulator.market import Market
from training.simulator.oracle import Oracle
from training.simulator.refusal import SimulatorError
from valuation.appraisal import QUANTILE_NAMES


@pytest.fixture(scope="module")
def study() -> ratio_study.Study:
    """The study of the oracle in the last four months of a small market."""
    invented = market.simulate(sales=12_000, seed=5)
    sales = invented.sales
    windows = backtest.windows(sales=sales, window_days=28, origins=4)
    predictions = backtest.run(
        sales=sales, attributes={}, windows=windows, seed=1, fit=lambda **_: invented.oracle
    )
    return ratio_study.study(predictions)


def test_the_judge_takes_the_oracle_for_a_model_and_finds_nothing_wrong(study: ratio_study.Study) -> None:
    assert study.model.median_ratio == pytest.approx(1, abs=0.01)
    assert study.spread.coverage_90 == pytest.approx(0.9, abs=0.03)
    slope = study.model.calibration_slope
    assert slope is not None and abs(slope.slope) < 0.01


def test_no_baseline_is_nearer_than_the_oracle(study: ratio_study.Study) -> None:
    assert study.baselines
    assert all(measured.mdape > study.model.mdape for measured in study.baselines.values())


def test_the_oracle_and_the_truth_of_every_sale_agree(steady: Market) -> None:
    sales = steady.sales.with_columns(on="sold_on")
    told = steady.truth.filter(kind="sale")
    values = steady.oracle.appraise(devices=sales)
    for name in QUANTILE_NAMES:
        assert (values[name] / told[f"value_{name}"] - 1).abs().max() < 1e-9


def test_the_oracle_follows_from_scenario_and_seed_alone(steady: Market) -> None:
    again = Oracle(market.world(scenario="steady", seed=3))
    devices = steady.sales.with_columns(on="sold_on").sample(100, seed=1)
    assert again.appraise(devices=devices).equals(steady.oracle.appraise(devices=devices))


def test_what_is_not_told_of_a_device_may_be_left_out(steady: Market) -> None:
    device = steady.sales.head(1).select("brand", "model", "storage_gb", "market", "grade", on="sold_on")
    value = steady.oracle.appraise(devices=device)
    assert value["p05"][0] < value["p50"][0] < value["mean"][0] * 1.01 < value["p95"][0]


def test_names_are_compared_as_everywhere(steady: Market) -> None:
    devices = steady.sales.head(50).with_columns(on="sold_on")
    shouted = devices.with_columns(pl.col("brand", "model").str.to_uppercase())
    assert steady.oracle.appraise(devices=shouted).equals(steady.oracle.appraise(devices=devices))


def test_a_device_of_another_world_is_refused_by_its_name(steady: Market) -> None:
    device = steady.sales.head(1).with_columns(on="sold_on", model=pl.lit("Nova One"))
    with pytest.raises(SimulatorError, match=r"model nova one, .*of its own scenario only"):
        steady.oracle.appraise(devices=device)
