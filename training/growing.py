"""Grows the anchor: trees in folds of models, on what the equation leaves to be told by the looks of a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.regression import Regression
from training.settings import Settings
from valuation.anchor import FOLD, Anchor
from valuation.encoding import Encoded
from valuation.features import Feature

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

FOLDS = 5
MOST_TREES, PATIENCE = 400, 30
PARAMETERS: Mapping[str, Any] = {
    "objective": "regression",
    "metric": "l1",
    "min_data_per_group": 10,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "monotone_constraints_method": "intermediate",
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def fold(*, table: pl.DataFrame, sales: pl.DataFrame, rng: np.random.Generator) -> Whole:
    """Deal sales into folds, every sale of one model, or else of one device, into the same: (n,)."""
    told = pl.concat([table.select("model"), sales.select("unit_id", "sale_id")], how="horizontal")
    codes = told.select(_number(pl.coalesce("model", "unit_id", "sale_id"))).to_series().to_numpy()
    return np.asarray((rng.permutation(int(codes.max()) + 1) % FOLDS)[codes])


def deal(table: pl.DataFrame, rng: np.random.Generator) -> dict[str, Whole]:
    """Deal what may be a stranger into folds, where there are two at least: {category: (n,)}, -1 for no fold.

    A market leaves another one of its currency behind.
    """
    dealt = {}
    for name in ("brand", "channel"):
        code = table.select(_number(pl.col(name))).to_series().to_numpy()
        dealt[name] = np.where(code < 0, -1, (rng.permutation(max(code.max(), 0) + 1) % FOLDS)[code])
    alone = pl.col("market").n_unique().over("currency") < 2
    market = pl.when(~alone).then(_number(pl.col("market")).over("currency") % FOLDS).otherwise(-1)
    dealt["market"] = table.select(market).to_series().to_numpy()
    return {name: folds for name, folds in dealt.items() if len(np.unique(folds[folds >= 0])) > 1}


def _number(column: pl.Expr) -> pl.Expr:
    """Number the words from 0 on, -1 for null."""
    return (column.rank("dense").cast(pl.Int64) - 1).fill_null(-1)


def grow(
    *,
    table: pl.DataFrame,
    target: Floats,
    plain: Regression,
    listed: Sequence[Feature],
    folds: Whole,
    settings: Settings,
    seed: int,
    threads: int,
) -> tuple[Anchor, Floats]:
    """Grow the anchor on log prices `target` (n,); tell it, and what it says of each row: (n,).

    `plain` is the equation without an anchor: what it says of grade, market, time and model is taken off first.
    Without models in two folds at least there are no trees, and the anchor says 0.
    """
    seen = tuple(feature for feature in listed if feature.trees)
    devices = plain.equation.encode(table=table)
    shares = plain.equation.contributions(devices=devices)
    goal = target - sum(part for name, part in shares.items() if name not in {f.name for f in seen})
    goal -= np.median(goal)
    bare = Anchor(seen=seen, trees=(), folds={})
    matrix = bare.matrix(devices=devices)
    parameters = {
        **PARAMETERS,
        "learning_rate": settings.learning_rate,
        "num_leaves": settings.leaves,
        "min_data_in_leaf": settings.least_rows,
        "lambda_l2": settings.leaf_penalty,
        "feature_fraction": settings.features,
        "monotone_constraints": [f.sign for f in seen],
        "seed": seed,
        "num_threads": threads,
    }
    numbers = np.unique(folds)
    trees = tuple(
        _grown(seen, matrix, goal, plain.weights, folds == number, parameters)
        for number in (numbers if len(numbers) > 1 else [])
    )
    dealt = np.searchsorted(numbers, folds)
    models = pl.DataFrame({"model": table["model"], "fold": dealt}).drop_nulls().unique("model")
    anchor = Anchor(seen=seen, trees=trees, folds=dict(models.sort("model").iter_rows()))
    folded = Encoded(rows=devices.rows, numbers=devices.numbers, codes={**devices.codes, FOLD: dealt})
    return anchor, anchor.predict(devices=folded)


def _grown(
    seen: Sequence[Feature],
    matrix: Floats,
    goal: Floats,
    weights: Floats,
    watched: Mask,
    parameters: Mapping[str, Any],
) -> lgb.Booster:
    """Grow trees on the rows that are not watched, as long as those that are gain from it."""
    learned = lgb.Dataset(
        matrix[~watched],
        goal[~watched],
        weight=weights[~watched],
        feature_name=[f.name for f in seen],
        categorical_feature=[f.name for f in seen if f.kind == "category"],
        params={"verbosity": -1},
    )
    held = learned.create_valid(matrix[watched], goal[watched], weight=weights[watched])
    stop = lgb.early_stopping(PATIENCE, verbose=False)
    trees = lgb.train(dict(parameters), learned, MOST_TREES, valid_sets=[held], callbacks=[stop])
    return lgb.Booster(model_str=trees.model_to_string(num_iteration=trees.best_iteration))
