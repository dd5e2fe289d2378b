"""The simple ways of valuing a device that an appraiser must beat on the same sales: one table, name -> function.

Each learns from the good rows `train` of SALES and values the rows `test`, in the same columns, without a look at
their prices: (test rows,), in major units of each row's currency, never null.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import linalg, sparse

from valuation import features, vocabulary
from valuation.ledger import Attribute

Floats = NDArray[np.float64]
Baseline = Callable[[pl.DataFrame, pl.DataFrame, Mapping[str, Attribute]], Floats]

RECENT_DAYS = 28
# What a device is compared with, narrowest first; prices of two markets are compared only where nothing else is known.
RUNGS = (
    ("market", "category", "model", "storage_log2", "grade_rank"),
    ("market", "category", "model", "storage_log2"),
    ("market", "category", "model"),
    ("market", "category", "brand"),
    ("market", "category"),
    ("market",),
    ("everything",),
)
ONE_HOT = ("market", "category", "brand", "grade")
RIDGE = 1e-6  # per row, so that columns that say the same do not stop the solver
THREADS = 1  # two that wait for each other on a busy machine are slower, many times so


def model_median(train: pl.DataFrame, test: pl.DataFrame, attributes: Mapping[str, Attribute]) -> Floats:
    """Take the median price of the same model, storage and grade in the last 28 days, else ever, else a rung up."""
    recent = pl.col("day") > pl.col("day").max().over("everything") - RECENT_DAYS
    sold, asked = _tables(train, test, attributes)
    sold = sold.with_columns(train["price"], recent=recent)
    median = pl.col("price").median()
    return _up_the_rungs(asked, [(sold.filter("recent"), median), (sold, median)])


def last_sale(train: pl.DataFrame, test: pl.DataFrame, attributes: Mapping[str, Attribute]) -> Floats:
    """Take the price of the newest sale of the same model, storage and grade, else of the next rung up."""
    sold, asked = _tables(train, test, attributes)
    newest = pl.col("price").sort_by("day", "sale_id").last()
    return _up_the_rungs(asked, [(sold.with_columns(train["price"], train["sale_id"]), newest)])


def _tables(
    train: pl.DataFrame, test: pl.DataFrame, attributes: Mapping[str, Attribute]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Write the features of the appraiser for the day of each sale, with the launch facts that an appraiser has."""
    known = vocabulary.facts(known=vocabulary.of_sales(sales=train, attributes=attributes))

    def written(sales: pl.DataFrame) -> pl.DataFrame:
        asked = vocabulary.complete(devices=sales.with_columns(on=pl.col("sold_on")), known=known)
        return features.table(devices=asked, attributes=attributes).with_columns(everything=pl.lit(1))

    return written(train), written(test)


def _up_the_rungs(asked: pl.DataFrame, statistics: Sequence[tuple[pl.DataFrame, pl.Expr]]) -> Floats:
    """Value the rows asked by the first statistic that is known on the narrowest rung: (rows,)."""
    found = asked.with_columns(value=pl.lit(None, pl.Float64))
    for rung in RUNGS:
        for rows, statistic in statistics:
            values = rows.group_by(rung).agg(statistic.alias("next"))
            joined = found.join(values, on=rung, how="left", nulls_equal=True, maintain_order="left")
            found = joined.with_columns(pl.coalesce("value", "next").alias("value")).drop("next")
    return found["value"].to_numpy()


def linear_hedonic(train: pl.DataFrame, test: pl.DataFrame, attributes: Mapping[str, Attribute]) -> Floats:
    """Fit least squares of log price: numbers, markers of missing ones, one-hot groups, a straight line in time.

    Nothing is pooled. A value stays within the prices that were seen, or a far device would break the exponential.
    """
    known, asked = _tables(train, test, attributes)
    target = train["price"].log().to_numpy()
    matrix = _design(known, known, attributes)
    gram = np.asarray((matrix.T @ matrix).todense()) + RIDGE * train.height * np.eye(matrix.shape[1])
    coefficients = linalg.solve(gram, matrix.T @ (target - target.mean()), assume_a="pos")
    fitted = target.mean() + _design(known, asked, attributes) @ coefficients
    return np.asarray(np.exp(np.clip(fitted, target.min(), target.max())))


def _design(
    known: pl.DataFrame, rows: pl.DataFrame, attributes: Mapping[str, Attribute]
) -> sparse.csr_matrix:
    """Write the design of `rows` (n, p), scaled and coded as `known` says."""
    listed = features.declared(attributes=attributes)
    numbers = [f.name for f in listed if f.kind == "number" and f.name != "grade_rank"]
    ones = np.ones((rows.height, 1))
    columns = [ones, *(_scaled(known[name], rows[name]) for name in [*numbers, "day"])]
    columns += [_one_hot(known[name], rows[name]) for name in ONE_HOT]
    return sparse.hstack([sparse.csr_matrix(column) for column in columns]).tocsr()


def _scaled(known: pl.Series, values: pl.Series) -> Floats:
    """Standardise a number, its mean where it is missing, and mark that: (n, 2)."""
    told = known.drop_nulls().cast(pl.Float64).to_numpy()
    mean, spread = (told.mean(), told.std() or 1.0) if len(told) else (0.0, 1.0)
    scaled = ((values.cast(pl.Float64) - mean) / spread).fill_null(0.0)
    return np.column_stack([scaled.to_numpy(), values.is_null().cast(pl.Float64).to_numpy()])


def _one_hot(known: pl.Series, values: pl.Series) -> sparse.csr_matrix:
    """Mark the member of each row, (n, members known); a row of zeros for one that is not known."""
    codes = _codes(known, values)
    told = np.flatnonzero(~np.isnan(codes))
    place = (told, codes[told].astype(np.int64))
    return sparse.csr_matrix((np.ones(len(told)), place), shape=(len(values), known.drop_nulls().n_unique()))


def plain_lightgbm(train: pl.DataFrame, test: pl.DataFrame, attributes: Mapping[str, Attribute]) -> Floats:
    """Fit LightGBM as it comes to the log price: every feature of the appraiser, the model too, and the day."""
    known, asked = _tables(train, test, attributes)
    listed = features.declared(attributes=attributes)
    categories = [f.name for f in listed if f.kind == "category"]
    names = [*(f.name for f in listed), "day"]
    data = lgb.Dataset(
        np.column_stack([_plain(known[name], known[name]) for name in names]),
        train["price"].log().to_numpy(),
        feature_name=names,
        categorical_feature=categories,
        params={"verbosity": -1},
    )
    settings = {"objective": "regression", "deterministic": True, "force_row_wise": True}
    trees = lgb.train({**settings, "num_threads": THREADS, "verbosity": -1}, data)
    fitted = trees.predict(np.column_stack([_plain(known[name], asked[name]) for name in names]))
    return np.asarray(np.exp(fitted))


def _plain(known: pl.Series, values: pl.Series) -> Floats:
    """Write a number as it is and a category by its place among those known: (n,), NaN where there is none."""
    if known.dtype == pl.String:
        return _codes(known, values)
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _codes(known: pl.Series, values: pl.Series) -> Floats:
    members = known.drop_nulls().unique().sort()
    if not len(members):
        return np.full(len(values), np.nan)
    codes = values.replace_strict(members, range(len(members)), default=None, return_dtype=pl.Float64)
    return codes.fill_null(float("nan")).to_numpy()


BASELINES: Mapping[str, Baseline] = MappingProxyType(
    {
        "model_median": model_median,
        "last_sale": last_sale,
        "linear_hedonic": linear_hedonic,
        "plain_lightgbm": plain_lightgbm,
    }
)
