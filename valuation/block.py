"""The terms of a hedonic equation: what a block of coefficients belongs to, and which of them are a device's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from valuation.encoding import Encoded

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


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
