"""A world: what every device of a scenario is worth on every day, and how far its prices lie from that.

It follows from the scenario and the seed alone, whatever is sold in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import polars as pl

from training.simulator import shelf, times
from training.simulator.facts import Scenario
from training.simulator.noise import Noise
from training.simulator.shelf import told
from valuation.features import DAYS_PER_YEAR
from valuation.grades import Grade
from valuation.rows import Floats, Mask, Rows, Whole

BEND = 0.03  # in log price
SEALED = 0.05  # what a sealed box may cost above the launch price, as a log
WORLD = 0  # the stream of chance that a world is drawn from; its tables are drawn from others


@dataclass(frozen=True, kw_only=True)
class Goods(Rows):
    """Devices for sale, arrays of (n,): the row of the `shelf`, the `day` from 0, the rank of the `grade`, the
    `channel` by its place in the scenario, the battery's `health` and whether it is `locked` (1, 0), NaN where that
    is not told.
    """

    shelf: Whole
    day: Whole
    grade: Whole
    channel: Whole
    health: Floats
    locked: Floats

    def __len__(self) -> int:
        return len(self.shelf)


@dataclass(frozen=True, kw_only=True)
class World:
    """What there is in it, by row of the shelf (s,) and by day and row (days, s)."""

    scenario: Scenario
    seed: int
    shelf: pl.DataFrame
    standing: Floats  # (s,) log value of an EXCELLENT device with the least storage on its first day
    rate: Floats  # (s,) log loss of a year at pace 1
    sd_base: Floats  # (s,)
    popularity: Floats  # (s,) of each row, were it new
    times: times.Times

    @classmethod
    def draw(cls, scenario: Scenario, seed: int) -> World:
        """Draw the world of a scenario."""
        rng = np.random.default_rng([seed, WORLD])
        goods = shelf.shelf(scenario)
        liked = np.exp(scenario.popularity.spread * _by(goods, ("brand", "model"), rng))
        age = scenario.age
        effects = scenario.effects.model_sd * _by(goods, ("brand", "model"), rng)
        effects += scenario.effects.brand_in_market_sd * _by(goods, ("brand", "market"), rng)
        dear = np.log(goods["base_usd"].to_numpy() / scenario.launch.typical_usd)
        standing = np.log(goods["base_price"].to_numpy()) + (scenario.launch.elasticity - 1) * dear + effects
        standing += np.log(told(age.keeps, goods["brand"])) + told(scenario.markets.level, goods["market"])
        return cls(
            scenario=scenario,
            seed=seed,
            shelf=goods,
            standing=standing,
            rate=-np.log1p(-told(age.loses, goods["brand"])),
            sd_base=_sd_base(scenario, dear, liked),
            popularity=_popularity(scenario, goods, liked),
            times=times.draw(scenario, goods, rng),
        )

    @cached_property
    def noise(self) -> Noise:
        """How prices lie around values."""
        return Noise(self.scenario.noise.wide_share, self.scenario.noise.wide_times)

    @cached_property
    def channels(self) -> tuple[str, ...]:
        """The channels by their place."""
        return tuple(self.scenario.channels.share)

    @cached_property
    def since(self) -> Whole:
        """The age in days of each row of the shelf on day 0: (s,)."""
        first = self.scenario.period.starts_on
        return (
            self.shelf.select((pl.lit(first) - pl.col("launched_on")).dt.total_days()).to_series().to_numpy()
        )

    def age(self, goods: Goods, ahead_days: float = 0) -> Floats:
        """The age of each device in years, so many days after its day: (n,)."""
        return np.asarray((self.since[goods.shelf] + goods.day + ahead_days) / DAYS_PER_YEAR)

    def log_value(self, goods: Goods, ahead_days: float = 0) -> Floats:
        """The log of the median price of each device: (n,).

        `ahead_days` after its day it is older, in a market that moved as could be foreseen on its day: by the season,
        the drift and the launches of successors.
        """
        facts, age, at = self.scenario, self.age(goods, ahead_days), goods.shelf
        storage = facts.storage
        bigger = self._doubling[at] + storage.doubling_when_new * np.exp(-age / storage.fades_years)
        value = self.standing[at] - self.rate[at] * self._paced(age) + self._doublings[at] * bigger
        value += self._grade_levels[at, goods.grade] + self._channel_levels[goods.channel]
        value += self._battery(goods, age) + facts.lock.level * np.nan_to_num(goods.locked)
        value += self.times.level[goods.day, at]
        if ahead_days:
            then = np.minimum(goods.day + round(ahead_days), len(self.times.level) - 1)
            value += self.times.foreseen[then, at] - self.times.foreseen[goods.day, at]
        return self._capped(value, goods)

    def _capped(self, value: Floats, goods: Goods) -> Floats:
        """No device is dearer than it was when it was new; near to that price, values bend gently below it."""
        cap = self._launch_price[goods.shelf] + SEALED * (goods.grade == Grade.NEW)
        return np.asarray(-BEND * np.logaddexp(-value / BEND, -cap / BEND))

    def sd(self, goods: Goods) -> Floats:
        """The sd of the log price of each device: (n,)."""
        noise = self.scenario.noise
        sd = (
            self.sd_base[goods.shelf]
            + noise.per_year * self.age(goods)
            + noise.per_grade * (Grade.NEW - goods.grade)
        )
        sd = sd.clip(noise.bounds.least, noise.bounds.most) * self._channel_noise[goods.channel] * noise.times
        return np.asarray(sd * self.times.noise[goods.day, goods.shelf])

    def usual_health(self, at: Whole, age: Floats) -> Floats:
        """The battery health that is usual at an age in years, 1 where there is no battery: (n,)."""
        battery = self.scenario.battery
        worn = (1 - battery.wear_per_year * age).clip(battery.worst, 1)
        return np.where(self.has_battery[at], worn, 1.0)

    @cached_property
    def has_battery(self) -> Mask:
        """Which rows of the shelf have a battery that wears: (s,)."""
        return self.shelf["category"].is_in(self.scenario.battery.categories).to_numpy()

    def _battery(self, goods: Goods, age: Floats) -> Floats:
        battery = self.scenario.battery
        health = np.where(np.isnan(goods.health), self.usual_health(goods.shelf, age), goods.health)
        worn = sum(s * (health - k).clip(max=0) for k, s in zip(battery.knees, battery.slopes, strict=True))
        return np.where((goods.grade == Grade.NEW) | (goods.grade == Grade.PARTS), 0.0, worn)

    def _paced(self, age: Floats) -> Floats:
        """The years that count: each stretch of an age at its own pace."""
        knots, pace = np.array(self.scenario.age.knots_years), self.scenario.age.pace
        ends = [*knots[1:], np.inf]
        return np.asarray(
            sum(p * (np.minimum(age, end) - k).clip(0) for k, end, p in zip(knots, ends, pace, strict=True))
        )

    @cached_property
    def _launch_price(self) -> Floats:
        return np.asarray(np.log(self.shelf["launch_price"].to_numpy()))

    @cached_property
    def _doubling(self) -> Floats:
        return told(self.scenario.storage.doubling, self.shelf["brand"])

    @cached_property
    def _doublings(self) -> Floats:
        return self.shelf["doublings"].to_numpy()

    @cached_property
    def _grade_levels(self) -> Floats:
        """(s, grades)"""
        levels = [self.scenario.grades.level[grade.name] for grade in Grade]
        return np.outer(told(self.scenario.grades.width, self.shelf["category"]), levels)

    @cached_property
    def _channel_levels(self) -> Floats:
        return np.array([self.scenario.channels.level[name] for name in self.channels])

    @cached_property
    def _channel_noise(self) -> Floats:
        return np.array([self.scenario.channels.noise[name] for name in self.channels])

    def date(self, day: int) -> date:
        """The date of a day."""
        return date.fromordinal(self.scenario.period.starts_on.toordinal() + day)


def _by(goods: pl.DataFrame, names: tuple[str, ...], rng: np.random.Generator) -> Floats:
    """One draw for each group of rows, in their order: (s,)."""
    groups = goods.select(names).unique(maintain_order=True).with_row_index("group")
    code = goods.join(groups, on=names, how="left", maintain_order="left")["group"].to_numpy()
    return np.asarray(rng.standard_normal(groups.height)[code])


def _sd_base(scenario: Scenario, dear: Floats, liked: Floats) -> Floats:
    noise = scenario.noise
    cheap = (-dear / np.log(4)).clip(0, 1)
    rare = liked < np.median(liked)
    return np.asarray(noise.base + noise.when_cheap * cheap + noise.when_rare * rare)


def _popularity(scenario: Scenario, goods: pl.DataFrame, liked: Floats) -> Floats:
    alike = goods.select(pl.len().over("category", "market")).to_series().to_numpy()
    share = told(scenario.markets.share, goods["market"]) * told(scenario.categories, goods["category"])
    return np.asarray(share * liked / alike)
