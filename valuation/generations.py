"""Generations: what models of one line have in common, and how many newer ones of it there are on a day."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from valuation import catalogue

Floats = NDArray[np.float64]

TAKES_FROM, TAKES_UNTIL = -14, 91  # days from its launch, between which a newer generation takes its buyers
NEXT_AFTER = 120  # days after its own launch: what comes sooner is a sibling, or the same day told otherwise
NAMES = ("brand_key", "model_key")
_EPOCH = date(1970, 1, 1)
_NUMBERS = r"\([^)]*\)|[0-9]+(st|nd|rd|th|g)?|\bgen\b"
_LINE = catalogue.key_expr(
    pl.concat_str("brand_key", pl.col("model_key").str.replace_all(_NUMBERS, ""), separator=" ")
)


def line(*, brand: str, model: str) -> str:
    """What the generations of a device have in common: apple, iphone 13 pro max -> apple iphone pro max."""
    return catalogue.key(brand + " " + re.sub(_NUMBERS, "", model))


@dataclass(frozen=True)
class Generations:
    """The launch days of each line, in order, from 1970-01-01: (lines + 1, most generations), infinite after the last.

    `places` tells the row of a line; the row after theirs is that of all others, which nothing follows.
    """

    places: Mapping[str, int]
    days: Floats

    @classmethod
    def of(cls, launches: pl.DataFrame) -> Generations:
        """Read them off launch days, `found`, by brand_key and model_key."""
        told = launches.select(line=_LINE, day=_day(pl.col("found"))).unique()
        lines = told.group_by("line").agg(pl.col("day").sort()).sort("line")
        days = np.full((lines.height + 1, max((len(found) for found in lines["day"]), default=0)), np.inf)
        for place, found in enumerate(lines["day"].to_list()):
            days[place, : len(found)] = found
        return cls({name: place for place, name in enumerate(lines["line"])}, days)

    def newer(self, devices: pl.DataFrame) -> pl.Series:
        """How many newer generations each device has on its day `on`, null where its launch is not known: (n,)."""
        of_line = _LINE.replace_strict(self.places, default=len(self.places), return_dtype=pl.Int64)
        names = devices.select(NAMES).unique().with_columns(place=of_line)
        told = devices.select(*NAMES, own=_day(pl.col("launched_on")), on=_day(pl.col("on")))
        told = told.join(names, on=NAMES, how="left", nulls_equal=True, maintain_order="left")
        told = told.select("place", "own", "on")
        place, own, on = (told[name].to_numpy() for name in told.columns)
        count = _count(self.days[place], own[:, None], on[:, None])
        return pl.Series(count).set(told["own"].is_null(), None)

    def newer_than(self, *, line: str, launched_on: date | None, on: date) -> float | None:
        """The same for one device of a line."""
        if launched_on is None:
            return None
        days = self.days[self.places.get(line, len(self.places))]
        return float(_count(days, (launched_on - _EPOCH).days, (on - _EPOCH).days))


def _day(column: pl.Expr) -> pl.Expr:
    return column.cast(pl.Date).to_physical().cast(pl.Float64)


def _count(days: Floats, own: Floats | int, on: Floats | int) -> Floats:
    taken = (on - days - TAKES_FROM) / (TAKES_UNTIL - TAKES_FROM)
    return np.asarray((taken.clip(0, 1) * (days > own + NEXT_AFTER)).sum(axis=-1))
