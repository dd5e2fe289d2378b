"""Noise: how far log prices lie from their value. A mixture of two normals: heavy tails, and yet a finite mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Of mean 0 and sd 1: a share of `wide_share` has `wide_times` the sd of the others."""

    wide_share: float
    wide_times: float

    @cached_property
    def _parts(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Weight and sd of the narrow and of the wide part."""
        narrow = (1 - self.wide_share + self.wide_share * self.wide_times**2) ** -0.5
        return (1 - self.wide_share, narrow), (self.wide_share, narrow * self.wide_times)

    def draw(self, size: int, rng: np.random.Generator) -> Floats:
        """Draw (size,)."""
        (_, narrow), (_, wide) = self._parts
        return np.where(rng.random(size) < self.wide_share, wide, narrow) * rng.standard_normal(size)

    def quantile(self, level: float) -> float:
        """The value that a share of `level` lies below."""
        return float(brentq(lambda z: sum(w * ndtr(z / s) for w, s in self._parts) - level, -30, 30))

    def mean_factor(self, sd: Floats) -> Floats:
        """The mean of exp(sd x noise): what the mean price is over the median one."""
        return np.asarray(sum(w * np.exp((s * sd) ** 2 / 2) for w, s in self._parts))

    def excess(self, value: Floats, sd: Floats, over: Floats) -> Floats:
        """The mean of max(price - over, 0) where price is value x exp(sd x noise); all above zero, one shape."""
        far = np.log(value / over)
        return np.asarray(
            sum(
                w
                * (
                    value * np.exp((s * sd) ** 2 / 2) * ndtr(far / (s * sd) + s * sd)
                    - over * ndtr(far / (s * sd))
                )
                for w, s in self._parts
            )
        )
