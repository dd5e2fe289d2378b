"""Proceeds: what a device brings net that was bought, in whatever condition it is, line by line.

P is the resale price on the day when the device will be sold, B what was paid. Under the VAT margin scheme (2006/112/EC
art. 313-315) the tax of one device is r / (1 + r) of what P exceeds B by, and a loss gives nothing back, so that

    E[tax] = r / (1 + r) (E[P] - B + E[max(B - P, 0)]),

where the last mean, a put, needs the distribution of P. What is bought from a business with an invoice is taxed by the
normal scheme: the tax paid on B is deducted, also from a loss, and there is no put. Without VAT, r = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np

from valuation import grades
from valuation.appraisal import OUTCOMES, QUANTILES, Prospects
from valuation.controls import CALM, Controls
from valuation.grades import Condition, Grade
from valuation.markets import Terms
from valuation.rows import Floats, Mask, Rows, Whole

MEAN, LOW = OUTCOMES.index("mean"), OUTCOMES.index("p10")
_BOUNDS = np.array([0.0, *(np.array(QUANTILES[1:]) + np.array(QUANTILES[:-1])) / 2, 1.0])
WEIGHTS = np.diff(_BOUNDS)  # of the quantiles, each standing for the prices that are nearest to it
CONDITIONS = len(Condition)
SOLD_AS = np.array([grades.sold_as(condition) for condition in Condition], dtype=np.int64)

BOTH_WAYS = np.concatenate([SOLD_AS, np.full_like(SOLD_AS, Grade.PARTS)])
DEDUCTIONS = (
    "COMMISSION",
    "REFURBISHMENT",
    "PARTS",
    "ACCESSORIES",
    "SHIPPING",
    "RETURNS",
    "WARRANTY",
    "HOLDING",
    "PRICE_LOCK",
    "PAYMENT",
    "UNCERTAINTY",
)


class Seller(StrEnum):
    """Who sells a device to us: for a BUSINESS with an invoice the normal scheme of VAT holds."""

    PRIVATE = "PRIVATE"
    BUSINESS = "BUSINESS"


@dataclass(frozen=True, kw_only=True)
class Proceeds(Rows):
    """Devices (n,) in each condition (n, 6), amounts in major units; a bargain.Proceeds.

    `grade` at which each is sold, `resale`, the mean price today, `price`, that on the day when it will be sold, and
    `points`, its quantiles; `taken` are the DEDUCTIONS from the resale price besides tax (n, 6, DEDUCTIONS). `vat` is
    the tax on a margin, as a share of it; `refunded` where a loss gives it back.
    """

    grade: Whole
    resale: Floats
    price: Floats
    points: Floats
    taken: Floats
    vat: float
    refunded: bool

    @cached_property
    def net(self) -> Floats:
        """What is left before tax and what is paid: (n, 6)."""
        return np.asarray(self.resale - self.taken.sum(axis=2))

    @property
    def deductions(self) -> dict[str, Floats]:
        """What is taken, by the code of its line, in order: (n, 6) each."""
        return {code: self.taken[:, :, place] for place, code in enumerate(DEDUCTIONS)}

    def tax(self, paid: Floats) -> Floats:
        """The mean tax where so much was paid: (n, 6, k)."""
        return np.asarray(self.vat * (self.price[:, :, None] - paid + self._put(paid)))

    def earned(self, paid: Floats) -> Floats:
        """The mean of what is left of the resale where so much was paid: (n, 6, k)."""
        left = self._taxed[:, :, None] - (1 - self.vat) * paid
        return left - self.vat * self._put(paid) if self._puts(paid) else left

    @cached_property
    def _taxed(self) -> Floats:
        """What is left of the price after its own tax, before what is paid, and the tax that this saves: (n, 6)."""
        return self.net - self.vat * self.price

    def _puts(self, paid: Floats) -> bool:
        """Whether a price may stay below what was paid without a refund of tax."""
        return not (self.refunded or self.vat == 0 or bool((paid <= self.points[..., :1]).all()))

    def payable(self, margin_share: float) -> Floats:
        """What can be paid such that this share of the price is left in the mean: (n, 6), below zero where nothing."""
        most = self._taxed - margin_share * self.price
        paid = most / (1 - self.vat)
        return self._solved(most) if self._puts(paid[:, :, None]) else np.asarray(paid)

    def _solved(self, most: Floats) -> Floats:
        """The amount paid of which, with the tax that a loss does not give back, so much is the sum: (n, 6).

        The put rises in straight lines between the points, so the line that holds it is sought.
        """
        order = self.points.argsort(axis=2)
        points = np.take_along_axis(self.points, order, axis=2)
        weights = WEIGHTS[order].cumsum(axis=2)
        below = (WEIGHTS[order] * points).cumsum(axis=2)
        sums = (1 - self.vat) * points + self.vat * (weights * points - below)
        passed = (sums < most[:, :, None]).sum(axis=2)[:, :, None]
        weight, mass = (
            np.where(passed > 0, np.take_along_axis(total, np.maximum(passed - 1, 0), axis=2), 0.0)[:, :, 0]
            for total in (weights, below)
        )
        return np.asarray((most + self.vat * mass) / (1 - self.vat + self.vat * weight))

    def _put(self, paid: Floats) -> Floats:
        """The mean of how far the price stays below what was paid, nothing where a loss is refunded: (n, 6, k)."""
        if not self._puts(paid):
            return np.zeros_like(paid)
        short = np.zeros(np.broadcast_shapes(paid.shape, (*self.price.shape, 1)))
        for weight, point in zip(WEIGHTS, np.moveaxis(self.points, 2, 0), strict=True):
            short += weight * np.maximum(paid - point[:, :, None], 0)
        return short


def of(
    *,
    prospects: Prospects,
    terms: Terms,
    controls: Controls = CALM,
    seller: Seller = Seller.PRIVATE,
    cautious: bool = True,
    missing: Mask | None = None,
) -> Proceeds:
    """Tell what devices bring in each condition, each refurbished, and repaired where needed, or sold for parts.

    It goes the way that brings more, a tie to refurbishing; of later prices only a fall counts. Who is `cautious`
    counts the usual margin as a cost of each way, not the least, and holds all of what p10 lies below the mean price
    against a device; others only what is unusual of that. For a device to be refurbished, accessories that are
    `missing` (n,) are bought.
    """
    work, spare, handling, sets, shipping = (
        np.array([terms.costs[table][category] for category in prospects.category.tolist()]).reshape(
            -1, CONDITIONS
        )
        for table in ("refurbishment", "parts", "parts_handling", "accessories", "shipping")
    )
    sets = 0 * sets if missing is None else sets * missing[:, None]
    both = _both_ways(
        prospects=prospects,
        work=np.concatenate([work, handling], axis=1),
        spare=np.concatenate([spare, 0 * spare], axis=1),
        sets=np.concatenate([sets, 0 * sets], axis=1),
        shipping=np.concatenate([shipping, shipping], axis=1),
        terms=terms,
        controls=controls,
        refunded=seller == Seller.BUSINESS,
        usual=0.0 if cautious else float(terms.usual_uncertainty),
    )
    paid = both.payable(float(terms.margin_share if cautious else terms.least_margin_share))
    return _either(paid[:, CONDITIONS:] > paid[:, :CONDITIONS], both)


def _both_ways(
    *,
    prospects: Prospects,
    work: Floats,
    spare: Floats,
    sets: Floats,
    shipping: Floats,
    terms: Terms,
    controls: Controls,
    refunded: bool,
    usual: float,
) -> Proceeds:
    """What devices bring in each condition refurbished, and then in each for parts: (n, 12) instead of (n, 6)."""
    today, later = prospects.today[:, BOTH_WAYS], np.minimum(prospects.later, prospects.today)[:, BOTH_WAYS]
    resale, price = today[..., MEAN], later[..., MEAN]
    days = np.array([terms.days_until_sold(name) for name in prospects.category.tolist()], dtype=np.float64)
    unsure = float(terms.uncertainty_share) * ((1 - usual) * price - later[..., LOW]).clip(0)
    deductions = {
        "COMMISSION": float(terms.commission_share) * price,
        "REFURBISHMENT": work,
        "PARTS": spare,
        "ACCESSORIES": sets,
        "SHIPPING": shipping,
        "RETURNS": float(terms.returns_share) * price,
        "WARRANTY": float(terms.warranty_share) * price,
        "HOLDING": resale - price + float(terms.capital_share_per_day) * days[:, None] * price,
        "PRICE_LOCK": float(terms.price_lock_share) * price,
        "PAYMENT": float(terms.payment_fee.amount),
        "UNCERTAINTY": unsure + controls.reserve_share * price,
    }
    taken = np.empty((*resale.shape, len(DEDUCTIONS)))
    for place, code in enumerate(DEDUCTIONS):
        taken[..., place] = deductions[code]
    return Proceeds(
        grade=np.broadcast_to(BOTH_WAYS, resale.shape),
        resale=resale,
        price=price,
        points=later[..., : len(QUANTILES)],
        taken=taken,
        vat=float(terms.vat_rate / (1 + terms.vat_rate)),
        refunded=refunded,
    )


def _either(for_parts: Mask, both: Proceeds) -> Proceeds:
    """For parts where that is chosen (n, 6), else refurbished."""
    first, other = slice(None, CONDITIONS), slice(CONDITIONS, None)
    each = for_parts[:, :, None]
    return replace(
        both,
        grade=np.where(for_parts, both.grade[:, other], both.grade[:, first]),
        resale=np.where(for_parts, both.resale[:, other], both.resale[:, first]),
        price=np.where(for_parts, both.price[:, other], both.price[:, first]),
        points=np.where(each, both.points[:, other], both.points[:, first]),
        taken=np.where(each, both.taken[:, other], both.taken[:, first]),
    )
