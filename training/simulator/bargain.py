"""Buying back with known truth: who accepts which offer, what is found, and what it earns.

An owner accepts where the offer reaches the least that he would take. That is a share of what the device is worth as
it really is, and varies by a competitor's offer and by what only he knows: the log of the least is normal, so that
P(accept | offer) is a mixture of normal curves over what may be found. On inspection an offer is lowered in the
proportion in which the found condition is worth less than the declared one; some owners then take their device back.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from training.simulator.noise import Noise
from training.simulator.rows import Floats, Mask, Rows, Whole

CHUNK = 8_192  # rows at once: small enough for a processor's cache
GRID = np.geomspace(0.1, 3.0, 44)  # offers tried first, over the least of half of the owners
NARROWINGS = 12
GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Bargain(Rows):
    """Quotes (n,) with what may be found behind each (n, 6), in the order of Condition; amounts in major units.

    `chance` of each finding; `reserve`, the log of the least that half of the owners take; `cut`, what an offer is
    multiplied by; the resale way: median `value`, `sd` of log price, `grade`, `work`; `kept` of a price, `vat` of a
    margin, `unit` costs, `back` for sending one back, `step` of offers. `spread` is the sd of log reserves, `hassle`
    the log by which a lowered offer may fall short.
    """

    chance: Floats
    reserve: Floats
    cut: Floats
    value: Floats
    sd: Floats
    grade: Whole
    work: Floats
    kept: Floats
    vat: Floats
    unit: Floats
    back: Floats
    step: Floats
    spread: float
    hassle: float
    noise: Noise

    def __len__(self) -> int:
        return len(self.kept)

    def accepted(self, offer: Floats) -> Floats:
        """P(accept | offer) of each quote: (n,)."""
        return np.asarray(
            (self.chance * ndtr((np.log(offer)[:, None] - self.reserve) / self.spread)).sum(axis=1)
        )

    def margin(self, offer: Floats) -> Floats:
        """The expected margin of making an offer (n,), accepted or not: (n,)."""
        total = np.zeros(len(offer))
        for found in range(self.chance.shape[1]):
            likely = np.flatnonzero(self.chance[:, found] > 0)
            if len(likely):
                total[likely] += self.chance[likely, found] * self._margin(likely, found, offer[likely])
        return total

    def _margin(self, rows: Whole, found: int, offer: Floats) -> Floats:
        """The same where it is known what will be found: (rows,)."""
        cut, reserve = self.cut[rows, found], self.reserve[rows, found]
        accepts = ndtr((np.log(offer) - reserve) / self.spread)
        stays = ndtr((np.log(offer * cut) + self.hassle - reserve) / self.spread)
        paid = np.where(cut < 1, np.minimum(accepts, stays), accepts)
        return np.asarray(paid * self.earned(rows, found, offer * cut) - (accepts - paid) * self.back[rows])

    def earned(self, rows: Whole, found: int, paid: Floats) -> Floats:
        """The mean of what is left of the resale of a device that was paid so much: (rows,)."""
        value, sd = self.value[rows, found], self.sd[rows, found]
        price = value * self.noise.mean_factor(sd)
        tax = self.vat[rows] * self.noise.excess(value, sd, paid)
        return np.asarray(price * self.kept[rows] - tax - self.work[rows, found] - self.unit[rows] - paid)

    def best(self) -> tuple[Floats, Floats]:
        """The offer on the payable grid with the highest expected margin, and that margin; 0 and 0 where none earns.

        A margin with two tops may be missed by a hundred-thousandth, or by two cents where there is hardly any.
        """
        chunks = [self.at(slice(first, first + CHUNK)) for first in range(0, len(self), CHUNK)]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(_best, chunks))
        offers, margins = (np.concatenate([pair[side] for pair in found] or [np.zeros(0)]) for side in (0, 1))
        return offers, margins


def _best(part: Bargain) -> tuple[Floats, Floats]:
    usual = np.exp((part.chance * part.reserve).sum(axis=1))
    tried = np.array([part.margin(usual * share) for share in GRID])
    top = 1 + np.where(_tops(tried), tried[1:-1], -np.inf).argmax(axis=0)
    low, high = usual * GRID[top - 1], usual * GRID[top + 1]
    middle = _narrowed(part.margin, low, high)
    stepped = [np.floor(middle / part.step) * part.step + up * part.step for up in (0, 1)]
    candidates = np.maximum(stepped, part.step)
    margins = np.array([part.margin(offer) for offer in candidates])
    best = margins.argmax(axis=0)
    offer, margin = (np.take_along_axis(side, best[None], axis=0)[0] for side in (candidates, margins))
    return np.where(margin > 0, offer, 0.0), margin.clip(0)


def _tops(tried: Floats) -> Mask:
    """Where a margin is not below its neighbours; an offer that nobody accepts, at the lower end, is no top."""
    return np.asarray((tried[1:-1] >= tried[:-2]) & (tried[1:-1] >= tried[2:]))


def _narrowed(margin: Callable[[Floats], Floats], low: Floats, high: Floats) -> Floats:
    """The offers between two where the margin is highest, by golden section: (n,)."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = margin(left), margin(right)
    for _ in range(NARROWINGS):
        lower = at_left > at_right
        low, high = np.where(lower, low, left), np.where(lower, right, high)
        fresh = np.where(lower, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_fresh = margin(fresh)
        left, right = np.where(lower, fresh, right), np.where(lower, left, fresh)
        at_left, at_right = np.where(lower, at_fresh, at_right), np.where(lower, at_left, at_fresh)
    return (low + high) / 2
