"""The hedonic equation: log price as a pooled sum of lines, effects and walks through time.

A line cuts a number into segments; its slope in each may differ by the members of categories, and their sum is cut at
zero where it has the wrong sign, so the equation is monotone by construction. An effect is the level of a member, or of
a pair. A walk is a level that wanders from week to week: the price index of the market, and of its parts. Every
coefficient is pooled towards zero (a random effect), so a member with few sales borrows from what it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import encoding
from valuation.encoding import Encoded
from valuation.features import Feature

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

FEWEST_SALES_OF_A_MEMBER = 2
MOST_MEMBERS = 2500  # of one category: the rest share the effect of the unknown
DAYS_PER_WEEK = 7
MANY = 2_000  # devices, above which it pays to look for combinations that come again
MISSING = 0.1  # prior sd of what an untold number says
BASE, MARKET_NOW = "base", "market_now"  # what the intercept and the walks add
FREE = 1e3  # the prior sd of what is not pooled
PAIRS = {("market", "brand"): 0.03, ("market", "category"): 0.05}  # sd of the levels of pairs, in log price
WALKS = {  # by what, the days from knot to knot, and the sd of a week's step in log price
    (): (7, 0.004),
    ("category",): (7, 0.004),
    ("market",): (7, 0.005),
    ("market", "category"): (7, 0.006),
    ("brand",): (14, 0.002),
    ("brand", "category"): (14, 0.002),
    ("model",): (14, 0.006),
}

Members = dict[tuple[str, ...], tuple[tuple[str, ...], ...]]


@dataclass(frozen=True, kw_only=True)
class Block:
    """The coefficients of one term of the equation: (members, width), and what each is multiplied by.

    `by` names categories: each of `members` (one word for each) has a row of its own, and all share one where `by` is
    empty. A row holds the slope of each segment between `edges` of `number`, or one level without a number, or with
    `knots` the levels of a walk at `start`, `start` + `step_days` ... (days from 1970-01-01). With `missing`, the term
    is there only where that number is null. Contributions are told under `feature`; `spread` is the prior sd of a
    coefficient, of a walk that of a week's step; `unit` divides a number, `fill` stands in for a null one; `sign` is
    the direction of the whole line.
    """

    feature: str
    spread: float
    by: tuple[str, ...] = ()
    members: tuple[tuple[str, ...], ...] = ((),)
    number: str = ""
    missing: str = ""
    edges: tuple[float, ...] = ()
    fill: float = 0.0
    unit: float = 1.0
    sign: int = 0
    start: int = 0
    step_days: int = 0
    knots: int = 0

    @property
    def width(self) -> int:
        """How many coefficients a member has."""
        return self.knots or max(1, len(self.edges) - 1)

    @property
    def size(self) -> int:
        """How many coefficients there are."""
        return self.width * len(self.members)

    def heights(self, devices: Encoded) -> Floats:
        """What the coefficients are multiplied by: (n, segments), or (n, 1) where it is a level."""
        tall = segments(values=devices.numbers[self.number], block=self) if self.number else _ones(devices)
        return tall * self.present(devices) if self.missing else tall

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
    """Cut numbers (n,) into the segments of a line: (n, segments), a missing one as `fill`."""
    x = np.where(np.isnan(values), block.fill, values)[:, None]
    low, high = np.array(block.edges[:-1]), np.array(block.edges[1:])
    return np.asarray((np.minimum(np.maximum(x, low), high) - low) / block.unit)


def layout(
    *, table: pl.DataFrame, listed: Sequence[Feature], days: tuple[int, int] | None = None
) -> tuple[Block, ...]:
    """Lay the equation out for these features as the table shows them: its members, its missing values, its ranges.

    Walks run over `days`, first and last; without, there are none, and no pairs. Blocks of one number follow each
    other, the one that all share first.
    """
    categories = [f for f in listed if f.kind == "category"]
    known: Members = {(f.name,): _often(table, (f.name,)) for f in categories}
    blocks = [Block(feature=BASE, spread=FREE)]
    blocks += [_levels(f.name, (f.name,), known, f.spread) for f in categories if f.spread]
    span = (days[1] - days[0] if days else 0) + 1
    for feature in listed:
        if feature.kind == "number" and span > feature.needs_days:
            blocks.extend(_lines(feature, table, known))
    blocks += [_worn(f, blocks) for f in listed if f.wears_with and table[f.name].null_count()]
    blocks.sort(key=lambda block: block.number)
    if days:
        crossed: list[tuple[str, ...]] = [*PAIRS, *WALKS]
        for by in [by for by in crossed if set(by) <= {f.name for f in categories}]:
            known.setdefault(by, _often(table, by))
        known = {by: found for by, found in known.items() if _tells_apart(by, known)}
        blocks += [_levels(by[0], by, known, spread) for by, spread in PAIRS.items() if by in known]
        blocks += [_walk(by, known[by], days) for by in WALKS if by in known]
    return tuple(block for block in blocks if block.size)


def _tells_apart(by: tuple[str, ...], known: Members) -> bool:
    """Whether pairs tell more sales apart than their halves: with one market, a walk by market is that of all."""
    return not by or all(
        len(known[by]) > len(known.get(half, ((),))) for half in ((), *((b,) for b in by)) if half != by
    )


def _often(table: pl.DataFrame, by: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    if not by:
        return ((),)
    counts = (
        table.select(by)
        .drop_nulls()
        .group_by(by)
        .len()
        .sort("len", *by, descending=[True, *(False for _ in by)])
    )
    kept = counts.filter(pl.col("len") >= FEWEST_SALES_OF_A_MEMBER).head(MOST_MEMBERS)
    return tuple(sorted(kept.select(by).iter_rows()))


def _levels(feature: str, by: tuple[str, ...], known: Members, spread: float) -> Block:
    return Block(feature=feature, by=by, members=known[by], spread=spread)


def _lines(feature: Feature, table: pl.DataFrame, known: Members) -> list[Block]:
    values = table[feature.name]
    told = values.drop_nulls().to_numpy()
    if len(np.unique(told)) < 2:
        return []
    shared = Block(
        feature=feature.name,
        number=feature.name,
        spread=feature.spread,
        sign={"+": 1, "-": -1, "none": 0}[feature.direction],
        edges=feature.knots or (float(told.min()), float(told.max())),
        fill=float(np.median(told)),
        unit=1.0 if feature.knots else float(told.std()),
    )
    whole = (shared.edges[0], shared.edges[-1])
    lines = [shared]
    lines += [_part(shared, by, known, spread, shared.edges) for by, spread in feature.varies_by.items()]
    lines += [_part(shared, by, known, spread, whole) for by, spread in feature.tilts_by.items()]
    if values.null_count():
        lines += _missing(feature, known)
    return lines


def _part(shared: Block, by: str, known: Members, spread: float, edges: tuple[float, ...]) -> Block:
    return replace(shared, by=(by,), members=known[by,], spread=spread, edges=edges)


def _missing(feature: Feature, known: Members) -> list[Block]:
    """What it says of a device that a number is not told: a level, and how that moves with another number."""
    here = Block(feature=feature.name, missing=feature.name, spread=MISSING)
    return [here] + [
        replace(here, by=(by,), members=known[by,], spread=MISSING / 2) for by in feature.varies_by
    ]


def _worn(feature: Feature, blocks: Sequence[Block]) -> Block:
    """The line of the number that `feature` usually moves with, for the rows where it is not told itself."""
    shared = next(block for block in blocks if block.number == feature.wears_with)
    edges = (shared.edges[0], shared.edges[-1])
    return replace(shared, missing=feature.name, edges=edges, spread=MISSING / 2, sign=0)


def _walk(by: tuple[str, ...], members: tuple[tuple[str, ...], ...], days: tuple[int, int]) -> Block:
    step, spread = WALKS[by]
    knots = max(2, math.ceil((days[1] - days[0]) / step) + 1)
    return Block(
        feature=MARKET_NOW, by=by, members=members, spread=spread, start=days[0], step_days=step, knots=knots
    )


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
        self.by = block.by
        self.sizes = tuple(len(codes[category]) + 1 for category in block.by)
        self.table = np.full(math.prod(self.sizes), len(block.members), dtype=np.int64)
        for row, member in enumerate(block.members):
            self.table[self._cell([codes[c][word] for c, word in zip(block.by, member, strict=True)])] = row

    def _cell(self, codes: Sequence[Any]) -> Any:
        cell = 0
        for size, code in zip(self.sizes, codes, strict=True):
            cell = cell * size + code + 1  # the unknown one is 0
        return cell

    def of(self, devices: Encoded) -> Whole:
        """The row of each device, that after the last where it belongs to no member: (n,)."""
        if not self.by:
            return np.zeros(devices.rows, dtype=np.int64)
        return np.asarray(self.table[self._cell([devices.codes[category] for category in self.by])])


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
        for number, terms in self._grouped:
            feature = number or terms[0][0].feature
            if feature in but or (only is not None and feature not in only):
                continue
            if number:
                shares[number] = shares.get(number, 0.0) + _line(devices, terms)
            else:
                block, rows, values = terms[0]
                share = _walked if block.knots else _level
                shares[feature] = shares.get(feature, 0.0) + share(devices, block, rows, values)
        return shares

    @cached_property
    def _grouped(self) -> tuple[tuple[str, tuple[Term, ...]], ...]:
        """The lines of each number together, and every other term by itself."""
        found: list[tuple[str, tuple[Term, ...]]] = []
        for number, line in groupby(self._terms, key=lambda term: term[0].number):
            terms = tuple(line)
            found += [(number, terms)] if number else [("", (term,)) for term in terms]
        return tuple(found)

    def touched(self, *, names: Container[str]) -> frozenset[str]:
        """The features that say something else where one of these columns is another."""
        return frozenset(b.feature for b in self.blocks if b.number in names or any(c in names for c in b.by))

    def doubt(
        self, *, devices: Encoded, only: Container[str] | None = None, but: Container[str] = ()
    ) -> Floats:
        """The variance of what cannot be known of each row, in log price: (n,); `only` and `but` as above.

        That is the effects of members that have not been met, and how far the walks go from the last day known on.
        """
        variance = np.zeros(devices.rows)
        if only is None:
            weeks = np.maximum(devices.numbers["day"] - self.until, 0) / DAYS_PER_WEEK
            variance += weeks * self._restless
        for block, rows, _ in self._terms:
            if not block.by or block.knots or block.feature in but:
                continue
            if only is not None and block.feature not in only:
                continue
            unknown = rows.of(devices) == len(block.members)
            if unknown.any():
                variance += unknown * block.spread**2 * (block.heights(devices) ** 2).sum(axis=1)
        return variance

    @cached_property
    def _restless(self) -> float:
        """The variance of a week's step of all walks of a device."""
        return sum(block.spread**2 for block in self.blocks if block.knots)


def _line(devices: Encoded, terms: Sequence[Term]) -> Floats:
    """What the lines of one number add: (n,). No slope has the wrong sign."""
    shared = terms[0][0]
    rows = [_row(devices, block, rows) for block, rows, _ in terms]
    inverse: Any = slice(None)
    if devices.rows > MANY:
        rows, inverse = _once(rows, [len(values) for _, _, values in terms])
    slopes = np.zeros((len(rows[0]), shared.width))
    for (_, _, values), row in zip(terms, rows, strict=True):
        slopes += values[row]
    if shared.sign:
        slopes = shared.sign * np.maximum(shared.sign * slopes, 0.0)
    return np.asarray(np.einsum("ij,ij->i", slopes[inverse], shared.heights(devices)))


def _row(devices: Encoded, block: Block, rows: Rows) -> Whole:
    """Which row of the coefficients each device has, that of zeros where the term is not there: (n,)."""
    found = rows.of(devices)
    if not block.missing:
        return found
    return np.where(np.isnan(devices.numbers[block.missing]), found, len(block.members))


def _once(rows: Sequence[Whole], sizes: Sequence[int]) -> tuple[list[Whole], Whole]:
    """Every combination of rows that there is once, and which of them is each device's."""
    key = np.zeros(len(rows[0]), dtype=np.int64)
    for row, size in zip(rows, sizes, strict=True):
        key = key * size + row
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return [row[first] for row in rows], inverse


def _level(devices: Encoded, block: Block, rows: Rows, values: Floats) -> Floats:
    level = values[rows.of(devices), 0]
    return np.asarray(level * block.present(devices)[:, 0] if block.missing else level)


def _walked(devices: Encoded, block: Block, rows: Rows, values: Floats) -> Floats:
    row, (before, along) = rows.of(devices), block.place(devices)
    return np.asarray(values[row, before] * (1 - along) + values[row, before + 1] * along)
