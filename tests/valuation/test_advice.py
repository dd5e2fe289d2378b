"""Advice: what would raise an offer is what the offer would be; what would not, is not told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.valuation.test_price_list import OWNERS, TERMS, device
from valuation import advice, questions
from valuation.grades import Answers, Wear
from valuation.money import Money
from valuation.offer import Decision
from valuation.owners import Owners

WORN = replace(
    questions.WHOLE, screen=Wear.CRACKED, body=Wear.LIGHT, battery_health=0.84, carrier_locked=True
)


def advised(answers: Answers, owners: Owners | None = OWNERS, **more: object) -> advice.Advice:
    """Of a device that is worth the same whatever is changed about it."""
    rows = 1 + len(advice.changes(answers=answers))
    return advice.advise(
        prospects=device().at(np.zeros(rows, dtype=np.int64)),
        answers=answers,
        terms=TERMS,
        owners=owners,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("owners", [None, OWNERS])
def test_a_raise_is_exactly_what_the_changed_device_is_offered(owners: Owners | None) -> None:
    found = advised(WORN, owners)
    by_code = {change.code: change for change in advice.CHANGES}
    assert found.raises
    for each in found.raises:
        changed = advised(by_code[each.change.code].of(WORN), owners)
        assert changed.offer.amount - found.offer.amount == each.delta
        assert each.delta > Money(0, "EUR")


def test_raises_are_told_most_first_and_only_for_what_can_change() -> None:
    found = advised(WORN)
    deltas = [each.delta.minor for each in found.raises]
    assert deltas == sorted(deltas, reverse=True)
    assert [each.change.code for each in found.raises[:2]] == ["SCREEN_AND_BODY_LIKE_NEW", "SCREEN_LIKE_NEW"]
    assert {change.code for change in advice.changes(answers=WORN)} >= {
        "BATTERY_REPLACED",
        "CARRIER_UNLOCKED",
    }
    perfect = replace(questions.WHOLE, battery_health=1.0, accessories=True)
    assert advice.changes(answers=perfect) == ()
    assert advised(perfect).raises == ()


@pytest.mark.parametrize(
    ("screen", "body", "codes"),
    [
        (Wear.LIGHT, Wear.LIGHT, {"SCREEN_AND_BODY_LIKE_NEW"}),
        (Wear.CRACKED, Wear.LIGHT, {"SCREEN_LIKE_NEW", "SCREEN_AND_BODY_LIKE_NEW"}),
        (Wear.LIGHT, Wear.FLAWLESS, {"SCREEN_LIKE_NEW"}),
    ],
)
def test_a_change_of_two_parts_is_told_where_it_raises_the_offer_more_than_either(
    screen: Wear, body: Wear, codes: set[str]
) -> None:
    found = advised(replace(questions.WHOLE, screen=screen, body=body))
    assert {each.change.code for each in found.raises if "LIKE_NEW" in each.change.code} == codes


def test_a_change_of_two_parts_that_raises_no_more_than_one_is_not_told() -> None:
    broken = replace(questions.WHOLE, powers_on=False, screen=Wear.CRACKED, body=Wear.LIGHT)
    assert "SCREEN_AND_BODY_LIKE_NEW" in {change.code for change in advice.changes(answers=broken)}
    assert "SCREEN_AND_BODY_LIKE_NEW" not in {each.change.code for each in advised(broken).raises}


def test_a_lock_that_is_removed_turns_a_refusal_into_an_offer() -> None:
    locked = replace(questions.WHOLE, activation_locked=True)
    found = advised(locked)
    assert (found.offer.decision, found.offer.lines) == (Decision.REFUSE, ())
    (account,) = [each for each in found.raises if each.change.code == "ACCOUNT_REMOVED"]
    assert account.delta == advised(questions.WHOLE).offer.amount


def test_missing_accessories_cost_what_the_terms_say_and_their_return_raises_the_offer() -> None:
    found = advised(replace(questions.WHOLE, accessories=False))
    (line,) = [line for line in found.offer.lines if line.code == "ACCESSORIES"]
    assert line.amount == -TERMS.accessories["smartphone"]
    assert "ACCESSORIES_ADDED" in {each.change.code for each in found.raises}


def test_a_change_tells_the_appraiser_what_the_owner_would_answer() -> None:
    told = {change.code: change.device for change in advice.changes(answers=WORN)}
    assert told["BATTERY_REPLACED"] == {"battery_health": 1.0}
    assert told["CARRIER_UNLOCKED"] == {"carrier_locked": False}
    assert told["SCREEN_LIKE_NEW"] == {}
