"""Fits a hedonic equation: robust, pooled as far as the sales themselves tell, no slope against its sign."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse

from training.layout import layout
from training.settings import DEFAULTS
from training.solver import TOLERANCE, Near, Prior, System, design, slopes
from valuation import encoding, hedonic
from valuation.block import Block, members
from valuation.features import Feature

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDS, LEARNING_ROUNDS = 4, 8  # of one fit; of one that learns the spreads
DRAWS = 2
ROUGHLY = 1e-3  # what a draw may leave: it says how far, not where; and a round that another one follows
EXACT_ROUNDS = 2  # at the end of a fit
FAR_ROUNDS = 3  # in which a learning fit moves so far that what was factorised before is of no use
FITTED_NOISE = 2.0  # residuals in the sample have about half the variance of those to come
FIRST_NOISE = 0.12
SLIP = 1.6  # in log price: five times as much, or a fifth, is a slip or worse, and teaches nothing
STRAIGHT = 1e-3  # how far the log price may fall along a line where it should rise
LET_GO = 1e-4  # how far a slope that is held has to rise all the same, for it to be let go
ALIKE = ("currency", "grade", "model")
LEAST_NOISE = 0.01  # of residuals in log price, so that a table without noise can be fitted


@dataclass
class Regression:
    """An equation that is fitted to rows of one table, again and again as more of them are known."""

    blocks: tuple[Block, ...]
    matrix: sparse.csr_matrix
    slopes: sparse.csr_matrix
    bent: Mask  # which of the slopes are held at zero, as they would have the wrong sign
    target: Floats  # (n,) around `centre`
    centre: float
    prior: Prior
    weights: Floats  # (n,) of the rows by their residuals: 1 in the mean
    noise: float
    coefficients: Floats
    days: Floats  # (n,)
    tail: float  # degrees of freedom of Student's t, by which a far residual pulls less
    slip: float  # the residual from which a row teaches nothing
    until: float = math.inf  # the last day of the rows that it was fitted to
    near: Near | None = None  # of the last whole fit

    @classmethod
    def lay(
        cls,
        *,
        table: pl.DataFrame,
        target: Floats,
        listed: Sequence[Feature],
        known: Mask,
        walks: bool = True,
        tail: float = DEFAULTS.tail,
        slip: float = SLIP,
    ) -> Regression:
        """Lay out the equation of the known rows, over the days of all."""
        day = table["day"] if walks else None
        days = (int(day.min()), int(day.max())) if day is not None else None  # type: ignore[arg-type]
        blocks = layout(table=table.filter(known), listed=listed, days=days)
        codes = members(blocks)
        devices = encoding.encode(table=table, members=codes)
        matrix = design(devices=devices, blocks=blocks, codes=codes)
        rises = slopes(devices=devices, blocks=blocks, codes=codes)
        centre = float(np.median(target[known]))
        return cls(
            blocks=blocks,
            matrix=matrix,
            slopes=rises,
            bent=np.zeros(rises.shape[0], dtype=bool),
            target=target - centre,
            centre=centre,
            prior=Prior(blocks),
            weights=np.where(_slips(table, target), 0.0, 1.0),
            noise=FIRST_NOISE,
            coefficients=np.zeros(matrix.shape[1]),
            tail=tail,
            slip=slip,
            days=table["day"].to_numpy() if walks else np.zeros(len(target)),
        )

    def follow(self, other: Regression) -> None:
        """Pool as another regression of the same table does, and start where it ended."""
        ended = {
            _key(block): (spread, dict(zip(block.members, part, strict=True)))
            for block, spread, part in zip(
                other.blocks, other.prior.spreads, other.prior.parted(other.coefficients), strict=True
            )
        }
        for place, (block, part) in enumerate(
            zip(self.blocks, self.prior.parted(self.coefficients), strict=True)
        ):
            if _key(block) in ended:
                self.prior.spreads[place], rows = ended[_key(block)]
                for row, member in enumerate(block.members):
                    part[row] = rows.get(member, 0.0)

    def fit(self, known: Mask, *, rounds: int = ROUNDS) -> None:
        """Fit the known rows: solve, weigh the rows by what is left, and again."""
        self._fit(known, rounds, None)

    def learn(self, known: Mask, *, rng: np.random.Generator) -> None:
        """Fit the known rows, and learn from them how far the coefficients of each block spread."""
        self._fit(known, LEARNING_ROUNDS, rng)

    def _fit(self, known: Mask, rounds: int, rng: np.random.Generator | None) -> None:
        target = self.target[known]
        self.until = float(self.days[known].max())
        for turn in range(rounds):
            self.near = None if rng and turn < FAR_ROUNDS else self.near
            system = self._solve(known, TOLERANCE if turn > rounds - EXACT_ROUNDS - 1 else ROUGHLY)
            self._weigh(known)
            self.prior.loosen(self.coefficients)
            if rng is not None and turn < rounds - 1:
                self.prior.learn([self._draw(system, target, rng) for _ in range(DRAWS)])
        for _ in range(rounds):
            if (self.slopes @ self.coefficients >= -STRAIGHT).all():
                break
            self._solve(known, TOLERANCE)

    def _solve(self, known: Mask, tolerance: float) -> System:
        """Solve for the known rows as they are weighed now, and see which slopes have to be held."""
        weights = self.weights[known] / self.noise**2
        system = System(self.matrix[known], weights, self.prior, self.near, self.slopes[self.bent])
        self.near = system.near
        self.coefficients = system.solve(system.right_side(self.target[known]), self.coefficients, tolerance)
        rise = self.slopes @ self.coefficients
        self.bent = np.where(self.bent, rise <= LET_GO, rise < 0)
        return system

    def _weigh(self, known: Mask) -> None:
        left = self.target - self.matrix @ self.coefficients
        size = max(float(1.4826 * np.median(np.abs(left[known]))), LEAST_NOISE)
        weights = np.where(np.abs(left) > self.slip, 0.0, (self.tail + 1) / (self.tail + (left / size) ** 2))
        self.weights = weights / weights[known].mean()
        variance = float((self.weights[known] * left[known] ** 2).mean())
        self.noise = float(np.sqrt(FITTED_NOISE * max(variance, LEAST_NOISE**2)))

    def _draw(self, system: System, target: Floats, rng: np.random.Generator) -> Floats:
        """Draw coefficients from their posterior: solve for the target and the prior mean, both shaken (p,)."""
        right = system.right_side(target) + system.shaken(rng) + self.prior.draw(rng)
        return system.solve(right, self.coefficients, ROUGHLY)

    def held(self, folds: Whole) -> Iterator[tuple[Whole, hedonic.Hedonic]]:
        """Fit all rows but those of each fold (n,) from 0 on: its rows, and the equation that has not seen them."""
        for fold in np.unique(folds[folds >= 0]):
            part = folds != fold
            if part.any():
                weights = self.weights[part] / self.noise**2
                system = System(self.matrix[part], weights, self.prior, self.near, self.slopes[self.bent])
                right = system.right_side(self.target[part])
                yield np.flatnonzero(~part), self._equation(system.solve(right, self.coefficients, ROUGHLY))

    @property
    def equation(self) -> hedonic.Hedonic:
        """The equation as it is fitted now."""
        return self._equation(self.coefficients)

    def _equation(self, coefficients: Floats) -> hedonic.Hedonic:
        blocks = [replace(b, spread=s) for b, s in zip(self.blocks, self.prior.spreads, strict=True)]
        parts = self.prior.parted(coefficients)
        parts[0] = parts[0] + self.centre  # the base comes first
        return hedonic.Hedonic(blocks=tuple(blocks), coefficients=tuple(parts), until=self.until)


def _slips(table: pl.DataFrame, target: Floats) -> Mask:
    """The rows that are far from the median of their model, before anything is fitted: (n,).

    Currencies and grades are told apart by their medians first.
    """
    if not set(ALIKE) <= set(table.columns):
        return np.zeros(len(target), dtype=bool)
    told = table.select(*ALIKE, left=pl.Series(target))
    for name in ALIKE:
        told = told.with_columns(pl.col("left") - pl.col("left").median().over(name))
    return told.select((pl.col("left").abs() > SLIP) & pl.col("model").is_not_null()).to_series().to_numpy()


def _key(block: Block) -> tuple[object, ...]:
    return block.feature, block.by, block.number, block.missing, block.edges, block.knots
