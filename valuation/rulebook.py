"""The rulebook: the questions, what their answers lead to, and what a condition sells as, as a page to publish.

Written from questions.toml and grades.RULES; no word of the rule is told twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from valuation import grades, questions
from valuation.catalogue import CATEGORIES
from valuation.grades import Condition
from valuation.questions import Answer, Question

_TOP = """\
# From answers to a condition, and to a grade

Written by `make questions` from `valuation/questions.toml` and `RULES` of `valuation/grades.py`. The questions have the
same meaning in every language that they are written in ({languages}).

## The questions

What is not asked in a category counts as working, flawless, not locked and not reported; its battery and accessories
as not known. The condition is what an answer leads to on its own; behind it stands the code of its reason, where it has
one. *Seen*: whether the customer can see the answer himself. A worse finding of an inspection lowers a re-quote only
where he can, as long as `requote_for` of a market's terms is `seen`; a lock to an account and a report of loss always
count.

| question | asked of | seen | answer: condition |
|---|---|---|---|
"""
_TOGETHER = """
## Several answers

The worst answer about function and the worst one about wear make the condition together. A battery below the floor of
the grade at which the device would be sold (`battery_floor` of the terms) lowers a device that works, and is not
cracked, to the best condition whose floor it meets, at worst to `FUNCTIONAL_USED`, where the battery is replaced
(`BATTERY_BELOW_FLOOR`); an unknown battery lowers nothing.

| worst about wear | works | does not work |
|---|---|---|
"""
_SOLD = """
## From a condition to a grade

A device is sold at its grade once it is repaired and refurbished, or as `PARTS` where that pays its owner more.

| condition | sold as | which means |
|---|---|---|
"""


def page() -> str:
    """Write the whole page, in Markdown; the questions in English."""
    top = _TOP.format(languages=", ".join(questions.LANGUAGES))
    asked = _rows(_row(question) for question in questions.QUESTIONS)
    return top + asked + _TOGETHER + _rows(_together()) + _SOLD + _rows(_sold())


def _rows(rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(question: Question) -> Sequence[str]:
    everywhere = question.categories == CATEGORIES
    answers = [_led_to(question, answer) for answer in question.answers]
    if question.kind == "share":
        answers.insert(0, "a share of its capacity when new: see below")
    return (
        question.texts["en"],
        "all" if everywhere else ", ".join(question.categories),
        "yes" if question.visible else "no",
        "<br>".join(answers),
    )


def _led_to(question: Question, answer: Answer) -> str:
    """What one answer leads to, the others being as good as can be."""
    told: dict[str, Any] = {question.field: answer.value}
    answers = replace(questions.WHOLE, **told)
    assessed = grades.assess(answers=answers, battery_floor={})
    codes = [f"`{reason.code}`" for reason in assessed.reasons if reason != grades.FLAWLESS]
    to = "refused" if assessed.blocked else f"`{assessed.condition}`"
    return f"{answer.texts['en']}: {to}" + (f" ({', '.join(codes)})" if codes else "")


def _together() -> Iterator[Sequence[str]]:
    for wear in grades.Wear:
        answers = replace(questions.WHOLE, screen=wear)
        both = [replace(answers, fully_functional=works) for works in (True, False)]
        met = [grades.assess(answers=answers, battery_floor={}).condition for answers in both]
        yield [f"`{wear}`", *(f"`{condition}`" for condition in met)]


def _sold() -> Iterator[Sequence[str]]:
    for condition in Condition:
        grade = grades.sold_as(condition)
        yield f"`{condition}`", f"`{grade.name}`", grades.MEANING[grade]
