"""The worksheet: a hedonic equation laid out so that many devices are reckoned in a few strokes, at every grade.

Terms of the same categories have one row for each combination of members, across all columns: the segments of every
line, and a level for every feature. The rows of a device are added up, cut where a slope has the wrong sign, and
multiplied by its heights.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from operator import mul

import numpy as np
from numpy.typing import NDArray

from valuation.block import Block, Rows
from valuation.encoding import Encoded
from valuation.grades import Grade

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Codes = Mapping[str, Mapping[str, int]]
Term = tuple[Block, Floats]
Part = tuple[str, str]  # the number of a line, or else the feature of a level

GRADE, RANK = "grade", "grade_rank"  # what is told of the grade, as a category and as a number
# Numbers that differ from grade to grade: RANK itself, and of the scales (see Spread) the value and its doubt.
BY_GRADE = (RANK, "value_log", "doubt_log")
RANKS = np.array([[float(grade) for grade in Grade]])
DOUBT: Part = ("", "")
NONE = np.empty(0, dtype=np.int64)
FEW = 64  # devices, whose rows are added up at once


class Columns:
    """The columns of a sheet: what no grade touches, the doubt, those of which a grade moves the slope, and
    last those along numbers BY_GRADE.

    Each has a height: how far `number`, the place of a line, is on its way from `low` to `high`, in steps of `unit`;
    of a level always 1, of the doubt 0.
    """

    def __init__(self, blocks: Sequence[Block]) -> None:
        parts: dict[Part, list[Block]] = {}
        for block in blocks:
            if not block.knots:
                parts.setdefault(part_of(block), []).append(block)
        touch = {part: _touch(some) for part, some in parts.items()} | {DOUBT: 0.5}
        self.parts = sorted(touch, key=lambda part: touch[part])
        self.lines = [parts[part][0] for part in self.parts if part[0]]
        places = {line.number: place for place, line in enumerate(self.lines)}
        columns = [_columns(parts[part][0] if part in parts else None, places) for part in self.parts]
        self.starts = np.cumsum([0, *map(len, columns)])
        self.of = {part: slice(*ends) for part, ends in zip(self.parts, pairwise(self.starts), strict=True)}
        low, high, unit, sign, number = np.array([column for some in columns for column in some]).T
        self.low, self.high, self.unit, self.number = low, high, unit, number.astype(np.int64)
        self.least, self.most = np.where(sign > 0, 0.0, -np.inf), np.where(sign < 0, 0.0, np.inf)
        self.doubt, self.width = int(self.of[DOUBT].start), len(low)
        self.rising = int(self.starts[sum(found < 2 for found in touch.values())])
        self.varying = [line for line in self.lines if line.number in BY_GRADE]

    def heights(self, devices: Encoded) -> Floats:
        """The heights of each device: (n, width); of no use where a number is told by grade only."""
        ones = np.ones(devices.rows)
        told = np.array([*(devices.numbers.get(line.number, ones) for line in self.lines), ones])
        untold = np.isnan(told)
        if untold.any():
            for place in np.flatnonzero(untold.any(axis=1)):
                told[place] = self.lines[place].told(devices)
        return self._along(told.T.take(self.number, axis=1))

    def varying_heights(self, numbers: Mapping[str, Floats]) -> Floats:
        """The heights of the last columns, of numbers BY_GRADE (n, grades) each: (n, grades, columns)."""
        told = np.empty((*next(iter(numbers.values())).shape, len(self.varying)))
        for place, line in enumerate(self.varying):
            told[:, :, place] = np.where(np.isnan(numbers[line.number]), line.fill, numbers[line.number])
        places = self.number[self.rising :] - (len(self.lines) - len(self.varying))
        return self._along(told.take(places, axis=2), self.rising)

    def _along(self, told: Floats, first: int = 0) -> Floats:
        np.maximum(told, self.low[first:], out=told)
        np.minimum(told, self.high[first:], out=told)
        told -= self.low[first:]
        told /= self.unit[first:]
        return told

    def cut(self, slopes: Floats, first: int, last: int) -> Floats:
        """Cut the slopes (..., columns) of the columns from the first to before the last to their signs, in place."""
        np.maximum(slopes, self.least[first:last], out=slopes)
        return np.minimum(slopes, self.most[first:last], out=slopes)


def part_of(block: Block) -> Part:
    """The part of the sheet that a block belongs to."""
    return (block.number, block.number) if block.number else ("", block.feature)


def _touch(blocks: Sequence[Block]) -> float:
    """How the grade touches a part: 0 not at all, 1 its rows, 2 its heights."""
    return 2 if blocks[0].number in BY_GRADE else float(any(GRADE in block.by for block in blocks))


def _columns(block: Block | None, places: Mapping[str, int]) -> list[tuple[float, ...]]:
    """(low, high, unit, sign, place of the number) of each column; that of the ones is the last."""
    if block is None or not block.number:
        return [(0.0, 0.0 if block is None else 1.0, 1.0, 0, -1)]
    told = (block.unit, block.sign, places[block.number])
    return [(low, high, *told) for low, high in pairwise(block.edges)]


class Group:
    """The rows of terms of the same categories that are there for the same devices: (rows, columns).

    `table` tells the row of each combination of members; that of a device is number `strides` x its codes. Of terms
    that are there where a number is missing, those who told it have a row of zeros. `walks` has the levels of each walk
    by row: (rows, knots).
    """

    def __init__(
        self, terms: Sequence[Term], columns: Columns, codes: Codes, sizes: Mapping[str, int]
    ) -> None:
        shared = terms[0][0]
        names = (*shared.by, shared.missing) if shared.missing else shared.by
        strides = dict(zip(reversed(names), _products(sizes[name] for name in reversed(names)), strict=False))
        self.strides = [strides.get(name, 0) for name in sizes]
        places = np.array([_places(block, codes) for block, _ in terms])
        met, table = np.unique(places, axis=1, return_inverse=True)
        self.table = table.ravel()
        self.values = np.zeros((met.shape[1], columns.width))
        self.walks: list[Term] = []
        for (block, values), rows in zip(terms, met, strict=True):
            found = np.vstack([values, np.zeros((2, block.width))])[rows]
            if block.knots:
                self.walks.append((block, found))
                continue
            self.values[:, columns.of[part_of(block)]] += found
            if block.by and not block.number:
                self.values[:, columns.doubt] += (rows == len(block.members)) * block.spread**2


def _products(sizes: Iterable[int]) -> list[int]:
    """1, and the products of the first of some sizes, of the first two ..."""
    return list(accumulate(sizes, mul, initial=1))


def _places(block: Block, codes: Codes) -> Whole:
    """The row of the coefficients of a block for every combination of members: the last but one for the unknown, the
    last where a number is not missing.
    """
    table = Rows(block, codes).table
    if not block.missing:
        return table
    return np.column_stack([np.full_like(table, len(block.members) + 1), table]).ravel()


class Stack:
    """The rows of groups, one group upon the other; a device is in one row of each."""

    def __init__(self, groups: Sequence[Group], inputs: int, width: int) -> None:
        self.strides = np.array([group.strides for group in groups], dtype=np.int64).reshape(-1, inputs)
        self.cells = np.cumsum([0, *(len(group.table) for group in groups)])[:-1, None]
        self.starts = np.cumsum([0, *(len(group.values) for group in groups)])[:-1]
        self.table = np.concatenate(
            [group.table + at for group, at in zip(groups, self.starts, strict=True)] or [NONE]
        )
        self.values = np.concatenate([np.empty((0, width)), *(group.values[:, -width:] for group in groups)])

    def rows(self, inputs: Whole) -> Whole:
        """The rows of each device, from its codes (inputs, n): (groups, n)."""
        return np.asarray(self.table.take(self.strides @ inputs + self.cells))

    def added(self, rows: Whole) -> Floats:
        """What rows (groups, ...) add up to: (..., columns)."""
        if rows[0:1].size <= FEW:
            return np.asarray(self.values.take(rows, axis=0).sum(axis=0))
        found = np.asarray(self.values.take(rows[0], axis=0))
        for more in rows[1:]:
            found += self.values.take(more, axis=0)
        return found


class Walks:
    """The walks of the groups of a stack: their levels, one after the other."""

    def __init__(self, groups: Sequence[Group], starts: Whole) -> None:
        told = [(place, block, levels) for place, group in enumerate(groups) for block, levels in group.walks]
        self.group = np.array([place for place, _, _ in told], dtype=np.int64)
        start, step, knots = (
            np.array([(b.start, b.step_days, b.knots) for _, b, _ in told]).reshape(-1, 3).T[:, :, None]
        )
        self.start, self.step, self.knots = start, step, knots
        sizes = np.cumsum([0, *(levels.size for _, _, levels in told)])[:-1, None]
        self.first = sizes - starts[self.group][:, None] * knots
        self.levels = np.concatenate([np.empty(0), *(levels.ravel() for _, _, levels in told)])

    def value(self, days: Floats, rows: Whole) -> Floats:
        """What they add on a day (n,) to a device of these rows (groups, n): (n,)."""
        along = np.minimum(np.maximum((days - self.start) / self.step, 0), self.knots - 1)
        before = np.minimum(along.astype(np.int64), self.knots - 2)
        along -= before
        at = self.first + rows[self.group] * self.knots + before
        here, there = self.levels.take(at), self.levels.take(at + 1)
        return np.asarray((here + along * (there - here)).sum(axis=0))


class Worksheet:
    """An equation laid out. All that is asked of it is asked of few devices: see Encoded.parts."""

    def __init__(self, blocks: Sequence[Block], coefficients: Sequence[Floats], codes: Codes) -> None:
        self.columns = Columns(blocks)
        self.walked = {block.feature for block in blocks if block.knots}
        self.order = tuple(dict.fromkeys(block.number or block.feature for block in blocks))
        self.codes = tuple(codes)
        self.missing = tuple(sorted({block.missing for block in blocks} - {""}))
        sizes = {name: len(members) + 1 for name, members in codes.items()} | dict.fromkeys(self.missing, 2)
        groups: dict[tuple[tuple[str, ...], str], list[Term]] = {}
        for block, values in zip(blocks, coefficients, strict=True):
            groups.setdefault((block.by, block.missing), []).append((block, values))
        laid = {key: Group(terms, self.columns, codes, sizes) for key, terms in groups.items()}
        still = [group for (by, _), group in laid.items() if GRADE not in by]
        moved = [group for (by, _), group in laid.items() if GRADE in by]
        if any(group.walks for group in moved):
            raise ValueError("A walk by grade cannot be reckoned: see WALKS of training/layout.py.")
        self.still = Stack(still, len(sizes), self.columns.width)
        self.moved = Stack(moved, len(sizes), self.columns.width - self.columns.doubt)
        self.walks = Walks(still, self.still.starts)
        grades = codes.get(GRADE, {})
        words = [(grade.name, str(int(grade))) for grade in Grade]  # of the location, and of the scales
        self.grades = np.array([max(grades.get(word, -1) for word in either) + 1 for either in words])

    def value(self, devices: Encoded) -> Floats:
        """The log price of each device: (n,)."""
        slopes, rows = self._slopes(devices)
        slopes = self.columns.cut(slopes, 0, self.columns.width)
        said = np.einsum("nc,nc->n", slopes, self.columns.heights(devices))
        return np.asarray(said + self._walked(devices, rows))

    def shares(self, devices: Encoded) -> dict[str, Floats]:
        """The same by feature: (n,) each."""
        slopes, rows = self._slopes(devices)
        said = self.columns.cut(slopes, 0, self.columns.width) * self.columns.heights(devices)
        shares = dict.fromkeys(self.order, np.zeros(devices.rows))
        by_part = np.add.reduceat(said, self.columns.starts[:-1], axis=1)
        for part, share in zip(self.columns.parts, by_part.T, strict=True):
            if part != DOUBT:
                shares[part[1]] = shares[part[1]] + share
        for name in self.walked:
            shares[name] = shares[name] + self._walked(devices, rows)
        return shares

    def doubt(self, devices: Encoded) -> Floats:
        """The variance of the levels that have not been met: (n,)."""
        return self._slopes(devices)[0][:, self.columns.doubt]

    def at_every_grade(self, devices: Encoded, numbers: Mapping[str, Floats]) -> tuple[Floats, Floats]:
        """The log price of each device at every grade, and the doubt there, by numbers BY_GRADE: (n, grades) all."""
        columns, inputs, heights = self.columns, self._inputs(devices), self.columns.heights(devices)
        rows, first, last = self.still.rows(inputs), self.columns.doubt, self.columns.rising
        slopes = self.still.added(rows)
        still = np.einsum("nc,nc->n", columns.cut(slopes[:, :first], 0, first), heights[:, :first])
        moved = self.moved.added(self._rows_at_every_grade(inputs)) + slopes[:, None, first:]
        doubt = moved[:, :, 0].copy()
        columns.cut(moved, first, columns.width)
        said = np.einsum("ngc,nc->ng", moved[:, :, : last - first], heights[:, first:last])
        if columns.varying:
            said += np.einsum("ngc,ngc->ng", moved[:, :, last - first :], columns.varying_heights(numbers))
        return said + (still + self._walked(devices, rows))[:, None], doubt

    def _rows_at_every_grade(self, inputs: Whole) -> Whole:
        """The rows of what the grade moves: (groups, n, grades)."""
        if GRADE not in self.codes:
            return np.empty((0, inputs.shape[1], len(Grade)), dtype=np.int64)
        grade = self.codes.index(GRADE)
        own = inputs.copy()
        own[grade] = 0
        cells = (self.moved.strides @ own + self.moved.cells)[:, :, None]
        return np.asarray(
            self.moved.table.take(cells + self.moved.strides[:, grade, None, None] * self.grades)
        )

    def _inputs(self, devices: Encoded) -> Whole:
        """The codes of each device, from 0 for the unknown, and which numbers are missing: (inputs, n)."""
        told = np.array([devices.codes[name] for name in self.codes], dtype=np.int64)
        told = told.reshape(len(self.codes), devices.rows) + 1
        if not self.missing:
            return told
        return np.concatenate([told, np.isnan([devices.numbers[name] for name in self.missing])])

    def _slopes(self, devices: Encoded) -> tuple[Floats, Whole]:
        """What the rows of each device add up to (n, columns), the doubt among it; and the rows that stand still."""
        inputs = self._inputs(devices)
        rows = self.still.rows(inputs)
        slopes = self.still.added(rows)
        slopes[:, self.columns.doubt :] += self.moved.added(self.moved.rows(inputs))
        return slopes, rows

    def _walked(self, devices: Encoded, rows: Whole) -> Floats | float:
        return self.walks.value(devices.numbers["day"], rows) if self.walked else 0.0
