"""Turns audited sales into a resale model: anchor, index, trees, and an honest spread around them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import calibration, regression
from valuation import explanation, features, index, resale, vocabulary
from valuation.appraiser import Appraiser
from valuation.features import Feature
from valuation.ledger import Attribute

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

NODES: tuple[tuple[str, ...], ...] = ((), ("category",), ("market", "category"), ("model",))
HALF_LIVES_DAYS = (5.0, 10.0, 20.0, 45.0, 120.0)
PRIOR_SALES = (2.0, 8.0, 30.0, 1e9)  # the last one silences a level that does not pay
CLIP = 6.0  # median absolute residuals beyond which a residual moves a level no further
LONGEST_LAG_DAYS = 28  # a served value is up to this much newer than the last sale that was known
ORIGINS = (0.4, 0.6, 0.8)  # of the sales, in time: where rehearsals start
LONGEST_LATE_DAYS = 120
HIDDEN_SHARE = 0.08  # of the sales, whole models: what an unseen model would have looked like
TREES = 500
HUBER_SHARE = 1.5  # of the robust spread
LEAST_NOISE = 0.03  # in log price
SHARES = (0.5, 0.75, 1.0)  # of the anchor: the trees learn the rest
PARAMETERS = {
    "objective": "huber",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 10,
    "lambda_l2": 5.0,
    "path_smooth": 5.0,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


class TooFewSalesError(ValueError):
    """The sales cannot show how far prices spread."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What every fit of one retrain shares: features and log prices of all sales, by day, and the draws of chance."""

    table: pl.DataFrame
    target: Floats
    listed: tuple[Feature, ...]
    folds: Whole
    lag: Whole
    seed: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Late rows of one origin, and their residuals by share of the anchor: (shares, late rows)."""

    late: Mask
    residuals: Floats
    basis: pl.Series
    sales: Whole


def fit(
    *,
    sales: pl.DataFrame,
    attributes: Mapping[str, Attribute],
    as_of: date,
    seed: int = 1,
    threads: int = 1,
    simulated: bool = False,
    card: Mapping[str, Any] = MappingProxyType({}),
) -> Appraiser:
    """Make an appraiser of the good rows of SALES: resale model, vocabulary and card.

    Raises TooFewSalesError where no sale is later than another.
    """
    known = vocabulary.complete(devices=sales.sort("sold_on", "sale_id"))
    model, table = _fit_resale(known, attributes, seed, threads)
    return Appraiser(
        model=model,
        attributes=attributes,
        devices=vocabulary.of_sales(sales=known, attributes=attributes),
        centres=explanation.centres(location=model.location, table=table),
        as_of=as_of,
        simulated=simulated,
        card=card,
    )


def _fit_resale(
    sales: pl.DataFrame, attributes: Mapping[str, Attribute], seed: int, threads: int
) -> tuple[resale.ResaleModel, pl.DataFrame]:
    """Fit the resale model to sales in order of time; tell it, and the features of the sales.

    First in rehearsal: from each of a few origins in the past the next sales are predicted, and with them sales
    of some models that were hidden. What these rows show chooses the share of the anchor and calibrates the
    spread. Then the location is fitted to all sales.
    """
    table = features.table(devices=sales.with_columns(on=pl.col("sold_on")), attributes=attributes)
    rng = np.random.default_rng(seed)
    ground = Ground(
        table=table,
        target=sales["price"].log().to_numpy(),
        listed=_useful(table, features.declared(attributes=attributes)),
        folds=_folds(sales, rng),
        lag=rng.integers(0, LONGEST_LAG_DAYS + 1, table.height),
        seed=seed,
        threads=threads,
    )
    rehearsals = [_rehearse(ground, late, known) for late, known in _splits(table, rng)]
    share, residuals = _best(rehearsals)
    spread = calibration.calibrate(
        table=pl.concat([table.filter(r.late) for r in rehearsals]),
        residuals=residuals,
        basis=pl.concat([r.basis for r in rehearsals]),
        sales=np.concatenate([r.sales for r in rehearsals]),
    )
    known = np.ones(table.height, dtype=bool)
    location = _grow(ground, *_lay(ground, known), known, share)
    return resale.ResaleModel(location=location, spread=spread), table


def _useful(table: pl.DataFrame, listed: Sequence[Feature]) -> tuple[Feature, ...]:
    return tuple(f for f in listed if table[f.name].drop_nulls().n_unique() > 0)


def _folds(sales: pl.DataFrame, rng: np.random.Generator) -> Whole:
    """Deal the sales into folds, every sale of one physical device into the same: (n,)."""
    unit = pl.coalesce(pl.col("unit_id"), pl.col("sale_id"))
    codes = sales.select(unit.rank("dense") - 1).to_series().to_numpy().astype(np.int64)
    dealt = rng.integers(0, regression.FOLDS, int(codes.max()) + 1)
    return np.asarray(dealt[codes], dtype=np.int64)


def _splits(table: pl.DataFrame, rng: np.random.Generator) -> list[tuple[Mask, Mask]]:
    """Choose, per origin, the late rows to predict and the early rows that may be known: pairs of (n,) masks."""
    day = table["day"].to_numpy()
    cuts = np.quantile(day, [*ORIGINS, 1.0], method="nearest")
    splits = []
    for start, end in itertools.pairwise(cuts):
        late = (day > start) & (day <= min(end, start + LONGEST_LATE_DAYS))
        if late.any():
            splits.append((late, (day <= start) & ~_hidden(table, rng)))
    if not splits:
        raise TooFewSalesError(
            f"The {table.height} sales were all sold on {len(np.unique(day))} day(s): the spread of prices "
            "can only be learned from sales on later days than others. Give sales over more days."
        )
    return splits


def _hidden(table: pl.DataFrame, rng: np.random.Generator) -> Mask:
    """Choose some thin models, to be unseen at one origin: (n,)."""
    most = HIDDEN_SHARE * table.height
    counts = table["model"].drop_nulls().value_counts().filter(pl.col("count") <= most).sort("model")
    shuffled = counts[rng.permutation(counts.height)]
    chosen = shuffled.filter(pl.col("count").cum_sum() <= most)["model"]
    return table["model"].is_in(chosen.to_list()).fill_null(False).to_numpy()


def _rehearse(ground: Ground, late: Mask, known: Mask) -> Rehearsal:
    """Predict the late rows from the known ones, by every share of the anchor."""
    bare, line = _lay(ground, known)
    part = ground.table.filter(late)
    residuals = []
    for share in SHARES:
        location = _grow(ground, bare, line, known, share)
        residuals.append(ground.target[late] - location.predict(table=part, lag_days=ground.lag[late]))
    basis, sales = bare.basis(table=part)
    return Rehearsal(late=late, residuals=np.array(residuals), basis=basis, sales=sales)


def _best(rehearsals: Sequence[Rehearsal]) -> tuple[float, Floats]:
    """Choose the share that predicted the late rows best, with its residuals: (late rows of all origins,)."""
    residuals = np.concatenate([r.residuals for r in rehearsals], axis=1)
    best = int(np.argmin(np.abs(residuals).mean(axis=1)))
    return SHARES[best], residuals[best]


def _lay(ground: Ground, known: Mask) -> tuple[resale.Location, regression.Fitted]:
    """Fit the anchor to the known rows, and the levels, which go on through all rows as they only look back."""
    part = ground.table.filter(known)
    line = regression.fit(
        table=part, target=ground.target[known], listed=ground.listed, folds=ground.folds[known]
    )
    left = ground.target - line.anchor.predict(devices=line.anchor.encode(table=ground.table))
    left[known] = ground.target[known] - line.held
    bare = resale.Location(
        listed=ground.listed,
        anchor=line.anchor,
        levels=_levels(ground.table, left, ground.lag),
        trees=None,
        sales=dict(part["model"].drop_nulls().value_counts().iter_rows()),
    )
    return bare, line


def _levels(table: pl.DataFrame, left: Floats, lag: Whole) -> tuple[index.Level, ...]:
    """Choose for each rung of the index the forgetting that predicts the next sales best, rung by rung.

    Every rung looks at what the whole anchor left, so it holds what time did and not what a model is.
    """
    levels = []
    for by in NODES:
        bound = CLIP * float(np.median(np.abs(left - np.median(left)))) + 1e-9
        tried = [_best_prior(table, left, bound, by, half_life, lag) for half_life in HALF_LIVES_DAYS]
        _, level, value = min(tried, key=lambda t: t[0])
        levels.append(level)
        left = left - value
    return tuple(levels)


def _best_prior(
    table: pl.DataFrame, left: Floats, bound: float, by: Sequence[str], half_life: float, lag: Whole
) -> tuple[float, index.Level, Floats]:
    level = index.accumulate(
        table=table, residuals=np.clip(left, -bound, bound), by=by, half_life_days=half_life, prior_sales=0.0
    )
    total, sales = level.totals(table=table, lag_days=lag)
    errors = {prior: float(np.abs(left - total / (sales + prior)).mean()) for prior in PRIOR_SALES}
    prior = min(errors, key=lambda p: errors[p])
    return errors[prior], dataclasses.replace(level, prior_sales=prior), total / (sales + prior)


def _grow(
    ground: Ground, bare: resale.Location, line: regression.Fitted, known: Mask, share: float
) -> resale.Location:
    """Lean on this share of the anchor, and grow trees on what it and the levels leave of the known rows."""
    part = ground.table.filter(known)
    level = bare.level(table=part, lag_days=ground.lag[known])
    goal = ground.target[known] - level - line.leaning(share)
    noise = max(1.4826 * float(np.median(np.abs(goal - np.median(goal)))), LEAST_NOISE)
    signs = {"+": 1, "-": -1, "none": 0}
    parameters = {
        **PARAMETERS,
        "alpha": HUBER_SHARE * noise,
        "monotone_constraints": [signs[f.direction] for f in ground.listed],
        "seed": ground.seed,
        "num_threads": ground.threads,
    }
    data = lgb.Dataset(
        bare.tree_matrix(devices=bare.anchor.encode(table=part)),
        goal,
        feature_name=[f.name for f in ground.listed],
        categorical_feature=[f.name for f in ground.listed if f.kind == "category"],
        params={"verbosity": -1},
    )
    trees = lgb.train(parameters, data, num_boost_round=TREES)
    return dataclasses.replace(bare, anchor=line.anchor.leaning(share), trees=trees)
