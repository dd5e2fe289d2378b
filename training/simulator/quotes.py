"""Quotes of an invented market: what was offered, by whom, who accepted, what was found and paid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from training.simulator.costs import CONDITIONS
from training.simulator.goods import Arrivals, pick
from training.simulator.kinds import Wait
from training.simulator.shelf import told
from training.simulator.truth import Truth, at_grade, best_payable
from training.simulator.world import Goods, World
from valuation.bargain import Bargain
from valuation.rows import Floats, Mask, Rows, Whole

EXPLORED = 1  # the stream of chance of the explored cells, one for all parts of a market
CURVE = tuple(range(50, 160, 10))  # offers in the truth, in percent of the least that half of the owners take
LATER = np.iinfo(np.int64).max  # the day of what does not happen within the market's days


Entry = TypeVar("Entry", np.float64, np.int64)


@dataclass(frozen=True, kw_only=True)
class Owners(Rows):
    """Who asks for a quote (n,): the device, its declared and its true condition (places in Condition), the log of
    what the best competitor offers over the usual, and the log of the least that the owner takes.
    """

    goods: Goods
    declared: Whole
    true: Whole
    competitor: Floats
    least: Floats


@dataclass(frozen=True, kw_only=True)
class Outcome(Rows):
    """What came of an offer (n,), days from 0, LATER for what has not happened; `paid` NaN where nothing was.

    `refused`: the offer ran out. `grade` is the one at which a device that was bought is sold on, on `sold_on`.
    """

    accepted_on: Whole
    refused: Mask
    inspected_on: Whole
    paid: Floats
    sold_on: Whole
    grade: Whole


@dataclass(frozen=True, kw_only=True)
class Quotes(Rows):
    """Quotes (n,) in the order of their days, by number, each at a `second` of its day.

    `factor` is what a drawn offer was multiplied by, NaN where people made it. `truth` has columns of tables.TRUTH.
    """

    owners: Owners
    number: Whole
    second: Whole
    offer: Floats
    factor: Floats
    outcome: Outcome
    truth: dict[str, Floats]


class Explored:
    """The cells of model and day whose offers are drawn, and what those of each are multiplied by."""

    def __init__(self, world: World) -> None:
        rng, policy = np.random.default_rng([world.seed, EXPLORED]), world.scenario.policy
        models = world.shelf.select("brand", "model").unique(maintain_order=True).with_row_index("at")
        named = world.shelf.join(models, on=("brand", "model"), how="left", maintain_order="left")
        self._model = named["at"].to_numpy()
        cells = (world.scenario.period.days, models.height)
        chosen = rng.random(cells) < policy.explored_share
        lowest, highest = np.log1p(-policy.explored_within), np.log1p(policy.explored_within)
        self._factor = np.where(chosen, np.exp(rng.uniform(lowest, highest, cells)), np.nan)
        self.density = float(1 / (highest - lowest))  # of the log of a drawn offer

    def factor(self, goods: Goods) -> Floats:
        """What the offer for each device is multiplied by, NaN where people make it: (n,)."""
        return np.asarray(self._factor[goods.day, self._model[goods.shelf]])


def draw(
    truth: Truth,
    arrivals: Arrivals,
    explored: Explored,
    *,
    days: tuple[int, int],
    numbers: tuple[int, int],
    rng: np.random.Generator,
) -> Quotes:
    """Draw the quotes from one number up to before the next, in these days."""
    goods = arrivals.draw(days, numbers[1] - numbers[0], rng)
    owners, bargain = _owners(truth, goods, rng)
    factor = explored.factor(goods)
    offer = _offer(truth, owners, factor, rng)
    return Quotes(
        owners=owners,
        number=np.arange(*numbers),
        second=rng.integers(0, 86_400, len(goods)),
        offer=offer,
        factor=factor,
        outcome=_outcome(truth, owners, bargain, offer, rng),
        truth=_known(truth, owners, bargain, offer),
    )


def born(quotes: Quotes) -> tuple[Goods, Whole]:
    """The devices that were bought and sold on, in the order of the quotes, and the number of each one's quote.

    They are sold where the truth about offers expects it: in the first channel.
    """
    sold = quotes.at(quotes.outcome.sold_on < LATER)
    goods = at_grade(replace(sold.owners.goods, day=sold.outcome.sold_on), sold.outcome.grade)
    return goods, sold.number


def _owners(truth: Truth, goods: Goods, rng: np.random.Generator) -> tuple[Owners, Bargain]:
    facts, n = truth.world.scenario.owners, len(goods)
    declared = pick(dict(enumerate(facts.condition[c] for c in CONDITIONS)), n, rng)
    below = np.cumsum(truth.found, axis=1)[declared]
    true = (rng.random(n)[:, None] > below).sum(axis=1).clip(max=len(CONDITIONS) - 1)
    bargain = truth.bargain(goods, declared)
    competitor = facts.competitor_sd * rng.standard_normal(n)
    least = own(bargain.reserve, true) + competitor + facts.private_sd * rng.standard_normal(n)
    return Owners(goods=goods, declared=declared, true=true, competitor=competitor, least=least), bargain


def _offer(truth: Truth, owners: Owners, factor: Floats, rng: np.random.Generator) -> Floats:
    """What people offered, who saw the competitor's offer, or what was drawn around the list: (n,)."""
    world, policy, goods = truth.world, truth.world.scenario.policy, owners.goods
    listed = truth.flawless(goods) + np.log(own(truth.worth[goods.shelf], owners.declared))
    listed += np.log(told(policy.share, world.shelf["market"]))[goods.shelf]
    listed -= policy.caution * np.exp(-world.age(goods).clip(0) / policy.caution_fades_years)
    people = policy.error_sd * rng.standard_normal(len(goods)) + policy.sees_competitors * owners.competitor
    offer = np.exp(listed + np.where(np.isnan(factor), people, np.log(factor)))
    return _payable(offer, truth.costs.step[goods.shelf])


def _outcome(
    truth: Truth, owners: Owners, bargain: Bargain, offer: Floats, rng: np.random.Generator
) -> Outcome:
    """What follows an offer, as far as the market's days go."""
    policy, day, n = truth.world.scenario.policy, owners.goods.day, len(offer)
    ends = truth.world.scenario.period.days
    valid = truth.costs.valid_days[owners.goods.shelf].astype(np.int64)
    waited = np.minimum(rng.geometric(1 / truth.world.scenario.owners.answer_days, n) - 1, valid - 1)
    accepts = np.log(offer) >= owners.least
    accepted_on = _until(ends, np.where(accepts, day + waited, LATER))
    inspected_on = _until(ends, _after(accepted_on, policy.inspection_days, rng))
    step = truth.costs.step[owners.goods.shelf]
    paid = np.where(inspected_on < LATER, _paid(owners, bargain, offer, step), np.nan)
    sold_on = _after(np.where(np.isnan(paid), LATER, inspected_on), policy.sale_days, rng)
    return Outcome(
        accepted_on=accepted_on,
        refused=~accepts & (day + valid < ends),
        inspected_on=inspected_on,
        paid=paid,
        sold_on=_until(ends, sold_on),
        grade=own(bargain.proceeds.grade, owners.true),
    )


def _paid(owners: Owners, bargain: Bargain, offer: Floats, step: Floats) -> Floats:
    """The offer, lowered to what was found; NaN where the owner then took the device back: (n,)."""
    lowered = np.minimum(offer, _payable(offer * own(bargain.cut, owners.true) + 1e-9, step))
    stays = (lowered == offer) | (np.log(lowered) + bargain.hassle >= owners.least)
    return np.where(stays, lowered, np.nan)


def _known(truth: Truth, owners: Owners, bargain: Bargain, offer: Floats) -> dict[str, Floats]:
    best, most = best_payable(bargain, truth.costs.step[owners.goods.shelf])
    private = own(bargain.reserve, owners.true) + owners.competitor
    return {
        "accept_probability": bargain.accepted(offer),
        "accept_chance": ndtr((np.log(offer) - private) / truth.world.scenario.owners.private_sd),
        "reserve_p50": np.exp(own(bargain.reserve, owners.declared)),
        "reserve_sd": np.full(len(offer), bargain.spread),
        "margin_at_offer": bargain.margin(offer),
        "best_offer": best,
        "best_margin": most,
        **_curves(bargain, np.exp(own(bargain.reserve, owners.declared))),
    }


def _curves(bargain: Bargain, usual: Floats) -> dict[str, Floats]:
    """What other offers lead to: the chance of acceptance and the margin at these percents of the usual least."""
    found = {}
    for percent in CURVE:
        offer = usual * (percent / 100)
        found[f"accept_at_{percent}"] = bargain.accepted(offer)
        found[f"margin_at_{percent}"] = bargain.margin(offer)
    return found


def own(table: NDArray[Entry], at: Whole) -> NDArray[Entry]:
    """The entry of each row (n, k) at its own place (n,): (n,)."""
    return np.asarray(np.take_along_axis(table, at[:, None], axis=1)[:, 0])


def _payable(amount: Floats, step: Floats) -> Floats:
    """The next payable amount below, at least one step."""
    return np.asarray(np.maximum(np.floor(amount / step), 1) * step)


def _after(day: Whole, wait: Wait, rng: np.random.Generator) -> Whole:
    waited = rng.integers(wait.least, wait.most + 1, len(day))
    return np.where(day < LATER, day + np.where(day < LATER, waited, 0), LATER)


def _until(ends: int, day: Whole) -> Whole:
    """What lies beyond the market's days has not happened yet."""
    return np.where(day < ends, day, LATER)
