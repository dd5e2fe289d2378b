"""Features as arrays: what the equation, the trees and the spread compute with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

UNKNOWN = -1


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The features of n devices, (n,) each: numbers, NaN where not known, and codes of categories, else UNKNOWN."""

    rows: int
    numbers: Mapping[str, Floats]
    codes: Mapping[str, Codes]
    _cells: dict[tuple[tuple[str, ...], tuple[int, ...]], Codes] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def cell(self, *, by: tuple[str, ...], sizes: tuple[int, ...]) -> Codes:
        """Number the combination of members that each row has of the categories `by`: (n,).

        Each category has so many of `sizes`, the unknown one, which is the first, among them. Found once, as many
        terms of an equation ask for the same.
        """
        if (by, sizes) not in self._cells:
            cell = np.zeros(self.rows, dtype=np.int64)
            for size, name in zip(sizes, by, strict=True):
                cell = cell * size + self.codes[name] + 1
            self._cells[by, sizes] = cell
        return self._cells[by, sizes]

    def first(self) -> Encoded:
        """The first row alone."""
        return Encoded(
            rows=1,
            numbers={name: values[:1] for name, values in self.numbers.items()},
            codes={name: values[:1] for name, values in self.codes.items()},
        )

    def tiled(self, times: int) -> Encoded:
        """Repeat all rows this many times, one whole copy after the other."""
        return Encoded(
            rows=self.rows * times,
            numbers={name: np.concatenate([values] * times) for name, values in self.numbers.items()},
            codes={name: np.concatenate([values] * times) for name, values in self.codes.items()},
        )


def encode(*, table: pl.DataFrame, members: Mapping[str, Mapping[str, int]]) -> Encoded:
    """Turn a table of features into arrays: text by the codes of `members`, everything else as numbers.

    A text column without members has no codes.
    """
    if table.height == 1:
        return _one(table.row(0, named=True), members)
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    numbers = table.select(pl.exclude(pl.String).cast(pl.Float64).fill_null(float("nan")))
    matrix = np.asfortranarray(numbers.to_numpy())
    return Encoded(
        rows=table.height,
        numbers={name: matrix[:, column] for column, name in enumerate(numbers.columns)},
        codes={name: coded(values=table[name], members=members[name]) for name in texts if name in members},
    )


def _one(row: Mapping[str, Any], members: Mapping[str, Mapping[str, int]]) -> Encoded:
    """The same for a single row, where a pass over the table would cost more than all that follows."""
    texts = {name for name in row if name in members}
    return Encoded(
        rows=1,
        numbers={
            name: np.array([math.nan if value is None else value], dtype=np.float64)
            for name, value in row.items()
            if name not in texts and not isinstance(value, str)
        },
        codes={name: np.array([members[name].get(row[name], UNKNOWN)], dtype=np.int64) for name in texts},
    )


def coded(*, values: pl.Series, members: Mapping[str, int]) -> Codes:
    """Tell the code of each word, UNKNOWN where it has none: (n,)."""
    if len(values) == 1:
        return np.array([members.get(values[0], UNKNOWN)], dtype=np.int64)
    if not members:
        return np.full(len(values), UNKNOWN, dtype=np.int64)
    return (
        values.replace_strict(members, default=UNKNOWN, return_dtype=pl.Int64).fill_null(UNKNOWN).to_numpy()
    )


def told(*, values: pl.Series) -> NDArray[np.bool_]:
    """Tell which values are there: (n,)."""
    if len(values) == 1:
        return np.array([values[0] is not None])
    return values.is_not_null().to_numpy()
