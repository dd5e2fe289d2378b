"""What a price is said to bring is what it brings when many sellers wait, day by day."""

from __future__ import annotations

import numpy as np

from training.simulator.asking import GRID, Asking

SELLERS = 200_000


def listings(n: int = 12) -> Asking:
    """Some listings at a value of 300, with and without a competitor."""
    rng = np.random.default_rng(2)
    cheapest = np.where(rng.random(n) < 0.3, np.inf, 300 * rng.uniform(0.9, 1.1, n))
    return Asking(
        value=np.full(n, 300.0),
        cheapest=cheapest,
        base=rng.uniform(0.02, 0.10, n),
        proceeds=np.full(n, 0.7),
        holding=np.full(n, 0.0007),
        price_effect=9.0,
        undercut=0.35,
        horizon_days=90,
        salvage=0.75,
    )


def waited(case: Asking, price: float, rng: np.random.Generator) -> np.ndarray:
    """What each of many sellers gets who wait for a buyer day by day, and take the salvage in the end: (sellers,)."""
    hazard = case.hazard(np.array([price]))[0]
    day = rng.geometric(hazard, SELLERS)
    sold = day <= case.horizon_days
    days = np.minimum(day, case.horizon_days)
    got = np.where(sold, price, case.salvage * case.value[0])
    return case.proceeds[0] * got - case.holding[0] * case.value[0] * days


def test_what_a_price_brings_is_the_mean_of_many_sellers() -> None:
    rng, asking = np.random.default_rng(3), listings()
    for at in range(12):
        case = asking.at(slice(at, at + 1))
        price = 300 * rng.uniform(0.85, 1.25)
        got = waited(case, price, rng)
        assert abs(got.mean() - case.brings(np.array([price]))[0]) < 4.5 * got.std() / np.sqrt(SELLERS)


def test_a_higher_price_never_sells_faster() -> None:
    asking = listings()
    hazards = asking.hazard(np.outer(GRID, asking.value))
    assert (np.diff(hazards, axis=0) <= 0).all()


def test_the_best_price_is_the_best_of_a_ten_times_finer_grid() -> None:
    asking = listings()
    fine = np.exp(np.linspace(np.log(GRID[0]), np.log(GRID[-1]), 10 * len(GRID)))
    finest = asking.brings(np.outer(fine, asking.value)).max(axis=0)
    _, brings = asking.best()
    assert (brings >= finest - 0.001 * asking.value).all()


def test_a_dearer_day_of_waiting_never_raises_the_best_price() -> None:
    asking = listings()
    dear = Asking(**{**vars(asking), "holding": asking.holding * 10})
    assert (dear.best()[0] <= asking.best()[0]).all()
