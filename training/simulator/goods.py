"""Which devices are traded on which day, and in what state."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.simulator.refusal import SimulatorError
from training.simulator.world import Goods, World
from valuation.features import DAYS_PER_YEAR
from valuation.grades import Grade
from valuation.rows import Floats, Whole


class Arrivals:
    """Draws devices of a world: any day alike, only what is launched and where trade has begun, the newer the more."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._refuse_empty_days()

    def _refuse_empty_days(self) -> None:
        empty = ~np.isfinite(self._below[:, -1])
        if empty.any():
            raise SimulatorError(
                f"Nothing is on sale on {self.world.date(int(empty.argmax()))}: give markets.share, categories and "
                "popularity numbers by which some device of the catalogue, launched by then, is traded."
            )

    @cached_property
    def _below(self) -> Floats:
        """The share of each day's trade that comes before each row of the shelf, plus the day: (days, s)."""
        world, days = self.world, self.world.scenario.period.days
        age = (world.since + np.arange(days)[:, None]) / DAYS_PER_YEAR
        fading = np.where(age < 0, 0.0, np.exp(-age / world.scenario.popularity.fades_years))
        below = np.cumsum(fading * world.popularity * world.times.arrivals * self._open, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):  # an empty day is refused
            return np.asarray(below / below[:, -1:] + np.arange(days)[:, None])

    @cached_property
    def _open(self) -> NDArray[np.bool_]:
        """Whether the market of each row trades on each day: (days, s)."""
        told = self.world.scenario.markets.opens_on
        first = self.world.scenario.period.starts_on
        opens = {market: (day - first).days for market, day in told.items()}
        since = self.world.shelf["market"].replace_strict(opens, default=0, return_dtype=pl.Int64).to_numpy()
        return np.asarray(since <= np.arange(self.world.scenario.period.days)[:, None])

    def draw(self, days: tuple[int, int], count: int, rng: np.random.Generator) -> Goods:
        """Draw this many devices for sale from the first of the days up to before the second, in order: (count,)."""
        day = np.sort(rng.integers(*days, count))
        spot = np.searchsorted(self._below.ravel(), day + rng.random(count), side="right")
        at = np.clip(spot - day * len(self.world.since), 0, len(self.world.since) - 1)
        facts, age = self.world.scenario, (self.world.since[at] + day) / DAYS_PER_YEAR
        grade = pick({Grade[name]: share for name, share in facts.grades.share.items()}, count, rng)
        return Goods(
            shelf=at,
            day=day,
            grade=grade,
            channel=pick(dict(enumerate(facts.channels.share.values())), count, rng),
            health=self._health(at, age, grade, rng),
            locked=self._locked(at, rng),
        )

    def _health(self, at: Whole, age: Floats, grade: Whole, rng: np.random.Generator) -> Floats:
        """What is told of the battery, NaN where nothing is."""
        battery, world = self.world.scenario.battery, self.world
        wear = battery.wear_per_year * age * rng.uniform(battery.varies.least, battery.varies.most, len(at))
        told = world.has_battery[at] & (grade != Grade.NEW) & (rng.random(len(at)) < battery.told_share)
        return np.where(told, (1 - wear).clip(battery.worst).round(2), np.nan)

    def _locked(self, at: Whole, rng: np.random.Generator) -> Floats:
        lock = self.world.scenario.lock
        locked = (rng.random(len(at)) < lock.share).astype(np.float64)
        return np.where(self._lockable[at], locked, np.nan)

    @cached_property
    def _lockable(self) -> NDArray[np.bool_]:
        lock = self.world.scenario.lock
        lockable = pl.col("category").is_in(lock.categories) & pl.col("market").is_in(lock.markets)
        return np.asarray(self.world.shelf.select(lockable).to_series().to_numpy())


def pick(weights: dict[int, float], count: int, rng: np.random.Generator) -> Whole:
    """Draw keys by their weights: (count,)."""
    below = np.cumsum(list(weights.values()))
    drawn: Whole = np.searchsorted(below, rng.random(count) * below[-1], side="right")
    return np.array(list(weights), dtype=np.int64)[np.minimum(drawn, len(weights) - 1)]
