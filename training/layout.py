"""Lays a hedonic equation out: its levels, lines and walks, for the features and members that a table shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from valuation.block import Block
from valuation.features import Feature
from valuation.hedonic import BASE, MARKET_NOW

FEWEST_SALES_OF_A_MEMBER = 2
MOST_MEMBERS = 2500  # of one category: the rest share the effect of the unknown
MISSING = 0.1  # prior sd of what an untold number says
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
            beside = next((f for f in listed if f.name == feature.wears_with), None)
            blocks.extend(_lines(feature, beside, table, known))
    lines = {block.number: block for block in reversed(blocks) if block.number}
    blocks += [_worn(f, lines) for f in listed if f.wears_with in lines and table[f.name].null_count()]
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


def _lines(feature: Feature, beside: Feature | None, table: pl.DataFrame, known: Members) -> list[Block]:
    values = table[feature.name]
    told = values.drop_nulls().to_numpy()
    if len(np.unique(told)) < 2:
        return []
    shared = Block(
        feature=feature.name,
        number=feature.name,
        spread=feature.spread,
        sign=feature.sign,
        edges=feature.knots or (float(told.min()), float(told.max())),
        fill=float(np.median(told)),
        wears_with=feature.wears_with if beside else "",
        usual=_usual(feature, beside, table) if beside else (),
        unit=1.0 if feature.knots else float(told.std()),
    )
    whole = (shared.edges[0], shared.edges[-1])
    lines = [shared]
    lines += [_part(shared, by, known, spread, shared.edges) for by, spread in feature.varies_by.items()]
    lines += [_part(shared, by, known, spread, whole) for by, spread in feature.tilts_by.items()]
    if values.null_count():
        lines += _missing(feature, known)
    return lines


def _usual(feature: Feature, beside: Feature, table: pl.DataFrame) -> tuple[tuple[float, float], ...]:
    """What is usual of a number at the knots of the one that it wears with: points, none where no row tells both."""
    told = table.select(beside.name, feature.name).drop_nulls().to_numpy()
    if not len(told):
        return ()
    knots = np.array(beside.knots)
    hats = np.column_stack([np.interp(told[:, 0], knots, peak) for peak in np.eye(len(knots))])
    middle = float(np.median(told[:, 1]))
    held = hats.T @ hats + np.eye(len(knots))
    usual = middle + np.linalg.solve(held, hats.T @ (told[:, 1] - middle))
    sign = feature.sign * beside.sign
    usual = sign * np.maximum.accumulate(sign * usual) if sign else usual
    return tuple(zip(knots.tolist(), usual.tolist(), strict=True))


def _part(shared: Block, by: str, known: Members, spread: float, edges: tuple[float, ...]) -> Block:
    return replace(shared, by=(by,), members=known[by,], spread=spread, edges=edges)


def _missing(feature: Feature, known: Members) -> list[Block]:
    """What it says of a device that a number is not told: a level, and how that moves with another number."""
    here = Block(feature=feature.name, missing=feature.name, spread=MISSING)
    return [here] + [
        replace(here, by=(by,), members=known[by,], spread=MISSING / 2) for by in feature.varies_by
    ]


def _worn(feature: Feature, lines: Mapping[str, Block]) -> Block:
    """The line of the number that `feature` wears with, for the rows where it is not told itself."""
    return replace(lines[feature.wears_with], missing=feature.name, spread=MISSING / 2)


def _walk(by: tuple[str, ...], members: tuple[tuple[str, ...], ...], days: tuple[int, int]) -> Block:
    step, spread = WALKS[by]
    knots = max(2, math.ceil((days[1] - days[0]) / step) + 1)
    return Block(
        feature=MARKET_NOW, by=by, members=members, spread=spread, start=days[0], step_days=step, knots=knots
    )
