"""What is held against offers whatever a device is worth."""

from __future__ import annotations

import pytest

from tests.valuation.test_offer import appraisal, terms_of
from valuation import offer
from valuation.controls import STALE_DAYS, Controls
from valuation.grades import Condition
from valuation.offer import Decision

DECISIONS = {
    0: (Decision.OFFER, "REFURBISHED"),
    STALE_DAYS: (Decision.OFFER, "REFURBISHED"),
    STALE_DAYS + 1: (Decision.REVIEW, "MODEL_STALE"),
}


@pytest.mark.parametrize("days", DECISIONS)
def test_what_was_learned_too_long_ago_promises_no_price(days: int) -> None:
    made = offer.decide(
        appraisal=appraisal(100, 300, 350, 400, 450, 500),
        condition=Condition.FUNCTIONAL_GOOD,
        terms=terms_of(),
        controls=Controls(model_age_days=days),
    )
    assert (made.decision, made.reasons[0].code) == DECISIONS[days]
    assert (made.amount.minor > 0) == (made.decision == Decision.OFFER)
