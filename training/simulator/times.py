"""Times: what the days do to prices, their noise, competition and demand, by day and row of the shelf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.simulator.events import Event
from training.simulator.facts import Scenario
from training.simulator.shelf import told
from valuation.features import DAYS_PER_YEAR
from valuation.rows import Floats

Singles = NDArray[np.float32]


FACTORS = ("noise", "arrivals", "competitors", "selling")  # of an event


@dataclass(frozen=True, kw_only=True)
class Times:
    """All of (days, s): the log level and what of it could be foreseen; the factors of noise, arrivals, competitors and
    the chance to sell.
    """

    level: Floats
    foreseen: Singles
    noise: Singles
    arrivals: Singles
    competitors: Singles
    selling: Singles


def draw(scenario: Scenario, shelf: pl.DataFrame, rng: np.random.Generator) -> Times:
    """Draw the days of a scenario: index, season, exchange, launches of successors; and add its events."""
    days = scenario.period.days
    level = _index(scenario, shelf, rng) + _exchange(scenario, shelf, rng)
    foreseen = _season(scenario)[:, None] + _drift(scenario, shelf) - _drops(scenario, shelf, rng)
    level += foreseen
    flat = {name: np.ones((days, shelf.height), np.float32) for name in FACTORS}
    for event in scenario.events:
        rows = _touched(event, shelf)
        first, end = _days(scenario, event)
        level[first:end, rows] += event.level
        for name, table in flat.items():
            table[first:end, rows] *= getattr(event, name)
    return Times(level=level, foreseen=foreseen.astype(np.float32), **flat)


def _touched(event: Event, shelf: pl.DataFrame) -> NDArray[np.int64]:
    """The rows of the shelf that an event touches."""
    sides = (("market", event.markets), ("category", event.categories), ("brand", event.brands))
    touched = pl.all_horizontal(pl.lit(True), *(pl.col(name).is_in(words) for name, words in sides if words))
    return shelf.with_columns(touched=touched)["touched"].arg_true().to_numpy().astype(np.int64)


def _days(scenario: Scenario, event: Event) -> tuple[int, int]:
    first = scenario.period.starts_on
    return (event.on - first).days, (event.until - first).days if event.until else scenario.period.days


def _codes(shelf: pl.DataFrame, name: str) -> tuple[list[str], NDArray[np.int64]]:
    words = shelf[name].unique(maintain_order=True).to_list()
    return words, shelf[name].replace_strict(words, range(len(words)), return_dtype=pl.Int64).to_numpy()


def _index(scenario: Scenario, shelf: pl.DataFrame, rng: np.random.Generator) -> Floats:
    """An AR(1) for each market and category, begun in its long run."""
    (places, market), (kinds, category) = _codes(shelf, "market"), _codes(shelf, "category")
    facts = scenario.index
    steps = facts.step * rng.standard_normal((scenario.period.days, len(places), len(kinds)))
    steps[0] /= np.sqrt(1 - min(facts.persistence, 0.9999) ** 2)
    for day in range(1, len(steps)):
        steps[day] += facts.persistence * steps[day - 1]
    return steps[:, market, category]


def _season(scenario: Scenario) -> Floats:
    first = scenario.period.starts_on.timetuple().tm_yday
    year = (first + np.arange(scenario.period.days)) / DAYS_PER_YEAR
    return np.asarray(
        scenario.index.season * np.cos(2 * np.pi * (year - scenario.index.highest_share_of_year))
    )


def _drift(scenario: Scenario, shelf: pl.DataFrame) -> Floats:
    slope = told(scenario.index.drift_per_year, shelf["category"])
    return np.outer(np.arange(scenario.period.days) / DAYS_PER_YEAR, slope)


def _exchange(scenario: Scenario, shelf: pl.DataFrame, rng: np.random.Generator) -> Floats:
    """Rates wander from the first day on; prices follow a lagged mean of them, in part."""
    facts, days = scenario.exchange, scenario.period.days
    names, currency = _codes(shelf, "currency")
    sd = np.array([facts.yearly_sd[name] for name in names]) / np.sqrt(DAYS_PER_YEAR)
    rate = np.cumsum(sd * rng.standard_normal((days, len(names))), axis=0)
    follow = 1 - np.exp(-1 / facts.lag_days)
    lagged = np.zeros_like(rate)
    for day in range(1, days):
        lagged[day] = lagged[day - 1] + follow * (rate[day - 1] - lagged[day - 1])
    return facts.pass_through * lagged[:, currency]


def _drops(scenario: Scenario, shelf: pl.DataFrame, rng: np.random.Generator) -> Floats:
    """What launches of later generations have taken off each row by each day."""
    facts, first = scenario.launch, scenario.period.starts_on
    own = shelf.select((pl.col("launched_on") - pl.lit(first)).dt.total_days()).to_series().to_numpy()
    lines = shelf["line"].to_numpy()
    days = np.arange(scenario.period.days)
    drops = np.zeros((len(days), shelf.height))
    for line in shelf["line"].unique(maintain_order=True):
        rows = np.flatnonzero(lines == line)
        generations, place = np.unique(own[rows], return_inverse=True)
        for at, launched in enumerate(generations[1:], start=1):
            drop = rng.uniform(facts.drop.least, facts.drop.most)
            done = (days - launched - facts.ramp_days.least) / (facts.ramp_days.most - facts.ramp_days.least)
            older = place < at
            drops[:, rows[older]] += np.outer(
                done.clip(0, 1), drop * facts.drop_fades ** (at - 1 - place[older])
            )
    return drops
