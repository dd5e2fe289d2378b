"""The devices that an appraiser has met, and what is known of each: launch facts, typical attributes, sales."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from valuation import catalogue
from valuation.generations import Generations, line
from valuation.ledger import Attribute

MOST_DEVICES = 50_000
DAY_KEYS = ("brand_key", "model_key")
BASE_KEYS = (*DAY_KEYS, "currency")
PRICE_KEYS = (*DAY_KEYS, "storage_gb", "currency")
ADDED = {  # by `complete`
    **dict.fromkeys(DAY_KEYS, pl.String),
    **dict.fromkeys(("base_price", "storage_apart", "newer"), pl.Float64),
}
VARIANT = ("category", "brand_key", "model_key", "storage_gb", "currency")
_KEYS = (
    catalogue.key_expr(pl.col("brand")).alias("brand_key"),
    catalogue.model_key_expr().alias("model_key"),
)


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


def with_launch(*, devices: pl.DataFrame, known: Facts | None = None) -> pl.DataFrame:
    """Fill the launch facts that a device lacks from those known, or else from the catalogue; rows keep their order."""
    return _with_launch(devices, known or facts()).drop("brand_key", "model_key")


def complete(*, devices: pl.DataFrame, known: Facts) -> pl.DataFrame:
    """Fill the launch facts of each device, and add what its features take from others, on its day `on`: ADDED.

    `brand_key` and `model_key` are the names as they are compared; `base_price` is what its model cost new with the
    least storage, or else what is told of it; `storage_apart` its storage, null where only its own launch price is
    known, which tells its storage too; `newer` how many newer generations of its line there are.
    """
    keyed = _with_launch(devices, known)
    base = known.bases.of(keyed)
    priced_alone = base.is_null() & keyed["launch_price"].is_not_null()
    return keyed.with_columns(
        base_price=pl.coalesce(base, "launch_price"),
        storage_apart=pl.when(~priced_alone).then("storage_gb"),
        newer=known.lines.newer(keyed),
    )


def _with_launch(devices: pl.DataFrame, known: Facts) -> pl.DataFrame:
    keyed = _keyed(devices)
    for column, lookup in (("launched_on", known.days), ("launch_price", known.prices)):
        if keyed[column].null_count():
            keyed = keyed.with_columns(pl.coalesce(column, lookup.of(keyed)).alias(column))
    return keyed


def _keyed(devices: pl.DataFrame) -> pl.DataFrame:
    """The devices with the names as they are compared; each is read once, as many devices have it."""
    names = devices.select("brand", "model").unique().with_columns(_KEYS)
    return devices.join(names, on=("brand", "model"), how="left", nulls_equal=True, maintain_order="left")


def complete_one(*, device: Mapping[str, Any], known: Facts) -> dict[str, Any]:
    """Do for one device, told by its columns, what `complete` does for many."""
    told = {
        **device,
        "brand_key": catalogue.key(device["brand"]),
        "model_key": catalogue.model_key(brand=device["brand"], model=device["model"]),
    }
    for column, lookup in (("launched_on", known.days), ("launch_price", known.prices)):
        if told[column] is None:
            told[column] = lookup.of_one(told)
    base, price = known.bases.of_one(told), told["launch_price"]
    own = line(brand=told["brand_key"], model=told["model_key"])
    return {
        **told,
        "base_price": price if base is None else base,
        "storage_apart": told["storage_gb"] if base is not None or price is None else None,
        "newer": known.lines.newer_than(line=own, launched_on=told["launched_on"], on=told["on"]),
    }
