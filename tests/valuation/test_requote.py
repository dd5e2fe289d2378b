"""Re-quotes: the exact difference of two lists, upward too, and never accepted for an owner."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from tests.valuation.test_offer import appraisal, decide, terms_of
from valuation import grades, questions, requote
from valuation.grades import Answers, Wear
from valuation.money import Money
from valuation.offer import Decision, Offer
from valuation.requote import Requote, Turn

LEVELS = (100, 250, 300, 320, 340, 400)
TERMS = terms_of()
LIGHT = replace(questions.WHOLE, screen=Wear.LIGHT)


def offered(answers: Answers, levels: tuple[float, ...] = LEVELS) -> Offer:
    assessed = grades.assess(answers=answers, battery_floor=TERMS.battery_floor)
    return decide(appraisal(*levels), assessed.condition, blocked=assessed.blocked)


def inspected(declared: Answers, found: Answers, levels: tuple[float, ...] = LEVELS) -> Requote:
    counting = requote.counted(declared=declared, found=found, category="smartphone", terms=TERMS)
    return requote.requote(
        before=offered(declared, levels),
        after=offered(counting, levels),
        declared=declared,
        counting=counting,
        terms=TERMS,
    )


def test_every_requote_is_the_exact_difference_of_two_lists() -> None:
    rng = random.Random(3)
    wears, truths = list(Wear), (True, False)
    states = [
        replace(questions.WHOLE, screen=screen, body=body, fully_functional=works)
        for screen, body, works in itertools.product(wears, wears, truths)
    ]
    for _ in range(500):
        declared, found = rng.choice(states), rng.choice(states)
        scale = rng.uniform(0.3, 3)
        told = (
            inspected(declared, found, tuple(level * scale for level in LEVELS))
            if offered(declared, tuple(level * scale for level in LEVELS)).lines
            else None
        )
        if told is None:
            continue
        total = sum((line.amount for line in told.differences), Money(0, "EUR"))
        assert total == told.delta == told.after.amount - told.before.amount
        first = {line.code: line.amount for line in told.before.lines}
        for line in told.after.lines:
            moved = [each.amount for each in told.differences if each.code == line.code]
            assert first[line.code] + (moved[0] if moved else Money(0, "EUR")) == line.amount


def test_a_worse_finding_that_could_be_seen_lowers_the_price_and_waits_for_the_owner() -> None:
    told = inspected(questions.WHOLE, replace(questions.WHOLE, screen=Wear.CRACKED))
    assert (told.turn, told.needs_consent) == (Turn.LOWER, True)
    assert [reason.code for reason in told.reasons] == ["SCREEN_CRACKED", "NO_LONGER_FLAWLESS"]
    assert {line.code for line in told.differences} >= {"RESALE", "REFURBISHMENT"}


def test_a_hidden_fault_lowers_nothing_where_only_what_could_be_seen_counts() -> None:
    hidden = replace(questions.WHOLE, fully_functional=False)
    assert inspected(questions.WHOLE, hidden).turn == Turn.SAME
    everything = replace(TERMS, requote_for="all")
    counting = requote.counted(
        declared=questions.WHOLE, found=hidden, category="smartphone", terms=everything
    )
    assert counting == hidden


def test_a_better_finding_raises_the_price_and_needs_no_consent() -> None:
    told = inspected(LIGHT, questions.WHOLE)
    assert (told.turn, told.needs_consent) == (Turn.HIGHER, False)
    assert told.delta > Money(0, "EUR")
    assert [reason.code for reason in told.reasons] == ["FLAWLESS", "NO_LONGER_SCREEN_LIGHT"]


def test_what_was_declared_is_paid_as_quoted() -> None:
    told = inspected(LIGHT, LIGHT)
    assert (told.turn, told.delta, told.differences, told.reasons) == (Turn.SAME, Money(0, "EUR"), (), ())


def test_a_locked_device_goes_back_to_its_owner() -> None:
    told = inspected(questions.WHOLE, replace(questions.WHOLE, activation_locked=True))
    assert (told.turn, told.after.decision) == (Turn.RETURN, Decision.REFUSE)
    assert told.delta == -told.before.amount


def test_a_device_that_is_worth_nothing_any_more_goes_back_to_its_owner() -> None:
    broken = replace(questions.WHOLE, screen=Wear.CRACKED, powers_on=False)
    told = inspected(questions.WHOLE, broken, (2, 60, 80, 90, 100, 120))
    assert (told.turn, told.after.decision) == (Turn.RETURN, Decision.RECYCLE)


def test_what_was_no_offer_is_not_quoted_again() -> None:
    refused = offered(replace(questions.WHOLE, blacklisted=True))
    with pytest.raises(ValueError, match="was no offer"):
        requote.requote(before=refused, after=refused, declared=LIGHT, counting=LIGHT, terms=TERMS)
