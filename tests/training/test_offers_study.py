"""A rehearsal of offers: nothing of the future is learned, and what trades earned is told as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from training import fitting, offers_figures, offers_known, offers_study
from training.__main__ import app
from training.drawing import PropensityError
from training.offers_known import BEST
from training.offers_study import COST_PLUS, FIFTH, HISTORY, LEARNED, History, OffersStudyError
from training.simulator import market
from training.simulator.market import Market
from valuation import ledger
from valuation.appraiser import Appraiser


@pytest.fixture(scope="module")
def invented() -> Market:
    return market.simulate(sales=14_000, seed=5)


@pytest.fixture(scope="module")
def history(invented: Market) -> History:
    sales, quotes = (
        ledger.audit(frame=frame, contract=contract, as_of=None).good
        for frame, contract in ((invented.sales, ledger.SALES), (invented.quotes, ledger.QUOTES))
    )
    return History(sales=sales, quotes=quotes, attributes={})


@pytest.fixture(scope="module")
def judged(history: History, invented: Market) -> pl.DataFrame:
    rows = offers_study.rehearse(history=history, window_days=84, origins=1, progress=lambda _: None)
    return offers_known.with_truth(judged=rows, truth=invented.truth)


def test_what_was_not_known_before_a_day_is_not_learned_from(history: History) -> None:
    day = date(2026, 1, 15)
    known = history.before(day)
    assert known.sales["sold_on"].max() < day  # type: ignore[operator]
    assert known.quotes["quoted_at"].dt.date().max() < day - timedelta(days=offers_study.KNOWN_DAYS)  # type: ignore[operator]
    late = known.quotes.filter(pl.col("accepted_at").dt.date() >= day)
    assert late.height == late["accepted"].null_count() == late["sale_id"].null_count()


def test_windows_end_where_it_is_known_what_came_of_the_quotes(history: History) -> None:
    last = history.quotes["quoted_at"].dt.date().max()
    found = offers_study.windows(quotes=history.quotes, window_days=28, origins=3)
    assert [(end - start).days for start, end in found] == [28] * 3
    assert found[-1][1] == last - timedelta(days=offers_study.SETTLED_DAYS)  # type: ignore[operator]
    with pytest.raises(OffersStudyError, match="leave less than one to learn from"):
        offers_study.windows(quotes=history.quotes, window_days=365, origins=3)


def test_every_quote_of_the_window_is_offered_for_by_every_policy(judged: pl.DataFrame) -> None:
    assert judged.height == judged["quote_id"].n_unique() > 300
    for name in offers_study.policies(judged):
        offer = judged[f"offer of {name}"]
        assert offer.null_count() == 0
        assert (offer >= 0).all()
    assert (judged[f"offer of {HISTORY}"] == judged["offer"]).all()


def test_a_reward_is_what_the_trade_left(judged: pl.DataFrame) -> None:
    refused = judged.filter(~pl.col("accepted"))
    assert (refused["reward"] == 0).all()
    back = judged.filter(
        pl.col("accepted") & pl.col("inspected_condition").is_not_null() & pl.col("final_amount").is_null()
    )
    assert (back["reward"] < 0).all()
    sold = judged.filter(pl.col("sold_for").is_not_null() & pl.col("final_amount").is_not_null())
    left = (sold["sold_for"] - sold["final_amount"]) * sold["scale"]
    assert (sold["reward"] < left).all()
    assert np.corrcoef(sold["reward"], left)[0, 1] > 0.9


def test_learned_offers_earn_more_than_any_other_policy(judged: pl.DataFrame) -> None:
    earned = {name: judged[f"true margin of {name}"].sum() for name in offers_study.policies(judged)}
    best = judged[BEST].sum()
    assert all(earned[LEARNED] > value for name, value in earned.items() if name not in (LEARNED, FIFTH))
    assert earned[LEARNED] > 0.93 * best
    assert all(value <= best * (1 + 1e-6) for value in earned.values())


def test_the_figures_say_what_the_rows_say(judged: pl.DataFrame) -> None:
    found = offers_figures.figures(judged)
    by_name = {policy.name: policy for policy in found.policies}
    assert found.n == judged.height
    regret = by_name[COST_PLUS].regret
    assert regret is not None
    assert regret.value == pytest.approx(1 - judged[f"true margin of {COST_PLUS}"].sum() / judged[BEST].sum())
    assert regret.low < regret.value < regret.high
    assert by_name[HISTORY].held is None
    assert by_name[LEARNED].estimate.direct == pytest.approx(judged[f"margin of {LEARNED}"].mean())
    words = found.words
    assert words.in_full_told == pytest.approx(words.in_full, abs=0.05)
    assert words.realised is not None
    assert words.realised.low < 1.05
    assert words.realised.high > 0.95
    json.dumps(found.to_json(), allow_nan=False)


def test_where_nothing_was_sold_or_inspected_nothing_is_said_of_it(judged: pl.DataFrame) -> None:
    none = judged.with_columns(
        accepted=pl.lit(None, pl.Boolean), sold_for=pl.lit(None, pl.Float64), reward=pl.lit(float("nan"))
    )
    found = offers_figures.figures(none)
    words = found.words
    json.dumps(found.to_json(), allow_nan=False)
    assert (words.acceptance_error, words.firmness_error, words.in_full, words.realised) == (None,) * 4


def test_without_the_truth_there_are_no_regrets(judged: pl.DataFrame) -> None:
    plain = judged.select(pl.exclude("^true .*$", BEST))
    found = offers_figures.figures(plain)
    assert not found.known
    assert {policy.regret for policy in found.policies} == {None}
    assert found.words.slope is None


def test_propensities_that_are_no_densities_are_refused_before_a_figure_is_told(
    judged: pl.DataFrame, history: History, appraiser: Appraiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "fit", lambda **_: appraiser)  # that another market taught is no matter
    chances = history.quotes.with_columns(propensity=pl.when("randomised").then(0.5))
    with pytest.raises(
        PropensityError, match="drawn offers, the weights of those near the usual offer average"
    ):
        offers_study.rehearse(
            history=replace(history, quotes=chances), window_days=84, origins=1, progress=lambda _: None
        )
    draws = offers_figures.figures(judged).draws
    assert draws is not None
    assert (draws.doubt, 0.5 < draws.mean < 1.1) == (None, True)


def test_quotes_without_their_truth_are_refused(judged: pl.DataFrame, invented: Market) -> None:
    plain = judged.select(pl.exclude("^true .*$", BEST))
    other = invented.truth.filter(pl.col("id") != judged["quote_id"][0])
    with pytest.raises(OffersStudyError, match=r"Of \d+ quotes, 1 are not in the truth"):
        offers_known.with_truth(judged=plain, truth=other)


def test_the_command_writes_rows_figures_and_a_page_that_says_simulated(
    tmp_path: Path,
) -> None:
    small = market.simulate(sales=6_000, seed=5)
    for name in ("sales", "quotes", "truth"):
        getattr(small, name).write_parquet(tmp_path / f"{name}.parquet")
    told = ["--sales", tmp_path / "sales.parquet", "--quotes", tmp_path / "quotes.parquet"]
    more = ["--truth", tmp_path / "truth.parquet", "--out", tmp_path / "study", "--origins", "1"]
    result = CliRunner().invoke(app, ["offers-study", *map(str, [*told, *more])])
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "study").iterdir()} == {
        "offers.html",
        "offers.json",
        "offers.parquet",
    }
    page = (tmp_path / "study" / "offers.html").read_text()
    assert "SIMULATED" in page
    assert "regret" in page
    assert "SIMULATED market" in result.output
