"""The devices that an appraiser has met, and what is known of each: launch facts, typical attributes, sales."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from valuation import catalogue
from valuation.ledger import Attribute

MOST_DEVICES = 50_000
VARIANT = ("category", "brand_key", "model_key", "storage_gb", "currency")
_KEYS = (
    catalogue.key_expr(pl.col("brand")).alias("brand_key"),
    catalogue.key_expr(pl.col("model")).alias("model_key"),
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


def complete(*, devices: pl.DataFrame, known: pl.DataFrame | None = None) -> pl.DataFrame:
    """Fill launch facts that a device lacks, from the devices known and then from the embedded catalogue.

    A launch day is looked up by brand and model, a launch price also by storage and currency. Rows keep their order.
    """
    facts = (
        [catalogue.launch_facts()] if known is None else [known.with_columns(_KEYS), catalogue.launch_facts()]
    )
    filled = devices.with_columns(_KEYS)
    for fact in facts:
        filled = _filled(filled, fact, "launched_on", ["brand_key", "model_key"])
        filled = _filled(filled, fact, "launch_price", ["brand_key", "model_key", "storage_gb", "currency"])
    return filled.drop("brand_key", "model_key")


def _filled(devices: pl.DataFrame, facts: pl.DataFrame, column: str, keys: list[str]) -> pl.DataFrame:
    if not devices[column].null_count():
        return devices
    found = facts.drop_nulls(column).group_by(keys).agg(pl.col(column).min().alias("found"))
    joined = devices.join(found, on=keys, how="left", nulls_equal=True, maintain_order="left")
    return joined.with_columns(pl.coalesce(column, "found").alias(column)).drop("found")
