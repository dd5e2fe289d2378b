"""Rehearses the past: refits before each window of days, values its sales as a customer would meet them, and compares.

A frame of predictions has one row per sale scored: `window` (its first day), the sale and its device, `price`, the
quantiles p05..p95, `mean`, `fsd`, `basis`, `comparables`, `at_our_price`, and the value of each baseline by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl

from training import baselines, fitting
from training.baselines import Baseline
from valuation import ledger, vocabulary
from valuation.appraiser import Appraiser
from valuation.ledger import Attribute

MOST_ORIGINS = 6
_DEVICE = ("category", "brand", "model", "storage_gb", "grade", "launched_on")
_KEPT = ("sale_id", "sold_on", "market", "currency", *_DEVICE, "price")


class BacktestError(ValueError):
    """Sales that cannot be parted into windows to score and days before them to learn from."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """Days [start, end) whose sales are scored by what sales before `known_before` taught."""

    start: date
    end: date
    known_before: date


def windows(
    *, sales: pl.DataFrame, window_days: int = 28, origins: int | None = None, embargo_days: int = 0
) -> tuple[Window, ...]:
    """Part the end of the sales into windows of whole days, one after the other, the newest last.

    Without `origins`: as many as leave at least half of the days for learning, from 1 to 6. `embargo_days` before
    each window are not learnt from: so long it takes until a sale is final.

    Raises BacktestError where fewer days than those of one window would be left to learn from.
    """
    if window_days < 1 or embargo_days < 0 or (origins is not None and origins < 1):
        raise BacktestError(
            f"A backtest of {origins} origins, {window_days} days each, {embargo_days} days of embargo: "
            "origins and window_days start at 1, embargo_days at 0."
        )
    if sales.is_empty():
        raise BacktestError("There is no sale to score. Give the good rows of a table of sales.")
    first, last = sales.select(first=pl.col("sold_on").min(), last=pl.col("sold_on").max()).row(0)
    days = (last - first).days + 1
    if origins is None:
        origins = max(1, min(MOST_ORIGINS, (days // 2 - embargo_days) // window_days))
    _refuse_too_few_days(first, last, origins, window_days, embargo_days)
    starts = [last + timedelta(days=1 - back * window_days) for back in range(origins, 0, -1)]
    return tuple(
        Window(start=s, end=s + timedelta(days=window_days), known_before=s - timedelta(days=embargo_days))
        for s in starts
    )


def _refuse_too_few_days(first: date, last: date, origins: int, window_days: int, embargo_days: int) -> None:
    days = (last - first).days + 1
    needed = (origins + 1) * window_days + embargo_days
    if days >= needed:
        return
    longest = (days - embargo_days) // (origins + 1)
    remedy = f"Pass a window of at most {longest} days, or" if longest > 0 else "Shorten the embargo, or"
    raise BacktestError(
        f"The sales run from {first} to {last}, {days} days; {origins} window(s) of {window_days} days, an embargo of "
        f"{embargo_days} and as many days as a window to learn from need {needed}. {remedy} give sales of more days."
    )


def run(
    *,
    sales: pl.DataFrame,
    attributes: Mapping[str, Attribute],
    windows: Sequence[Window],
    seed: int,
    fit: Callable[..., Appraiser] = fitting.fit,
    beside: Mapping[str, Baseline] = baselines.BASELINES,
    progress: Callable[[str], object] = str,
) -> pl.DataFrame:
    """Refit before each window and value its sales, beside every baseline that learnt from the same rows.

    `fit` is called as fitting.fit is; `progress` with a line that says what comes next. A physical device (unit_id)
    that is sold in a window is not learnt from for it. Windows without a sale give no row.

    Raises BacktestError where no window holds a sale.
    """
    parts = []
    for count, window in enumerate(windows, start=1):
        scored = _within(sales, window)
        if scored.height:
            progress(f"window {count} of {len(windows)}: {scored.height:,} sales from {window.start}")
            known = _known(sales, window, scored)
            appraiser = fit(sales=known, attributes=attributes, as_of=window.start, seed=seed)
            valued = {name: value(known, scored, attributes) for name, value in beside.items()}
            parts.append(_valued(appraiser, scored, window).with_columns(**_series(valued)))
    return _all(parts, windows)


def score(*, appraiser: Appraiser, sales: pl.DataFrame, windows: Sequence[Window]) -> pl.DataFrame:
    """Value the sales of the windows by an appraiser as it is: the same rows as `run`, without the baselines."""
    scored = [(_within(sales, window), window) for window in windows]
    return _all([_valued(appraiser, rows, window) for rows, window in scored if rows.height], windows)


def _within(sales: pl.DataFrame, window: Window) -> pl.DataFrame:
    days = pl.col("sold_on")
    return sales.filter((days >= window.start) & (days < window.end)).sort("sold_on", "sale_id")


def _known(sales: pl.DataFrame, window: Window, scored: pl.DataFrame) -> pl.DataFrame:
    units = scored["unit_id"].drop_nulls().implode()
    again = pl.col("unit_id").is_in(units).fill_null(False)
    known = sales.filter((pl.col("sold_on") < window.known_before) & ~again)
    if known.is_empty():
        raise BacktestError(
            f"No sale before {window.known_before} can be learnt from for the window from {window.start}. "
            "Pass fewer origins, a shorter window or a shorter embargo."
        )
    return known


def _valued(appraiser: Appraiser, scored: pl.DataFrame, window: Window) -> pl.DataFrame:
    """Value the sales through the customer's own door: the appraiser sees no price, no sale_id, no seller."""
    names = [*(c.name for c in ledger.DEVICES.columns), *appraiser.attributes]
    devices = scored.select(*(n for n in names if n in scored.columns), on=pl.col("sold_on"))
    values = appraiser.appraise(devices=devices)
    facts = vocabulary.with_launch(devices=scored).select(
        pl.lit(window.start).alias("window"), *_KEPT, pl.col("at_our_price").fill_null(False)
    )
    return facts.hstack(values)


def _series(values: Mapping[str, Any]) -> dict[str, pl.Series]:
    return {name: pl.Series(name, value, dtype=pl.Float64) for name, value in values.items()}


def _all(parts: Sequence[pl.DataFrame], windows: Sequence[Window]) -> pl.DataFrame:
    if not parts:
        named = ", ".join(f"{w.start} to {w.end}" for w in windows) or "none"
        raise BacktestError(f"No sale lies in the windows ({named}). Make them with backtest.windows.")
    return pl.concat(parts)
