"""The anchor: a pooled, sign-constrained hedonic line through the log prices, which extrapolates where trees cannot.

Each number enters as a piecewise line whose every slope has the sign of its direction, so the anchor is monotone by
construction; each member of a category has an effect that is pooled towards zero (a random effect).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from valuation.features import Feature

Floats = NDArray[np.float64]

FEWEST_SALES_OF_A_MEMBER = 2
MOST_MEMBERS = 2500  # of one category: the rest share the effect of the unknown
FIRM = ("market",)  # features that are no opinion: the market holds the currency


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
    members = {f.name: _members(table[f.name]) for f in listed if f.kind == "category"}
    blocks: list[Block] = []
    for feature in listed:
        if feature.kind == "category":
            blocks.append(_effects(feature, members[feature.name]))
        elif table[feature.name].drop_nulls().n_unique() > 1:
            blocks.extend(_lines(feature, table[feature.name], members))
    return tuple(blocks)


def _members(values: pl.Series) -> tuple[str, ...]:
    counts = values.drop_nulls().value_counts(sort=True)
    kept = counts.filter(pl.col("count") >= FEWEST_SALES_OF_A_MEMBER).head(MOST_MEMBERS)
    return tuple(sorted(kept[values.name].to_list()))


def _effects(feature: Feature, members: tuple[str, ...]) -> Block:
    return Block(
        kind="effects", feature=feature.name, by=feature.name, members=members, spread=feature.spread
    )


def _lines(feature: Feature, values: pl.Series, members: dict[str, tuple[str, ...]]) -> list[Block]:
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
        replace(whole, by=by, members=members[by]) for by in feature.steeper_by if len(members[by]) > 1
    ]
    if values.null_count():
        blocks.append(Block(kind="missing", feature=feature.name, spread=feature.spread))
    return blocks


def design(*, table: pl.DataFrame, blocks: Sequence[Block]) -> sparse.csr_matrix:
    """Write the table as the matrix of the anchor: (n, 1 + width of all blocks), the first column the intercept."""
    parts = [sparse.csr_matrix(np.ones((table.height, 1)))]
    parts += [_columns(table, block) for block in blocks]
    return sparse.hstack(parts, format="csr")


def _columns(table: pl.DataFrame, block: Block) -> sparse.csr_matrix:
    values = table[block.feature]
    if block.kind == "line":
        return sparse.csr_matrix(_segments(values, block))
    if block.kind == "missing":
        return sparse.csr_matrix(values.is_null().to_numpy().astype(np.float64)[:, None])
    heights = _segments(values, block)[:, 0] if block.kind == "slopes" else np.ones(table.height)
    codes = table[block.by].replace_strict(
        block.members, range(block.width), default=None, return_dtype=pl.Int64
    )
    rows = np.flatnonzero(codes.is_not_null().to_numpy())
    return sparse.csr_matrix(
        (heights[rows], (rows, codes.drop_nulls().to_numpy())), shape=(table.height, block.width)
    )


def _segments(values: pl.Series, block: Block) -> Floats:
    x = values.fill_null(block.fill).to_numpy()[:, None]
    low, high = np.array(block.edges[:-1]), np.array(block.edges[1:])
    return np.asarray((np.clip(x, low, high) - low) / block.unit, dtype=np.float64)


def firm(blocks: Sequence[Block]) -> NDArray[np.bool_]:
    """Mark the columns that are no opinion: the intercept and the market, which holds the currency."""
    return np.concatenate([[True], *(np.full(b.width, b.feature in FIRM) for b in blocks)])


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The fitted line: blocks and one coefficient per column of their design, the intercept first."""

    blocks: tuple[Block, ...]
    coefficients: Floats

    def predict(self, *, table: pl.DataFrame) -> Floats:
        """Value each row in log price: (n,)."""
        return np.asarray(design(table=table, blocks=self.blocks) @ self.coefficients, dtype=np.float64)

    def leaning(self, share: float) -> Anchor:
        """Keep this share of every coefficient but the firm ones, and leave the rest to the trees."""
        kept = np.where(firm(self.blocks), 1.0, share)
        return replace(self, coefficients=self.coefficients * kept)

    def contributions(self, *, table: pl.DataFrame) -> dict[str, Floats]:
        """Split the prediction by feature, in log price; with the intercept they sum to it: {feature: (n,)}."""
        matrix = design(table=table, blocks=self.blocks)
        sums: dict[str, Floats] = {}
        start = 1
        for block in self.blocks:
            columns = slice(start, start + block.width)
            share = np.asarray(matrix[:, columns] @ self.coefficients[columns], dtype=np.float64)
            sums[block.feature] = sums.get(block.feature, np.zeros(table.height)) + share
            start += block.width
        return sums

    def members(self, feature: str) -> dict[str, float]:
        """Tell the effect of each known member of a category, in log price."""
        start = 1
        for block in self.blocks:
            if block.feature == feature and block.kind == "effects":
                return dict(
                    zip(block.members, self.coefficients[start : start + block.width].tolist(), strict=True)
                )
            start += block.width
        return {}

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
