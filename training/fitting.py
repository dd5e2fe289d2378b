"""Turns audited sales into a resale model: an anchor, a hedonic equation, and an honest spread around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training import calibration, growing
from training.regression import ROUNDS, Regression
from training.settings import DEFAULTS, Settings
from valuation import anchor, comparables, explanation, features, hedonic, resale, vocabulary
from valuation.appraiser import Appraiser
from valuation.encoding import Encoded
from valuation.features import Feature
from valuation.ledger import Attribute
from valuation.spread import SALES

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

WINDOW_DAYS = resale.FRESH_DAYS
REHEARSALS, WINDOWS = 3, 3  # so many origins, and windows after each
LEAST_KNOWN_SHARE = 0.3  # of the sales, before the first origin
FEWEST_SALES = 20  # that an origin knows, and that are rehearsed: of fewer nothing can be told of a spread
MOST_STRANGERS = {"model": 20_000, "brand": 5_000, "channel": 2_000, "market": 2_000}  # predicted as if new
FORGOTTEN = {
    "model": ("model", "family", "brand"),
    "brand": ("model", "family", "brand"),
    "channel": ("channel",),
    "market": ("market",),
}
STRANGER = "(never met)"
REFRESHES = 2  # rounds of the equation when a few more sales are known


class TooFewSalesError(ValueError):
    """The sales cannot show how far prices spread."""


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What every fit of one retrain shares: features and log prices of all sales, by day, and what to make of them.

    `folds` are those of the anchor's trees, `sales` counts those of each row's model: (n,).
    """

    table: pl.DataFrame
    target: Floats
    folds: Whole
    sales: Whole
    listed: tuple[Feature, ...]
    settings: Settings


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Rows that were predicted, what was left of them, their doubt, the sales of their models, and what of them was
    never met, as its place in STRANGERS: (rows,) each.
    """

    rows: Whole
    residuals: Floats
    doubt: Floats
    sales: Whole
    strange: Whole


def fit(
    *,
    sales: pl.DataFrame,
    attributes: Mapping[str, Attribute],
    as_of: date,
    seed: int = 1,
    threads: int = 1,
    simulated: bool = False,
    settings: Settings = DEFAULTS,
    card: Mapping[str, Any] = MappingProxyType({}),
) -> Appraiser:
    """Make an appraiser of the good rows of SALES: resale model, vocabulary and card.

    Raises TooFewSalesError where no sale is later than another.
    """
    ordered = sales.sort("sold_on", "sale_id")
    devices = vocabulary.of_sales(sales=ordered, attributes=attributes)
    known = vocabulary.complete(
        devices=ordered.with_columns(on=pl.col("sold_on")), known=vocabulary.facts(known=devices)
    )
    model, table, taught = _fit_resale(known, attributes, settings, seed, threads)
    return Appraiser(
        model=model,
        attributes=attributes,
        devices=vocabulary.of_sales(sales=known, attributes=attributes),
        past=comparables.of_sales(sales=ordered.filter(taught), attributes=attributes),
        centres=explanation.centres(location=model.location, table=table),
        as_of=as_of,
        simulated=simulated,
        card=card,
    )


def _fit_resale(
    sales: pl.DataFrame, attributes: Mapping[str, Attribute], settings: Settings, seed: int, threads: int
) -> tuple[resale.ResaleModel, pl.DataFrame, Mask]:
    """Fit the resale model to sales in order of time; tell it, the features of the sales, and who of them taught.

    An equation without an anchor tells what the anchor is grown on; one with it is fitted to all sales, which tells how
    far each of its parts is pooled. Then in rehearsal, the next sales are predicted from each of a few origins in the
    past; and sales by those who never met their model, brand, channel or market. What these rows show calibrates the
    spread.
    """
    table = features.table(devices=sales.with_columns(on=pl.col("sold_on")), attributes=attributes)
    listed = _useful(table, features.declared(attributes=attributes))
    rng = np.random.default_rng(seed)
    target = sales["price"].log().to_numpy()
    everything = np.ones(table.height, dtype=bool)
    origins = _origins(table)
    plain = Regression.lay(table=table, target=target, listed=listed, known=everything, tail=settings.tail)
    plain.fit(everything)
    folds = growing.fold(table=table, sales=sales, rng=rng)
    grown, anchors = growing.grow(
        table=table,
        target=target,
        plain=plain,
        listed=listed,
        folds=folds,
        settings=settings,
        seed=seed,
        threads=threads,
    )
    ground = Ground(
        table=table.with_columns(pl.Series(anchor.NAME, anchors)),
        target=target,
        folds=folds,
        sales=table.select(pl.len().over("model") * pl.col("model").is_not_null()).to_series().to_numpy(),
        listed=(*listed, anchor.FEATURE),
        settings=settings,
    )
    final = _lay(ground, everything)
    final.learn(everything, rng=rng)
    rehearsals = [r for starts in origins for r in _rehearse(ground, starts, final)]
    for kind, dealt in {"model": folds, **growing.deal(table, rng)}.items():
        rehearsals += _strangers(ground, final, grown, kind, dealt)
    spread = calibration.calibrate(
        table=table[np.concatenate([r.rows for r in rehearsals])],
        value=np.concatenate([target[r.rows] - r.residuals for r in rehearsals]),
        residuals=np.concatenate([r.residuals for r in rehearsals]),
        doubt=np.concatenate([r.doubt for r in rehearsals]),
        sales=np.concatenate([r.sales for r in rehearsals]),
        strange=np.concatenate([r.strange for r in rehearsals]),
        settings=settings,
    )
    location = resale.Location(
        listed=listed, equation=final.equation, anchor=grown, sales=dict(_counts(table, "model").iter_rows())
    )
    return resale.ResaleModel(location=location, spread=spread), table, final.weights > 0


def _useful(table: pl.DataFrame, listed: Sequence[Feature]) -> tuple[Feature, ...]:
    return tuple(f for f in listed if table[f.name].drop_nulls().n_unique() > 0)


def _origins(table: pl.DataFrame) -> list[list[int]]:
    """Choose the first days of the windows to rehearse, oldest first, by origin; each goes on to the next, or the end.

    Windows are shorter where the sales run over less time, and fewer where too few sales come before them.
    """
    day = table["day"].to_numpy()
    first, last = int(day.min()), int(day.max())
    wanted = REHEARSALS * WINDOWS
    length = max(1, min(WINDOW_DAYS, (last - first) // (2 * wanted)))
    starts = [last + 1 - length * back for back in range(wanted, 0, -1)]
    kept = [start for start in starts if (day < start).mean() >= LEAST_KNOWN_SHARE] or [last]
    before = int((day < kept[0]).sum())
    if min(before, table.height - before) < FEWEST_SALES:
        raise TooFewSalesError(
            f"Of {table.height} sales on {len(np.unique(day))} day(s), {before} come before the others: the spread of "
            f"prices can only be learned from {FEWEST_SALES} sales and as many on later days. Give more sales, "
            "over more days."
        )
    return [kept[at : at + WINDOWS] for at in range(0, len(kept), WINDOWS)]


def _rehearse(ground: Ground, starts: Sequence[int], final: Regression) -> list[Rehearsal]:
    """From the first of these days on, predict window after window; the equation goes on learning.

    The anchors of all rows come from trees that have not met their models, so they are as good as those of trees that
    were grown at the origin.
    """
    day = ground.table["day"].to_numpy()
    line = _lay(ground, day < starts[0])
    line.follow(final)
    rehearsals = []
    for start, end in zip(starts, [*starts[1:], starts[-1] + WINDOW_DAYS], strict=True):
        line.fit(day < start, rounds=REFRESHES if start > starts[0] else ROUNDS)
        late = np.flatnonzero((day >= start) & (day < end))
        if len(late):
            rehearsals.append(_predict(ground, line.equation, day < start, late))
    return rehearsals


def _predict(ground: Ground, equation: hedonic.Hedonic, known: Mask, late: Whole) -> Rehearsal:
    part = ground.table[late]
    counted = part.select("model").join(
        _counts(ground.table.filter(known), "model"), on="model", how="left", maintain_order="left"
    )
    return _told(ground, equation, late, equation.encode(table=part), part, counted["count"].fill_null(0))


def _strangers(
    ground: Ground, final: Regression, grown: anchor.Anchor, kind: str, folds: Whole
) -> Iterator[Rehearsal]:
    """Predict the rows of each fold of what there is of a kind by those who have met none of it."""
    names = FORGOTTEN[kind]
    alone = [pl.len().over(name) == pl.len().over(name, "fold") for name in names]
    strange = ground.table.select(*names, fold=pl.Series(folds)).select(
        only.alias(name) for only, name in zip(alone, names, strict=True)
    )
    every = -(-len(folds) // MOST_STRANGERS[kind])
    for held, equation in final.held(folds):
        rows = held[::every]
        part = ground.table[rows].with_columns(
            pl.when(strange[rows][name]).then(pl.lit(STRANGER)).otherwise(name).alias(name) for name in names
        )
        devices = equation.encode(table=part)
        folded = replace(devices, codes={**devices.codes, anchor.FOLD: ground.folds[rows]})
        looks = replace(devices, numbers={**devices.numbers, anchor.NAME: grown.predict(devices=folded)})
        met = np.zeros(len(rows)) if "model" in names else ground.sales[rows]
        yield _told(ground, equation, rows, looks, part, met)


def _told(
    ground: Ground, equation: hedonic.Hedonic, rows: Whole, devices: Encoded, table: pl.DataFrame, sales: Any
) -> Rehearsal:
    known = np.asarray(sales, dtype=np.int64)
    return Rehearsal(
        rows=rows,
        residuals=ground.target[rows] - equation.predict(devices=devices),
        doubt=equation.doubt(devices=devices),
        sales=known,
        strange=resale.strange(table=table, codes={**devices.codes, SALES: known}),
    )


def _counts(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Count the rows of each word: `name` and count, in order of the words."""
    return table[name].drop_nulls().value_counts().sort(name)


def _lay(ground: Ground, known: Mask) -> Regression:
    return Regression.lay(
        table=ground.table, target=ground.target, listed=ground.listed, known=known, tail=ground.settings.tail
    )
