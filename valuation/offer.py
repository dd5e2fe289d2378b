"""The offer: what is paid for a device, and why, line by line.

Cost-plus, in closed form. P is the median resale price, VAT included, B what is paid, r the VAT rate, s the
sum of all shares of P, k the reserve for uncertainty and C the costs of one unit. The VAT margin scheme
(2006/112/EC art. 313-315) takes (P - B) r / (1 + r), so that the margin, one of the shares, is met where

    P - B - (P - B) r / (1 + r) - s P - k (P - p10) - C = 0,
    that is B = P - (1 + r) (s P + k (P - p10) + C).

Shares and costs are zero or more: B never exceeds P, and the tax is never negative. Without VAT, r = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from valuation import grades, money
from valuation.appraisal import Appraisal
from valuation.grades import Condition, Grade, Reason
from valuation.markets import Terms
from valuation.money import Money

FIRM_BASES = ("model", "family")  # what a value must rest on for a price to be promised unseen


class Decision(StrEnum):
    """OFFER pays; REVIEW asks a person; RECYCLE takes the device for nothing; REFUSE does not take it."""

    OFFER = "OFFER"
    REVIEW = "REVIEW"
    RECYCLE = "RECYCLE"
    REFUSE = "REFUSE"


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of an itemised offer: what is taken off the resale price is negative."""

    code: str
    label: str
    amount: Money


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A decision with its reasons. The lines sum to the amount; only an OFFER has any.

    `grade` is the one at which the device would be sold; the amount is above zero for OFFER only.
    """

    decision: Decision
    amount: Money
    grade: Grade
    lines: tuple[Line, ...]
    reasons: tuple[Reason, ...]
    terms_version: str
    valid_days: int


@dataclass(frozen=True, kw_only=True)
class _Way:
    """One way to sell a device: at a grade, for P = `resale` and p10 = `low`, after `work` and `parts`.

    All in minor units.
    """

    grade: Grade
    resale: int
    low: int
    work: int
    parts: int
    category: str


def decide(
    *, appraisal: Appraisal, condition: Condition, terms: Terms, blocked: tuple[str, ...] = ()
) -> Offer:
    """Choose what to pay for a device, rounded down to the market's payable step.

    The device goes the way that pays more: refurbished (and repaired where needed), or sold for parts; a
    tie goes to refurbishing. REFUSE for a `blocked` one (codes of grades.RULES); REVIEW where the estimate
    is no possible price, its fsd is above the terms' max_fsd, or it rests on less than FIRM_BASES; RECYCLE
    where less than the minimum could be paid. A better condition and higher quantiles never pay less,
    unless they lead to a REVIEW.

    Raises CurrencyMismatch or MarketMismatch where the appraisal is not of the terms' market.
    """
    terms.require(market=appraisal.market, currency=appraisal.currency)
    grade = grades.sold_as(condition)
    if blocked:
        return _offer(Decision.REFUSE, grade, grades.refusals(blocked=blocked), terms)
    if not all(_possible(appraisal, at, terms) for at in (grade, Grade.PARTS)):
        return _offer(Decision.REVIEW, grade, (_IMPOSSIBLE,), terms)
    work, parts = (table[appraisal.category][condition] for table in (terms.refurbishment, terms.parts))
    refurbished = _way(appraisal, grade, work=work, parts=parts)
    handling = terms.parts_handling[appraisal.category]
    for_parts = _way(appraisal, Grade.PARTS, work=handling, parts=Money(0, terms.currency))
    way = max(refurbished, for_parts, key=lambda way: _payable(way, terms))
    fsd = appraisal.ladder[way.grade].fsd
    if not fsd <= terms.max_fsd:
        return _offer(Decision.REVIEW, way.grade, (_uncertain(fsd, terms),), terms)
    if appraisal.basis not in FIRM_BASES:
        return _offer(Decision.REVIEW, way.grade, (_UNKNOWN,), terms)
    return _priced(way, terms)


def _priced(way: _Way, terms: Terms) -> Offer:
    paid = money.down_to_step(_payable(way, terms), terms.payable_step.minor)
    if paid < terms.minimum_offer.minor:
        return _offer(Decision.RECYCLE, way.grade, (_below_minimum(terms),), terms)
    reason = _FOR_PARTS if way.grade == Grade.PARTS else _REFURBISHED
    return _offer(Decision.OFFER, way.grade, (reason,), terms, paid, _lines(way, paid, terms))


def _offer(
    decision: Decision,
    grade: Grade,
    reasons: tuple[Reason, ...],
    terms: Terms,
    paid: int = 0,
    lines: tuple[Line, ...] = (),
) -> Offer:
    return Offer(
        decision=decision,
        amount=Money(paid, terms.currency),
        grade=grade,
        lines=lines,
        reasons=reasons,
        terms_version=terms.version,
        valid_days=terms.quote_validity_days,
    )


def _possible(appraisal: Appraisal, grade: Grade, terms: Terms) -> bool:
    """Whether p10 and p50 are ordered prices up to the market's ceiling; false for NaN."""
    value = appraisal.ladder[grade]
    return 0 < value.p10 <= value.p50 <= float(terms.resale_ceiling.amount)


def _way(appraisal: Appraisal, grade: Grade, *, work: Money, parts: Money) -> _Way:
    value = appraisal.ladder[grade]
    return _Way(
        grade=grade,
        resale=money.nearest_minor(value.p50, appraisal.currency),
        low=money.nearest_minor(value.p10, appraisal.currency),
        work=work.minor,
        parts=parts.minor,
        category=appraisal.category,
    )


def _deductions(way: _Way, terms: Terms) -> list[tuple[str, str, Decimal]]:
    """What is taken off the resale price besides the tax: code, label and exact minor units, in order."""
    resale, category = Decimal(way.resale), way.category
    return [
        ("COMMISSION", "Marketplace commission", terms.commission_share * resale),
        ("REFURBISHMENT", "Refurbishment and repair", Decimal(way.work)),
        ("PARTS", "Spare parts", Decimal(way.parts)),
        ("SHIPPING", "Shipping, both ways", Decimal(terms.shipping[category].minor)),
        ("RETURNS_WARRANTY", "Returns and warranty", terms.after_sale_share * resale),
        ("HOLDING", "Holding it until it sells", terms.holding_share(category) * resale),
        ("PRICE_LOCK", "Keeping this price for you", terms.price_lock_share * resale),
        ("PAYMENT", "Paying you", Decimal(terms.payment_fee.minor)),
        ("UNCERTAINTY", "Uncertain resale price", terms.uncertainty_share * (way.resale - way.low)),
        ("MARGIN", "Margin", terms.margin_share * resale),
    ]


def _payable(way: _Way, terms: Terms) -> Decimal:
    """B of the closed form, exact, in minor units; below zero where the costs exceed the resale price."""
    return way.resale - (1 + terms.vat_rate) * sum(amount for _, _, amount in _deductions(way, terms))


def _lines(way: _Way, paid: int, terms: Terms) -> tuple[Line, ...]:
    """The resale price, what is taken off it to the nearest minor unit, and what rounding leaves over."""
    vat = (way.resale - paid) * terms.vat_rate / (1 + terms.vat_rate)
    taken = [*_deductions(way, terms), ("VAT_ON_MARGIN", "VAT on the margin", vat)]
    minors = [("RESALE", "Expected resale price", way.resale)]
    minors += [(code, label, -money.nearest_whole(amount)) for code, label, amount in taken]
    minors.append(("ROUNDING", "Rounding to what is paid", paid - sum(minor for _, _, minor in minors)))
    return tuple(
        Line(code=code, label=label, amount=Money(minor, terms.currency)) for code, label, minor in minors
    )


_REFURBISHED = Reason(
    code="REFURBISHED", sentence="It is refurbished, repaired where needed, and sold again."
)
_FOR_PARTS = Reason(code="FOR_PARTS", sentence="It is sold for parts: that brings more than refurbishing it.")
_UNKNOWN = Reason(
    code="DEVICE_UNKNOWN",
    sentence="Too few devices like it were sold to promise a price: a person looks at it.",
)
_IMPOSSIBLE = Reason(
    code="ESTIMATE_IMPOSSIBLE", sentence="The estimate is no possible price: a person looks at it."
)


def _uncertain(fsd: float, terms: Terms) -> Reason:
    sentence = (
        f"The estimate is too uncertain ({fsd:.0%}, at most {terms.max_fsd:.0%}): a person looks at it."
    )
    return Reason(code="ESTIMATE_UNCERTAIN", sentence=sentence)


def _below_minimum(terms: Terms) -> Reason:
    sentence = (
        f"After all costs less than {terms.minimum_offer} would be left to pay: it can be recycled free."
    )
    return Reason(code="BELOW_MINIMUM", sentence=sentence)
