"""Suggestions: how a price is rated, what to ask, and below which price a sale loses."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from valuation import grades, markets, money, offer, suggestion
from valuation.appraisal import QUANTILE_NAMES, Appraisal, Value
from valuation.catalogue import CATEGORIES
from valuation.grades import Grade
from valuation.money import Money
from valuation.suggestion import Rating

ON = date(2024, 5, 1)
every_market = pytest.mark.parametrize("market", markets.markets())


def appraisal(p50=300.0, *, market="FR", category="smartphone", grade=Grade.GOOD):
    """An appraisal with quantiles at 80, 85, 90, 100, 110, 115 and 120 % of p50 at every grade."""
    shares = (0.80, 0.85, 0.90, 1.00, 1.10, 1.15, 1.20)
    quantiles = {name: p50 * share for name, share in zip(QUANTILE_NAMES, shares, strict=True)}
    return Appraisal(
        market=market,
        currency=markets.terms(market=market, on=ON).currency,
        category=category,
        on=ON,
        grade=grade,
        ladder=dict.fromkeys(Grade, Value(**quantiles, mean=p50, fsd=0.1)),
        basis="model",
        comparables=12,
        effects=(),
    )


def suggest(appraised, price="300", paid=None, terms=None):
    currency = appraised.currency
    return suggestion.suggest(
        appraisal=appraised,
        price=Money.parse(price, currency),
        terms=terms or markets.terms(market=appraised.market, on=ON),
        paid=None if paid is None else Money.parse(paid, currency),
    )


@pytest.mark.parametrize(
    ("price", "rating"),
    [
        ("0.01", "GREAT"),
        ("254.99", "GREAT"),
        ("255.00", "GOOD"),
        ("269.99", "GOOD"),
        ("270.00", "FAIR"),
        ("330.00", "FAIR"),
        ("330.01", "HIGH"),
        ("345.00", "HIGH"),
        ("345.01", "OVERPRICED"),
    ],
)
def test_a_price_is_rated_by_where_it_lies_among_sales(price, rating):
    given = suggest(appraisal(), price)
    assert given.rating == rating
    assert given.reasons[0].code == f"PRICE_{rating}"


def test_a_dearer_price_never_has_a_better_rating():
    rank = {rating: i for i, rating in enumerate(Rating)}
    ranks = [rank[suggest(appraisal(), str(price)).rating] for price in range(1, 600, 7)]
    assert ranks == sorted(ranks)
    assert set(ranks) == set(rank.values())


def test_the_fair_range_is_the_middle_half_of_sales():
    low, high = suggest(appraisal()).fair_range
    assert (str(low), str(high)) == ("270.00 EUR", "330.00 EUR")


@pytest.mark.parametrize(
    ("market", "p50", "suggested"),
    [
        ("FR", 300.20, "299.99"),
        ("DE", 300.60, "300.99"),
        ("GB", 250.49, "249.99"),
        ("US", 99.99, "99.99"),
        ("PL", 1453.12, "1449.00"),
        ("SE", 3842.49, "3842.00"),
    ],
)
def test_the_suggested_price_is_the_median_rounded_as_the_market_likes_it(market, p50, suggested):
    assert suggest(appraisal(p50, market=market)).suggested.amount == suggested


def test_the_floor_is_the_one_worked_by_hand():
    """r 0.20, shares 0.10, costs 35, paid 168: (168 + 1.20 x 35) / (1 - 1.20 x 0.10) = 238.6364, up a cent;
    there 238.64 - 168 - 70.64 / 6 - 23.864 - 35 = 0.0026."""
    nothing = Decimal(0)
    terms = replace(
        markets.terms(market="FR", on=ON),
        vat_rate=Decimal("0.20"),
        commission_share=Decimal("0.10"),
        returns_share=nothing,
        warranty_share=nothing,
        holding_share_per_day=nothing,
        payment_fee=Money.parse("7", "EUR"),
    )  # of FR: refurbishment 18 and shipping 10, with 7 for the payment 35
    assert suggest(appraisal(), paid="168", terms=terms).floor.amount == "238.64"


def profit(price, paid, appraised, terms):
    """What a sale earns at a price, from first principles, in minor units."""
    condition = grades.bought_as(appraised.grade)
    category = appraised.category
    work = terms.refurbishment[category][condition] if condition else terms.parts_handling[category]
    parts = terms.parts[category][condition] if condition else Money(0, terms.currency)
    costs = (work + parts + terms.shipping[category] + terms.payment_fee).minor
    share = terms.commission_share + terms.returns_share + terms.warranty_share
    share += terms.holding_share(category)
    vat = max(Decimal(0), price - paid) * terms.vat_rate / (1 + terms.vat_rate)
    return price - paid - vat - share * price - costs


def test_at_the_floor_a_sale_earns_nothing_and_a_cent_below_it_loses():
    rng = random.Random(7)
    for _ in range(500):
        market = rng.choice(markets.markets())
        terms = markets.terms(market=market, on=ON)
        appraised = appraisal(
            rng.uniform(10, 3000),
            market=market,
            category=rng.choice(CATEGORIES),
            grade=rng.choice(list(Grade)),
        )
        paid = Money(rng.randrange(200_000), terms.currency)
        floor = suggest(appraised, paid=paid.amount).floor.minor
        assert profit(Decimal(floor), paid.minor, appraised, terms) >= 0
        assert profit(Decimal(floor - 1), paid.minor, appraised, terms) < 0
        assert floor >= paid.minor


@every_market
@pytest.mark.parametrize("grade", [Grade.FAIR, Grade.GOOD, Grade.EXCELLENT])
def test_without_what_was_paid_the_floor_is_that_of_our_own_offer(market, grade):
    appraised = appraisal(2000, market=market, grade=grade)
    terms = markets.terms(market=market, on=ON)
    ladder = {**appraised.ladder, Grade.PARTS: replace(appraised.ladder[grade], p10=0.5, p50=1.0, mean=1.0)}
    made = offer.decide(
        appraisal=replace(appraised, ladder=ladder), condition=grades.bought_as(grade), terms=terms
    )
    computed = suggest(replace(appraised, ladder=ladder)).floor
    assert suggest(appraised, paid=made.amount.amount).floor <= computed
    assert computed <= suggest(appraised, paid=(made.amount + terms.payable_step).amount).floor


def test_a_device_that_we_would_not_pay_for_still_has_its_costs_as_its_floor():
    worthless = appraisal(5)
    assert suggest(worthless).floor == suggest(worthless, paid="0").floor
    assert suggest(worthless).floor.minor > 0


def test_a_price_below_the_floor_is_warned_of():
    codes = [reason.code for reason in suggest(appraisal(), "200", paid="250").reasons]
    assert codes == ["PRICE_GREAT", "PRICE_BELOW_FLOOR", "SUGGESTED_BELOW_FLOOR"]


def test_a_price_above_the_floor_is_not_warned_of():
    assert [reason.code for reason in suggest(appraisal(), "300", paid="100").reasons] == ["PRICE_FAIR"]


@pytest.mark.parametrize("given", ["price", "paid"])
def test_an_amount_in_another_currency_is_refused(given):
    amounts = {"price": Money(30000, "EUR"), "paid": Money(10000, "EUR"), given: Money(30000, "USD")}
    with pytest.raises(money.CurrencyMismatch, match="USD met the terms of FR"):
        suggestion.suggest(appraisal=appraisal(), terms=markets.terms(market="FR", on=ON), **amounts)


def test_an_appraisal_of_another_market_is_refused():
    with pytest.raises(markets.MarketMismatch):
        suggest(appraisal(), terms=markets.terms(market="DE", on=ON))


def test_an_estimate_that_is_no_amount_is_refused():
    with pytest.raises(money.MoneyError, match="cannot be an amount"):
        suggest(appraisal(float("nan")))
