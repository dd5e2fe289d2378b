"""Proceeds: the tax of one device by hand, the put of a spread price, and the way that brings more."""

from __future__ import annotations

import csv
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from valuation import markets, proceeds
from valuation.appraisal import OUTCOMES, QUANTILES, Prospects
from valuation.catalogue import CATEGORIES
from valuation.controls import Controls
from valuation.grades import Condition, Grade
from valuation.money import Money
from valuation.proceeds import LOW, MEAN, WEIGHTS, Seller

ON = date(2024, 5, 1)
# 2006/112/EC: the margin scheme taxes what the price exceeds the purchase by (art. 312 to 315), device by device, and a
# negative margin gives nothing back; bought with an invoice, art. 168 lets the tax on the purchase be deducted.
SINGLE_SALES = tuple(
    csv.DictReader(
        (Path(__file__).parents[1] / "published" / "vat_single_sales.csv").read_text().splitlines()
    )
)
TERMS = markets.terms(market="FR", on=ON)


def prospects(
    *prices: float, later: float = 1.0, spread: float = 0.0, category: str = "smartphone"
) -> Prospects:
    """One device with these prices, worst grade first, spread evenly by so much to either side."""
    shares = [1 + spread * side for side in (-1.5, -1, -0.5, 0, 0.5, 1, 1.5)] + [1.0, 0.1]
    today = np.array([[[price * share for share in shares] for price in prices]])
    assert today.shape[2] == len(OUTCOMES)
    return Prospects(
        today=today,
        later=today * later,
        category=np.array([category]),
        basis=np.array(["model"]),
        least=None,
    )


def sure(sale: float, **more: object) -> proceeds.Proceeds:
    """What a device brings that sells for one price, whatever its grade."""
    return proceeds.of(prospects=prospects(*[sale] * len(Grade)), terms=TERMS, **more)  # type: ignore[arg-type]


def at(amount: float) -> np.ndarray:
    return np.full((1, len(Condition), 1), amount)


@pytest.mark.parametrize("row", SINGLE_SALES, ids=lambda row: row["case"])
def test_the_tax_of_a_single_sale_is_that_of_the_directive(row: dict[str, str]) -> None:
    terms = replace(TERMS, vat_rate=Decimal(row["vat_rate"]))
    device = prospects(*[float(row["sale"])] * len(Grade))
    sold = proceeds.of(prospects=device, terms=terms, seller=Seller(row["seller"]))
    assert sold.tax(at(float(row["purchase"]))) == pytest.approx(float(row["vat"]), abs=0.005)


def test_a_price_that_may_fall_below_what_was_paid_is_taxed_by_its_distribution_as_worked_by_hand() -> None:
    """Prices of 100, 200 and 300 in 17.5, 65 and 17.5 of a hundred cases, bought for 200, at 20 %: the margin is 0, 0
    and 100, so that the tax is 0.175 x 100 / 6 = 2.92, though the mean price leaves no margin at all."""
    sold = sure(200.0)
    points = np.zeros((1, len(Condition), len(QUANTILES)))
    points[:] = 200.0
    points[..., :2], points[..., -2:] = 100.0, 300.0
    spread = replace(sold, points=points)
    below = float(WEIGHTS[:2].sum())
    assert below == pytest.approx(0.175)
    assert spread.tax(at(200.0)) == pytest.approx(2.9167, abs=1e-4)
    assert WEIGHTS.sum() == pytest.approx(1)


def test_what_is_payable_leaves_exactly_the_margin() -> None:
    for spread in (0.0, 0.3, 0.6):
        device = prospects(60, 200, 260, 300, 340, 400, spread=spread)
        for seller in Seller:
            sold = proceeds.of(prospects=device, terms=TERMS, seller=seller)
            paid = sold.payable(0.1)
            assert sold.earned(paid[:, :, None])[..., 0] == pytest.approx(0.1 * sold.price, abs=1e-6)


def test_a_private_seller_of_an_uncertain_device_is_paid_less_than_a_business() -> None:
    device = prospects(60, 200, 260, 300, 340, 400, spread=0.6)
    private, business = (
        proceeds.of(prospects=device, terms=TERMS, seller=seller).payable(0.02) for seller in Seller
    )
    assert (private <= business).all()
    assert (private < business).any()


def test_a_fall_until_it_sells_is_a_cost_and_a_rise_is_not() -> None:
    levels = (100, 250, 300, 320, 340, 400)
    still, falls, rises = (
        proceeds.of(prospects=prospects(*levels, later=later), terms=TERMS) for later in (1.0, 0.95, 1.05)
    )
    assert falls.deductions["HOLDING"] - still.deductions["HOLDING"] == pytest.approx(
        0.05 * still.price - 0.05 * still.price * 35 * 0.00014
    )
    assert (rises.payable(0.1) == still.payable(0.1)).all()
    assert (falls.payable(0.1) < still.payable(0.1)).all()


def test_each_condition_goes_the_way_that_brings_more() -> None:
    sold = proceeds.of(prospects=prospects(150, 200, 260, 300, 340, 400), terms=TERMS)
    assert sold.grade[0].tolist() == [Grade.EXCELLENT, Grade.GOOD, Grade.FAIR, *[Grade.PARTS] * 3]
    assert (sold.deductions["PARTS"][0, 3:] == 0).all()


def test_missing_accessories_are_bought_for_what_is_refurbished_only() -> None:
    device = prospects(150, 200, 260, 300, 340, 400)
    sold = proceeds.of(prospects=device, terms=TERMS, missing=np.array([True]))
    amount = float(TERMS.accessories["smartphone"].amount)
    assert sold.deductions["ACCESSORIES"][0].tolist() == [amount] * 3 + [0.0] * 3


def test_who_is_cautious_holds_more_of_the_spread_against_a_device() -> None:
    device = prospects(100, 250, 300, 320, 340, 400, spread=0.15)
    careful, usual = (
        proceeds.of(prospects=device, terms=TERMS, cautious=cautious).deductions["UNCERTAINTY"]
        for cautious in (True, False)
    )
    low, mean = (device.later[0, Grade.EXCELLENT, which] for which in (LOW, MEAN))
    assert careful[0, 0] == pytest.approx(0.15 * (mean - low))
    assert (usual == 0).all()


def test_what_the_last_cohort_missed_and_a_falling_market_are_kept_back_and_a_rise_is_not_added() -> None:
    none, short, falling, better = (
        sure(300.0, controls=controls).deductions["UNCERTAINTY"][0, 0]
        for controls in (
            Controls(),
            Controls(realised_share=0.97),
            Controls(index_change=-0.04),
            Controls(realised_share=1.1, index_change=0.1),
        )
    )
    assert (none, short, falling, better) == (0.0, pytest.approx(9.0), pytest.approx(12.0), 0.0)


@pytest.mark.parametrize("market", markets.markets())
@pytest.mark.parametrize("category", CATEGORIES)
def test_a_kept_price_costs_a_quarter_of_a_put_at_the_money(market: str, category: str) -> None:
    terms = markets.terms(market=market, on=ON)
    assert float(terms.price_lock_share) == pytest.approx(0.25 * 0.009566, abs=1e-6)
    free = replace(terms, price_lock_used=Decimal(0))
    assert free.price_lock_share == 0
    assert terms.days_until_sold(category) == terms.days_to_arrive + terms.days_to_sell[category]


def test_a_longer_promise_costs_more() -> None:
    shares = [replace(TERMS, quote_validity_days=days).price_lock_share for days in (7, 14, 21, 45)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_a_payment_fee_is_taken_once() -> None:
    dearer = replace(TERMS, payment_fee=TERMS.payment_fee + Money(100, "EUR"))
    sold, same = sure(300.0), proceeds.of(prospects=prospects(*[300.0] * len(Grade)), terms=dearer)
    assert sold.net - same.net == pytest.approx(1.0)
