"""The ratio study: how far values lie from prices, overall beside the baselines, and segment by segment.

Values are medians (p50). Sales at a price that this engine suggested agree with it by themselves: they are counted
apart, never among the others.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from training import baselines, measures, segments
from training.segments import Cell
from valuation.appraisal import QUANTILE_NAMES, QUANTILES

MODEL = "reprise"
FEWEST_IN_GROUP = 500  # sales of a segment whose coverage may be called the worst
FEWEST_IN_WEEK = 50


class StudyError(ValueError):
    """No sale to study, or values that are no numbers above zero."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """The measures of one way of valuing on `n` sales; definitions in training/measures.py, None where undefined.

    `low` and `high` bound the median ratio in 95 of 100 draws of (model, week) blocks.
    """

    n: int
    median_ratio: float
    low: float
    high: float
    cod: float
    prd: float
    prb: measures.Slope | None
    calibration_slope: measures.Slope | None
    mdape: float
    mape: float
    within_05: float
    within_10: float
    within_20: float
    rt20: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The honesty of the intervals; pinball and Winkler in log price, `width` of the 90 % interval over the value.

    The worst coverages are of the 90 % interval, in a segment of 500 sales and a week of 50 at least; None without.
    """

    pinball: float
    winkler: float
    coverage_50: float
    coverage_80: float
    coverage_90: float
    worst_group: float | None
    worst_week: float | None
    width: float
    hit_rate: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """What values were worth on sales from `sold_from` to `sold_to`; `at_our_price` is in no other figure.

    `gaps` holds for each baseline the 95 % interval of the model's MdAPE less its own, by draws of the same blocks.
    """

    sold_from: date
    sold_to: date
    model: Measures
    spread: Spread
    baselines: dict[str, Measures]
    gaps: dict[str, tuple[float, float]]
    segments: tuple[Cell, ...]
    at_our_price: Measures | None

    def to_json(self) -> dict[str, Any]:
        """Write the study in the words of JSON: shares 0..1, days YYYY-MM-DD, null for what is not defined.

        `overall` holds the lines of `table`.
        """
        whole = json.loads(json.dumps(dataclasses.asdict(self), default=str, allow_nan=False))
        return {"overall": self.table().to_dicts(), **whole}

    def table(self) -> pl.DataFrame:
        """Set the model beside the baselines on the same sales: one row each, the model first."""
        shown = ("n", "mdape", "within_10", "within_20", "median_ratio")
        every = {MODEL: self.model, **self.baselines}
        return pl.DataFrame(
            [{"valued by": name, **{s: getattr(m, s) for s in shown}} for name, m in every.items()]
        ).with_columns(
            coverage_90=pl.when(pl.col("valued by") == MODEL).then(pl.lit(self.spread.coverage_90))
        )

    def measures(self) -> dict[str, float]:
        """List the defined measures of the model and the MdAPE of each baseline by name, for a registry."""
        slopes = {"prb": self.model.prb, "calibration_slope": self.model.calibration_slope}
        found = {
            **{field.name: getattr(self.model, field.name) for field in dataclasses.fields(Measures)},
            **dataclasses.asdict(self.spread),
            **{name: slope and slope.slope for name, slope in slopes.items()},
            **{f"mdape_{name}": measured.mdape for name, measured in self.baselines.items()},
        }
        return {name: float(value) for name, value in found.items() if value is not None}


def study(predictions: pl.DataFrame) -> Study:
    """Measure a frame of predictions (training/backtest.py), with the columns of baselines where it has them.

    Raises StudyError where no sale is left, or where a price or a value is not above zero.
    """
    ours = pl.col("at_our_price")
    rows, apart = _checked(predictions.filter(~ours)), predictions.filter(ours)
    cells = segments.cells(rows)
    beside = [name for name in baselines.BASELINES if name in rows.columns]
    first, last = rows.select(first=pl.col("sold_on").min(), last=pl.col("sold_on").max()).row(0)
    return Study(
        sold_from=first,
        sold_to=last,
        model=_measured(rows, "p50"),
        spread=_spread(rows, cells),
        baselines={name: _measured(rows, name) for name in beside},
        gaps={name: _gap(rows, name) for name in beside},
        segments=cells,
        at_our_price=_measured(_checked(apart), "p50") if apart.height else None,
    )


def _checked(predictions: pl.DataFrame) -> pl.DataFrame:
    """Refuse what cannot be measured; add the week and the (model, week) block of each sale."""
    if predictions.is_empty():
        raise StudyError(
            "There is no sale to study, apart from those at our own price. Give predictions of at least one sale."
        )
    valued = [n for n in ("price", *QUANTILE_NAMES, *baselines.BASELINES) if n in predictions.columns]
    sound = predictions.select(
        ((pl.col(n) > 0) & pl.col(n).is_finite()).fill_null(False).all() for n in valued
    )
    wrong = [name for name in valued if not sound[name].item()]
    if wrong:
        raise StudyError(
            f"{', '.join(wrong)}: not every value is a finite number above zero, so no ratio can be taken. "
            "Look for these rows in the predictions."
        )
    block = pl.struct("market", "category", "brand", "model", "week").rank("dense")
    return predictions.with_columns(week=pl.col("sold_on").dt.truncate("1w")).with_columns(block=block)


def _measured(rows: pl.DataFrame, column: str) -> Measures:
    value, sold = rows[column].to_numpy(), rows["price"].to_numpy()
    low, high = measures.median_interval(value / sold, segments.blocks(rows), segments.SEED)
    return Measures(
        n=rows.height,
        median_ratio=measures.median_ratio(value, sold),
        low=low,
        high=high,
        cod=measures.cod(value, sold),
        prd=measures.prd(value, sold),
        prb=measures.prb(value, sold),
        calibration_slope=measures.calibration_slope(value, sold),
        mdape=measures.mdape(value, sold),
        mape=measures.mape(value, sold),
        within_05=measures.within(value, sold, 0.05),
        within_10=measures.within(value, sold, 0.10),
        within_20=measures.within(value, sold, 0.20),
        rt20=measures.rt20(value, sold),
    )


def _gap(rows: pl.DataFrame, baseline: str) -> tuple[float, float]:
    ours, theirs, sold = (rows[name].to_numpy() for name in ("p50", baseline, "price"))
    return measures.mdape_gap(ours, theirs, sold, segments.blocks(rows), segments.SEED)


def _spread(rows: pl.DataFrame, cells: Iterable[Cell]) -> Spread:
    quantiles, sold = rows.select(QUANTILE_NAMES).to_numpy(), rows["price"].to_numpy()
    at = dict(zip(QUANTILE_NAMES, quantiles.T, strict=True))
    weeks = [part for _, part in rows.group_by("week") if part.height >= FEWEST_IN_WEEK]
    covers = [measures.coverage(*(part[n].to_numpy() for n in ("p05", "p95", "price"))) for part in weeks]
    return Spread(
        pinball=measures.pinball(quantiles, np.array(QUANTILES), sold),
        winkler=measures.winkler(at["p05"], at["p95"], sold, 0.9),
        coverage_50=measures.coverage(at["p25"], at["p75"], sold),
        coverage_80=measures.coverage(at["p10"], at["p90"], sold),
        coverage_90=measures.coverage(at["p05"], at["p95"], sold),
        worst_group=min((c.coverage_90 for c in cells if c.n >= FEWEST_IN_GROUP), default=None),
        worst_week=min(covers, default=None),
        width=measures.width(at["p05"], at["p95"], at["p50"]),
        hit_rate=measures.hit_rate(rows["fsd"].to_numpy()),
    )
