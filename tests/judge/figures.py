"""The figures of a table: how near everyone came, how honest the intervals are, and who is ahead of whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tests.judge.learners import OURS
from training import measures, segments
from training.measures import mdape_gap

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

COVER = 0.90
FEWEST_OF_A_RATIO = 200
FEWEST_OF_A_COVER = 500
FEWEST_OF_A_WEEK = 50
SEEN_SALES = 30
RECOVERED = 0.88
SEED = 20_260_101
KNOWN = ("seen", "thin", "unseen")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a table; `low` and `high` bound it in 95 of 100 draws, `note` names the segment or the verdict."""

    table: str
    learner: str
    measure: str
    value: float
    n: int
    low: float | None = None
    high: float | None = None
    note: str = ""


def of_table(table: str, rows: pl.DataFrame) -> Iterator[Figure]:
    """Every figure of the rows of one table (see parts.gather)."""
    everyone = learners(rows)
    for name in everyone:
        yield from _overall(table, name, rows)
        yield from _worst(table, name, rows)
    for group, part in _by_knowledge(rows):
        for name in everyone:
            yield _figure(table, name, f"mdape {group}", part, measures.mdape(*_values(part, name)))
    for name in everyone:
        if name != OURS:
            yield from _gaps(table, name, rows)


def learners(rows: pl.DataFrame) -> list[str]:
    """Who has valued every row."""
    return [c.removesuffix("_p50") for c in rows.columns if c.endswith("_p50")]


def _figure(table: str, name: str, measure: str, rows: pl.DataFrame, value: float, note: str = "") -> Figure:
    return Figure(table=table, learner=name, measure=measure, value=value, n=rows.height, note=note)


def _values(rows: pl.DataFrame, name: str) -> tuple[Floats, Floats]:
    return rows[f"{name}_p50"].to_numpy(), rows["price"].to_numpy()


def _interval(rows: pl.DataFrame, name: str) -> tuple[Floats, Floats, Floats]:
    return rows[f"{name}_p05"].to_numpy(), rows[f"{name}_p95"].to_numpy(), rows["price"].to_numpy()


def _overall(table: str, name: str, rows: pl.DataFrame) -> Iterator[Figure]:
    value, sold = _values(rows, name)
    slope = measures.calibration_slope(value, sold)
    found = {
        "mdape": measures.mdape(value, sold),
        "median ratio": measures.median_ratio(value, sold),
        "cod": measures.cod(value, sold),
        "slope": slope.slope if slope else float("nan"),
        "rt20": measures.rt20(value, sold),
        "within 10": measures.within(value, sold, 0.10),
        "cover": measures.coverage(*_interval(rows, name)),
        "winkler": float(winkler(*_interval(rows, name)).mean()),
        "seconds": _seconds(rows, name),
    }
    for measure, figure in found.items():
        yield _figure(table, name, measure, rows, figure)


def _seconds(rows: pl.DataFrame, name: str) -> float:
    """How long a case took in the mean, in seconds."""
    cases = rows.group_by("seed", "case").agg(pl.first(f"{name}_seconds").alias("seconds"))
    return float(cases["seconds"].mean())  # type: ignore[arg-type]


def winkler(low: Floats, high: Floats, sold: Floats) -> Floats:
    """The Winkler score in log price of each interval: (n,); its mean is measures.winkler."""
    bottom, top, price = np.log(low), np.log(high), np.log(sold)
    missed = np.maximum(bottom - price, 0) + np.maximum(price - top, 0)
    return np.asarray(top - bottom + 2 / (1 - COVER) * missed)


def _worst(table: str, name: str, rows: pl.DataFrame) -> Iterator[Figure]:
    """The worst median ratio and cover of a segment, and the worst cover of a week; nothing where all are small."""
    cells = _cells(rows, name)
    weeks = _cells(rows, name, {"week": pl.col("week").cast(pl.String)})
    ranked = (
        ("worst ratio", cells, FEWEST_OF_A_RATIO, (pl.col("ratio").log()).abs(), "ratio"),
        ("worst cover", cells, FEWEST_OF_A_COVER, -pl.col("cover"), "cover"),
        ("worst week", weeks, FEWEST_OF_A_WEEK, -pl.col("cover"), "cover"),
    )
    for measure, found, fewest, badness, column in ranked:
        for worst in found.filter(pl.col("n") >= fewest).sort(badness).tail(1).iter_rows(named=True):
            note = f"{worst['dimension']} {worst['member']}"
            yield Figure(
                table=table, learner=name, measure=measure, value=worst[column], n=worst["n"], note=note
            )


def _cells(rows: pl.DataFrame, name: str, dimensions: dict[str, pl.Expr] | None = None) -> pl.DataFrame:
    """Part the rows by every dimension of a ratio study: dimension, member, n, ratio (median), cover."""
    low, high = pl.col(f"{name}_p05"), pl.col(f"{name}_p95")
    value = rows.with_columns(p50=pl.col(f"{name}_p50"))
    return pl.concat(
        value.group_by(member=expr.cast(pl.String))
        .agg(
            n=pl.len().cast(pl.Int64),
            ratio=(pl.col("p50") / pl.col("price")).median(),
            cover=pl.col("price").is_between(low, high).mean(),
        )
        .with_columns(dimension=pl.lit(dimension))
        for dimension, expr in (dimensions or segments.DIMENSIONS).items()
    ).sort("dimension", "member")


def _by_knowledge(rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows by what ours rests on: a model with 30 sales, a model with fewer, or none."""
    if "basis" not in rows.columns:
        return
    known = pl.col("basis") == "model"
    often = pl.col("comparables") >= SEEN_SALES
    for group, part in zip(KNOWN, (known & often, known & ~often, ~known), strict=True):
        if (found := rows.filter(part)).height:
            yield group, found


def _gaps(table: str, name: str, rows: pl.DataFrame) -> Iterator[Figure]:
    """Ours less another's on the same draws of blocks: below 0, ours is ahead."""
    if OURS not in learners(rows):
        return
    (ours, sold), (theirs, _), blocks = _values(rows, OURS), _values(rows, name), rows["block"].to_numpy()
    mine, others = (winkler(*_interval(rows, who)) for who in (OURS, name))
    gaps = {
        "mdape gap": (
            measures.mdape(ours, sold) - measures.mdape(theirs, sold),
            mdape_gap(ours, theirs, sold, blocks, SEED),
        ),
        "winkler gap": (float((mine - others).mean()), mean_interval(mine - others, blocks, SEED)),
    }
    for measure, (value, (low, high)) in gaps.items():
        yield Figure(
            table=table,
            learner=name,
            measure=measure,
            value=value,
            n=rows.height,
            low=low,
            high=high,
            note=verdict(low, high),
        )


def mean_interval(values: Floats, blocks: Whole, seed: int) -> tuple[float, float]:
    """The 95 % interval of a mean by draws of whole blocks, numbered from 0, as measures.drawn_medians draws them."""
    count = int(blocks.max()) + 1
    sums, sizes = np.bincount(blocks, values, count), np.bincount(blocks, minlength=count)
    rng, means = np.random.default_rng(seed), np.empty(measures.RESAMPLES)
    for draw in range(measures.RESAMPLES):
        drawn = rng.integers(0, count, count)
        means[draw] = sums[drawn].sum() / sizes[drawn].sum()
    tail = (1 - measures.LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def verdict(low: float, high: float) -> str:
    """What an interval of ours less another's error says: ahead, behind, or level where 0 lies within."""
    if high < 0:
        return "ahead"
    return "behind" if low > 0 else "level"


def after_a_step(table: str, rows: pl.DataFrame) -> Iterator[Figure]:
    """The cover of each week after a step, and how many weeks had to be learnt from until one was covered again."""
    for name in learners(rows):
        covers = []
        for number, (week, part) in enumerate(
            sorted(rows.partition_by("case", as_dict=True).items()), start=1
        ):
            covers.append(measures.coverage(*_interval(part, name)))
            yield _figure(table, name, f"cover of week {number}", part, covers[-1], note=str(week[0]))
        yield _figure(table, name, "weeks to recover", rows, recovered(covers))


def recovered(covers: Sequence[float]) -> float:
    """How many weeks passed before the first that is covered to .88; infinite where none is."""
    return next((float(week) for week, cover in enumerate(covers) if cover >= RECOVERED), float("inf"))
