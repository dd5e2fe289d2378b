"""The suggestion: what a seller should ask, how a price compares, and below which price a sale loses."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from valuation import grades, money, proceeds
from valuation.appraisal import Appraisal
from valuation.grades import Condition, Reason
from valuation.inspection import PLACES
from valuation.markets import Terms
from valuation.money import Money


class Rating(StrEnum):
    """How a price looks to a buyer, best first.

    GREAT below p10, GOOD below p25, FAIR up to p75, HIGH up to p90, OVERPRICED above it; compared in whole
    minor units.
    """

    GREAT = "GREAT"
    GOOD = "GOOD"
    FAIR = "FAIR"
    HIGH = "HIGH"
    OVERPRICED = "OVERPRICED"


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What to ask. `fair_range` is p25..p75; `floor` the price at which nothing is earned."""

    rating: Rating
    fair_range: tuple[Money, Money]
    suggested: Money
    floor: Money
    reasons: tuple[Reason, ...]


def suggest(*, appraisal: Appraisal, price: Money, terms: Terms, paid: Money | None = None) -> Suggestion:
    """Rate a seller's price for a device at its own grade and suggest one: p50, rounded as the market does.

    The floor F is the price at which profit is zero. With B paid for the device, r the VAT rate, s the shares
    of the price for commission, returns and holding, and C the costs of one unit, under the margin scheme

        F - B - (F - B) r / (1 + r) - s F - C = 0    gives    F = (B + (1 + r) C) / (1 - (1 + r) s),

    rounded up to a minor unit. F is never below B, so that the tax is never negative. Without `paid`, B is
    what cost-plus pays for the best condition that sells at this grade or below, before it rounds, and at least zero.

    Raises CurrencyMismatch or MarketMismatch where something is not of the terms' market, MoneyError where an
    estimate is no finite amount.
    """
    for currency in (appraisal.currency, price.currency, (paid or price).currency):
        terms.require(market=appraisal.market, currency=currency)
    p10, p25, p50, p75, p90 = (
        _money(getattr(appraisal.value, name), terms) for name in ("p10", "p25", "p50", "p75", "p90")
    )
    rating = _rate(price, p10, p25, p75, p90)
    floor = _floor(appraisal, terms, paid)
    step, ending = terms.resale_step.minor, terms.resale_ending.minor
    suggested = Money(money.nearest_ending(p50.minor, step, ending), terms.currency)
    return Suggestion(
        rating=rating,
        fair_range=(p25, p75),
        suggested=suggested,
        floor=floor,
        reasons=_reasons(rating, price, suggested, floor),
    )


def _money(estimate: float, terms: Terms) -> Money:
    return Money(money.nearest_minor(estimate, terms.currency), terms.currency)


def _rate(price: Money, p10: Money, p25: Money, p75: Money, p90: Money) -> Rating:
    if price < p25:
        return Rating.GREAT if price < p10 else Rating.GOOD
    if price <= p75:
        return Rating.FAIR
    return Rating.HIGH if price <= p90 else Rating.OVERPRICED


def _floor(appraisal: Appraisal, terms: Terms, paid: Money | None) -> Money:
    category = appraisal.category
    costs = _work(appraisal, terms) + terms.shipping[category] + terms.payment_fee
    shares = terms.commission_share + terms.after_sale_share + terms.holding_share(category)
    gross = 1 + terms.vat_rate
    bought = _computed_offer(appraisal, terms) if paid is None else paid.minor
    floor = (bought + gross * costs.minor) / (1 - gross * shares)
    return Money(money.up_to_whole(floor), terms.currency)


def _work(appraisal: Appraisal, terms: Terms) -> Money:
    """Refurbishing a device that sells at this grade, with its spare parts; or handling it for parts."""
    condition, category = grades.bought_as(appraisal.grade), appraisal.category
    if condition is None:
        return terms.parts_handling[category]
    return terms.refurbishment[category][condition] + terms.parts[category][condition]


def _computed_offer(appraisal: Appraisal, terms: Terms) -> Decimal:
    """What cost-plus pays for the best condition that sells at this grade, in minor units, at least zero."""
    condition = grades.bought_as(appraisal.grade) or Condition.NOT_FUNCTIONAL_CRACKED
    sold = proceeds.of(prospects=appraisal.prospects, terms=terms)
    paid = float(sold.payable(float(terms.margin_share))[0, PLACES[condition]])
    return Decimal(max(0, money.nearest_minor(paid, terms.currency)))


_RATINGS = {
    Rating.GREAT: "Nine in ten such devices sell for more.",
    Rating.GOOD: "Three in four such devices sell for more.",
    Rating.FAIR: "Half of such devices sell for about this much.",
    Rating.HIGH: "Three in four such devices sell for less.",
    Rating.OVERPRICED: "Nine in ten such devices sell for less.",
}


def _reasons(rating: Rating, price: Money, suggested: Money, floor: Money) -> tuple[Reason, ...]:
    reasons = [Reason(code=f"PRICE_{rating}", sentence=_RATINGS[rating])]
    if price < floor:
        sentence = f"At this price the sale loses money: it earns nothing below {floor}."
        reasons.append(Reason(code="PRICE_BELOW_FLOOR", sentence=sentence))
    if suggested < floor:
        sentence = (
            f"Even the usual price, {suggested}, is below the {floor} at which the sale starts to earn."
        )
        reasons.append(Reason(code="SUGGESTED_BELOW_FLOOR", sentence=sentence))
    return tuple(reasons)
