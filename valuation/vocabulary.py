"""The devices that an appraiser has met, and what is known of each: launch facts, typical attributes, sales."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import catalogue
from valuation.ledger import Attribute

MOST_DEVICES = 50_000
DAY_KEYS = ("brand_key", "model_key")
BASE_KEYS = (*DAY_KEYS, "currency")
PRICE_KEYS = (*DAY_KEYS, "storage_gb", "currency")
VARIANT = ("category", "brand_key", "model_key", "storage_gb", "currency")
_KEYS = (
    catalogue.key_expr(pl.col("brand")).alias("brand_key"),
    catalogue.key_expr(pl.col("model")).alias("model_key"),
)


FIRST, LAST = -14, 91  # days from the launch of a newer generation on, between which it takes its buyers
_NUMBERS = r"\([^)]*\)|[0-9]+(st|nd|rd|th|g)?|\bgen\b"
_LINE = pl.concat_str(
    "brand_key",
    pl.col("model_key").str.replace_all(_NUMBERS, " ").str.replace_all(r"\s+", " ").str.strip_chars(" "),
    separator=" ",
)


def line_of(brand: str, model: str) -> str:
    """The same as _LINE, of one device: what its generations have in common."""
    return f"{brand} {' '.join(re.sub(_NUMBERS, ' ', model).split())}"


def of_sales(*, sales: pl.DataFrame, attributes: Mapping[str, Attribute]) -> pl.DataFrame:
    """List the variants sold, the most sold first: one row per category, brand, model, storage and currency.

    brand and model as most often spelt, launched_on, launch_price in major units, sales, and for each attribute its
    median or most frequent value.
    """
    typical = [
        pl.col(a.name).median() if a.kind == "number" else pl.col(a.name).drop_nulls().mode().sort().first()
        for a in attributes.values()
    ]
    return (
        sales.with_columns(_KEYS)
        .group_by(VARIANT)
        .agg(
            pl.col("brand", "model").mode().sort().first(),
            pl.col("launched_on").drop_nulls().min(),
            pl.col("launch_price").median(),
            pl.len().cast(pl.Int64).alias("sales"),
            *typical,
        )
        .sort(pl.col("sales"), *VARIANT, descending=[True, *(False for _ in VARIANT)])
        .head(MOST_DEVICES)
        .drop("brand_key", "model_key")
    )


@dataclass(frozen=True)
class Lookup:
    """What is `found` under `keys`: a table to join many devices with, and the same to ask for one."""

    table: pl.DataFrame
    keys: tuple[str, ...]

    def of(self, devices: pl.DataFrame) -> pl.Series:
        """What is found for each device, null where nothing is: (n,)."""
        asked = devices.select(self.keys)
        found = asked.join(self.table, on=self.keys, how="left", nulls_equal=True, maintain_order="left")
        return found["found"]

    def of_one(self, device: Mapping[str, object]) -> Any:
        """What is found for one device, None where nothing is."""
        return self._found.get(tuple(device[key] for key in self.keys))

    @cached_property
    def _found(self) -> dict[tuple[object, ...], object]:
        return dict(zip(self.table.select(self.keys).iter_rows(), self.table["found"].to_list(), strict=True))


@dataclass(frozen=True)
class Generations:
    """The days on which the generations of each line were launched, (lines, most generations), NaT after the last."""

    places: Mapping[str, int]
    days: NDArray[np.float64]

    @classmethod
    def of(cls, launches: pl.DataFrame) -> Generations:
        """Read them off launch days by brand_key and model_key."""
        told = launches.select(line=_LINE, day=pl.col("found").cast(pl.Date).to_physical().cast(pl.Float64))
        lines = told.unique().group_by("line").agg(pl.col("day").sort()).sort("line")
        most = max((len(found) for found in lines["day"]), default=0)
        days = np.full((lines.height + 1, most), np.inf)
        for place, found in enumerate(lines["day"].to_list()):
            days[place, : len(found)] = found
        return cls({line: place for place, line in enumerate(lines["line"])}, days)

    def newer(self, devices: pl.DataFrame) -> pl.Series:
        """How many newer generations each device has on its day `on`, null where its launch is not known: (n,)."""
        told = devices.select(
            line=_LINE.replace_strict(self.places, default=len(self.days) - 1, return_dtype=pl.Int64),
            own=pl.col("launched_on").cast(pl.Date).to_physical().cast(pl.Float64),
            on=pl.col("on").cast(pl.Date).to_physical().cast(pl.Float64),
        )
        days, own, on = self.days[told["line"].to_numpy()], told["own"].to_numpy()[:, None], told["on"].to_numpy()[:, None]
        count = (((on - days - FIRST) / (LAST - FIRST)).clip(0, 1) * (days > own)).sum(axis=1)
        return pl.Series(np.where(np.isnan(own[:, 0]), np.nan, count)).fill_nan(None)

    def newer_than(self, *, line: str, launched_on: date | None, on: date) -> float | None:
        if launched_on is None:
            return None
        epoch = date(1970, 1, 1)
        own, day = (launched_on - epoch).days, (on - epoch).days
        days = self.days[self.places.get(line, len(self.days) - 1)]
        return float((((day - days - FIRST) / (LAST - FIRST)).clip(0, 1) * (days > own)).sum())


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Launch facts to look up: the day by brand and model, the price also by storage and currency.

    `bases` has what each model cost with the least storage, by currency; `lines` the days on which the generations of
    each line were launched.
    """

    days: Lookup
    prices: Lookup
    bases: Lookup
    lines: Generations


def facts(*, known: pl.DataFrame | None = None) -> Facts:
    """Gather launch facts: those of the devices known (a vocabulary) first, then those of the embedded catalogue.

    A price that the catalogue derived comes last, and never above one that was told for more storage. Sources differ
    by tax and rate: more storage of one model is never taken to have been cheaper.
    """
    tables = [catalogue.launch_facts()]
    if known is not None:
        told = known.with_columns(*_KEYS, derived=pl.lit(value=False))
        tables.insert(0, told.select(tables[0].columns))
    every = pl.concat(tables, how="vertical_relaxed")
    prices = _first(every, "launch_price", PRICE_KEYS).sort("storage_gb", nulls_last=True)
    told_above = (
        pl.when(~pl.col("derived")).then("found").cum_min(reverse=True).backward_fill().over(BASE_KEYS)
    )
    bounded = pl.when("derived").then(pl.min_horizontal("found", told_above)).otherwise("found")
    rising = pl.col("found").cum_max().over(BASE_KEYS)
    prices = prices.with_columns(found=bounded).with_columns(rising).drop("derived")
    bases = prices.group_by(BASE_KEYS).agg(pl.col("found").min())
    days = _first(every, "launched_on", DAY_KEYS).drop("derived")
    return Facts(
        days=Lookup(days, DAY_KEYS),
        prices=Lookup(prices, PRICE_KEYS),
        bases=Lookup(bases, BASE_KEYS),
        lines=Generations.of(days),
    )


def _first(every: pl.DataFrame, column: str, keys: tuple[str, ...]) -> pl.DataFrame:
    first = every.drop_nulls(column).unique(keys, keep="first", maintain_order=True)
    return first.select(*keys, "derived", found=column)


def complete(*, devices: pl.DataFrame, known: Facts | None = None) -> pl.DataFrame:
    """Fill the launch facts that a device lacks from those known, or else from the catalogue; rows keep their order.

    Adds `base_price`, what its model cost new with the least storage; never more than the device itself.
    """
    found = known or facts()
    keyed = devices.with_columns(_KEYS)
    for column, lookup in (("launched_on", found.days), ("launch_price", found.prices)):
        if keyed[column].null_count():
            keyed = keyed.with_columns(pl.coalesce(column, lookup.of(keyed)).alias(column))
    base = pl.min_horizontal("launch_price", found.bases.of(keyed)).alias("base_price")
    keyed = keyed.with_columns(base)
    if "on" in keyed.columns:
        keyed = keyed.with_columns(newer=found.lines.newer(keyed))
    return keyed.drop("brand_key", "model_key")


def complete_one(*, device: Mapping[str, Any], known: Facts) -> dict[str, Any]:
    """Do for one device, told by its columns, what `complete` does for many."""
    keyed = {
        **device,
        "brand_key": catalogue.key(device["brand"]),
        "model_key": catalogue.key(device["model"]),
    }
    told = dict(device)
    for column, lookup in (("launched_on", known.days), ("launch_price", known.prices)):
        if told[column] is None:
            told[column] = lookup.of_one(keyed)
    prices = [price for price in (told["launch_price"], known.bases.of_one(keyed)) if price is not None]
    newer = known.lines.newer_than(
        line=line_of(keyed["brand_key"], keyed["model_key"]), launched_on=told["launched_on"], on=told["on"]
    )
    return {**told, "base_price": min(prices, default=None), "newer": newer}
