"""The one list of features: what the training matrix, the served row, the signs and the explanation come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Literal

import polars as pl

from valuation import catalogue, told
from valuation.grades import Grade
from valuation.ledger import Attribute

DAYS_PER_YEAR = 365.25
_RANKED = pl.Enum([grade.name for grade in Grade])
_RANKS = {grade.name: float(grade) for grade in Grade}
_LOG_2 = math.log(2)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One thing about a device that moves its price.

    `expr` is what it is of a table of devices; `one` the same of one device, as vocabulary.complete_one tells it:
    with it an answer is faster. `direction` is how the log price may move as a number rises: `+`, `-` or `none`; it
    binds the equation and the trees alike. `knots` are where the equation may change its slope. `spread` is the prior
    standard deviation of an effect in log price: per unit for a number with knots, per standard deviation for one
    without, per member for a category, of which 0 leaves no effect. `varies_by` names categories whose members each
    have slopes of their own, segment by segment, and the spread of these around the common ones; `tilts_by` the same,
    with one slope for the whole line. `wears_with` is a number that tells what is usual where this one is not told;
    `trees` whether the trees of the anchor see it; `needs_days` of sales are needed to tell it from what else time
    does.
    """

    name: str
    kind: Literal["number", "category"]
    why: str
    expr: pl.Expr
    one: Callable[[told.Device], float | str | None] | None = None
    direction: Literal["+", "-", "none"] = "none"
    knots: tuple[float, ...] = ()
    spread: float = 0.3
    varies_by: Mapping[str, float] = field(default_factory=dict)
    tilts_by: Mapping[str, float] = field(default_factory=dict)
    wears_with: str = ""
    trees: bool = True
    needs_days: int = 0

    @property
    def sign(self) -> int:
        """The direction as a number: 1, -1, or 0 for none."""
        return {"+": 1, "-": -1, "none": 0}[self.direction]


def _text(column: str) -> pl.Expr:
    return catalogue.key_expr(pl.col(column))


_AGE_DAYS = (pl.col("on") - pl.col("launched_on")).dt.total_days()
_BRAND, _MODEL = pl.col("brand_key"), pl.col("model_key")

_YEAR = pl.col("on").cast(pl.Date).to_physical().cast(pl.Float64) / DAYS_PER_YEAR
_YEARS_TO_2020 = 50.0  # from 1970: a number near its first knot is told apart from the base more easily
_ENOUGH_TO_TELL_A_SEASON = 500  # days: of less, neither a season nor a trend can be told from chance

FEATURES: tuple[Feature, ...] = (
    Feature(
        name="grade",
        kind="category",
        why="what else counts, counts differently for a worn device",
        expr=pl.col("grade"),
        one=itemgetter("grade"),
        spread=0.0,
        trees=False,
    ),
    Feature(
        name="grade_rank",
        kind="number",
        direction="+",
        why="a less worn device is worth more; PARTS 0 to NEW 5",
        expr=pl.col("grade").cast(_RANKED, strict=False).to_physical().cast(pl.Float64),
        one=lambda d: _RANKS.get(d["grade"]),
        knots=(0, 1, 2, 3, 4, 5),
        spread=0.5,
        varies_by={"category": 0.05, "brand": 0.02},
        trees=False,
    ),
    Feature(
        name="age_years",
        kind="number",
        direction="-",
        why="a model loses value from its launch on",
        expr=_AGE_DAYS.clip(lower_bound=0) / DAYS_PER_YEAR,
        one=lambda d: told.no_less(told.age_days(d), per=DAYS_PER_YEAR),
        knots=(0, 0.25, 1, 2, 4, 6, 12),
        spread=0.3,
        varies_by={"category": 0.1, "brand": 0.1, "grade": 0.05},
        tilts_by={"model": 0.02},
    ),
    Feature(
        name="newer",
        kind="number",
        direction="-",
        why="each newer generation of its line takes some of its buyers",
        expr=pl.col("newer"),
        one=itemgetter("newer"),
        knots=(0, 1, 2, 4, 8),
        spread=0.1,
        varies_by={"category": 0.03, "brand": 0.03},
    ),
    Feature(
        name="days_to_launch",
        kind="number",
        why="before its launch a device is a place in a queue, worth more or less as the day comes near",
        expr=(-_AGE_DAYS).clip(lower_bound=0).cast(pl.Float64),
        one=lambda d: told.no_less(None if (days := told.age_days(d)) is None else -days),
        knots=(0, 7, 30, 90),
        spread=0.01,
        trees=False,
    ),
    Feature(
        name="launch_price_log",
        kind="number",
        direction="+",
        why="what its model cost new with the least storage, by an elasticity that is learned",
        expr=pl.col("base_price").log(),
        one=lambda d: told.log(d["base_price"]),
        knots=(0, 25),
        spread=1.0,
        varies_by={"category": 0.1, "currency": 0.1},
    ),
    Feature(
        name="storage_log2",
        kind="number",
        direction="+",
        why="each doubling of storage adds to the price",
        expr=pl.col("storage_apart").log(2),
        one=lambda d: None if (log := told.log(d["storage_apart"])) is None else log / _LOG_2,
        knots=(0, 4, 6, 8, 10, 14),
        spread=0.2,
        varies_by={"category": 0.05, "brand": 0.05},
        tilts_by={"family": 0.03, "grade": 0.03},
    ),
    Feature(
        name="battery_health",
        kind="number",
        direction="+",
        why="a worn battery is a repair to come",
        expr=pl.col("battery_health"),
        one=itemgetter("battery_health"),
        knots=(0, 0.7, 0.8, 0.85, 0.9, 0.95, 1),
        spread=1.0,
        varies_by={"category": 0.3, "grade": 0.6},
        wears_with="age_years",
    ),
    Feature(
        name="carrier_locked",
        kind="number",
        direction="-",
        why="a locked device has fewer buyers",
        expr=pl.col("carrier_locked").cast(pl.Float64),
        one=told.number("carrier_locked"),
        knots=(0, 1),
        spread=0.2,
        varies_by={"category": 0.05},
    ),
    Feature(
        name="season_cosine",
        kind="number",
        why="prices have their months",
        expr=(2 * math.pi * _YEAR).cos(),
        one=lambda d: math.cos(2 * math.pi * told.day(d) / DAYS_PER_YEAR),
        knots=(-1, 1),
        spread=0.02,
        varies_by={"category": 0.01},
        trees=False,
        needs_days=_ENOUGH_TO_TELL_A_SEASON,
    ),
    Feature(
        name="season_sine",
        kind="number",
        why="a quarter of a year after the other wave",
        expr=(2 * math.pi * _YEAR).sin(),
        one=lambda d: math.sin(2 * math.pi * told.day(d) / DAYS_PER_YEAR),
        knots=(-1, 1),
        spread=0.02,
        varies_by={"category": 0.01},
        trees=False,
        needs_days=_ENOUGH_TO_TELL_A_SEASON,
    ),
    Feature(
        name="trend",
        kind="number",
        why="what goes on for years goes on for a few weeks more",
        expr=_YEAR - _YEARS_TO_2020,
        one=lambda d: told.day(d) / DAYS_PER_YEAR - _YEARS_TO_2020,
        knots=(0, 200),
        spread=0.05,
        trees=False,
        needs_days=_ENOUGH_TO_TELL_A_SEASON,
    ),
    Feature(
        name="currency",
        kind="category",
        why="a price is a number of units; without sales in a currency there is no price in it",
        expr=pl.col("currency"),
        one=itemgetter("currency"),
        spread=3.0,
        trees=False,
    ),
    Feature(
        name="market",
        kind="category",
        why="markets differ in level; a new one starts from the others of its currency",
        expr=pl.concat_str(pl.col("market"), pl.col("currency"), separator=" "),
        one=lambda d: f"{d['market']} {d['currency']}",
        spread=0.2,
        trees=False,
    ),
    Feature(
        name="category",
        kind="category",
        why="kinds of device keep their price differently",
        expr=pl.col("category"),
        one=itemgetter("category"),
        spread=0.5,
    ),
    Feature(
        name="brand",
        kind="category",
        why="brands keep their price differently",
        expr=_BRAND,
        one=itemgetter("brand_key"),
        spread=0.3,
    ),
    Feature(
        name="family",
        kind="category",
        why="the first word of a model's name carries a reputation: an unseen model inherits it",
        expr=pl.concat_str(_BRAND, _MODEL.str.extract(r"^([^\s\d]+)", 1).fill_null(""), separator=" "),
        one=lambda d: f"{d['brand_key']} {told.first_word(d['model_key'])}",
        spread=0.2,
    ),
    Feature(
        name="model",
        kind="category",
        why="what no other feature says of it; pooled, so that a thin model borrows from its family",
        expr=pl.concat_str(_BRAND, _MODEL, separator=" "),
        one=lambda d: f"{d['brand_key']} {d['model_key']}",
        spread=0.1,
        trees=False,
    ),
    Feature(
        name="channel",
        kind="category",
        why="an auction is not a shop",
        expr=_text("channel"),
        one=told.text("channel"),
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
        one=told.text(attribute.name) if text else told.number(attribute.name),
        spread=0.2,
    )


def table(*, devices: pl.DataFrame, attributes: Mapping[str, Attribute]) -> pl.DataFrame:
    """Compute every feature of every device: one row per row, one column per feature, and `day`.

    `devices` holds the device columns of the ledger, the declared attributes, `on`, the day of the value, and
    what vocabulary.complete adds.
    Numbers are Float64 and categories String, both null where not known; `day` counts from 1970-01-01.
    """
    features = devices.select(
        *(feature.expr.alias(feature.name) for feature in declared(attributes=attributes)),
        day=pl.col("on").cast(pl.Date).to_physical().cast(pl.Int64),
    )
    return features.with_columns(pl.col(pl.Float64).fill_nan(None))
