"""What an offer is said to lead to is what happens when many owners are asked, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulator.market import Market
from training.simulator.noise import Noise
from training.simulator.truth import best_payable
from valuation import markets
from valuation.bargain import Bargain

OWNERS = 400_000


def cases(market: Market, count: int = 60) -> Bargain:
    """The bargains behind some quotes of every condition."""
    devices = market.quotes.with_columns(on=market.quotes["quoted_at"].dt.date()).sample(count, seed=1)
    return market.oracle.bargain(devices=devices)


def steps(market: Market, count: int = 60) -> np.ndarray:
    """What the offers of those quotes are multiples of."""
    ends = market.oracle.world.scenario.period.ends_on
    told = {m: markets.terms(market=m, on=ends).payable_step.amount for m in markets.markets()}
    return np.array([float(told[m]) for m in market.quotes.sample(count, seed=1)["market"]])


def asked(case: Bargain, offer: float, noise: Noise, rng: np.random.Generator) -> np.ndarray:
    """The margin of one offer to each of many owners of the same device, told step by step: (owners,)."""
    true = rng.choice(6, OWNERS, p=case.chance[0])
    least = case.reserve[0, true] + case.spread * rng.standard_normal(OWNERS)
    accepts = np.log(offer) >= least
    paid = offer * case.cut[0, true]
    stays = accepts & ((case.cut[0, true] == 1) | (np.log(paid) + case.hassle >= least))
    sold = case.proceeds
    price = sold.value[0, true] * np.exp(sold.sd[0, true] * noise.draw(OWNERS, rng))
    tax = sold.vat[0] * np.maximum(price - paid, 0)
    earned = price * sold.kept[0] - tax - sold.work[0, true] - sold.unit[0] - paid
    return np.where(stays, earned, np.where(accepts, -case.back[0], 0.0))


def test_the_expected_margin_is_the_mean_margin_of_many_owners(steady: Market) -> None:
    rng, bargain = np.random.default_rng(1), cases(steady, 30)
    for at in range(30):
        case = bargain.at(slice(at, at + 1))
        offer = np.exp(case.reserve[0, case.chance[0].argmax()]) * rng.uniform(0.7, 1.2)
        margins = asked(case, offer, steady.oracle.world.noise, rng)
        error = margins.std() / np.sqrt(OWNERS)
        assert abs(margins.mean() - case.margin(np.array([offer]))[0]) < 4.5 * error


def test_the_regret_of_the_best_offer_is_nothing_on_the_whole_payable_grid(any_market: Market) -> None:
    missed, possible = 0.0, 0.0
    bargain = cases(any_market, 200)
    offers, margins = best_payable(bargain, steps(any_market, 200))
    for at in range(200):
        step, highest = steps(any_market, 200)[at], np.exp(bargain.reserve[at].max()) * 3
        grid = np.arange(step, max(highest, 3 * step), step)
        case = Bargain.joined([bargain.at(slice(at, at + 1))] * len(grid))
        best = max(0.0, float(case.margin(grid).max()))
        assert margins[at] >= best - max(1e-5 * best, 0.02)
        own = case.at(slice(0, 1)).margin(offers[at : at + 1])[0] if offers[at] else 0.0
        assert margins[at] == pytest.approx(own)
        missed, possible = missed + best - margins[at], possible + best
    assert missed < 1e-5 * possible


def test_the_best_offers_are_payable(steady: Market) -> None:
    bargain = cases(steady)
    step = steps(steady)
    offers, _ = best_payable(bargain, step)
    assert (offers % step == 0).all()


def test_more_is_accepted_more_often(any_market: Market) -> None:
    bargain = cases(any_market)
    middle = np.exp(bargain.reserve.mean(axis=1))
    chances = np.array([bargain.accepted(middle * share) for share in (0.5, 0.8, 1.0, 1.3, 2.0)])
    assert (np.diff(chances, axis=0) > 0).all()
    assert ((chances >= 0) & (chances <= 1 + 1e-12)).all()


def test_no_quote_has_no_best_offer(steady: Market) -> None:
    offers, margins = best_payable(cases(steady).at(slice(0, 0)), np.zeros(0))
    assert len(offers) == len(margins) == 0
