"""The one list of features: what the training matrix, the served row, the signs and the explanation come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import polars as pl

from valuation import catalogue
from valuation.grades import Grade
from valuation.ledger import Attribute

DAYS_PER_YEAR = 365.25
_RANKS = {grade.name: float(grade) for grade in Grade}


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One thing about a device that moves its price.

    `direction` is how the log price may move as a number rises: `+`, `-` or `none`; it binds the anchor and the
    trees alike. `knots` are where the anchor may change its slope. `steeper_by` names categories whose members
    may each move further in that direction. `spread` is the prior standard deviation of an effect in log price:
    per unit for a number with knots, per standard deviation for one without, per member for a category.
    """

    name: str
    kind: Literal["number", "category"]
    why: str
    expr: pl.Expr
    direction: Literal["+", "-", "none"] = "none"
    knots: tuple[float, ...] = ()
    steeper_by: tuple[str, ...] = ()
    spread: float = 0.3


def _text(column: str) -> pl.Expr:
    return catalogue.key_expr(pl.col(column))


_AGE_DAYS = (pl.col("on") - pl.col("launched_on")).dt.total_days()
_MODEL = _text("model").str.strip_prefix(_text("brand")).str.strip_chars(" -")

FEATURES: tuple[Feature, ...] = (
    Feature(
        name="grade_rank",
        kind="number",
        direction="+",
        why="a less worn device is worth more; PARTS 0 to NEW 5",
        expr=pl.col("grade").replace_strict(_RANKS, default=None, return_dtype=pl.Float64),
        knots=(0, 1, 2, 3, 4, 5),
        steeper_by=("category",),
        spread=0.5,
    ),
    Feature(
        name="age_years",
        kind="number",
        direction="-",
        why="a model loses value from its launch on",
        expr=_AGE_DAYS.clip(lower_bound=0) / DAYS_PER_YEAR,
        knots=(0, 0.25, 1, 2, 4, 8),
        steeper_by=("category", "brand"),
        spread=0.5,
    ),
    Feature(
        name="days_to_launch",
        kind="number",
        why="before its launch a device is a place in a queue, worth more or less as the day comes near",
        expr=(-_AGE_DAYS).clip(lower_bound=0).cast(pl.Float64),
        knots=(0, 7, 30, 90),
        spread=0.01,
    ),
    Feature(
        name="launch_price_log",
        kind="number",
        direction="+",
        why="what it cost new, by an elasticity that is learned",
        expr=pl.col("launch_price").log(),
        knots=(0, 25),
        spread=1.0,
    ),
    Feature(
        name="storage_log2",
        kind="number",
        direction="+",
        why="each doubling of storage adds to the price",
        expr=pl.col("storage_gb").log(2),
        knots=(0, 4, 6, 8, 10, 14),
        steeper_by=("category",),
        spread=0.2,
    ),
    Feature(
        name="battery_health",
        kind="number",
        direction="+",
        why="a worn battery is a repair to come",
        expr=pl.col("battery_health"),
        knots=(0, 0.8, 0.9, 1),
        spread=1.0,
    ),
    Feature(
        name="carrier_locked",
        kind="number",
        direction="-",
        why="a locked device has fewer buyers",
        expr=pl.col("carrier_locked").cast(pl.Float64),
        knots=(0, 1),
        spread=0.2,
    ),
    Feature(
        name="currency",
        kind="category",
        why="a price is a number of units; without sales in a currency there is no price in it",
        expr=pl.col("currency"),
        spread=3.0,
    ),
    Feature(
        name="market",
        kind="category",
        why="markets differ in level; a new one starts from the others of its currency",
        expr=pl.concat_str(pl.col("market"), pl.col("currency"), separator=" "),
        spread=0.2,
    ),
    Feature(
        name="category",
        kind="category",
        why="kinds of device keep their price differently",
        expr=pl.col("category"),
        spread=0.5,
    ),
    Feature(
        name="brand",
        kind="category",
        why="brands keep their price differently",
        expr=_text("brand"),
        spread=0.3,
    ),
    Feature(
        name="family",
        kind="category",
        why="the first word of a model's name carries a reputation: an unseen model inherits it",
        expr=pl.concat_str(
            _text("brand"), _MODEL.str.extract(r"^([^\s\d]+)", 1).fill_null(""), separator=" "
        ),
        spread=0.2,
    ),
    Feature(
        name="model",
        kind="category",
        why="what no other feature says of it; pooled, so that a thin model borrows from its family",
        expr=pl.concat_str(_text("brand"), _MODEL, separator=" "),
        spread=0.2,
    ),
    Feature(
        name="channel",
        kind="category",
        why="an auction is not a shop",
        expr=_text("channel"),
        spread=0.1,
    ),
)


def declared(*, attributes: Mapping[str, Attribute]) -> tuple[Feature, ...]:
    """List the features of a table with these further attributes: FEATURES, then one for each attribute."""
    return FEATURES + tuple(_of(attribute) for attribute in attributes.values())


def _of(attribute: Attribute) -> Feature:
    text = attribute.kind == "text"
    return Feature(
        name=attribute.name,
        kind="category" if text else "number",
        direction="none" if text else attribute.direction,
        why="declared by the owner of the sales",
        expr=_text(attribute.name) if text else pl.col(attribute.name).cast(pl.Float64),
        spread=0.2,
    )


def table(*, devices: pl.DataFrame, attributes: Mapping[str, Attribute]) -> pl.DataFrame:
    """Compute every feature of every device: one row per row, one column per feature, and `day`.

    `devices` holds the device columns of the ledger, the declared attributes and `on`, the day of the value.
    Numbers are Float64 and categories String, both null where not known; `day` counts from 1970-01-01.
    """
    listed = declared(attributes=attributes)
    return devices.select(
        *(feature.expr.alias(feature.name) for feature in listed),
        day=pl.col("on").cast(pl.Date).to_physical().cast(pl.Int64),
    ).with_columns(pl.col(pl.Float64).fill_nan(None))
