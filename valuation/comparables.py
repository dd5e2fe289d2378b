"""The comparables of a device: the nearest past sales, and what each would have sold for had it been this device."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import explanation, ledger
from valuation.appraisal import Effect
from valuation.ledger import Attribute

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

COUNT = 5
OF_A_MODEL, OF_ALL = 40, 20_000  # the newest sales that an appraiser keeps
MOST_WEIGHED = 100  # past sales that are compared for one device
LEVELS = ("model", "family", "brand", "category")
MARKET_GROUP = "market"


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """A past sale: its `price` and the `adjustments` for what differs, which add up to `adjusted`; in major units."""

    sold_on: date
    market: str
    brand: str
    model: str
    storage_gb: float | None
    grade: str
    price: float
    adjustments: tuple[Effect, ...]
    adjusted: float


def of_sales(*, sales: pl.DataFrame, attributes: Mapping[str, Attribute]) -> pl.DataFrame:
    """Keep the newest sales of each model to compare with: device columns and attributes, `on` and `price`."""
    columns = [*(c.name for c in ledger.DEVICES.columns if c.name in sales.columns), *attributes]
    newest = sales.sort("sold_on", "sale_id", descending=True)
    kept = newest.filter(pl.int_range(pl.len()).over("brand", "model", "currency") < OF_A_MODEL).head(OF_ALL)
    return kept.select(*(c for c in columns if c != "on"), "price", on="sold_on")


def candidates(*, past: pl.DataFrame, table: pl.DataFrame, device: Mapping[str, Any], on: date) -> Whole:
    """Choose past sales of the same currency to compare with, newest first: their rows in `past`.

    `table` and `device`, one row, are features; of the model where it has enough sales, else of its family, and so on.
    """
    rows = table.select(*LEVELS, "currency").with_columns(day=past["on"]).with_row_index("row")
    rows = rows.filter((pl.col("currency") == device["currency"]) & (pl.col("day") <= on))
    found = rows.clear()
    for level in LEVELS:
        found = rows.filter(pl.col(level) == device[level])
        if found.height >= COUNT:
            break
    return found.sort("day", "row", descending=[True, False]).head(MOST_WEIGHED)["row"].to_numpy()


def nearest(
    *, past: pl.DataFrame, theirs: Mapping[str, Floats], own: Mapping[str, float], count: int = COUNT
) -> tuple[Comparable, ...]:
    """Choose the sales that need the least adjustment, of some past ones (n).

    `theirs` and `own` are log contributions by feature: (n,) of theirs.
    """
    logs: dict[str, Floats] = {}
    for name, share in theirs.items():
        group = MARKET_GROUP if name in explanation.FIRM else explanation.GROUPS.get(name, name)
        logs[group] = logs.get(group, np.zeros(past.height)) + own[name] - share
    distance = np.asarray(sum((np.abs(part) for part in logs.values()), np.zeros(past.height)))
    chosen = np.argsort(distance, kind="stable")[:count]
    sales = past[chosen].to_dicts()
    return tuple(
        _adjusted(sale, {group: float(part[row]) for group, part in logs.items()})
        for sale, row in zip(sales, chosen, strict=True)
    )


def _adjusted(sale: Mapping[str, object], logs: Mapping[str, float]) -> Comparable:
    price = float(sale["price"])  # type: ignore[arg-type]
    adjusted = price * math.exp(math.fsum(logs.values()))
    return Comparable(
        **{name: sale[name] for name in ("market", "brand", "model", "storage_gb", "grade")},  # type: ignore[arg-type]
        sold_on=sale["on"],  # type: ignore[arg-type]
        price=price,
        adjustments=explanation.in_money(
            logs={name: log for name, log in logs.items() if log}, start=price, end=adjusted
        ),
        adjusted=adjusted,
    )
