"""The truth of a world: what devices are worth, which offers are accepted, how fast what is asked sells."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import polars as pl

from training.simulator.asking import Asking
from training.simulator.costs import CONDITIONS, Costs
from training.simulator.kinds import OTHERS
from training.simulator.resold import Resold
from training.simulator.shelf import told
from training.simulator.world import Goods, World
from valuation import grades
from valuation.appraisal import QUANTILE_NAMES, QUANTILES
from valuation.bargain import Bargain
from valuation.features import DAYS_PER_YEAR
from valuation.grades import Grade
from valuation.rows import Floats, Mask, Whole

LOWEST, HIGHEST, TRIED = 0.1, 3.0, 44  # of offers tried, over the least that half of the owners take
HIGHEST_CHANCE_OF_YEAR = 0.87  # mid-November
REPAIRED = np.array(
    [grades.sold_as(condition) for condition in CONDITIONS], dtype=np.int64
)  # the grade after work


class Truth:
    """What is known of a world by one who knows it."""

    def __init__(self, world: World) -> None:
        self.world = world

    def values(self, goods: Goods) -> pl.DataFrame:
        """The distribution of the price of each device, in the columns of an appraisal: quantiles, mean, fsd."""
        return self.spread_out(self.world.log_value(goods), self.world.sd(goods))

    def spread_out(self, log_value: Floats, sd: Floats) -> pl.DataFrame:
        """The same from the log of the median (n,) and the sd of the log price (n,)."""
        noise, middle = self.world.noise, np.exp(log_value)
        at = {name: noise.quantile(q) for name, q in zip(QUANTILE_NAMES, QUANTILES, strict=True)}
        columns = {name: middle * np.exp(sd * z) for name, z in at.items()}
        fsd = np.sinh(sd * noise.quantile(0.84))
        return pl.DataFrame({**columns, "mean": middle * noise.mean_factor(sd), "fsd": fsd})

    def flawless(self, goods: Goods) -> Floats:
        """The log value of each device were it EXCELLENT: (n,)."""
        return self.world.log_value(at_grade(goods, Grade.EXCELLENT))

    def bargain(self, goods: Goods, declared: Whole) -> Bargain:
        """What every offer for devices of a declared condition (its place in Condition) leads to."""
        costs, at, owners = self.costs, goods.shelf, self.world.scenario.owners
        worth = self.worth[at]
        value, sd = self._resale(goods)
        for_parts = self._for_parts(goods, value, sd)
        resold = Resold(
            value=np.where(for_parts, value[:, [Grade.PARTS]], value[:, REPAIRED]),
            sd=np.where(for_parts, sd[:, [Grade.PARTS]], sd[:, REPAIRED]),
            grade=np.where(for_parts, Grade.PARTS, REPAIRED),
            work=np.where(for_parts, costs.parts_work[at][:, None], costs.work[at]),
            kept=costs.kept[at],
            vat=costs.vat_of_margin[at],
            unit=costs.unit[at],
            noise=self.world.noise,
        )
        return Bargain(
            chance=self.found[declared],
            reserve=(self._reserve[at] + self.flawless(goods))[:, None] + np.log(worth),
            cut=np.minimum(1.0, worth / np.take_along_axis(worth, declared[:, None], axis=1)),
            back=costs.shipping[at],
            proceeds=resold,
            spread=float(np.hypot(owners.private_sd, owners.competitor_sd)),
            hassle=owners.hassle,
        )

    def _resale(self, goods: Goods) -> tuple[Floats, Floats]:
        """Median price and sd of each device on the day when it is sold on, at every grade: (n, grades) both."""
        rungs = [at_grade(goods, grade) for grade in Grade]
        later = [np.exp(self.world.log_value(rung, ahead_days=self.days_to_resale)) for rung in rungs]
        return np.stack(later, axis=1), np.stack([self.world.sd(rung) for rung in rungs], axis=1)

    def _for_parts(self, goods: Goods, value: Floats, sd: Floats) -> Mask:
        """Whether each device brings more for parts than repaired, by its true condition: (n, 6)."""
        costs, at = self.costs, goods.shelf
        brought = value * self.world.noise.mean_factor(sd) * (costs.kept - costs.vat_of_margin)[at][:, None]
        for_parts = brought[:, [Grade.PARTS]] - costs.parts_work[at][:, None]
        return np.asarray(for_parts > brought[:, REPAIRED] - costs.work[at])

    def asking(self, goods: Goods, cheapest: Floats) -> Asking:
        """How fast every price for each device sells, where the cheapest competitor (infinite: none) asks so much."""
        facts, at = self.world.scenario.listings, goods.shelf
        year = (self.world.scenario.period.starts_on.timetuple().tm_yday + goods.day) / DAYS_PER_YEAR
        season = 1 + facts.season * np.cos(2 * np.pi * (year - HIGHEST_CHANCE_OF_YEAR))
        return Asking(
            value=np.exp(self.world.log_value(goods)),
            cheapest=cheapest,
            base=season * self.world.times.selling[goods.day, at] / self._days_at_value[at],
            proceeds=self.costs.proceeds[at],
            holding=self.costs.holding_per_day[at],
            price_effect=facts.price_effect,
            undercut=facts.undercut,
            horizon_days=facts.horizon_days,
            salvage=facts.salvage,
        )

    @cached_property
    def costs(self) -> Costs:
        """What a trade costs, by row of the shelf."""
        return Costs.of(self.world.shelf, self.world.scenario.period.ends_on)

    @cached_property
    def days_to_resale(self) -> float:
        """The mean days from an offer to the resale of what was accepted."""
        policy = self.world.scenario.policy
        ranges = (policy.inspection_days, policy.sale_days)
        return self.world.scenario.owners.answer_days + sum((r.least + r.most) / 2 for r in ranges)

    @cached_property
    def worth(self) -> Floats:
        """What a device is worth in each condition against a flawless one, by row of the shelf: (s, 6)."""
        tables = self.world.scenario.owners.worth
        by_brand = [tables.get(brand, tables[OTHERS]) for brand in self.world.shelf["brand"]]
        return np.array([[table[condition] for condition in CONDITIONS] for table in by_brand])

    @cached_property
    def found(self) -> Floats:
        """The chance of each true condition, by the declared one: (6, 6)."""
        tables = [self.world.scenario.owners.found[declared] for declared in CONDITIONS]
        weights = np.array([[table.get(true, 0.0) for true in CONDITIONS] for table in tables])
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    @cached_property
    def _reserve(self) -> Floats:
        return np.log(told(self.world.scenario.owners.reserve, self.world.shelf["market"]))

    @cached_property
    def _days_at_value(self) -> Floats:
        return told(self.world.scenario.listings.days_at_value, self.world.shelf["category"])


def at_grade(goods: Goods, grade: Grade | Whole) -> Goods:
    """The same devices at another grade, in the first channel."""
    same = np.zeros(len(goods.shelf), dtype=np.int64)
    return replace(goods, grade=same + grade, channel=same)


def best_payable(bargain: Bargain, step: Floats) -> tuple[Floats, Floats]:
    """The offer in whole steps (n,) with the highest expected margin, and that margin; 0 and 0 where none earns.

    A margin with two tops may be missed by a hundred-thousandth, or by two cents where there is hardly any.
    """
    usual = np.exp((bargain.chance * bargain.reserve).sum(axis=1))
    best = bargain.best(low=usual * LOWEST, high=usual * HIGHEST, tried=TRIED)
    below = np.floor(best / step) * step
    candidates = np.maximum(np.column_stack([below, below + step]), step[:, None])
    margins = bargain.margins(candidates)
    top = margins.argmax(axis=1)[:, None]
    offer, margin = (np.take_along_axis(side, top, axis=1)[:, 0] for side in (candidates, margins))
    return np.where(margin > 0, offer, 0.0), margin.clip(0)
