"""Noise is what it says: of mean 0 and sd 1, heavier in the tails than a normal, with means in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from training.simulator.noise import Noise
from valuation.rows import Rows

NOISE = Noise(0.12, 2.6)


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    return NOISE.draw(1_000_000, np.random.default_rng(1))


def test_it_has_mean_0_and_sd_1_and_heavy_tails(drawn: np.ndarray) -> None:
    assert abs(drawn.mean()) < 0.005
    assert drawn.std() == pytest.approx(1, abs=0.005)
    assert (drawn**4).mean() > 4


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5, 0.9, 0.95])
def test_a_share_of_the_draws_lies_below_a_quantile(drawn: np.ndarray, level: float) -> None:
    assert (drawn < NOISE.quantile(level)).mean() == pytest.approx(level, abs=0.002)


def test_the_mean_of_a_price_is_its_median_times_the_factor(drawn: np.ndarray) -> None:
    sd = np.array([0.05, 0.15, 0.25])
    assert NOISE.mean_factor(sd) == pytest.approx([np.exp(s * drawn).mean() for s in sd], rel=0.001)


def test_the_excess_over_a_price_paid_is_the_mean_of_what_is_taxed(drawn: np.ndarray) -> None:
    value, sd = np.array([100.0, 100.0, 100.0]), np.array([0.1, 0.1, 0.2])
    paid = np.array([60.0, 100.0, 120.0])
    prices = [100 * np.exp(s * drawn) for s in sd]
    expected = [np.maximum(price - p, 0).mean() for price, p in zip(prices, paid, strict=True)]
    assert NOISE.excess(value, sd, paid) == pytest.approx(expected, rel=0.01)


def test_a_noise_of_one_kind_is_normal() -> None:
    assert Noise(0.0, 3.0).quantile(0.975) == pytest.approx(1.959964, abs=1e-6)


def test_rows_are_chosen_and_joined_in_every_array_of_a_record() -> None:
    from training.simulator.world import Goods

    whole, half = np.arange(4), np.arange(4) / 2
    goods = Goods(shelf=whole, day=whole, grade=whole, channel=whole, health=half, locked=half)
    assert isinstance(goods, Rows)
    assert goods.at(whole >= 2).day.tolist() == [2, 3]
    assert Goods.joined([goods.at(slice(2)), goods]).locked.tolist() == [0.0, 0.5, 0.0, 0.5, 1.0, 1.5]
