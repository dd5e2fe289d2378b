"""Fits the anchor: a robust ridge with signs, and its predictions for rows that it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import linalg, sparse

from valuation import anchor, encoding
from valuation.encoding import Encoded
from valuation.features import Feature

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

FOLDS = 5
HUBER_ROUNDS = 3
HUBER_SHARE = 1.5  # of the robust standard deviation: beyond it a residual pulls no harder
LEAST_SPREAD = 0.01  # of residuals in log price, so that a table without noise can be fitted
POOLINGS = (0.25, 0.5, 1.0, 2.0)  # times the spreads that the features state; the best out of fold is kept


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """An anchor, and what it predicts out of fold for its own rows, in all and from its firm part: (n,) each."""

    anchor: anchor.Anchor
    held: Floats
    held_firm: Floats

    def leaning(self, share: float) -> Floats:
        """Predict the rows out of fold with this share of the anchor: (n,)."""
        return self.held_firm + share * (self.held - self.held_firm)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A weighed ridge: design (n, p), target (n,), row weights (n,), wanted signs (p,), prior spreads (p,)."""

    matrix: sparse.csr_matrix
    target: Floats
    weights: Floats
    signs: Floats
    spreads: Floats
    noise: float

    def moments(self, rows: NDArray[np.bool_] | slice = slice(None)) -> tuple[Floats, Floats]:
        """Sum the weighed products of some rows: (p, p) and (p,)."""
        part = self.matrix[rows]
        weighed = part.T.multiply(self.weights[rows]).tocsr()
        return np.asarray((weighed @ part).todense()), np.asarray(weighed @ self.target[rows])

    def solve(self, gram: Floats, moment: Floats, pooling: float) -> Floats:
        """Solve for (p,) coefficients, setting to zero every one that would have the wrong sign."""
        ridge = (self.noise / (pooling * self.spreads)) ** 2 + 1e-9
        free = np.ones(len(moment), dtype=bool)
        while True:
            solution = np.zeros(len(moment))
            block = gram[np.ix_(free, free)] + np.diag(ridge[free])
            solution[free] = linalg.solve(block, moment[free], assume_a="pos")
            wrong = self.signs * solution < 0
            if not wrong.any():
                return solution
            free &= ~wrong


def fit(*, table: pl.DataFrame, target: Floats, listed: Sequence[Feature], folds: Whole) -> Fitted:
    """Fit the anchor to `target` (n,), log prices, with the pooling that predicts best across `folds` (n,)."""
    blocks = anchor.layout(table=table, listed=listed)
    devices = encoding.encode(table=table, members=anchor.members(blocks))
    problem = _robust(design(devices=devices, blocks=blocks), target, blocks)
    parts = [problem.moments(folds == fold) for fold in range(FOLDS)]
    gram = np.sum([g for g, _ in parts], axis=0)
    moment = np.sum([m for _, m in parts], axis=0)

    def across(pooling: float) -> list[Floats]:
        return [problem.solve(gram - g, moment - m, pooling) for g, m in parts]

    def error(pooling: float) -> float:
        return float(np.abs(target - _held(problem.matrix, across(pooling), folds)).mean())

    best = min(POOLINGS, key=error)
    firm = np.where(anchor.firm(blocks), 1.0, 0.0)
    return Fitted(
        anchor=anchor.Anchor(blocks=blocks, coefficients=problem.solve(gram, moment, best)),
        held=_held(problem.matrix, across(best), folds),
        held_firm=_held(problem.matrix, [c * firm for c in across(best)], folds),
    )


def design(*, devices: Encoded, blocks: Sequence[anchor.Block]) -> sparse.csr_matrix:
    """Write the devices as the matrix of the anchor: (n, 1 + width of all blocks), the first column the intercept."""
    parts = [sparse.csr_matrix(np.ones((devices.rows, 1)))]
    parts += [_columns(devices, block) for block in blocks]
    return sparse.hstack(parts, format="csr")


def _columns(devices: Encoded, block: anchor.Block) -> sparse.csr_matrix:
    if block.kind == "line":
        return sparse.csr_matrix(anchor.segments(values=devices.numbers[block.feature], block=block))
    if block.kind == "missing":
        return sparse.csr_matrix(np.isnan(devices.numbers[block.feature]).astype(np.float64)[:, None])
    heights = np.ones(devices.rows)
    if block.kind == "slopes":
        heights = anchor.segments(values=devices.numbers[block.feature], block=block)[:, 0]
    rows = np.flatnonzero(devices.codes[block.by] >= 0)
    places = (rows, devices.codes[block.by][rows])
    return sparse.csr_matrix((heights[rows], places), shape=(devices.rows, block.width))


def _robust(matrix: sparse.csr_matrix, target: Floats, blocks: Sequence[anchor.Block]) -> Problem:
    """Set the problem up with Huber's row weights, in (0, 1], and the robust spread of what is left."""
    signs = np.concatenate([[0.0], *(np.full(b.width, float(b.sign)) for b in blocks)])
    spreads = np.concatenate([[np.inf], *(np.full(b.width, b.spread) for b in blocks)])
    weights, noise = np.ones(len(target)), 0.2
    for _ in range(HUBER_ROUNDS):
        problem = Problem(
            matrix=matrix, target=target, weights=weights, signs=signs, spreads=spreads, noise=noise
        )
        left = target - matrix @ problem.solve(*problem.moments(), 1.0)
        noise = max(float(1.4826 * np.median(np.abs(left))), LEAST_SPREAD)
        weights = np.minimum(1.0, HUBER_SHARE * noise / np.maximum(np.abs(left), 1e-12))
    return Problem(matrix=matrix, target=target, weights=weights, signs=signs, spreads=spreads, noise=noise)


def _held(matrix: sparse.csr_matrix, coefficients: Sequence[Floats], folds: Whole) -> Floats:
    held = np.empty(matrix.shape[0])
    for fold, solution in enumerate(coefficients):
        held[folds == fold] = matrix[folds == fold] @ solution
    return held
