"""Off-policy values: right where the draws reach, honest where they do not, whatever the middle of a draw knew."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import ndtr

from training import off_policy
from training.off_policy import Logged

WITHIN = 0.08
DENSITY = 1 / (np.log1p(WITHIN) - np.log1p(-WITHIN))
SPREAD, VALUE = 0.2, 150.0


@dataclass(frozen=True)
class Told:
    """Logged quotes, and what any offer would earn in the mean with each owner: (n,)."""

    logged: Logged
    least: np.ndarray

    def earns(self, offer: np.ndarray) -> np.ndarray:
        return margin(offer, self.least)


def margin(offer: np.ndarray, least: np.ndarray) -> np.ndarray:
    return np.asarray(ndtr(np.log(offer / least) / SPREAD) * (VALUE - offer))


def market(n: int = 6_000, drawn: float = 0.3, *, seed: int = 1, model: float = 1.0) -> Told:
    """Owners who take about 100; the middle of a draw knows more than a table does; the model's margin is off."""
    rng = np.random.default_rng(seed)
    cell = rng.integers(0, n // 3, n)
    more = 0.05 * rng.standard_normal(n)
    least = 100 * np.exp(more)
    factor = np.exp(rng.uniform(np.log1p(-WITHIN), np.log1p(WITHIN), n // 3))[cell]
    offer = 100 * np.exp(more / 2) * factor
    taken = rng.random(n) < ndtr(np.log(offer / least) / SPREAD)
    return Told(
        logged=Logged(
            drawn=(rng.random(n // 3) < drawn)[cell],
            density=np.full(n, DENSITY),
            offer=offer,
            reward=np.where(taken, VALUE - offer + 5 * rng.standard_normal(n), 0.0),
            told=model * margin(offer, np.full(n, 100.0)),
            cell=cell,
        ),
        least=least,
    )


def estimate(told: Told, offer: float, model: float = 1.0) -> off_policy.Estimate:
    target = np.full(len(told.least), offer)
    return off_policy.value(
        logged=told.logged,
        target=target,
        told=model * margin(target, np.full(len(target), 100.0)),
        unsure=np.zeros(len(target)),
    )


@pytest.mark.parametrize("offer", [98.0, 100.0, 103.0])
@pytest.mark.parametrize("model", [1.0, 0.8, 1.3])
def test_the_interval_holds_the_truth_nine_times_in_ten_though_the_model_is_off(
    offer: float, model: float
) -> None:
    held = 0
    for seed in range(40):
        told = market(seed=seed, model=model)
        held += estimate(told, offer, model).holds(float(told.earns(np.full(len(told.least), offer)).mean()))
    assert held >= 36


def test_draws_mend_a_model_that_is_off() -> None:
    truths, direct, robust = [], [], []
    for seed in range(20):
        told = market(seed=seed, model=1.3)
        found = estimate(told, 100.0, 1.3)
        truths.append(float(told.earns(np.full(len(told.least), 100.0)).mean()))
        direct.append(found.direct)
        robust.append(found.value)
    assert abs(np.mean(robust) - np.mean(truths)) < abs(np.mean(direct) - np.mean(truths)) / 4


def test_fewer_draws_widen_the_interval() -> None:
    few, many = (estimate(market(drawn=share), 100.0) for share in (0.05, 0.5))
    assert few.high - few.low > 2 * (many.high - many.low)
    assert few.n < many.n


def test_a_policy_out_of_reach_rests_on_the_model_and_its_interval_on_how_far_that_is_off() -> None:
    told = market(model=1.3)
    far = estimate(told, 60.0, 1.3)
    assert (far.within_reach, far.n, far.snips) == (0.0, 0, None)
    assert far.value < far.direct  # as the model says too much of the offers that were made
    right = estimate(market(), 60.0)
    assert far.high - far.low > right.high - right.low


def test_an_unsure_slope_widens_the_interval_of_what_lies_out_of_reach_only() -> None:
    told = market()
    for offer, wider in ((60.0, True), (100.0, False)):
        target = np.full(len(told.least), offer)
        modelled = margin(target, np.full(len(target), 100.0))
        sure, unsure = (
            off_policy.value(
                logged=told.logged, target=target, told=modelled, unsure=np.full(len(target), size)
            )
            for size in (0.0, 5.0)
        )
        assert (unsure.high - unsure.low > 1.5 * (sure.high - sure.low)) == wider


def test_a_policy_that_offers_nothing_earns_nothing_for_sure() -> None:
    told = market()
    nothing = np.zeros(len(told.least))
    found = off_policy.value(logged=told.logged, target=nothing, told=nothing, unsure=nothing)
    assert (found.value, found.low, found.high, found.within_reach) == (0.0, 0.0, 0.0, 1.0)


def test_what_is_not_known_yet_bears_on_nothing() -> None:
    told = market()
    reward = told.logged.reward.copy()
    reward[told.logged.drawn] = np.nan
    found = estimate(replace(told, logged=replace(told.logged, reward=reward)), 100.0)
    assert found.n == 0
    assert np.isinf(found.high)
    assert found.value == found.direct


def test_the_history_is_worth_what_it_earned() -> None:
    told = market(seed=2)
    found = off_policy.as_it_was(logged=told.logged)
    assert found.value == pytest.approx(told.logged.reward.mean())
    assert found.holds(float(told.earns(told.logged.offer).mean()))


def test_quotes_that_share_a_draw_err_together() -> None:
    told = market()
    apart = replace(told.logged, cell=np.arange(len(told.least)))
    together = replace(told.logged, cell=np.arange(len(told.least)) // 50)
    repeated = replace(together, reward=np.repeat(told.logged.reward[::50], 50))
    one, fifty = off_policy.as_it_was(logged=apart), off_policy.as_it_was(logged=repeated)
    assert fifty.high - fifty.low > 4 * (one.high - one.low)


def test_a_ratio_of_sums_lies_within_its_interval() -> None:
    rng = np.random.default_rng(2)
    below = rng.uniform(1, 2, 2_000)
    low, high = off_policy.ratio_interval(0.9 * below, below, np.arange(2_000), seed=1)
    assert low == pytest.approx(0.9)
    assert high == pytest.approx(0.9)
    noisy = 0.9 * below + rng.standard_normal(2_000)
    low, high = off_policy.ratio_interval(noisy, below, np.arange(2_000), seed=1)
    assert low < noisy.sum() / below.sum() < high
