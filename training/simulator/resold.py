"""What selling a bought device brings in an invented market: its distribution is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.simulator.noise import Noise
from valuation.rows import Floats, Rows, Whole


@dataclass(frozen=True, kw_only=True)
class Resold(Rows):
    """Devices (n,) by what may be found (n, 6), amounts in major units: a valuation.bargain.Proceeds.

    Median `value`, `sd` of log price, `grade`, `work`; `kept` of a price, `vat` of a margin, `unit` costs.
    """

    value: Floats
    sd: Floats
    grade: Whole
    work: Floats
    kept: Floats
    vat: Floats
    unit: Floats
    noise: Noise

    def earned(self, paid: Floats) -> Floats:
        """The mean of what is left of the resale of a device that was paid so much: (n, 6, k)."""
        value, sd = self.value[:, :, None], self.sd[:, :, None]
        left = (self.value * self.noise.mean_factor(self.sd) * self.kept[:, None]) - self.work
        tax = self.vat[:, None, None] * self.noise.excess(value, sd, paid)
        return np.asarray((left - self.unit[:, None])[:, :, None] - tax - paid)
