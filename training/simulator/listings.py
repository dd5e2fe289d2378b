"""Listings of an invented market: what sellers asked, when it sold, and when they marked down or gave up."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from training.simulator.asking import Asking
from training.simulator.goods import Arrivals
from training.simulator.quotes import LATER
from training.simulator.truth import Truth
from training.simulator.world import Goods
from valuation.rows import Floats, Mask, Rows, Whole

CURVE = (80, 90, 95, 100, 105, 110, 120, 130)  # prices in the truth, in percent of the value
ROUNDS = 3  # a device is listed this often at most: each time for less


@dataclass(frozen=True, kw_only=True)
class Listings(Rows):
    """Listings (n,); days from 0. `round` counts from 1, a later one is a markdown of the same number.

    `ended_on` is LATER where a listing is still open on the market's last day, `cheapest` infinite where nobody
    competes. `truth` has columns of tables.TRUTH.
    """

    goods: Goods
    number: Whole
    round: Whole
    price: Floats
    competitors: Whole
    cheapest: Floats
    ended_on: Whole
    sold: Mask
    truth: dict[str, Floats]


def draw(
    truth: Truth,
    arrivals: Arrivals,
    *,
    days: tuple[int, int],
    numbers: tuple[int, int],
    rng: np.random.Generator,
) -> Listings:
    """Draw the listings from one number up to before the next that begin in these days, then all their markdowns."""
    told = truth.world.scenario.listings
    goods, number = arrivals.draw(days, numbers[1] - numbers[0], rng), np.arange(*numbers)
    markup = told.markup + told.markup_sd * rng.standard_normal(len(goods))
    price = np.exp(truth.world.log_value(goods) + markup)
    rounds = []
    for at in range(1, ROUNDS + 1):
        listed, given_up = _round(truth, goods, number, at, price.round(2), rng)
        rounds.append(listed)
        again = given_up & (rng.random(len(goods)) < told.markdown_share)
        again &= listed.ended_on < truth.world.scenario.period.days - 1
        goods, number = replace(goods.at(again), day=listed.ended_on[again] + 1), number[again]
        price = price[again] * (1 - rng.uniform(told.markdown.least, told.markdown.most, len(number)))
    return Listings.joined(rounds)


def _round(
    truth: Truth, goods: Goods, number: Whole, at: int, price: Floats, rng: np.random.Generator
) -> tuple[Listings, Mask]:
    """One listing of each device, and whether its seller lost patience."""
    ends, n = truth.world.scenario.period.days, len(number)
    competitors = rng.poisson(
        truth.world.scenario.listings.competitors * truth.world.times.competitors[goods.day, goods.shelf]
    )
    cheapest = _cheapest(truth, goods, competitors, rng)
    asking = truth.asking(goods, cheapest)
    sells, withdrawn, patience = _fates(truth, asking.hazard(price), rng)
    lasts = np.minimum(np.minimum(sells, withdrawn), patience)
    ended_on = goods.day + lasts - 1  # what sells on its first day was listed for one day
    over = ended_on < ends
    listed = Listings(
        goods=goods,
        number=number,
        round=np.full(n, at),
        price=price,
        competitors=competitors,
        cheapest=cheapest,
        ended_on=np.where(over, ended_on, LATER),
        sold=(sells <= lasts) & over,
        truth=_known(asking, price),
    )
    return listed, (patience < np.minimum(sells, withdrawn)) & over


def _fates(truth: Truth, hazard: Floats, rng: np.random.Generator) -> tuple[Whole, Whole, Whole]:
    """After how many days each would sell, be sold elsewhere, and exhaust its seller's patience: the first counts."""
    told = truth.world.scenario.listings
    withdrawn = rng.geometric(max(told.withdrawn_per_day, 1e-9), len(hazard))
    patience = rng.integers(told.patience_days.least, told.patience_days.most + 1, len(hazard))
    return rng.geometric(hazard), withdrawn, patience


def _cheapest(truth: Truth, goods: Goods, competitors: Whole, rng: np.random.Generator) -> Floats:
    """The lowest of so many competitors' prices: (n,), infinite where there is none."""
    told = truth.world.scenario.listings
    lowest = ndtri(1 - rng.random(len(competitors)) ** (1 / np.maximum(competitors, 1)))
    price = np.exp(truth.world.log_value(goods) + told.competitor_markup + told.competitor_sd * lowest)
    return np.where(competitors > 0, price.round(2), np.inf)


def _known(asking: Asking, price: Floats) -> dict[str, Floats]:
    best, most = asking.best()
    return {
        "hazard": asking.hazard(price),
        "hazard_at_value": asking.hazard(asking.value),
        "price_effect": np.full(len(price), asking.price_effect),
        "undercut": np.where(np.isfinite(asking.cheapest), asking.undercut, 0.0),
        "brings": asking.brings(price),
        "best_list_price": best,
        "best_brings": most,
        **{f"brings_at_{percent}": asking.brings(asking.value * (percent / 100)) for percent in CURVE},
    }
