from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tests.judge import cases, learners, peers
from tests.judge.cases import Case
from tests.judge.peers import Booster, Grown, Table
from training import backtest


@pytest.fixture
def case(sales: pl.DataFrame) -> Case:
    (window,) = backtest.windows(sales=sales, origins=1)
    return cases.in_time(sales=sales, asked=sales, attributes={}, window=window, seed=1)


def test_a_peer_sees_the_features_of_the_appraiser_and_the_day_and_no_price(case: Case) -> None:
    known = peers.table(case.known, {})
    assert {"model", "grade_rank", "launch_price_log", "day"} <= set(known.columns.columns)
    assert not {"price", "sale_id", "seller_id", "unit_id"} & set(known.columns.columns)
    assert known.target == pytest.approx(np.log(case.known["price"].to_numpy()))


def test_a_member_that_was_not_known_has_no_number(case: Case) -> None:
    known = peers.table(case.known, {})
    strange = Table(known.columns.with_columns(model=pl.lit("strange")), known.target, known.categories)
    codes, place = peers.Codes.of(known), known.columns.columns.index("model")
    assert np.isnan(codes.matrix(strange)[:, place]).all()
    told = codes.matrix(known)[:, place]
    assert sorted(set(told.tolist())) == list(range(known.columns["model"].n_unique()))


def test_the_loss_and_the_rounds_that_did_best_on_the_watched_rows_are_kept(case: Case) -> None:
    asked: list[tuple[str, int, int, bool]] = []

    def grow(known: Table, watched: Table | None, most: int, loss: str) -> Grown:
        asked.append((loss, most, len(known.target), watched is not None))
        off = {"good": 0.1, "bad": 0.2}[loss]
        return Grown(7 if loss == "good" else 9, lambda told: told.target + off)

    values = learners.conformal(case, peers.rehearsed(Booster(grow, ("bad", "good")), case))
    rehearsal = case.rehearsal[0].height
    assert asked[:2] == [(loss, peers.MOST_ROUNDS, rehearsal, True) for loss in ("bad", "good")]
    assert asked[2:] == [("good", 7, case.early.height, False), ("good", 7, case.known.height, False)]
    ratio = values["p50"].to_numpy() / case.asked["price"].to_numpy()
    assert ratio == pytest.approx(np.exp(0.1))
    assert values["p05"].to_numpy() == pytest.approx(case.asked["price"].to_numpy())


def test_tuned_lightgbm_beats_the_medians_of_groups_without_the_prices_asked_for(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "MOST_ROUNDS", 300)
    booster = Booster(peers.tuned_lightgbm, ("huber",))
    value = peers.rehearsed(booster, case)
    told = value(case.known, case.asked)
    assert told == pytest.approx(value(case.known, case.asked.with_columns(price=pl.lit(1.0))))
    median = learners.PEERS["model_median"](case)["p50"].to_numpy()
    off, medians_off = (np.abs(np.log(v / case.asked["price"].to_numpy())).mean() for v in (told, median))
    assert off < medians_off


def test_an_interval_of_a_baseline_holds_its_value(case: Case) -> None:
    for name in ("model_median", "last_sale", "linear_hedonic", "plain_lightgbm"):
        values = learners.PEERS[name](case)
        assert values["sale_id"].to_list() == case.asked["sale_id"].to_list()
        assert (
            values.select((pl.col("p05") < pl.col("p50")) & (pl.col("p50") < pl.col("p95"))).to_series().all()
        )
