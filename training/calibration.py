"""Prediction intervals that stay honest under drift: a scale per row, and recency-weighed quantiles of what is left."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import regression
from training.settings import DEFAULTS, Settings
from valuation import hedonic, spread
from valuation.spread import MET, STRANGERS, UNMET

Floats = NDArray[np.float64]

FEWEST_EFFECTIVE = 300.0  # effective residuals below which a group borrows those of its parent
LEAST_SHARE = 0.1  # of the median residual: smaller ones say nothing about the scale


def calibrate(
    *,
    table: pl.DataFrame,
    value: Floats,
    residuals: Floats,
    doubt: Floats,
    sales: NDArray[np.int64],
    strange: NDArray[np.int64],
    settings: Settings = DEFAULTS,
) -> spread.Spread:
    """Learn the spread from residuals (n,) in log price of sales that the location has not seen.

    `strange` tells what of each was never met, as its place in STRANGERS. Of those of which all was met, the median is
    taken off: where the market stands is the walks' to say, from newer sales than these.
    """
    age_days = table.select(pl.col("day").max() - pl.col("day")).to_series().to_numpy()
    weights = np.exp2(-age_days / settings.half_life_days)
    met = strange == 0
    if met.any():
        residuals = residuals - met * weighed_quantiles(residuals[met], weights[met], np.array([0.5]))
    size = np.abs(residuals)
    target = np.log(np.maximum(size, max(LEAST_SHARE * float(np.median(size)), 1e-4)))
    inputs = spread.spread_table(table=table, value=value, doubt=doubt, sales=sales, strange=strange)
    unmet = strange >= UNMET
    scales = [_no_narrower(_scale(inputs, target, r if r.any() else ~r)) for r in (~unmet, unmet)]
    at = [np.exp(scale.predict(devices=scale.encode(table=inputs))) for scale in scales]
    scaled = residuals / np.where(unmet, at[1], at[0])
    return spread.Spread(scales=(scales[0], scales[1]), grids=_grids(table, scaled, weights, strange))


def _scale(inputs: pl.DataFrame, target: Floats, rows: NDArray[np.bool_]) -> hedonic.Hedonic:
    line = regression.Regression.lay(
        table=inputs, target=target, listed=spread.SPREAD_FEATURES, known=rows, walks=False, slip=math.inf
    )
    line.fit(rows)
    return line.equation


def _no_narrower(scale: hedonic.Hedonic) -> hedonic.Hedonic:
    """The same scale, in which nothing strange is surer than if it had been met.

    Those who never met a channel or market were asked about sales among those that they know, not about later ones.
    """
    levels = [
        np.maximum(values, values[block.members.index((MET,))])
        if block.feature == spread.STRANGE and (MET,) in block.members
        else values
        for block, values in zip(scale.blocks, scale.coefficients, strict=True)
    ]
    return replace(scale, coefficients=tuple(levels))


def _grids(
    table: pl.DataFrame, scaled: Floats, weights: Floats, strange: NDArray[np.int64]
) -> dict[str, Floats]:
    """The quantiles of the scaled residuals, for every group that has enough; of what was met, around their median.

    What sells most is dearer than what its looks tell: the median of models that were never met is no chance.
    """
    rows = (
        table.select(
            pl.col("grade_rank").cast(pl.Int64),
            "category",
            strange=pl.Series(np.array(STRANGERS)[strange]),
            scaled=pl.Series(scaled),
            weight=pl.Series(weights),
        )
        .filter(~pl.Series((strange > 0) & (strange < UNMET)))
        .select("strange", "scaled", "weight", group=_group_lists())
        .explode("group", empty_as_null=True, keep_nulls=True)
    )
    grids = {"": weighed_quantiles(scaled, weights, spread.GRID)}
    for (stranger, group), part in rows.partition_by(
        "strange", "group", as_dict=True, include_key=False
    ).items():
        values, mass = part["scaled"].to_numpy(), part["weight"].to_numpy()
        effective = mass.sum() ** 2 / (mass**2).sum()
        if group in ("", "model") or effective >= FEWEST_EFFECTIVE:
            middle = weighed_quantiles(values, mass, np.array([0.5])) if stranger == MET else 0.0
            grids[str(group)] = weighed_quantiles(values - middle, mass, widened(spread.GRID, effective))
    return grids


def _group_lists() -> pl.Expr:
    """List the groups that the residual of each row counts in, as spread.groups names them."""
    grade = pl.col("grade_rank").cast(pl.String)
    of_met = pl.concat_list(pl.concat_str("category", grade, separator="|"), "category", pl.lit(""))
    of_strangers = pl.concat_list(pl.concat_str("strange", "category", separator="|"), "strange")
    return pl.when(pl.col("strange") == MET).then(of_met).otherwise(of_strangers)


def widened(levels: Floats, effective: float) -> Floats:
    """Move quantile levels outwards by the finite-sample correction of split conformal prediction."""
    return np.clip(0.5 + (levels - 0.5) * (1 + 1 / effective), 0.0, 1.0)


def weighed_quantiles(values: Floats, weights: Floats, levels: Floats) -> Floats:
    """Interpolate the quantiles of weighed values: (levels,), in ascending order."""
    order = np.argsort(values)
    mass = weights[order]
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.interp(levels, middle, values[order])
