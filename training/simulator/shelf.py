"""The shelf: every device that is sold in an invented market, in each country, with its launch facts there."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import polars as pl

from training.simulator.events import NewDevice
from training.simulator.facts import Scenario
from training.simulator.kinds import OTHERS
from valuation import markets
from valuation.catalogue import Catalogue, Variant
from valuation.rows import Floats

DOLLAR = "USD"


def shelf(scenario: Scenario) -> pl.DataFrame:
    """One row per variant and market, in the order of the catalogue, then the devices that the scenario launches.

    category, brand, model, storage_gb, launched_on, market, currency, launch_price; `base_price` and `base_usd` are
    the launch prices of the model's least storage, `doublings` is how much more storage this one has; `line` is the
    model's name without its numbers: what has the same is a later generation.
    """
    currencies = {
        m: markets.terms(market=m, on=scenario.period.ends_on).currency for m in scenario.markets.share
    }
    devices = [*_catalogued(scenario), *(row for device in scenario.launches for row in _launched(device))]
    rows = [
        {
            **facts,
            "market": market,
            "currency": currency,
            "launch_price": prices[currency],
            "usd": prices[DOLLAR],
        }
        for facts, prices in devices
        for market, currency in currencies.items()
    ]
    model = ("brand", "model", "market")
    return pl.DataFrame(rows).with_columns(
        base_price=pl.col("launch_price").sort_by("storage_gb").first().over(model),
        base_usd=pl.col("usd").sort_by("storage_gb").first().over(model),
        doublings=(pl.col("storage_gb") / pl.col("storage_gb").min().over(model)).log(2),
        line=pl.concat_str("brand", _lines(pl.col("model"), scenario), separator=" "),
    )


def line(model: str) -> str:
    """What the generations of a device have in common: "iPhone 13 Pro Max" and "iPhone 14 Pro Max"."""
    return " ".join(re.sub(r"\(.*?\)|[0-9]+(st|nd|rd|th|G)?|\bgen\b", " ", model).split())


def _lines(model: pl.Expr, scenario: Scenario) -> pl.Expr:
    """The line of each model; what goes on under another name is of the line that it continues."""
    return model.map_elements(line, return_dtype=pl.String).replace(scenario.launch.continues)


def told(table: Mapping[str, float], words: pl.Series) -> Floats:
    """What a table tells of each word; its entry `others` is for all that it does not name: (n,)."""
    return words.replace_strict(table, default=table.get(OTHERS), return_dtype=pl.Float64).to_numpy()


def _catalogued(scenario: Scenario) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    for variant in Catalogue.embedded().variants:
        if variant.launched_on and variant.category in scenario.categories:
            yield _facts(variant, variant.launched_on), _prices(variant)


def _facts(variant: Variant, launched_on: date) -> dict[str, Any]:
    named = {name: getattr(variant, name) for name in ("category", "brand", "model", "storage_gb")}
    return {**named, "launched_on": launched_on}


def _prices(variant: Variant) -> dict[str, float]:
    return {launch.price.currency: float(launch.price.amount) for launch in variant.launches}


def _launched(device: NewDevice) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """The variants of an invented device: its dollars elsewhere are what a dollar is for the median of the others."""
    rates = _rates()
    for storage_gb, usd in zip(device.storage_gb, device.usd, strict=True):
        facts = device.model_dump(include={"category", "brand", "model"})
        prices = {currency: float(round(usd * rate)) for currency, rate in rates.items()}
        yield {**facts, "storage_gb": storage_gb, "launched_on": device.on}, prices


def _rates() -> dict[str, float]:
    """The median of the launch prices in each currency over those in dollars."""
    prices = pl.DataFrame([_prices(variant) for variant in Catalogue.embedded().variants])
    return prices.select((pl.all() / pl.col(DOLLAR)).median()).row(0, named=True)
