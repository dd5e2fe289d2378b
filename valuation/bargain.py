"""The bargain: what an offer leads to, over all that may be found behind it: who takes it, what is paid, what it earns.

An owner takes an offer that reaches the least that he would take; the log of that is normal around what those take who
own such a thing. On inspection an offer is cut to what the found condition is worth; some then take their device back.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from scipy.special import ndtr

from valuation.rows import Floats, Mask, Rows, Whole

CHUNK = 1_024  # rows at once: small enough for a processor's cache
TRIED = 24  # offers between the lowest and the highest, then between the neighbours of the best
NARROWINGS = 2
NARROW = 8
AROUND = np.linspace(-1, 1, NARROW)
FITS = 2  # of a parabola through the best offer and two near to it
NOTHING = 1e-300  # of a major unit
NEAR = 0.2  # of the last step


class Proceeds(Protocol):
    """What selling a device brings that was bought, by what it is: rows (n, 6)."""

    @property
    def grade(self) -> Whole:
        """At which it is sold: (n, 6)."""

    def at(self, rows: Whole | Mask | slice) -> Self:
        """Some of the rows."""

    def earned(self, paid: Floats) -> Floats:
        """The mean of what is left of the resale where so much was paid: (n, 6, k) both."""


@dataclass(frozen=True, kw_only=True)
class Bargain(Rows):
    """Quotes (n,) with what may be found behind each (n, 6), in the order of Condition; amounts in major units.

    `chance` of each finding; `reserve`, the log of the least that half of the owners take; `cut`, what an offer is
    multiplied by; `proceeds` of selling it; `back` for sending one back. `spread` is the sd of log reserves, `hassle`
    the log by which a lowered offer may fall short and still be taken.
    """

    chance: Floats
    reserve: Floats
    cut: Floats
    back: Floats
    proceeds: Proceeds
    spread: float
    hassle: float

    def __len__(self) -> int:
        return len(self.back)

    def takes(self, offer: Floats) -> Floats:
        """The chance that the owner of each thing that may be found takes an offer (n, k): (n, 6, k)."""
        return self._chance(_log(offer), self.reserve)

    def keeps(self, offer: Floats) -> Floats:
        """The chance that he takes it, and what is left of it after inspection too: (n, 6, k)."""
        return self._chance(_log(offer), self._kept_from)

    def _chance(self, log: Floats, least: Floats) -> Floats:
        return np.asarray(ndtr((log[:, None, :] - least[:, :, None]) / self.spread))

    @cached_property
    def _kept_from(self) -> Floats:
        """The log of the least offer of which he takes what inspection leaves: (n, 6)."""
        least = self.reserve - np.log(self.cut) - self.hassle
        return np.where(self.cut < 1, np.maximum(least, self.reserve), self.reserve)

    def accepted(self, offer: Floats) -> Floats:
        """P(accept | offer) of each quote: (n,)."""
        return np.asarray((self.chance * self.takes(offer[:, None])[:, :, 0]).sum(axis=1))

    def margin(self, offer: Floats) -> Floats:
        """The expected margin of making an offer (n,), accepted or not: (n,)."""
        return self.margins(offer[:, None])[:, 0]

    def margins(self, offers: Floats) -> Floats:
        """The expected margin of making each of k offers (n, k): (n, k)."""
        log = _log(offers)
        takes, keeps = self._chance(log, self.reserve), self._chance(log, self._kept_from)
        earned = self.proceeds.earned(offers[:, None, :] * self.cut[:, :, None])
        left = keeps * earned - (takes - keeps) * self.back[:, None, None]
        return np.asarray((self.chance[:, :, None] * left).sum(axis=1))

    def best(self, *, low: Floats, high: Floats, tried: int = TRIED) -> Floats:
        """The offer between two (n,), above zero, with the highest expected margin: (n,).

        Of two that earn the same, the higher one, in the owner's favour. So many are `tried` first: where a margin may
        have two tops far apart, more are needed.
        """
        chunks = [slice(first, first + CHUNK) for first in range(0, len(self), CHUNK)]
        if len(chunks) < 2:
            return _best(self, np.log(low), np.log(high), tried)
        with ThreadPoolExecutor(2) as pool:
            found = pool.map(lambda at: _best(self.at(at), np.log(low[at]), np.log(high[at]), tried), chunks)
            return np.concatenate(list(found))


def _log(offer: Floats) -> Floats:
    """The log of an offer; nobody takes one of 0."""
    return np.asarray(np.log(np.maximum(offer, NOTHING)))


def _best(part: Bargain, low: Floats, high: Floats, tried: int) -> Floats:
    """The same, from and to logs."""
    step, middle = (high - low) / (tried - 1), (low + high) / 2
    middle = _top(part, low[:, None] + step[:, None] * np.arange(tried))
    for _ in range(NARROWINGS):
        around = step[:, None] * AROUND
        middle = _top(part, np.clip(middle[:, None] + around, low[:, None], high[:, None]))
        step = 2 * step / (NARROW - 1)
    for _ in range(FITS):
        inside = np.clip(
            middle, low + step, high - step
        )  # at an end the parabola leads there, and no farther
        middle, step = np.clip(_fitted(part, inside, step), low, high), step * NEAR
    return np.asarray(np.exp(middle))


def _top(part: Bargain, tried: Floats) -> Floats:
    """The log offer (n, k) with the highest margin, the last of several: (n,)."""
    margins = part.margins(np.exp(tried))[:, ::-1]
    return np.asarray(np.take_along_axis(tried[:, ::-1], margins.argmax(axis=1)[:, None], axis=1)[:, 0])


def _fitted(part: Bargain, middle: Floats, step: Floats) -> Floats:
    """The top of the parabola through the margins at three log offers, `step` apart: (n,), at most a step away."""
    three = middle[:, None] + step[:, None] * np.array([-1.0, 0.0, 1.0])
    below, at, above = part.margins(np.exp(three)).T
    bend = below - 2 * at + above
    with np.errstate(divide="ignore", invalid="ignore"):
        away = np.where(bend < 0, (below - above) / (2 * bend), np.sign(above - below))
    return np.asarray(middle + step * np.where(np.isnan(away), 0.0, away).clip(-1, 1))
