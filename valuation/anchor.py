"""The anchor: what a device would sell for by its looks, had nobody met its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import encoding
from valuation.encoding import Encoded
from valuation.features import Feature

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

NAME = "anchor"
FOLD = "fold"  # the code of the trees that have not met a device's model
FEATURE = Feature(
    name=NAME,
    kind="number",
    direction="+",
    why="what its looks tell, beyond what each of them adds by itself",
    expr=pl.col(NAME),
    knots=(-6, 6),
    spread=1.0,
    varies_by={"category": 0.1},
    trees=False,
)


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """Boosted trees, each grown without the models of one fold; they see no model, grade, market or time.

    `seen` are their features in order; `folds` tells the trees that have not met a model. Those value it, so the
    anchor of a known model errs as that of an unknown one does, and the equation learns how far to trust it. A model
    that none has met is valued by the mean of all.
    """

    seen: tuple[Feature, ...]
    trees: tuple[lgb.Booster, ...]
    folds: Mapping[str, int]

    def matrix(self, *, devices: Encoded) -> Floats:
        """Write the inputs of the trees in the order of `seen`: (n, features), NaN where not known."""
        return np.column_stack(
            [
                devices.numbers[f.name]
                if f.kind == "number"
                else _or_nan(devices.codes.get(f.name), devices.rows)
                for f in self.seen
            ]
        )

    def predict(self, *, devices: Encoded) -> Floats:
        """Tell the anchor of each row, in log price but for grade, market and time: (n,); 0 without trees."""
        matrix, said = self.matrix(devices=devices), np.zeros(devices.rows)
        for trees, rows, share in self._of(devices.codes[FOLD]):
            said[rows] += share * trees.predict(matrix[rows], num_threads=1)
        return said

    def contributions(self, *, devices: Encoded) -> Floats:
        """Split the anchor of each row by feature, the constant last: (n, features + 1)."""
        matrix, said = self.matrix(devices=devices), np.zeros((devices.rows, len(self.seen) + 1))
        for trees, rows, share in self._of(devices.codes[FOLD]):
            split = np.asarray(trees.predict(matrix[rows], pred_contrib=True, num_threads=1))
            said[rows] += share[:, None] * split
        return said

    def _of(self, folds: Codes) -> Iterator[tuple[lgb.Booster, Codes, Floats]]:
        """Each of the trees, the rows that they value, and their share in each."""
        unknown = folds == encoding.UNKNOWN
        for fold, trees in enumerate(self.trees):
            rows = np.flatnonzero((folds == fold) | unknown)
            if len(rows):
                yield trees, rows, np.where(unknown[rows], 1 / len(self.trees), 1.0)


def _or_nan(codes: Codes | None, rows: int) -> Floats:
    """The codes as numbers, NaN where unknown; a category of which no member comes again has none."""
    return np.full(rows, np.nan) if codes is None else np.where(codes == encoding.UNKNOWN, np.nan, codes)
