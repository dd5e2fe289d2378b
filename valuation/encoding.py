"""Features as arrays: what the equation, the trees and the spread compute with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation.rows import Table

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

UNKNOWN = -1
AT_ONCE = 2_048  # rows: what is reckoned of so many fits a processor's cache


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

    def parts(self) -> Iterator[Encoded]:
        """The rows in order, AT_ONCE at a time; one part where there are none."""
        for first in range(0, max(self.rows, 1), AT_ONCE):
            yield self if self.rows <= AT_ONCE else self.at(slice(first, min(first + AT_ONCE, self.rows)))

    def at(self, rows: slice) -> Encoded:
        """Some of the rows."""
        return Encoded(
            rows=rows.stop - rows.start,
            numbers={name: values[rows] for name, values in self.numbers.items()},
            codes={name: values[rows] for name, values in self.codes.items()},
        )


def encode(*, table: Table, members: Mapping[str, Mapping[str, int]]) -> Encoded:
    """Turn a table of features into arrays: text by the codes of `members`, everything else as numbers.

    A text column without members has no codes.
    """
    if not isinstance(table, pl.DataFrame):
        return _few(table, members)
    texts = [name for name, kind in table.schema.items() if kind == pl.String]
    numbers = table.select(pl.exclude(pl.String).cast(pl.Float64).fill_null(float("nan")))
    matrix = np.asfortranarray(numbers.to_numpy())
    return Encoded(
        rows=table.height,
        numbers={name: matrix[:, column] for column, name in enumerate(numbers.columns)},
        codes={name: coded(values=table[name], members=members[name]) for name in texts if name in members},
    )


def _few(table: Mapping[str, Sequence[Any]], members: Mapping[str, Mapping[str, int]]) -> Encoded:
    """The same of lists: what holds a text, or is coded, is no number."""
    texts = {name for name, told in table.items() if name in members or any(isinstance(v, str) for v in told)}
    names = [name for name in table if name not in texts]
    matrix = np.array([table[name] for name in names], dtype=np.float64)  # None is NaN
    return Encoded(
        rows=len(next(iter(table.values()))),
        numbers=dict(zip(names, matrix, strict=True)),
        codes={name: coded(values=table[name], members=members[name]) for name in texts & members.keys()},
    )


def coded(*, values: pl.Series | Sequence[Any], members: Mapping[str, int]) -> Codes:
    """Tell the code of each word, UNKNOWN where it has none: (n,)."""
    if not isinstance(values, pl.Series):
        return np.array([members.get(word, UNKNOWN) for word in values], dtype=np.int64)
    if not members:
        return np.full(len(values), UNKNOWN, dtype=np.int64)
    return (
        values.replace_strict(members, default=UNKNOWN, return_dtype=pl.Int64).fill_null(UNKNOWN).to_numpy()
    )


def told(*, values: pl.Series | Sequence[object]) -> NDArray[np.bool_]:
    """Tell which values are there: (n,)."""
    if isinstance(values, pl.Series):
        return values.is_not_null().to_numpy()
    return np.array([value is not None for value in values])
