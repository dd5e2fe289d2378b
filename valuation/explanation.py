"""Why a value is what it is: how far each feature moves it from the typical device of its market, in money."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from valuation import anchor
from valuation.appraisal import Effect
from valuation.resale import Location

TYPICAL = "typical_device"
GROUPS = {
    "age_years": "age",
    "days_to_launch": "age",
    "launch_price_log": "launch_price",
    "grade_rank": "grade",
    "storage_log2": "storage",
    "battery_health": "battery",
    "category": "model",
    "brand": "model",
    "family": "model",
    "model": "model",
}


def centres(*, location: Location, table: pl.DataFrame) -> dict[str, float]:
    """Tell what each feature of the anchor contributes on average over a table of sales, in log price."""
    shares = location.anchor.contributions(devices=location.anchor.encode(table=table))
    return {name: float(share.mean()) for name, share in shares.items()}


def effects(
    *, location: Location, table: pl.DataFrame, value: float, centres: dict[str, float]
) -> tuple[Effect, ...]:
    """Split `value`, in major units, into the typical device of the market and the effect of each group of features.

    `table` has one row. The log contributions of anchor, levels and trees are turned into money by the logarithmic
    mean (LMDI-I, B. W. Ang 2005), so the effects sum to `value` whatever their order. What calibration and the ladder
    add counts as the grade's.
    """
    logs, base = _contributions(location, table, centres)
    logs["grade"] = logs.get("grade", 0.0) + math.log(value) - base - sum(logs.values())
    typical = math.exp(base)
    distance = math.log(value) - base
    mean = (value - typical) / distance if abs(distance) > 1e-12 else value
    return (
        Effect(feature=TYPICAL, amount=typical),
        *(Effect(feature=name, amount=mean * log) for name, log in logs.items()),
    )


def _contributions(
    location: Location, table: pl.DataFrame, centres: dict[str, float]
) -> tuple[dict[str, float], float]:
    """Sum the log contributions by group, and tell the log price of the typical device of the market."""
    devices = location.anchor.encode(table=table)
    shares = {name: float(s[0]) for name, s in location.anchor.contributions(devices=devices).items()}
    matrix = location.tree_matrix(devices=devices)
    grown = np.asarray(location.trees.predict(matrix, pred_contrib=True, num_threads=1))[0]
    base = float(location.anchor.coefficients[0] + grown[-1])
    logs: dict[str, float] = {}
    for feature, tree_share in zip(location.listed, grown[:-1], strict=True):
        share = shares.get(feature.name, 0.0)
        if feature.name in anchor.FIRM:
            base += share + float(tree_share)
            continue
        centre = centres.get(feature.name, 0.0)
        base += centre
        group = GROUPS.get(feature.name, feature.name)
        logs[group] = logs.get(group, 0.0) + share - centre + float(tree_share)
    logs["market_now"] = float(location.level(table=table)[0])
    return logs, base
