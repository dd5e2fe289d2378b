"""The peers outside the product: boosters of other makers and a tuned LightGBM, on the appraiser's own features.

Each is fitted to the log price on one thread, with its own way with categories. Which of its losses suits, and how many
rounds pay, is seen on the last of the early rows; then it is fitted to all that it may know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.judge.cases import Case
from valuation import features, vocabulary
from valuation.ledger import Attribute

Floats = NDArray[np.float64]
Value = Callable[[pl.DataFrame, pl.DataFrame], Floats]  # known rows of SALES, rows to value -> major units

MOST_ROUNDS = 3000
PATIENCE = 100  # rounds without a gain
MOST_CATEGORIES = 254  # that HistGradientBoosting takes as they are; an encoding of their mean price above
SEED = 1
OF_OTHER_ROWS = ("newer",)  # features that a row does not tell by itself


@dataclass(frozen=True)
class Table:
    """Features of n rows and their log price (n,); `categories` names the columns of text."""

    columns: pl.DataFrame
    target: Floats
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Grown:
    """A booster: the rounds that paid, and how it tells the log price (n,) of a table."""

    rounds: int
    predict: Callable[[Table], Floats]


Grow = Callable[
    [Table, "Table | None", int, str], Grown
]  # known, watched to see when to stop, most rounds, loss


@dataclass(frozen=True)
class Booster:
    """How it grows, and the losses it may choose from, the names being its own."""

    grow: Grow
    losses: tuple[str, ...]


def table(sales: pl.DataFrame, attributes: Mapping[str, Attribute]) -> Table:
    """Write what plain LightGBM sees too: every feature of the appraiser, and the day."""
    devices = vocabulary.complete(devices=sales.with_columns(on=pl.col("sold_on")), known=vocabulary.facts())
    listed = features.declared(attributes=attributes)
    return Table(
        columns=features.table(devices=devices, attributes=attributes).drop(OF_OTHER_ROWS),
        target=sales["price"].log().to_numpy(),
        categories=tuple(f.name for f in listed if f.kind == "category"),
    )


def rehearsed(booster: Booster, case: Case) -> Value:
    """Choose loss and rounds by the mean error in log price on the watched rows, and grow so from then on."""
    first, watched = (table(rows, case.attributes) for rows in case.rehearsal)
    tried = {loss: booster.grow(first, watched, MOST_ROUNDS, loss) for loss in booster.losses}
    errors = {loss: float(np.abs(g.predict(watched) - watched.target).mean()) for loss, g in tried.items()}
    best = min(errors, key=lambda loss: errors[loss])
    rounds = tried[best].rounds

    def value(known: pl.DataFrame, asked: pl.DataFrame) -> Floats:
        grown = booster.grow(table(known, case.attributes), None, rounds, best)
        return np.exp(grown.predict(table(asked, case.attributes)))

    return value


@dataclass(frozen=True)
class Codes:
    """Numbers for the members of each category, by the rows that are known."""

    members: Mapping[str, pl.Series]

    @staticmethod
    def of(known: Table) -> Codes:
        """Number the members in the order of their names."""
        texts = ((name, known.columns[name].drop_nulls()) for name in known.categories)
        return Codes({name: column.unique().sort() for name, column in texts})

    def matrix(self, told: Table, names: Sequence[str] = ()) -> Floats:
        """Write numbers as they are and members as their number, NaN where it is not known: (n, columns).

        Of these columns, or else of all.
        """
        return np.column_stack([self._column(told.columns[name]) for name in names or told.columns.columns])

    def _column(self, column: pl.Series) -> Floats:
        if column.name in self.members:
            members = self.members[column.name]
            places = pl.int_range(len(members), eager=True)
            column = column.replace_strict(members, places, default=None, return_dtype=pl.Float64)
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def tuned_lightgbm(known: Table, watched: Table | None, most: int, loss: str) -> Grown:
    """LightGBM at a lower rate, with sampled rows and columns and categories pulled to their mean."""
    codes = Codes.of(known)

    def data(told: Table) -> lgb.Dataset:
        named = {"feature_name": told.columns.columns, "categorical_feature": list(told.categories)}
        return lgb.Dataset(codes.matrix(told), told.target, params={"verbosity": -1}, **named)

    settings = {
        "objective": loss,
        "alpha": 0.3,  # of huber, in log price
        "metric": "l1",
        "learning_rate": 0.04,
        "num_leaves": 15,
        "min_data_in_leaf": 20,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "cat_smooth": 20.0,
        "cat_l2": 20.0,
        "seed": SEED,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }
    watching: dict[str, Any] = {}
    if watched:
        stop = lgb.early_stopping(PATIENCE, verbose=False)
        watching = {"valid_sets": [data(watched)], "callbacks": [stop]}
    trees = lgb.train(settings, data(known), most, **watching)
    return Grown(
        trees.best_iteration if watched else most, lambda told: np.asarray(trees.predict(codes.matrix(told)))
    )


def xgboost(known: Table, watched: Table | None, most: int, loss: str) -> Grown:
    """XGBoost by histograms, splitting categories by itself."""
    import xgboost as xgb

    codes = Codes.of(known)
    kinds = ["c" if name in known.categories else "q" for name in known.columns.columns]

    def data(told: Table) -> Any:
        return xgb.DMatrix(codes.matrix(told), told.target, feature_types=kinds, enable_categorical=True)

    settings = {
        "objective": loss,
        "eval_metric": "mae",
        "learning_rate": 0.05,
        "max_depth": 6,
        "min_child_weight": 5,
        "subsample": 0.8,
        "colsample_bytree": 0.6,
        "lambda": 5.0,
        "tree_method": "hist",
        "seed": SEED,
        "nthread": 1,
        "verbosity": 0,
    }
    watching = {"evals": [(data(watched), "late")], "early_stopping_rounds": PATIENCE} if watched else {}
    trees = xgb.train(settings, data(known), most, verbose_eval=False, **watching)
    rounds = trees.best_iteration + 1 if watched else most
    best = (0, rounds)
    return Grown(
        rounds, lambda told: np.asarray(trees.predict(data(told), iteration_range=best), dtype=np.float64)
    )


def catboost(known: Table, watched: Table | None, most: int, loss: str) -> Grown:
    """CatBoost with its own statistics of categories."""
    import catboost as cb

    def data(told: Table) -> Any:
        texts = told.columns.with_columns(pl.col(told.categories).fill_null("not known"))
        return cb.Pool(texts.to_pandas(), told.target, cat_features=list(told.categories))

    trees = cb.CatBoostRegressor(
        iterations=most,
        loss_function=loss,
        eval_metric="MAE",
        has_time=True,  # a category is known by the rows before: those known are in the order of their days
        learning_rate=0.05,
        depth=6,
        random_seed=SEED,
        thread_count=1,
        allow_writing_files=False,
        logging_level="Silent",
    )
    watching = {"eval_set": data(watched), "early_stopping_rounds": PATIENCE} if watched else {}
    trees.fit(data(known), **watching)
    return Grown(trees.tree_count_, lambda told: np.asarray(trees.predict(data(told), thread_count=1)))


def hist_gradient_boosting(known: Table, watched: Table | None, most: int, loss: str) -> Grown:
    """HistGradientBoosting of scikit-learn."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import TargetEncoder

    codes = Codes.of(known)
    names = [c.name for c in known.columns if c.null_count() < len(c)]  # it refuses a column without a value
    texts = [name for name in known.categories if name in names]
    wide = [names.index(name) for name in texts if len(codes.members[name]) > MOST_CATEGORIES]
    few = [place for place in map(names.index, texts) if place not in wide]
    encoder = TargetEncoder(target_type="continuous", cv=KFold(5, shuffle=True, random_state=SEED))
    matrix = codes.matrix(known, names)
    if wide:
        matrix[:, wide] = encoder.fit_transform(matrix[:, wide], known.target)

    def data(told: Table) -> Floats:
        told_matrix = codes.matrix(told, names)
        if wide:
            told_matrix[:, wide] = encoder.transform(told_matrix[:, wide])
        return told_matrix

    trees = HistGradientBoostingRegressor(
        loss=loss,
        max_iter=most,
        learning_rate=0.05,
        max_leaf_nodes=31,
        min_samples_leaf=20,
        l2_regularization=5.0,
        max_features=0.6,
        categorical_features=few,
        early_stopping=watched is not None,
        n_iter_no_change=PATIENCE,
        random_state=SEED,
    )
    watching = {"X_val": data(watched), "y_val": watched.target} if watched else {}
    trees.fit(matrix, known.target, **watching)
    rounds = int(np.argmax(trees.validation_score_)) or 1 if watched else most
    return Grown(rounds, lambda told: np.asarray(trees.predict(data(told))))


BOOSTERS: Mapping[str, Booster] = MappingProxyType(
    {
        "xgboost": Booster(xgboost, ("reg:squarederror", "reg:absoluteerror")),
        "catboost": Booster(catboost, ("RMSE",)),  # DECISIONS 52
        "hist_gradient_boosting": Booster(hist_gradient_boosting, ("squared_error", "absolute_error")),
        "tuned_lightgbm": Booster(tuned_lightgbm, ("huber", "regression")),
    }
)
