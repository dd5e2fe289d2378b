"""Sales of an invented market: who sold what on which day, and for how much."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from training.simulator.goods import Arrivals
from training.simulator.refusal import SimulatorError
from training.simulator.world import Goods, World
from valuation.rows import Floats, Rows, Whole

NO_QUOTE = -1


@dataclass(frozen=True, kw_only=True)
class Sales(Rows):
    """Sales (n,) in the order of their days, prices in major units.

    `quote` is the number of the quote by which the device was bought, else NO_QUOTE; `unit` the number of the device,
    of its quote where it has one. `log_value` and `sd` are the truth about its price.
    """

    goods: Goods
    quote: Whole
    unit: Whole
    price: Floats
    log_value: Floats
    sd: Floats


def draw(
    world: World,
    arrivals: Arrivals,
    *,
    days: tuple[int, int],
    count: int,
    born: tuple[Goods, Whole],
    first_unit: int,
    rng: np.random.Generator,
) -> Sales:
    """Draw this many sales in these days; those `born` of quotes (devices, numbers of the quotes) are among them."""
    others = count - len(born[1])
    if others < 0:
        raise SimulatorError(
            f"{len(born[1])} devices that were bought by quotes are to be sold in days that have {count} sales: lower "
            "volume.quotes_per_sale in the scenario."
        )
    drawn, units = arrivals.draw(days, others, rng), np.arange(first_unit, first_unit + others)
    drawn, units = _returned(world, drawn, units, rng)
    goods = Goods.joined([drawn, born[0]])
    order = np.argsort(goods.day, kind="stable")
    goods = goods.at(order)
    log_value, sd = world.log_value(goods), world.sd(goods)
    return Sales(
        goods=goods,
        quote=np.concatenate([np.full(others, NO_QUOTE), born[1]])[order],
        unit=np.concatenate([units, born[1]])[order],
        price=np.exp(log_value + sd * world.noise.draw(count, rng)).clip(1).round(2),
        log_value=log_value,
        sd=sd,
    )


def _returned(world: World, goods: Goods, unit: Whole, rng: np.random.Generator) -> tuple[Goods, Whole]:
    """Make some of the sales the second sale of a device that was sold some days before, and came back."""
    told, rows = world.scenario.returns, len(unit)
    back = np.flatnonzero(rng.random(rows) < told.share)
    before = goods.day[back] - rng.integers(told.after_days.least, told.after_days.most + 1, len(back))
    first, end = (np.searchsorted(goods.day, before, side=side) for side in ("left", "right"))
    source = first + (rng.random(len(back)) * (end - first)).astype(
        np.int64
    )  # any sale of that day, if there is one
    once = np.isin(np.arange(len(back)), np.unique(source, return_index=True)[1])
    fits = (first < end) & once & ~np.isin(source, back)
    same = np.arange(rows)
    same[back[fits]] = source[fits]
    again = {name: getattr(goods, name)[same] for name in ("shelf", "grade", "health", "locked")}
    return replace(goods, **again), unit[same]
