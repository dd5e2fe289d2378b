"""Everyone who is judged: our appraiser, the oracle, and the peers, each as a function of a case.

A learner gives one row for each asked row, in its order: sale_id, p05, p50, p95. Ours also has the other OUTCOMES,
`basis` and `comparables`. A peer that has no interval of its own gets the fairest simple one, split conformal: it is
fitted to the early rows, the .05 and .95 quantiles of what the log prices of the late rows lie above its values (by
grade where there are 200, else of all) go around its values, for which it is fitted to everything known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.judge import peers
from tests.judge.cases import Case
from tests.judge.peers import Booster, Value
from training import backtest, baselines, fitting
from training.backtest import Window
from training.baselines import Baseline
from valuation.appraisal import OUTCOMES

Floats = NDArray[np.float64]
Learner = Callable[[Case], pl.DataFrame]

FEWEST_OF_A_GRADE = 200
TAIL = 0.05
OURS, ORACLE = "ours", "oracle"


def ours(case: Case) -> pl.DataFrame:
    """Fit the product's appraiser, and value through the door of a backtest."""
    appraiser = fitting.fit(sales=case.known, attributes=case.attributes, as_of=case.as_of, seed=case.seed)
    first, last = case.asked["sold_on"].min(), case.asked["sold_on"].max()
    window = Window(start=first, end=last + timedelta(days=1), known_before=first)  # type: ignore[operator,arg-type]
    valued = backtest.score(appraiser=appraiser, sales=case.asked, windows=[window])
    return valued.select("sale_id", *OUTCOMES, "basis", "comparables")


def oracle(case: Case) -> pl.DataFrame:
    """Tell the truth, which the facts of a case of an invented market hold."""
    return case.facts.select("sale_id", p05="oracle_p05", p50="oracle_p50", p95="oracle_p95")


def conformal(case: Case, value: Value) -> pl.DataFrame:
    """Put an interval around the values of a peer by its errors on the late rows, after a fit to the early ones."""
    late = case.late
    errors = np.log(late["price"].to_numpy() / value(case.early, late))
    middle = value(case.known, case.asked)
    low, high = tails(errors, late["grade"].to_numpy(), case.asked["grade"].to_numpy())
    return case.asked.select(
        "sale_id",
        p05=pl.Series(middle * np.exp(low)),
        p50=pl.Series(middle),
        p95=pl.Series(middle * np.exp(high)),
    )


def tails(errors: Floats, grades: NDArray[np.str_], asked: NDArray[np.str_]) -> tuple[Floats, Floats]:
    """The outer quantiles of the errors (late,) for each asked grade, of all where a grade has few: (asked,) twice.

    The levels lie outwards by the finite-sample correction of split conformal prediction.
    """
    whole = _quantiles(errors)
    counts = {grade: int((grades == grade).sum()) for grade in np.unique(asked)}
    found = {
        grade: _quantiles(errors[grades == grade]) if n >= FEWEST_OF_A_GRADE else whole
        for grade, n in counts.items()
    }
    low, high = np.array([found[grade] for grade in asked]).reshape(-1, 2).T
    return low, high


def _quantiles(errors: Floats) -> Floats:
    levels = 0.5 + (np.array([TAIL, 1 - TAIL]) - 0.5) * (1 + 1 / len(errors))
    return np.asarray(np.quantile(errors, levels.clip(0, 1)))


def _baseline(baseline: Baseline, case: Case) -> pl.DataFrame:
    return conformal(case, lambda known, asked: baseline(known, asked, case.attributes))


def _booster(booster: Booster, case: Case) -> pl.DataFrame:
    return conformal(case, peers.rehearsed(booster, case))


PEERS: Mapping[str, Learner] = MappingProxyType(
    {
        **{name: partial(_baseline, baseline) for name, baseline in baselines.BASELINES.items()},
        **{name: partial(_booster, booster) for name, booster in peers.BOOSTERS.items()},
    }
)
LEARNERS: Mapping[str, Learner] = MappingProxyType({OURS: ours, ORACLE: oracle, **PEERS})


def of(case: Case, *, stepped: bool) -> tuple[str, ...]:
    """Who is asked in a case: nobody but ours and the oracle after a step, no oracle in a real table."""
    known = () if case.truth is None else (ORACLE,)
    return (OURS, *known) if stepped else (OURS, *known, *PEERS)
