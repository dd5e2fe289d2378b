"""Price lists: the margin is the highest there is, within the terms; drawn offers keep to their range."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest

from valuation import markets, price_list
from valuation.acceptance import Acceptance
from valuation.appraisal import Prospects
from valuation.grades import Grade
from valuation.inspection import CONDITIONS, OF_ALL, Inspection
from valuation.owners import Owners
from valuation.price_list import BY_MARGIN, COST_PLUS, PriceList

TERMS = markets.terms(market="FR", on=date(2024, 5, 1))
LEVELS = (120.0, 250.0, 280.0, 310.0, 330.0, 400.0)
TAKEN = np.array([0.62, 0.58, 0.53, 0.30, 0.22, 0.12])  # of the flawless price
HONEST = 0.9
OWNERS = Owners(
    acceptance=Acceptance(base=0.0, shifts={}, spread=0.23, spread_error=0.1, quotes=1_000),
    inspection=Inspection(
        chances={OF_ALL: np.where(np.eye(6) > 0, HONEST, (1 - HONEST) / 5)},
        kept=np.minimum(1.0, TAKEN / TAKEN[:, None]),
        hassle=0.1,
        quotes=1_000,
    ),
)


def device(*, scale: float = 1.0, spread: float = 0.1) -> Prospects:
    shares = [1 + spread * side for side in (-1.6, -1.3, -0.7, 0, 0.7, 1.3, 1.6)] + [1.0, spread]
    ladder = np.array([[[price * scale * share for share in shares] for price in LEVELS]])
    ladder[..., -1] = spread
    return Prospects(
        today=ladder,
        later=ladder * 0.97,
        category=np.array(["smartphone"]),
        basis=np.array(["model"]),
        least=LEVELS[Grade.EXCELLENT] * scale * TAKEN[None],
    )


def listed(prospects: Prospects, owners: Owners | None = OWNERS, **terms: str) -> PriceList:
    changed = replace(TERMS, **{name: Decimal(value) for name, value in terms.items()})
    return price_list.draw_up(prospects=prospects, terms=changed, owners=owners)


def margins(found: PriceList, column: int, offers: np.ndarray) -> np.ndarray:
    """The expected margin of offers for a device declared in the condition of a column."""
    assert found.bargain is not None
    return found.bargain.at(slice(column, column + 1)).margins(offers[None])[0]


@pytest.mark.parametrize("column", range(len(CONDITIONS)))
def test_no_other_payable_offer_has_a_higher_expected_margin(column: int) -> None:
    found = listed(device())
    sought = found.sought[0, column]
    grid = np.arange(5.0, found.highest[0, column], 0.5)
    assert margins(found, column, np.array([sought]))[0] >= margins(found, column, grid).max() - 1e-4


def test_the_lower_an_offer_the_worse_is_what_comes_in() -> None:
    bargain = listed(device()).bargain
    assert bargain is not None
    offers = np.array([[30.0, 60.0, 90.0, 130.0, 180.0]])
    for column in range(len(CONDITIONS) - 1):
        declared = bargain.at(slice(column, column + 1))
        takers = (declared.chance[..., None] * declared.takes(offers))[0]
        worse = takers[column + 1 :].sum(axis=0) / takers.sum(axis=0)
        assert (np.diff(worse) < 0).all()
        assert (worse > declared.chance[0, column + 1 :].sum()).all()


def test_the_offer_is_found_to_a_hair() -> None:
    found = listed(device())
    for column in range(3):
        sought = found.sought[0, column]
        assert sought < found.highest[0, column]
        near = margins(found, column, sought * np.array([1 - 1e-3, 1.0, 1 + 1e-3]))
        assert near.argmax() == 1


def test_without_owners_it_is_cost_plus_and_says_so() -> None:
    assert listed(device(), owners=None).policy == COST_PLUS
    assert listed(replace(device(), least=None)).policy == COST_PLUS
    assert listed(device()).policy == BY_MARGIN


def test_no_offer_leaves_less_than_the_least_margin_or_more_than_the_most() -> None:
    for least, most in (("0.02", "0.35"), ("0.15", "0.35"), ("0.02", "0.08")):
        found = listed(device(), least_margin_share=least, margin_share=most, most_margin_share=most)
        paid = found.sought[:, :, None]
        left = found.proceeds.earned(paid)[0, :, 0] / found.proceeds.price[0]
        made = found.sought[0] > 0
        assert (left[made] >= float(least) - 1e-9).all()
        if least != "0.15":  # where the limits leave no offer that earns, none is made
            assert (left[made][:3] <= float(most) + 1e-9).all()


def test_a_better_condition_is_never_paid_less() -> None:
    for scale in (0.1, 0.3, 1.0, 4.0):
        for owners in (None, OWNERS):
            paid = listed(device(scale=scale), owners=owners).sought[0]
            assert (np.diff(paid) <= 0).all()


def test_nothing_is_sought_where_nothing_earns() -> None:
    assert (listed(device(scale=0.02)).sought == 0).all()


def test_owners_who_take_more_are_offered_more_up_to_the_highest() -> None:
    asked = device()
    paid = [listed(replace(asked, least=asked.least * share)).sought[0, 0] for share in (0.6, 0.8, 1.0)]  # type: ignore[operator]
    assert paid == sorted(paid)
    assert paid[0] < paid[-1]


def test_the_usual_device_of_a_model_tells_the_share_of_the_highest_offer() -> None:
    usual, better = device(), device(scale=1.1)
    alone, like = listed(usual), listed(replace(better, usual=usual))
    assert like.sought / like.highest == pytest.approx(alone.sought / alone.highest)


def test_missing_accessories_never_raise_an_offer() -> None:
    for scale in (0.1, 0.3, 1.0):
        asked = device(scale=scale)
        whole, less = (
            price_list.draw_up(prospects=asked, terms=TERMS, owners=OWNERS, missing=np.array([missing]))
            for missing in (False, True)
        )
        assert (less.sought <= whole.sought + 1e-9).all()


def test_drawn_offers_lie_within_the_range_and_below_the_highest() -> None:
    found = listed(device())
    for place in (0.0, 0.3, 1.0):
        drawn = found.drawn(at=place, within=0.08)
        assert (drawn.sought >= found.sought * 0.92 - 1e-9).all()
        assert (drawn.sought <= np.minimum(found.sought * 1.08, found.highest) + 1e-9).all()
        assert (np.diff(drawn.sought[0]) <= 0).all()


def test_the_propensity_of_a_drawn_offer_is_one_over_the_width_of_its_range() -> None:
    found = listed(device())
    low, high, drawn = (found.drawn(at=place, within=0.08) for place in (0.0, 1.0, 0.5))
    assert drawn.propensity is not None
    width = np.log(high.sought[0, 0] / low.sought[0, 0])
    assert drawn.propensity[0, 0] == pytest.approx(1 / width)
    assert found.propensity is None
