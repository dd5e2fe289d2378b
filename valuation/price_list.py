"""The price list: what is offered for devices in whatever condition they are declared in.

Where it is known which offers owners take, it is the offer with the highest expected margin, over all that may be
found behind what is declared, between the margins that the terms allow; elsewhere it is cost-plus: all but costs and a
margin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from valuation import proceeds
from valuation.appraisal import Prospects
from valuation.bargain import Bargain
from valuation.controls import CALM, Controls
from valuation.inspection import PLACES
from valuation.markets import Terms
from valuation.owners import Owners
from valuation.proceeds import Proceeds, Seller
from valuation.rows import Floats, Mask

CONDITIONS = len(PLACES)
COST_PLUS, BY_MARGIN = "cost-plus", "expected-margin"
FARTHEST = 0.05  # of the highest offer: none lower is tried
ROWS = 256  # devices at once


@dataclass(frozen=True, kw_only=True)
class PriceList:
    """What is sought to be paid for n devices by declared condition (n, 6), major units, before it is rounded down.

    0 where no offer earns, unless a worse condition is paid: a better one never pays less. `highest` is what leaves the
    least margin. `policy` says how it was found; `bargain` has a row for each device and declared condition, where
    owners are known. `propensity` is the density of the log of an offer that was drawn (n, 6).
    """

    policy: str
    sought: Floats
    highest: Floats
    proceeds: Proceeds
    bargain: Bargain | None
    propensity: Floats | None = None

    def drawn(self, *, at: float, within: float) -> PriceList:
        """The same with offers drawn within so much of the usual, `at` 0 for the lowest and 1 for the highest.

        None is above the highest that leaves the least margin: where that is near, they are drawn from below it.
        """
        pays = self.sought > 0
        low = np.where(pays, self.sought * (1 - within), 1.0)
        high = np.where(pays, np.minimum(self.sought * (1 + within), self.highest), np.e)
        offers = np.where(pays, low ** (1 - at) * high**at, 0.0)
        return replace(self, sought=offers, propensity=1 / np.log(high / low))


def draw_up(
    *,
    prospects: Prospects,
    terms: Terms,
    owners: Owners | None = None,
    controls: Controls = CALM,
    seller: Seller = Seller.PRIVATE,
    missing: Mask | None = None,
) -> PriceList:
    """Find what to offer for devices of one market in every condition; of some, accessories are `missing` (n,)."""
    least = prospects.least
    knows = owners is not None and least is not None
    sell = partial(proceeds.of, terms=terms, controls=controls, seller=seller, cautious=not knows)
    sold = sell(prospects=prospects, missing=missing)
    highest = sold.payable(float(terms.least_margin_share)).clip(0)
    if owners is None or least is None:
        sought, bargain = sold.payable(float(terms.margin_share)), None
    else:
        bargain = _bargain(prospects, least, sold, terms, owners)
        sought = highest * _share(_once(prospects.usual or prospects), sell, terms, owners)
    rising = np.maximum.accumulate(sought[:, ::-1], axis=1)[:, ::-1]
    return PriceList(
        policy=COST_PLUS if bargain is None else BY_MARGIN,
        sought=np.minimum(rising.clip(0), highest),
        highest=highest,
        proceeds=sold,
        bargain=bargain,
    )


def _bargain(prospects: Prospects, least: Floats, sold: Proceeds, terms: Terms, owners: Owners) -> Bargain:
    """The bargain of each device in each declared condition: (n x 6,), those of one device together."""
    inspection, count = owners.inspection, len(prospects)
    device = np.repeat(np.arange(count), CONDITIONS)
    shipping = [terms.costs["shipping"][category][0] for category in prospects.category.tolist()]
    return Bargain(
        chance=inspection.by_declared(categories=prospects.category.tolist()).reshape(-1, CONDITIONS),
        reserve=np.log(least)[device],
        cut=np.tile(inspection.kept, (count, 1)),
        back=np.array(shipping, dtype=np.float64)[device],
        proceeds=sold.at(device),
        spread=owners.acceptance.spread,
        hassle=inspection.hassle,
    )


def _once(prospects: Prospects) -> Prospects:
    """One row where all are the same, as those of the usual device of one model are."""
    told = (prospects.today, prospects.later, prospects.category, prospects.least)
    alike = all((rows == rows[:1]).all() for rows in told if rows is not None)
    return prospects.at(slice(0, 1)) if alike else prospects


def _share(prospects: Prospects, sell: Callable[..., Proceeds], terms: Terms, owners: Owners) -> Floats:
    """The offer with the highest expected margin, as a share of the highest one, 0 where none earns: (n, 6).

    That of the usual device of a model holds for each of them: so what is better about one, and raises the highest
    offer, never lowers what is paid for it, whatever its owner would take.
    """
    assert prospects.least is not None  # noqa: S101 - for the types: see draw_up
    sold = sell(prospects=prospects)
    bargain = _bargain(prospects, prospects.least, sold, terms, owners)
    highest = sold.payable(float(terms.least_margin_share)).clip(0)
    lowest = sold.payable(float(terms.most_margin_share))
    high = highest.ravel()
    pays = np.flatnonzero(high > 0)
    low = np.clip(lowest.ravel(), FARTHEST * high, high)
    found, part = np.zeros(len(high)), bargain if len(pays) == len(high) else bargain.at(pays)
    offers = part.best(low=low[pays], high=high[pays])
    found[pays] = np.where(part.margin(offers) > 0, offers / high[pays], 0.0)
    return found.reshape(highest.shape)
