"""The hedonic equation: log price as a pooled sum of lines, effects and walks through time.

A line cuts a number into segments; its slope in each may differ by the members of categories, and their sum is cut at
zero where it has the wrong sign, so the equation is monotone by construction. An effect is the level of a member, or of
a pair. A walk is a level that wanders from week to week: the price index of the market, and of its parts. Every
coefficient is pooled towards zero (a random effect), so a member with few sales borrows from what it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import encoding
from valuation.encoding import Encoded

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

DAYS_PER_WEEK = 7
MANY = 2_000  # devices, above which it pays to look for combinations that come again
BASE, MARKET_NOW = "base", "market_now"  # what the intercept and the walks add


@dataclass(frozen=True, kw_only=True)
class Block:
    """The coefficients of one term of the equation: (members, width), and what each is multiplied by.

    `by` names categories: each of `members` (one word for each) has a row of its own, and all share one where `by` is
    empty. A row holds the slope of each segment between `edges` of `number`, or one level without a number, or with
    `knots` the levels of a walk at `start`, `start` + `step_days` ... (days from 1970-01-01). With `missing`, the term
    is there only where that number is null. Contributions are told under `feature`; `spread` is the prior sd of a
    coefficient, of a walk that of a week's step; `unit` divides a number, `sign` is the direction of the whole line.
    For a null number stands `fill`, or what is `usual` at the number that it `wears_with`: points (that number, this).
    """

    feature: str
    spread: float
    by: tuple[str, ...] = ()
    members: tuple[tuple[str, ...], ...] = ((),)
    number: str = ""
    missing: str = ""
    edges: tuple[float, ...] = ()
    fill: float = 0.0
    wears_with: str = ""
    usual: tuple[tuple[float, float], ...] = ()
    unit: float = 1.0
    sign: int = 0
    start: int = 0
    step_days: int = 0
    knots: int = 0

    @property
    def width(self) -> int:
        """How many coefficients a member has."""
        return self.knots or max(1, len(self.edges) - 1)

    @cached_property
    def bounds(self) -> tuple[Floats, Floats]:
        """Where each segment begins and ends: (segments,) twice."""
        return np.array(self.edges[:-1]), np.array(self.edges[1:])

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return self.width * len(self.members)

    def heights(self, devices: Encoded) -> Floats:
        """What the coefficients are multiplied by: (n, segments), or (n, 1) where it is a level."""
        tall = segments(values=self.told(devices), block=self) if self.number else _ones(devices)
        return tall * self.present(devices) if self.missing else tall

    def told(self, devices: Encoded) -> Floats:
        """The number of each row, or what stands for a null one: (n,)."""
        values = devices.numbers[self.number]
        untold = np.isnan(values)
        if not untold.any():
            return values
        if not self.usual:
            return np.where(untold, self.fill, values)
        usual = np.interp(devices.numbers[self.wears_with], *np.transpose(self.usual))
        return np.where(untold, np.where(np.isnan(usual), self.fill, usual), values)

    def present(self, devices: Encoded) -> Floats:
        """Where the term is there, 1, else 0: (n, 1)."""
        return np.isnan(devices.numbers[self.missing]).astype(np.float64)[:, None]

    def place(self, devices: Encoded) -> tuple[Whole, Floats]:
        """Which knot of the walk comes before each row's day, and how far it is on the way to the next: (n,) each."""
        days = (devices.numbers["day"] - self.start) / self.step_days
        along = np.minimum(np.maximum(days, 0), self.knots - 1)
        before = np.minimum(along.astype(np.int64), self.knots - 2)
        return before, along - before


def _ones(devices: Encoded) -> Floats:
    return np.ones((devices.rows, 1))


def segments(*, values: Floats, block: Block) -> Floats:
    """Cut numbers (n,) into the segments of a line: (n, segments)."""
    low, high = block.bounds
    return np.asarray((np.minimum(np.maximum(values[:, None], low), high) - low) / block.unit)


def members(blocks: Sequence[Block]) -> dict[str, dict[str, int]]:
    """Number the members of each category: the codes that devices are encoded with."""
    words: dict[str, set[str]] = {}
    for block in blocks:
        for place, category in enumerate(block.by):
            words.setdefault(category, set()).update(member[place] for member in block.members)
    return {
        category: {word: code for code, word in enumerate(sorted(found))} for category, found in words.items()
    }


class Rows:
    """Tells which row of a block's coefficients is each device's."""

    def __init__(self, block: Block, codes: Mapping[str, Mapping[str, int]]) -> None:
        self.by, self.missing, self.none = block.by, block.missing, len(block.members)
        self.sizes = tuple(len(codes[category]) + 1 for category in block.by)
        self.table = np.full(math.prod(self.sizes), len(block.members), dtype=np.int64)
        met = Encoded(
            rows=len(block.members),
            numbers={},
            codes={
                category: np.array([codes[category][member[place]] for member in block.members])
                for place, category in enumerate(block.by)
            },
        )
        self.table[met.cell(by=self.by, sizes=self.sizes)] = np.arange(met.rows)

    def of(self, devices: Encoded) -> Whole:
        """The row of each device, that after the last where it belongs to no member or the term is not there: (n,)."""
        found = self.table[devices.cell(by=self.by, sizes=self.sizes)]
        if self.missing:
            found = np.where(np.isnan(devices.numbers[self.missing]), found, self.none)
        return np.asarray(found)


Term = tuple[Block, Rows, Floats]


@dataclass(frozen=True, kw_only=True)
class Hedonic:
    """The fitted equation: blocks, and one array of coefficients (members, width) for each.

    `until` is the last day that it learned from, in days from 1970-01-01.
    """

    blocks: tuple[Block, ...]
    coefficients: tuple[Floats, ...]
    until: float = math.inf

    @cached_property
    def members(self) -> dict[str, dict[str, int]]:
        """The code of each known member of each category."""
        return members(self.blocks)

    @cached_property
    def _terms(self) -> tuple[Term, ...]:
        """Every block, where its rows are, and its coefficients with a row of zeros for the unknown."""
        return tuple(
            (block, Rows(block, self.members), np.vstack([values, np.zeros(block.width)]))
            for block, values in zip(self.blocks, self.coefficients, strict=True)
        )

    def encode(self, *, table: pl.DataFrame) -> Encoded:
        """Turn a table of features into the arrays that this equation reads."""
        return encoding.encode(table=table, members=self.members)

    def predict(self, *, devices: Encoded) -> Floats:
        """Value each row in log price: (n,)."""
        return np.asarray(sum(self.contributions(devices=devices).values()))

    def contributions(
        self, *, devices: Encoded, only: Container[str] | None = None, but: Container[str] = ()
    ) -> dict[str, Floats]:
        """Split the value of each row by feature, BASE and MARKET_NOW: {feature: (n,)}, in log price.

        Of `only` these features, or of all, `but` not of these.
        """
        shares: dict[str, Floats] = {}
        for terms in self._grouped:
            feature = terms[0][0].number or terms[0][0].feature
            if feature in but or (only is not None and feature not in only):
                continue
            shares[feature] = shares.get(feature, 0.0) + _said(devices, terms)
        return shares

    @cached_property
    def _grouped(self) -> tuple[tuple[Term, ...], ...]:
        """The lines of each number together, and the walks of the same knots; every level by itself."""
        found: list[tuple[Term, ...]] = []
        for shared, some in groupby(self._terms, key=lambda term: _shared(term[0])):
            terms = tuple(some)
            found += [terms] if any(shared) else [(term,) for term in terms]
        return tuple(found)

    def touched(self, *, names: Container[str]) -> frozenset[str]:
        """The features that say something else where one of these columns is another."""
        return frozenset(b.feature for b in self.blocks if b.number in names or any(c in names for c in b.by))

    def doubt(
        self, *, devices: Encoded, only: Container[str] | None = None, but: Container[str] = ()
    ) -> Floats:
        """The variance of the levels that have not been met of each row, in log price: (n,); `only`, `but` as above."""
        variance = np.zeros(devices.rows)
        for block, rows, _ in self._terms:
            if not block.by or block.knots or block.number or block.feature in but:
                continue
            if only is not None and block.feature not in only:
                continue
            unknown = rows.of(devices) == len(block.members)
            if unknown.any():
                variance += unknown * block.spread**2 * (block.heights(devices) ** 2).sum(axis=1)
        return variance

    def wander(self, *, devices: Encoded, days: float) -> Floats:
        """The variance of where the walks go later than so many days after the last one known, in log price: (n,)."""
        weeks = np.maximum(devices.numbers["day"] - self.until - days, 0) / DAYS_PER_WEEK
        return np.asarray(weeks * self._restless)

    @cached_property
    def _restless(self) -> float:
        """The variance of a week's step of all walks of a device."""
        return sum(block.spread**2 for block in self.blocks if block.knots)


def _shared(block: Block) -> tuple[str, int, int, int]:
    """What the terms of a line have in common, or walks; nothing of a level."""
    return block.number, block.knots, block.start, block.step_days


def _said(devices: Encoded, terms: Sequence[Term]) -> Floats:
    """What the terms of a line add, or those of walks, or of a level: (n,)."""
    block, rows, values = terms[0]
    if block.number:
        return _line(devices, terms)
    return _walked(devices, terms) if block.knots else np.asarray(values[rows.of(devices), 0])


def _line(devices: Encoded, terms: Sequence[Term]) -> Floats:
    """What the lines of one number add: (n,). No slope has the wrong sign."""
    shared = terms[0][0]
    rows = [rows.of(devices) for _, rows, _ in terms]
    inverse: Any = slice(None)
    if devices.rows > MANY:
        rows, inverse = _once(rows, [len(values) for _, _, values in terms])
    slopes = np.zeros((len(rows[0]), shared.width))
    for (_, _, values), row in zip(terms, rows, strict=True):
        slopes += values[row]
    if shared.sign:
        slopes = shared.sign * np.maximum(shared.sign * slopes, 0.0)
    return np.asarray(np.einsum("ij,ij->i", slopes[inverse], shared.heights(devices)))


def _once(rows: Sequence[Whole], sizes: Sequence[int]) -> tuple[list[Whole], Whole]:
    """Every combination of rows that there is once, and which of them is each device's."""
    key = np.zeros(len(rows[0]), dtype=np.int64)
    for row, size in zip(rows, sizes, strict=True):
        key = key * size + row
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return [row[first] for row in rows], inverse


def _walked(devices: Encoded, terms: Sequence[Term]) -> Floats:
    """What walks of the same knots add: (n,)."""
    before, along = terms[0][0].place(devices)
    heights = np.zeros((2, devices.rows))
    for _, rows, values in terms:
        row = rows.of(devices)
        heights += values[row, before], values[row, before + 1]
    return np.asarray(heights[0] * (1 - along) + heights[1] * along)
