"""The solver agrees with dense algebra, and the prior with its own draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from training.layout import layout
from training.solver import Prior, System, design, slopes
from valuation import encoding
from valuation.block import Block, members
from valuation.features import Feature
from valuation.hedonic import Hedonic

N = 400
LISTED = (
    Feature(name="age", kind="number", why="", expr=pl.col("age"), knots=(0, 1, 3), varies_by={"brand": 0.1}),
    Feature(name="brand", kind="category", why="", expr=pl.col("brand")),
    Feature(name="market", kind="category", why="", expr=pl.col("market")),
    Feature(name="category", kind="category", why="", expr=pl.col("category")),
)


@pytest.fixture
def table() -> pl.DataFrame:
    rng = np.random.default_rng(5)
    return pl.DataFrame(
        {
            "age": rng.uniform(0, 4, N),
            "brand": rng.choice(["a", "b", "c"], N),
            "market": rng.choice(["FR EUR", "GB GBP"], N),
            "category": rng.choice(["laptop", "audio"], N),
            "day": rng.integers(0, 60, N),
        }
    )


@pytest.fixture
def blocks(table: pl.DataFrame) -> tuple[Block, ...]:
    return layout(table=table, listed=LISTED, days=(0, 59))


@pytest.fixture
def matrix(table: pl.DataFrame, blocks: tuple[Block, ...]) -> np.ndarray:
    codes = members(blocks)
    return design(devices=encoding.encode(table=table, members=codes), blocks=blocks, codes=codes)


def dense(prior: Prior) -> np.ndarray:
    diagonal, beside = prior.precision()
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


def test_a_row_times_the_coefficients_is_what_the_equation_says(table, blocks, matrix) -> None:
    coefficients = np.random.default_rng(1).normal(size=matrix.shape[1])
    equation = Hedonic(blocks=blocks, coefficients=tuple(Prior(blocks).parted(coefficients)))
    said = equation.predict(devices=equation.encode(table=table))
    assert matrix @ coefficients == pytest.approx(said)


def test_it_solves_what_dense_algebra_solves(blocks, matrix) -> None:
    rng = np.random.default_rng(2)
    target, weights = rng.normal(size=N), rng.uniform(50, 150, N)
    prior = Prior(blocks)
    system = System(matrix, weights, prior)
    found = system.solve(system.right_side(target), tolerance=1e-10)
    whole = matrix.toarray()
    exact = np.linalg.solve(whole.T @ (weights[:, None] * whole) + dense(prior), whole.T @ (weights * target))
    assert found == pytest.approx(exact, abs=1e-5)


def test_draws_of_the_prior_have_its_precision_as_their_covariance(blocks) -> None:
    prior, rng = Prior(blocks), np.random.default_rng(3)
    draws = np.array([prior.draw(rng) for _ in range(4_000)])
    size = np.sqrt(np.diag(dense(prior)))
    assert np.cov(draws.T) / np.outer(size, size) == pytest.approx(
        dense(prior) / np.outer(size, size), abs=0.12
    )


def test_a_walk_is_loosened_where_it_jumped(blocks) -> None:
    prior = Prior(blocks)
    parts = prior.parted(np.zeros(sum(block.size for block in blocks)))
    place = next(i for i, block in enumerate(blocks) if block.knots)
    parts[place][0, 4:] = 0.1
    prior.loosen(np.concatenate([part.ravel() for part in parts]))
    assert prior.weights[place][0].argmin() == 3
    assert prior.weights[place][0, 3] < 0.1 < prior.weights[place][0, 0]


def test_spreads_move_towards_what_the_draws_show(blocks) -> None:
    prior, rng = Prior(blocks), np.random.default_rng(4)
    for _ in range(50):
        draws = [np.concatenate([rng.normal(0, 0.01, b.size) for b in blocks]) for _ in range(2)]
        prior.learn(draws)
    told = dict(zip([(b.feature, b.by, b.knots > 0) for b in blocks], prior.spreads, strict=True))
    assert told["brand", ("brand",), False] < 0.3
    assert told["brand", ("brand",), False] > 0.01


def test_a_bent_slope_is_held_at_zero_for_all_that_come_together_in_it(table, blocks, matrix) -> None:
    codes = members(blocks)
    signed = tuple(replace(b, sign=-1) if b.number == "age" else b for b in blocks)
    every = slopes(devices=encoding.encode(table=table, members=codes), blocks=signed, codes=codes)
    assert every.shape == (2 * (1 + 3), matrix.shape[1])  # two segments, for each brand and for one not met
    system = System(matrix, np.full(N, 100.0), Prior(blocks), bent=every)
    found = system.solve(system.right_side(table["age"].to_numpy()), tolerance=1e-10)
    assert every @ found == pytest.approx(np.zeros(8), abs=0.01)


def test_slopes_of_the_right_sign_are_positive(table, blocks) -> None:
    codes = members(blocks)
    signed = tuple(replace(b, sign=-1) if b.number == "age" else b for b in blocks)
    every = slopes(devices=encoding.encode(table=table, members=codes), blocks=signed, codes=codes)
    falling = np.concatenate([np.full(b.size, -0.1 if b.number == "age" else 0.5) for b in blocks])
    rise = every @ falling
    assert rise[:2] == pytest.approx([0.1 * 1, 0.1 * 2])
    assert rise[2:] == pytest.approx(np.tile([0.2 * 1, 0.2 * 2], 3))
