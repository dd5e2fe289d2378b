"""Why a value is what it is: how far each feature moves it from the typical device of its market, in money."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from valuation import hedonic
from valuation.appraisal import Effect
from valuation.resale import Location

ROWS_TO_CENTRE = 200
TYPICAL = "typical_device"
GROUPS = {
    "age_years": "age",
    "newer": "age",
    "days_to_launch": "age",
    "launch_price_log": "launch_price",
    "grade_rank": "grade",
    "storage_log2": "storage",
    "battery_health": "battery",
    "category": "model",
    "brand": "model",
    "family": "model",
    "model": "model",
    "season_cosine": "season",
    "season_sine": "season",
    "trend": hedonic.MARKET_NOW,
}
FIRM = (
    hedonic.BASE,
    "currency",
    "market",
)  # features that are no opinion: they make the typical device of a market


def centres(*, location: Location, table: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Tell what each feature contributes on average, in log price, over the sales in each currency; of many, over some.

    By currency, as a launch price is a number of its units.
    """
    found = {}
    for (currency,), sales in table.partition_by("currency", as_dict=True).items():
        some = sales.gather_every(max(1, sales.height // ROWS_TO_CENTRE))
        shares = location.contributions(devices=location.encode(table=some))
        found[str(currency)] = {name: float(share.mean()) for name, share in shares.items()}
    return found


def effects(
    *, shares: Mapping[str, float], value: float, centres: Mapping[str, float], rest: str
) -> tuple[Effect, ...]:
    """Split `value`, in major units, into the typical device of the market and the effect of each group of features.

    `shares` are log contributions, by feature. The effects sum to `value`; what calibration and the ladder add counts
    as one of the group `rest`.
    """
    logs, base = _grouped(shares, centres)
    logs[rest] = logs.get(rest, 0.0) + math.log(value) - base - sum(logs.values())
    typical = math.exp(base)
    return (Effect(feature=TYPICAL, amount=typical), *in_money(logs=logs, start=typical, end=value))


def in_money(*, logs: Mapping[str, float], start: float, end: float) -> tuple[Effect, ...]:
    """Turn steps in log price from `start` to `end` into money that adds up to the way between them.

    By the logarithmic mean (LMDI-I, B. W. Ang 2005), so the order of the steps does not matter.
    """
    way = math.log(end / start)
    mean = (end - start) / way if abs(way) > 1e-12 else end
    return tuple(Effect(feature=name, amount=mean * log) for name, log in logs.items())


def _grouped(shares: Mapping[str, float], centres: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """Sum the log contributions by group, and tell the log price of the typical device of the market."""
    base = 0.0
    logs: dict[str, float] = {}
    for name, share in shares.items():
        if name in FIRM:
            base += share
            continue
        centre = centres.get(name, 0.0)
        base += centre
        group = GROUPS.get(name, name)
        logs[group] = logs.get(group, 0.0) + share - centre
    return logs, base
