"""Grades and conditions: the published rule from answers to a condition, and what a condition sells as."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from valuation import grades
from valuation.grades import Answers, Condition, Grade, Wear

FLOOR = {Grade.FAIR: 0.80, Grade.GOOD: 0.80, Grade.EXCELLENT: 0.85, Grade.PREMIUM: 0.90}
PERFECT = Answers(
    powers_on=True,
    fully_functional=True,
    screen=Wear.FLAWLESS,
    body=Wear.FLAWLESS,
    battery_health=None,
    carrier_locked=False,
    activation_locked=False,
    blacklisted=False,
)
RANK = {condition: rank for rank, condition in enumerate(Condition)}


def assess(**changes):
    return grades.assess(answers=replace(PERFECT, **changes), battery_floor=FLOOR)


def every_answer():
    flags = (True, False)
    for on, works, screen, body, battery in itertools.product(
        flags, flags, Wear, Wear, (None, 0.5, 0.8, 0.9)
    ):
        yield replace(
            PERFECT, powers_on=on, fully_functional=works, screen=screen, body=body, battery_health=battery
        )


@pytest.mark.parametrize(
    ("changes", "condition", "codes"),
    [
        ({}, "FUNCTIONAL_FLAWLESS", ["FLAWLESS"]),
        ({"screen": Wear.LIGHT}, "FUNCTIONAL_GOOD", ["SCREEN_LIGHT"]),
        ({"body": Wear.LIGHT}, "FUNCTIONAL_GOOD", ["BODY_LIGHT"]),
        ({"screen": Wear.LIGHT, "body": Wear.VISIBLE}, "FUNCTIONAL_USED", ["BODY_WORN", "SCREEN_LIGHT"]),
        ({"screen": Wear.VISIBLE}, "FUNCTIONAL_USED", ["SCREEN_WORN"]),
        ({"screen": Wear.CRACKED}, "FUNCTIONAL_CRACKED", ["SCREEN_CRACKED"]),
        ({"body": Wear.CRACKED}, "FUNCTIONAL_CRACKED", ["BODY_BROKEN"]),
        ({"powers_on": False}, "NOT_FUNCTIONAL_USED", ["NO_POWER"]),
        ({"fully_functional": False}, "NOT_FUNCTIONAL_USED", ["FAULT"]),
        (
            {"powers_on": False, "screen": Wear.CRACKED},
            "NOT_FUNCTIONAL_CRACKED",
            ["NO_POWER", "SCREEN_CRACKED"],
        ),
        ({"carrier_locked": True}, "FUNCTIONAL_FLAWLESS", ["CARRIER_LOCKED"]),
        ({"accessories": True}, "FUNCTIONAL_FLAWLESS", ["FLAWLESS"]),
        ({"accessories": False}, "FUNCTIONAL_FLAWLESS", ["ACCESSORIES_MISSING"]),
        ({"battery_health": 0.84}, "FUNCTIONAL_GOOD", ["BATTERY_BELOW_FLOOR"]),
        ({"battery_health": 0.79}, "FUNCTIONAL_USED", ["BATTERY_BELOW_FLOOR"]),
        ({"battery_health": 0.79, "powers_on": False}, "NOT_FUNCTIONAL_USED", ["NO_POWER"]),
    ],
)
def test_answers_lead_to_the_condition_of_the_published_rule(changes, condition, codes):
    assessment = assess(**changes)
    assert (assessment.condition, [reason.code for reason in assessment.reasons]) == (condition, codes)


@pytest.mark.parametrize("share", [0.80, 0.85, 0.90])
def test_a_battery_exactly_at_its_floor_lowers_nothing(share):
    floor = dict.fromkeys(FLOOR, share)
    answers = replace(PERFECT, battery_health=share)
    assert grades.assess(answers=answers, battery_floor=floor).condition == Condition.FUNCTIONAL_FLAWLESS


def test_every_assessment_has_a_reason_and_a_sentence_for_it():
    for answers in every_answer():
        reasons = grades.assess(answers=answers, battery_floor=FLOOR).reasons
        assert reasons
        assert all(reason.sentence.endswith(".") for reason in reasons)


@pytest.mark.parametrize("part", ["screen", "body"])
def test_more_wear_never_leads_to_a_better_condition(part):
    for answers in every_answer():
        ranks = [
            RANK[grades.assess(answers=replace(answers, **{part: wear}), battery_floor=FLOOR).condition]
            for wear in Wear
        ]
        assert ranks == sorted(ranks)


def test_a_weaker_battery_never_leads_to_a_better_condition():
    for answers in every_answer():
        ranks = [
            RANK[grades.assess(answers=replace(answers, battery_health=h), battery_floor=FLOOR).condition]
            for h in (1.0, 0.9, 0.85, 0.8, 0.5, 0.0)
        ]
        assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, ()),
        ({"activation_locked": True}, ("ACTIVATION_LOCKED",)),
        ({"blacklisted": True}, ("BLACKLISTED",)),
        ({"activation_locked": True, "blacklisted": True}, ("ACTIVATION_LOCKED", "BLACKLISTED")),
    ],
)
def test_a_locked_or_blacklisted_device_is_blocked_with_its_codes(changes, codes):
    assessment = assess(**changes)
    assert assessment.blocked == codes
    assert tuple(reason.code for reason in grades.refusals(blocked=assessment.blocked)) == codes


def test_a_code_that_refuses_nothing_is_an_error_that_names_those_that_do():
    with pytest.raises(grades.AnswersError, match=r"for NO_POWER: known are ACTIVATION_LOCKED, BLACKLISTED"):
        grades.refusals(blocked=("NO_POWER",))


@pytest.mark.parametrize("health", [-0.01, 1.01, 85, float("nan")])
def test_a_battery_health_outside_its_share_is_refused(health):
    with pytest.raises(grades.AnswersError, match="give a share from 0 to 1"):
        replace(PERFECT, battery_health=health)


def test_a_worse_condition_never_sells_at_a_better_grade():
    sold = [grades.sold_as(condition) for condition in Condition]
    assert sold == sorted(sold, reverse=True)


@pytest.mark.parametrize("grade", Grade)
def test_a_device_is_bought_in_the_best_condition_that_sells_no_better_than_its_grade(grade):
    condition = grades.bought_as(grade)
    if grade == Grade.PARTS:
        assert condition is None
    else:
        assert grades.sold_as(condition) <= grade


def test_every_grade_has_its_meaning_and_every_rule_its_own_code():
    assert set(grades.MEANING) == set(Grade)
    codes = [rule.code for rule in grades.RULES]
    assert len(codes) == len(set(codes))
