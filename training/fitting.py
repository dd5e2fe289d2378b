"""Turns audited sales into a resale model: a hedonic equation, trees, and an honest spread around them."""

from __future__ import annotations

import dataclasses
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
from training.regression import Regression
from valuation import explanation, features, resale, vocabulary
from valuation.appraiser import Appraiser
from valuation.features import Feature
from valuation.ledger import Attribute

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

WINDOW_DAYS = 28  # a served value is up to this much newer than the last sale that was known
REHEARSALS, WINDOWS = 3, 3  # so many origins, and windows after each; the trees are grown once an origin
LEAST_KNOWN_SHARE = 0.3  # of the sales, before the first origin
HIDDEN_SHARE = 0.08  # of the sales: whole models, and brands, as if they had never been met
REFRESHES = 2  # rounds of the equation when a few more sales are known
SHARES = (1.0,)  # of what the equation says of the features that the trees see: they add the rest
TREES = (25, 50, 100, 200, 300)
CHOICES = tuple(
    (share, trees) for share in SHARES for trees in TREES
)  # whichever predicted best in rehearsal
PARAMETERS = {
    "objective": "regression",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 30,
    "lambda_l2": 10.0,
    "feature_fraction": 0.5,
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
    seed: int
    threads: int


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Late rows, and what was left of them by each of CHOICES: (choices, late rows)."""

    late: Whole
    residuals: Floats
    doubt: Floats
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
    ordered = sales.sort("sold_on", "sale_id")
    devices = vocabulary.of_sales(sales=ordered, attributes=attributes)
    known = vocabulary.complete(devices=ordered, known=vocabulary.facts(known=devices))
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

    The equation is fitted to all sales, which tells how far each of its parts is pooled. Then in rehearsal: from each
    of a few origins in the past the next sales are predicted, and with them sales of models and brands that were
    hidden. What these rows show chooses how many trees are grown and calibrates the spread.
    """
    table = features.table(devices=sales.with_columns(on=pl.col("sold_on")), attributes=attributes)
    rng = np.random.default_rng(seed)
    ground = Ground(
        table=table,
        target=sales["price"].log().to_numpy(),
        listed=_useful(table, features.declared(attributes=attributes)),
        folds=_folds(sales, rng),
        seed=seed,
        threads=threads,
    )
    origins = _origins(table)
    everything = np.ones(table.height, dtype=bool)
    final = _lay(ground, everything)
    final.fit(everything, rng=rng)
    rehearsals = [r for starts in origins for r in _rehearse(ground, starts, final, rng)]
    (share, trees), residuals = _best(rehearsals)
    late = np.concatenate([r.late for r in rehearsals])
    spread = calibration.calibrate(
        table=table[late],
        residuals=residuals,
        doubt=np.concatenate([r.doubt for r in rehearsals]),
        sales=np.concatenate([r.sales for r in rehearsals]),
    )
    location = _grow(ground, final, everything, _held(ground, final, everything), share, trees)
    return resale.ResaleModel(location=location, spread=spread), table


def _useful(table: pl.DataFrame, listed: Sequence[Feature]) -> tuple[Feature, ...]:
    return tuple(f for f in listed if table[f.name].drop_nulls().n_unique() > 0)


def _folds(sales: pl.DataFrame, rng: np.random.Generator) -> Whole:
    """Deal the sales into folds, every sale of one physical device into the same: (n,)."""
    unit = pl.coalesce(pl.col("unit_id"), pl.col("sale_id"))
    codes = sales.select(unit.rank("dense") - 1).to_series().to_numpy().astype(np.int64)
    dealt = rng.integers(0, regression.FOLDS, int(codes.max()) + 1)
    return np.asarray(dealt[codes], dtype=np.int64)


def _origins(table: pl.DataFrame) -> list[list[int]]:
    """Choose the first days of the windows to rehearse, oldest first, by origin; each goes on to the next, or the end.

    Windows are shorter where the sales run over less time, and fewer where too few sales come before them.
    """
    day = table["day"].to_numpy()
    first, last = int(day.min()), int(day.max())
    wanted = REHEARSALS * WINDOWS
    length = max(1, min(WINDOW_DAYS, (last - first) // (2 * wanted)))
    starts = [last + 1 - length * back for back in range(wanted, 0, -1)]
    kept = [start for start in starts if (day < start).mean() >= LEAST_KNOWN_SHARE] or [last]
    if (day < kept[0]).sum() == 0:
        raise TooFewSalesError(
            f"The {table.height} sales were all sold on {len(np.unique(day))} day(s): the spread of prices "
            "can only be learned from sales on later days than others. Give sales over more days."
        )
    return [kept[at : at + WINDOWS] for at in range(0, len(kept), WINDOWS)]


def _rehearse(
    ground: Ground, starts: Sequence[int], final: Regression, rng: np.random.Generator
) -> list[Rehearsal]:
    """From the first of these days on, predict window after window; the equation goes on learning, the trees do not."""
    day = ground.table["day"].to_numpy()
    hidden = _hidden(ground.table, rng)
    known = (day < starts[0]) & ~hidden
    line = _lay(ground, known)
    line.follow(final)
    line.fit(known)
    held = _held(ground, line, known)
    locations = [_grow(ground, line, known, held, share, TREES[-1]) for share in SHARES]
    rehearsals = []
    for start, end in zip(starts, [*starts[1:], starts[-1] + WINDOW_DAYS], strict=True):
        if start > starts[0]:
            line.fit((day < start) & ~hidden, rounds=REFRESHES)
        late = np.flatnonzero((day >= start) & (day < end))
        if len(late):
            rehearsals.append(_predict(ground, line, locations, late))
    return rehearsals


def _hidden(table: pl.DataFrame, rng: np.random.Generator) -> Mask:
    """Choose some thin models and one thin brand, to be unseen at one origin: (n,)."""
    hidden = np.zeros(table.height, dtype=bool)
    for name, share in (("model", HIDDEN_SHARE), ("brand", HIDDEN_SHARE / 2)):
        most = share * table.height
        counts = table[name].drop_nulls().value_counts().filter(pl.col("count") <= most).sort(name)
        shuffled = counts[rng.permutation(counts.height)]
        chosen = shuffled.filter(pl.col("count").cum_sum() <= most)[name]
        hidden |= table[name].is_in(chosen.to_list()).fill_null(False).to_numpy()
    return hidden


def _predict(
    ground: Ground, line: Regression, locations: Sequence[resale.Location], late: Whole
) -> Rehearsal:
    part = ground.table[late]
    equation = line.equation
    devices = equation.encode(table=part)
    matrix = locations[0].tree_matrix(devices=locations[0].equation.encode(table=part))
    residuals = []
    for location in locations:
        bare = ground.target[late] - dataclasses.replace(location, equation=equation).said(devices=devices)
        residuals += [
            bare - location.trees.predict(matrix, num_iteration=n, num_threads=ground.threads) for n in TREES
        ]
    return Rehearsal(
        late=late,
        residuals=np.array(residuals),
        doubt=equation.doubt(devices=devices),
        sales=locations[0].basis(table=part)[1],
    )


def _best(rehearsals: Sequence[Rehearsal]) -> tuple[tuple[float, int], Floats]:
    """Choose what predicted the late rows best, share and number of trees; with its residuals: (late rows of all,)."""
    residuals = np.concatenate([r.residuals for r in rehearsals], axis=1)
    best = int(np.argmin(np.abs(residuals).mean(axis=1)))
    return CHOICES[best], residuals[best]


def _lay(ground: Ground, known: Mask) -> Regression:
    return Regression.lay(table=ground.table, target=ground.target, listed=ground.listed, known=known)


def _grow(
    ground: Ground, line: Regression, known: Mask, held: Sequence[dict[str, Floats]], share: float, trees: int
) -> resale.Location:
    """Grow trees on what a share of the equation leaves of the known rows, each as if it had not been seen."""
    rows = np.flatnonzero(known)
    part = ground.table[rows]
    location = resale.Location(
        listed=ground.listed,
        equation=line.equation,
        trees=None,
        sales=dict(part["model"].drop_nulls().value_counts().iter_rows()),
        share=share,
    )
    goal = ground.target - _said(ground, held, share)
    signs = {"+": 1, "-": -1, "none": 0}
    parameters = {
        **PARAMETERS,
        "monotone_constraints": [signs[f.direction] for f in location.seen],
        "seed": ground.seed,
        "num_threads": ground.threads,
    }
    matrix = location.tree_matrix(devices=location.equation.encode(table=part))
    names = [f.name for f in location.seen]
    data = lgb.Dataset(
        matrix, goal[rows], weight=line.weights[rows], feature_name=names, params={"verbosity": -1}
    )
    return dataclasses.replace(location, trees=lgb.train(parameters, data, num_boost_round=trees))


def _held(ground: Ground, line: Regression, known: Mask) -> list[dict[str, Floats]]:
    """What the equation says of all rows, feature by feature, without having seen each fold of them."""
    devices = line.equation.encode(table=ground.table)
    return [equation.contributions(devices=devices) for equation in line.held(known, ground.folds)]


def _said(ground: Ground, held: Sequence[dict[str, Floats]], share: float) -> Floats:
    """What a share of the equation says of each row when it has not seen it: (n,)."""
    leaned = [resale.leaned(shares=shares, listed=ground.listed, share=share) for shares in held]
    said = np.array([sum(shares.values()) for shares in leaned])
    return np.asarray(said[ground.folds, np.arange(len(ground.folds))])
