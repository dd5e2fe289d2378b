"""Rows: records of arrays that have one entry for each of n things."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]
Table = pl.DataFrame | Mapping[str, Sequence[Any]]  # columns of n things; of few, as lists, which cost less


class Rows:
    """A dataclass of arrays (n, ...), of tables of such, and of other Rows; what else it holds is for all rows."""

    def at(self, rows: Whole | Mask | slice) -> Self:
        """Some of the rows, by number, mask or slice."""
        some: Self = _each([self], lambda arrays: arrays[0][rows])
        return some

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The rows of all parts, one part after the other."""
        every: Self = _each(parts, np.concatenate)
        return every


def _each(parts: Sequence[Any], made: Callable[[list[Any]], Any]) -> Any:
    """The first part, with everything that has rows made of what all parts have in its place."""
    values = {field.name: [getattr(part, field.name) for part in parts] for field in fields(parts[0])}
    return replace(parts[0], **{name: _made(of, made) for name, of in values.items()})


def _made(of: list[Any], made: Callable[[list[Any]], Any]) -> Any:
    if isinstance(of[0], Rows):
        return _each(of, made)
    if isinstance(of[0], dict):
        return {name: made([table[name] for table in of]) for name in of[0]}
    return made(of) if isinstance(of[0], np.ndarray) else of[0]
