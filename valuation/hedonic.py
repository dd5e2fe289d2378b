"""The hedonic equation: log price as a pooled sum of lines, effects and walks through time.

A line cuts a number into segments; its slope in each may differ by the members of categories, and their sum is cut at
zero where it has the wrong sign, so the equation is monotone by construction. An effect is the level of a member, or of
a pair. A walk is a level that wanders from week to week: the price index of the market, and of its parts. Every
coefficient is pooled towards zero (a random effect), so a member with few sales borrows from what it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Container
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from valuation import encoding
from valuation.block import Block, members
from valuation.encoding import Encoded
from valuation.rows import Table
from valuation.worksheet import Worksheet

Floats = NDArray[np.float64]

DAYS_PER_WEEK = 7
BASE, MARKET_NOW = "base", "market_now"  # what the intercept and the walks add


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
    def _sheet(self) -> Worksheet:
        return Worksheet(self.blocks, self.coefficients, self.members)

    def encode(self, *, table: Table) -> Encoded:
        """Turn a table of features into the arrays that this equation reads."""
        return encoding.encode(table=table, members=self.members)

    def predict(self, *, devices: Encoded) -> Floats:
        """Value each row in log price: (n,)."""
        return np.concatenate([self._sheet.value(part) for part in devices.parts()])

    def contributions(self, *, devices: Encoded) -> dict[str, Floats]:
        """Split the value of each row by feature, BASE and MARKET_NOW: {feature: (n,)}, in log price."""
        found = [self._sheet.shares(part) for part in devices.parts()]
        return {name: np.concatenate([shares[name] for shares in found]) for name in found[0]}

    def at_every_grade(self, *, devices: Encoded) -> tuple[Floats, Floats]:
        """The value of each row at every grade, in log price, and its doubt there: (n, grades) each."""
        return self._sheet.at_every_grade(devices)

    def touched(self, *, names: Container[str]) -> frozenset[str]:
        """The features that say something else where one of these columns is another."""
        return frozenset(b.feature for b in self.blocks if b.number in names or any(c in names for c in b.by))

    def doubt(self, *, devices: Encoded) -> Floats:
        """The variance of the levels that have not been met of each row, in log price: (n,)."""
        return np.concatenate([self._sheet.doubt(part) for part in devices.parts()])

    def wander(self, *, devices: Encoded, days: float) -> Floats:
        """The variance of where the walks go later than so many days after the last one known, in log price: (n,)."""
        weeks = np.maximum(devices.numbers["day"] - self.until - days, 0) / DAYS_PER_WEEK
        return np.asarray(weeks * self._restless)

    @cached_property
    def _restless(self) -> float:
        """The variance of a week's step of all walks of a device."""
        return sum(block.spread**2 for block in self.blocks if block.knots)
