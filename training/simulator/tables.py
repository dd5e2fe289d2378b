"""The tables of an invented market, in the columns of the ledger, and the truth beside them.

TRUTH has one row for each sale, listing and quote, amounts in major units of its currency. What the kind of a row does
not have is null.

- All: kind, id, on, market, currency; value_p05 .. value_p95, value_mean and value_sd (of the log): the price of the
  device on that day; of a quote's device, at the grade that its declared condition is sold at.
- Sales: dirt, what is wrong with the row, null for most.
- Quotes: accept_probability, had the offer been drawn by chance; accept_chance, of this very owner, whose true
  condition and competitor are known; reserve_p50 and reserve_sd (of the log), the least that owners take whose
  condition is what they declare; margin_at_offer; best_offer (0: none earns) and best_margin. For every other offer:
  accept_at_50 .. accept_at_150 and margin_at_50 .. margin_at_150, at so many percent of reserve_p50.
- Listings: hazard of a day at the price asked; it is hazard_at_value x (price / value_p50) ^ -price_effect, times
  exp(-undercut) where the price is above competitor_min_price and the value is not (the other way round over it), .95
  at most. brings, what the price asked brings before the purchase, in the mean; best_list_price and best_brings; for
  other prices brings_at_80 .. brings_at_130, at so many percent of value_p50.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from training.simulator import MARK, dirt
from training.simulator import listings as listings_
from training.simulator import quotes as quotes_
from training.simulator.costs import CONDITIONS
from training.simulator.listings import Listings
from training.simulator.quotes import LATER, Quotes
from training.simulator.sales import NO_QUOTE, Sales
from training.simulator.truth import REPAIRED, Truth, at_grade
from training.simulator.world import Goods, World
from valuation import ledger
from valuation.appraisal import QUANTILE_NAMES
from valuation.grades import Grade
from valuation.rows import Floats, Mask, Whole

TRUTH = pl.Schema(
    {
        **dict.fromkeys(("kind", "id"), pl.String()),
        "on": pl.Date(),
        **dict.fromkeys(("market", "currency", "dirt"), pl.String()),
        **dict.fromkeys((f"value_{name}" for name in (*QUANTILE_NAMES, "mean", "sd")), pl.Float64()),
        **dict.fromkeys(("accept_probability", "accept_chance", "reserve_p50", "reserve_sd"), pl.Float64()),
        **dict.fromkeys(("margin_at_offer", "best_offer", "best_margin"), pl.Float64()),
        **dict.fromkeys((f"accept_at_{percent}" for percent in quotes_.CURVE), pl.Float32()),
        **dict.fromkeys((f"margin_at_{percent}" for percent in quotes_.CURVE), pl.Float32()),
        **dict.fromkeys(("hazard", "hazard_at_value", "price_effect", "undercut"), pl.Float64()),
        **dict.fromkeys(("brings", "best_list_price", "best_brings"), pl.Float64()),
        **dict.fromkeys((f"brings_at_{percent}" for percent in listings_.CURVE), pl.Float32()),
    }
)
SELLERS = 400
EPOCH = 719_163  # the ordinal of 1970-01-01
_DIGITS = 9
_SHELF = ("category", "brand", "model", "storage_gb", "launched_on", "market", "currency", "launch_price")

Two = tuple[pl.DataFrame, pl.DataFrame]


def sales(truth: Truth, sold: Sales, kinds: Whole, first: int, rng: np.random.Generator) -> Two:
    """The sales as SALES, soiled by kind, and the truth; those that come from no quote are numbered from `first`."""
    world, bought = truth.world, sold.quote != NO_QUOTE
    number = np.where(bought, sold.quote, first + np.cumsum(~bought) - 1)
    seller = (SELLERS * rng.random(len(number)) ** 3).astype(np.int64)
    table = _devices(world, sold.goods).with_columns(
        sale_id=_ids(bought, ("s", "q"), number),
        sold_on=_dates(world, sold.goods.day),
        price=pl.Series(sold.price),
        grade=_words(list(Grade.__members__), sold.goods.grade),
        channel=_words(list(world.channels), sold.goods.channel),
        seller_id=pl.format(MARK + "seller-{}", pl.Series(seller)),
        unit_id=_ids(bought, ("u", "uq"), sold.unit),
    )
    known = _known("sale", table, "sold_on", truth.spread_out(sold.log_value, sold.sd), sold.sd)
    return dirt.soiled(_as(table, ledger.SALES), kinds, rng), _whole(known.with_columns(dirt.named(kinds)))


def listings(truth: Truth, listed: Listings) -> Two:
    """The listings as LISTINGS, and the truth about them."""
    world, goods = truth.world, listed.goods
    number = _ids(np.zeros(len(listed.number), dtype=np.bool_), ("l",), listed.number)
    table = _devices(world, goods).with_columns(
        listing_id=pl.format("{}-{}", number, pl.Series(listed.round)),
        grade=_words(list(Grade.__members__), goods.grade),
        listed_on=_dates(world, goods.day),
        ended_on=_dates(world, listed.ended_on),
        sold=pl.Series(listed.sold),
        list_price=pl.Series(listed.price),
        competitors=pl.Series(listed.competitors),
        competitor_min_price=_where(np.isfinite(listed.cheapest), listed.cheapest),
    )
    known = _known("listing", table, "listed_on", truth.values(goods), world.sd(goods))
    return _as(table, ledger.LISTINGS), _whole(known.with_columns(**_series(listed.truth)))


def quotes(truth: Truth, quoted: Quotes, density: float) -> Two:
    """The quotes as QUOTES, and the truth about them; `density` is that of the log of a drawn offer."""
    world, owners, came = truth.world, quoted.owners, quoted.outcome
    conditions, drawn = [str(condition) for condition in CONDITIONS], ~np.isnan(quoted.factor)
    accepted = np.where(came.accepted_on < LATER, 1, np.where(came.refused, 0, -1))
    ids = _ids(np.zeros(len(drawn), dtype=np.bool_), ("q",), quoted.number)
    table = _devices(world, owners.goods).with_columns(
        quote_id=ids,
        quoted_at=_instants(world, owners.goods.day, quoted.second),
        condition=_words(conditions, owners.declared),
        offer=pl.Series(quoted.offer),
        policy=_words(["people", "explore"], drawn),
        randomised=pl.Series(drawn),
        propensity=_where(drawn, np.full(len(drawn), density)),
        accepted=_words([False, True, None], accepted),
        accepted_at=_instants(world, came.accepted_on, quoted.second),
        inspected_condition=_words([*conditions, None], np.where(came.inspected_on < LATER, owners.true, -1)),
        final_amount=_where(~np.isnan(came.paid), came.paid),
        sale_id=pl.when(pl.Series(came.sold_on < LATER)).then(ids),
    )
    goods = at_grade(owners.goods, REPAIRED[owners.declared])
    known = _known("quote", table, "quoted_at", truth.values(goods), world.sd(goods))
    return _as(table, ledger.QUOTES), _whole(known.with_columns(**_series(quoted.truth)))


def _devices(world: World, goods: Goods) -> pl.DataFrame:
    """What the shelf tells of devices, with their battery and lock."""
    locked = np.nan_to_num(goods.locked, nan=-1).astype(np.int64)
    return world.shelf.select(_SHELF)[goods.shelf].with_columns(
        battery_health=_where(~np.isnan(goods.health), goods.health),
        carrier_locked=_words([False, True, None], locked),
    )


def _known(kind: str, table: pl.DataFrame, day: str, values: pl.DataFrame, sd: Floats) -> pl.DataFrame:
    """The truth that every kind has."""
    own = table.select("market", "currency", kind=pl.lit(kind), id=f"{kind}_id", on=pl.col(day).cast(pl.Date))
    return own.hstack(values.drop("fsd").rename(lambda name: f"value_{name}")).with_columns(value_sd=sd)


def _whole(known: pl.DataFrame) -> pl.DataFrame:
    return _completed(known, dict(TRUTH))


def _as(table: pl.DataFrame, contract: ledger.Contract) -> pl.DataFrame:
    return _completed(table, {column.name: ledger.DTYPES[column.kind] for column in contract.columns})


def _completed(table: pl.DataFrame, dtypes: dict[str, Any]) -> pl.DataFrame:
    """These columns in their order; what the market does not tell is null."""
    return table.select(
        (pl.col(name) if name in table.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in dtypes.items()
    )


def _ids(kind: Mask, letters: tuple[str, ...], number: Whole) -> pl.Series:
    """sim-s000000012 and the like: (n,)."""
    digits = pl.Series(number).cast(pl.String).str.zfill(_DIGITS)
    return pl.select(pl.format(MARK + "{}{}", _words(list(letters), kind), digits)).to_series()


def _words(words: list[Any], places: Any) -> pl.Series:
    """The word at each place, the last one at -1: (n,)."""
    at = np.asarray(places).astype(np.int64)
    return pl.Series(words).gather(np.where(at < 0, len(words) - 1, at))


def _where(told: Mask, values: Floats) -> pl.Series:
    """The values that are told, null elsewhere: (n,)."""
    return pl.select(pl.when(pl.Series(told)).then(pl.Series(values))).to_series()


def _series(columns: dict[str, Floats]) -> dict[str, pl.Series]:
    return {name: pl.Series(values) for name, values in columns.items()}


def _dates(world: World, day: Whole) -> pl.Series:
    """The date of each day, null for LATER: (n,)."""
    known = np.where(day < LATER, day, 0) + world.scenario.period.starts_on.toordinal() - EPOCH
    return pl.select(
        pl.when(pl.Series(day < LATER)).then(pl.Series(known).cast(pl.Int32).cast(pl.Date))
    ).to_series()


def _instants(world: World, day: Whole, second: Whole) -> pl.Series:
    midnight = _dates(world, day).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return midnight + (pl.Series(second) * 1_000_000).cast(pl.Duration("us"))
