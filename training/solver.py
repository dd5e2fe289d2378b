"""Solves the weighed, pooled least squares of a hedonic equation by conjugate gradients.

The unknowns are split in two for the preconditioner: those that stand still, whose block of the normal matrix is
factorised whole, and the walks, whose blocks are tridiagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.sparse.linalg import LinearOperator, cg

from valuation.block import Block, Rows
from valuation.encoding import Encoded
from valuation.hedonic import DAYS_PER_WEEK

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

BENT = 1e6  # weight of a slope that is held at zero: what its segment adds is so to about a thousandth
LONG_RUN = 0.05  # sd of the mean level of a walk, in log price: what stays is an effect, not a walk
STEPS_WEIGHED = (
    2.0  # degrees of freedom of Student's t for the steps of a walk: most are small, some are jumps
)
TOLERANCE = 1e-4  # of the right side that may be left
MOST_ITERATIONS = 300
ROWS_TO_FACTORISE = 10_000  # a preconditioner need not be exact


def design(
    *, devices: Encoded, blocks: Sequence[Block], codes: dict[str, dict[str, int]]
) -> sparse.csr_matrix:
    """Write the devices as the matrix of the equation: (n, coefficients of all blocks)."""
    return sparse.hstack([_columns(devices, b, Rows(b, codes)) for b in blocks], format="csr")


def _columns(devices: Encoded, block: Block, rows: Rows) -> sparse.csr_matrix:
    row, device = rows.of(devices), np.arange(devices.rows)
    if block.knots:
        before, along = block.place(devices)
        heights, places = np.column_stack([1 - along, along]), np.column_stack([before, before + 1])
    else:
        heights = block.heights(devices)
        places = np.broadcast_to(np.arange(block.width), heights.shape)
    kept = (row < len(block.members))[:, None] & (heights != 0)
    columns = row[:, None] * block.width + places
    device = np.broadcast_to(device[:, None], heights.shape)
    shape = (devices.rows, block.size)
    return sparse.csr_matrix((heights[kept], (device[kept], columns[kept])), shape=shape)


def slopes(
    *, devices: Encoded, blocks: Sequence[Block], codes: dict[str, dict[str, int]]
) -> sparse.csr_matrix:
    """Write what must not be negative: what each segment of a line with a sign adds in all, for all members met.

    Times coefficients, that is the rise in log price over the segment: (slopes, coefficients of all blocks).
    """
    size = sum(block.size for block in blocks)
    starts = dict(zip(blocks, np.cumsum([0, *(block.size for block in blocks[:-1])]), strict=True))
    parts = [sparse.csr_matrix((0, size))]
    for _, line in groupby((b for b in blocks if b.number), key=lambda block: block.number):
        terms = list(line)
        if terms[0].sign:
            parts.append(_slopes(terms, _combined(devices, terms, codes), starts, size))
    return sparse.vstack(parts, format="csr")


def _combined(devices: Encoded, terms: Sequence[Block], codes: dict[str, dict[str, int]]) -> Whole:
    """Which rows of each block come together in a slope, once each; the one after the last for none: (m, blocks)."""
    rows = {str(place): Rows(block, codes).of(devices) for place, block in enumerate(terms)}
    met = pl.DataFrame(rows).unique(maintain_order=True)
    return np.vstack([[0, *(len(block.members) for block in terms[1:])], met.to_numpy()])


def _slopes(
    terms: Sequence[Block], combined: Whole, starts: dict[Block, int], size: int
) -> sparse.csr_matrix:
    shared = terms[0]
    lengths = shared.sign * np.diff(shared.edges) / shared.unit
    count, width = len(combined), shared.width
    row = np.arange(count * width).reshape(count, width)
    entries = []
    for block, member in zip(terms, combined.T, strict=True):
        kept = member < len(block.members)
        places = np.arange(width) if block.width == width else np.zeros(width, dtype=np.int64)
        columns = starts[block] + member[kept, None] * block.width + places
        entries.append((row[kept].ravel(), columns.ravel(), np.tile(lengths, int(kept.sum()))))
    rows, columns, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    return sparse.csr_matrix((values, (rows, columns)), shape=(count * width, size))


@dataclass
class Prior:
    """How far the coefficients of each block may be from zero, or a walk from where it was.

    `spreads` are learned from draws of the posterior (expectation-maximisation, with `TRUST` in the stated ones);
    `weights` are those of the steps of each walk.
    """

    blocks: Sequence[Block]
    spreads: list[float] = field(init=False)
    weights: list[Floats] = field(init=False)

    TRUST = 10.0  # sales of evidence that the stated spread counts as

    def __post_init__(self) -> None:
        """Start from what the blocks state."""
        self.spreads = [block.spread for block in self.blocks]
        self.weights = [np.ones((len(b.members), max(b.knots - 1, 0))) for b in self.blocks]

    def parted(self, coefficients: Floats) -> list[Floats]:
        """Part a vector of all coefficients by block: (members, width) each."""
        ends = np.cumsum([block.size for block in self.blocks])[:-1]
        return [
            part.reshape(len(b.members), b.width)
            for b, part in zip(self.blocks, np.split(coefficients, ends), strict=True)
        ]

    def precision(self) -> tuple[Floats, Floats]:
        """The prior precision, a tridiagonal matrix: its diagonal (p,) and the one beside it (p - 1,)."""
        diagonal, beside = [], []
        for block, spread, weights in zip(self.blocks, self.spreads, self.weights, strict=True):
            own = np.full((len(block.members), block.width), 1 / spread**2)
            off = np.zeros_like(own)
            if block.knots:
                steps = weights / _variance(block, spread)
                own = np.full_like(own, 1 / (LONG_RUN**2 * block.knots))
                own[:, 1:] += steps
                own[:, :-1] += steps
                off[:, :-1] = -steps
            diagonal.append(own.ravel())
            beside.append(off.ravel())
        return np.concatenate(diagonal), np.concatenate(beside)[:-1]

    def draw(self, rng: np.random.Generator) -> Floats:
        """Draw a vector whose covariance is the prior precision: (p,)."""
        drawn = []
        for block, spread, weights in zip(self.blocks, self.spreads, self.weights, strict=True):
            part = rng.standard_normal((len(block.members), block.width))
            if block.knots:
                part /= LONG_RUN * np.sqrt(block.knots)
                steps = rng.standard_normal(weights.shape) * np.sqrt(weights / _variance(block, spread))
                part[:, 1:] += steps
                part[:, :-1] -= steps
            else:
                part /= spread
            drawn.append(part.ravel())
        return np.concatenate(drawn)

    def learn(self, draws: Sequence[Floats]) -> None:
        """Move the spread of every block towards that of its coefficients in draws of the posterior."""
        parts = zip(*(self.parted(draw) for draw in draws), strict=True)
        for place, (block, drawn) in enumerate(zip(self.blocks, parts, strict=True)):
            moves = np.array([self._moves(place, part) for part in drawn])
            total = self.TRUST * block.spread**2 + float((moves**2).sum()) / len(draws)
            self.spreads[place] = float(np.sqrt(total / (self.TRUST + moves[0].size)))

    def loosen(self, coefficients: Floats) -> None:
        """Let a walk jump where it did: weigh its steps as Student's t does."""
        for place, part in enumerate(self.parted(coefficients)):
            if self.blocks[place].knots:
                steps = np.diff(part, axis=1) ** 2 / _variance(self.blocks[place], self.spreads[place])
                self.weights[place] = (STEPS_WEIGHED + 1) / (STEPS_WEIGHED + steps)

    def _moves(self, place: int, part: Floats) -> Floats:
        """What should have the spread of a block: its coefficients, or the weekly steps of its walk."""
        block = self.blocks[place]
        if not block.knots:
            return part
        return np.diff(part, axis=1) * np.sqrt(self.weights[place] * DAYS_PER_WEEK / block.step_days)


def _variance(block: Block, spread: float) -> float:
    """Of one step of a walk, from knot to knot."""
    return spread**2 * block.step_days / DAYS_PER_WEEK


class Near:
    """About the inverse of the normal matrix: the block of what stands still, and the bands of the walks."""

    def __init__(self, matrix: sparse.csr_matrix, weights: Floats, prior: Prior) -> None:
        """Take the block of what stands still from some of the rows, where there are very many."""
        diagonal, beside = prior.precision()
        still = np.concatenate([np.full(block.size, not block.knots) for block in prior.blocks])
        self.still, self.walking = np.flatnonzero(still), np.flatnonzero(~still)
        self.gram = self._gram(matrix, weights, diagonal)
        self.band = self._banded(matrix, weights, diagonal, beside) if len(self.walking) else None

    def _gram(self, matrix: sparse.csr_matrix, weights: Floats, diagonal: Floats) -> Floats:
        rows = matrix.shape[0]
        chosen = np.unique(np.linspace(0, rows - 1, min(rows, ROWS_TO_FACTORISE)).astype(np.int64))
        part = matrix[chosen][:, self.still]
        weighed = part.T.multiply(weights[chosen] * rows / len(chosen)).tocsr()
        gram = np.asarray((weighed @ part).toarray())
        gram[np.diag_indices_from(gram)] += diagonal[self.still]
        return gram

    def bend(self, bent: sparse.csr_matrix | None) -> None:
        """Factorise the block with these slopes held at zero: they weigh so much that no other will do."""
        gram = self.gram
        if bent is not None and bent.shape[0]:
            held = bent[:, self.still]
            gram = gram + BENT * (held.T @ held).toarray()
        factor, lower = linalg.cho_factor(gram, check_finite=False)
        self.block = np.asarray(factor), bool(lower)

    def _banded(self, matrix: sparse.csr_matrix, weights: Floats, diagonal: Floats, beside: Floats) -> Floats:
        walks = matrix[:, self.walking]
        neighbours = np.diff(self.walking) == 1
        band = np.zeros((2, len(self.walking)))
        band[1] = walks.multiply(walks).T @ weights + diagonal[self.walking]
        band[0, 1:] = walks[:, :-1].multiply(walks[:, 1:]).T @ weights
        band[0, 1:] += np.where(neighbours, beside[self.walking[:-1]], 0.0)
        return np.asarray(linalg.cholesky_banded(band, check_finite=False))

    def times(self, vector: Floats) -> Floats:
        """Multiply a vector by it: (p,)."""
        near = np.empty_like(vector)
        near[self.still] = linalg.cho_solve(self.block, vector[self.still], check_finite=False)
        if self.band is not None:
            near[self.walking] = linalg.cho_solve_banded(
                (self.band, False), vector[self.walking], check_finite=False
            )
        return near


class System:
    """The normal equations of one weighing: (X' W X + prior) b = right side; `near` speeds their solution.

    The slopes `bent` are held at zero.
    """

    def __init__(
        self,
        matrix: sparse.csr_matrix,
        weights: Floats,
        prior: Prior,
        near: Near | None = None,
        bent: sparse.csr_matrix | None = None,
    ) -> None:
        """Set the equations up, and their inverse where none of similar ones is at hand."""
        self.near = near or Near(matrix, weights, prior)
        self.near.bend(bent)
        self.rows = len(weights)
        if bent is not None and bent.shape[0]:
            matrix = sparse.vstack([matrix, bent], format="csr")
            weights = np.concatenate([weights, np.full(bent.shape[0], BENT)])
        self.matrix, self.weights = matrix, weights
        self.transposed = matrix.T
        self.diagonal, self.beside = prior.precision()

    def right_side(self, target: Floats) -> Floats:
        """X' W target: (p,)."""
        weighed = np.zeros(len(self.weights))
        weighed[: self.rows] = self.weights[: self.rows] * target
        return np.asarray(self.transposed @ weighed)

    def shaken(self, rng: np.random.Generator) -> Floats:
        """Draw the right side that the noise of all rows makes: (p,)."""
        return np.asarray(self.transposed @ (np.sqrt(self.weights) * rng.standard_normal(len(self.weights))))

    def solve(self, right: Floats, start: Floats | None = None, tolerance: float = TOLERANCE) -> Floats:
        """Solve for (p,) coefficients, from `start` on."""
        size = len(right)
        whole = LinearOperator((size, size), matvec=self._times)
        near = LinearOperator((size, size), matvec=self.near.times)
        solution, _ = cg(whole, right, x0=start, M=near, rtol=tolerance, maxiter=MOST_ITERATIONS)
        return np.asarray(solution)

    def _times(self, vector: Floats) -> Floats:
        product = self.transposed @ (self.weights * (self.matrix @ vector)) + self.diagonal * vector
        product[:-1] += self.beside * vector[1:]
        product[1:] += self.beside * vector[:-1]
        return np.asarray(product)
