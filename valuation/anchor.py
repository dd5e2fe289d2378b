"""The anchor: a pooled, sign-constrained hedonic line through the log prices, which extrapolates where trees cannot.

Each number enters as a piecewise line whose every slope has the sign of its direction, so the anchor is monotone by
construction; each member of a category has an effect that is pooled towards zero (a random effect).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import encoding
from valuation.encoding import Encoded
from valuation.features import Feature

Floats = NDArray[np.float64]

FEWEST_SALES_OF_A_MEMBER = 2
MOST_MEMBERS = 2500  # of one category: the rest share the effect of the unknown
FIRM = ("currency", "market")  # features that are no opinion


@dataclass(frozen=True, kw_only=True)
class Block:
    """Columns of the design that belong to one feature.

    `line`: a number x enters each segment [low, high) of `edges` as clip(x, low, high) - low over `unit`, a null one
    as `fill`; `missing`: 1 where x is null; `slopes`: the line again, for each of `members` of the category `by`;
    `effects`: 1 for each of `members` of the category itself.
    """

    kind: Literal["line", "missing", "slopes", "effects"]
    feature: str
    spread: float
    sign: int = 0
    edges: tuple[float, ...] = ()
    fill: float = 0.0
    unit: float = 1.0
    by: str = ""
    members: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many columns the block has."""
        return {"line": len(self.edges) - 1, "missing": 1}.get(self.kind, len(self.members))


def layout(*, table: pl.DataFrame, listed: Sequence[Feature]) -> tuple[Block, ...]:
    """Lay out the design for these features as the table shows them: its members, its missing values, its ranges."""
    known = {f.name: _often(table[f.name]) for f in listed if f.kind == "category"}
    blocks: list[Block] = []
    for feature in listed:
        if feature.kind == "category":
            blocks.append(_effects(feature, known[feature.name]))
        elif table[feature.name].drop_nulls().n_unique() > 1:
            blocks.extend(_lines(feature, table[feature.name], known))
    return tuple(blocks)


def _often(values: pl.Series) -> tuple[str, ...]:
    counts = values.drop_nulls().value_counts(sort=True)
    kept = counts.filter(pl.col("count") >= FEWEST_SALES_OF_A_MEMBER).head(MOST_MEMBERS)
    return tuple(sorted(kept[values.name].to_list()))


def _effects(feature: Feature, members: tuple[str, ...]) -> Block:
    return Block(
        kind="effects", feature=feature.name, by=feature.name, members=members, spread=feature.spread
    )


def _lines(feature: Feature, values: pl.Series, often: dict[str, tuple[str, ...]]) -> list[Block]:
    known = values.drop_nulls().to_numpy()
    line = Block(
        kind="line",
        feature=feature.name,
        spread=feature.spread,
        sign={"+": 1, "-": -1, "none": 0}[feature.direction],
        edges=feature.knots or (float(known.min()), float(known.max())),
        fill=float(np.median(known)),
        unit=1.0 if feature.knots else float(known.std()),
    )
    whole = replace(line, kind="slopes", edges=(line.edges[0], line.edges[-1]), spread=feature.spread / 4)
    blocks = [line] + [
        replace(whole, by=by, members=often[by]) for by in feature.steeper_by if len(often[by]) > 1
    ]
    if values.null_count():
        blocks.append(Block(kind="missing", feature=feature.name, spread=feature.spread))
    return blocks


def members(blocks: Sequence[Block]) -> dict[str, dict[str, int]]:
    """Number the members of each category: the codes that these blocks are computed with."""
    return {b.feature: {m: code for code, m in enumerate(b.members)} for b in blocks if b.kind == "effects"}


def segments(*, values: Floats, block: Block) -> Floats:
    """Cut numbers (n,) into the segments of a line: (n, segments), a missing one as `fill`."""
    x = np.where(np.isnan(values), block.fill, values)[:, None]
    low, high = np.array(block.edges[:-1]), np.array(block.edges[1:])
    return np.asarray((np.clip(x, low, high) - low) / block.unit, dtype=np.float64)


def firm(blocks: Sequence[Block]) -> NDArray[np.bool_]:
    """Mark the columns that are no opinion: the intercept, the currency and the market."""
    return np.concatenate([[True], *(np.full(b.width, b.feature in FIRM) for b in blocks)])


def _share(devices: Encoded, block: Block, coefficients: Floats) -> Floats:
    """Tell what one block adds to each row: (n,)."""
    if block.kind == "missing":
        return np.asarray(np.where(np.isnan(devices.numbers[block.feature]), coefficients[0], 0.0))
    if block.kind == "line":
        return np.asarray(segments(values=devices.numbers[block.feature], block=block) @ coefficients)
    codes = devices.codes[block.by]
    effect = np.asarray(np.append(coefficients, 0.0)[codes])  # the unknown member is the last
    if block.kind == "effects":
        return effect
    return np.asarray(segments(values=devices.numbers[block.feature], block=block)[:, 0] * effect)


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The fitted line: blocks and one coefficient per column of their design, the intercept first."""

    blocks: tuple[Block, ...]
    coefficients: Floats

    @cached_property
    def members(self) -> dict[str, dict[str, int]]:
        """The code of each known member of each category."""
        return members(self.blocks)

    def encode(self, *, table: pl.DataFrame) -> Encoded:
        """Turn a table of features into the arrays that this anchor reads."""
        return encoding.encode(table=table, members=self.members)

    def predict(self, *, devices: Encoded) -> Floats:
        """Value each row in log price: (n,)."""
        shares = self.contributions(devices=devices).values()
        return np.asarray(self.coefficients[0] + sum(shares, np.zeros(devices.rows)), dtype=np.float64)

    def leaning(self, share: float) -> Anchor:
        """Keep this share of every coefficient but the firm ones, and leave the rest to the trees."""
        kept = np.where(firm(self.blocks), 1.0, share)
        return replace(self, coefficients=self.coefficients * kept)

    def contributions(self, *, devices: Encoded) -> dict[str, Floats]:
        """Split the prediction by feature, in log price; with the intercept they sum to it: {feature: (n,)}."""
        sums: dict[str, Floats] = {}
        start = 1
        for block in self.blocks:
            share = _share(devices, block, self.coefficients[start : start + block.width])
            sums[block.feature] = sums[block.feature] + share if block.feature in sums else share
            start += block.width
        return sums

    def to_json(self) -> dict[str, Any]:
        """Write the anchor as plain JSON."""
        return {"blocks": [asdict(b) for b in self.blocks], "coefficients": self.coefficients.tolist()}

    @staticmethod
    def from_json(written: dict[str, Any]) -> Anchor:
        """Read an anchor that `to_json` wrote."""
        blocks = tuple(
            Block(**{**b, "edges": tuple(b["edges"]), "members": tuple(b["members"])})
            for b in written["blocks"]
        )
        return Anchor(blocks=blocks, coefficients=np.array(written["coefficients"], dtype=np.float64))
