"""The rulebook: the page that is published says what the code does today."""

from __future__ import annotations

from pathlib import Path

import pytest

from valuation import grades, questions, rulebook
from valuation.grades import Condition

PUBLISHED = Path(__file__).parents[2] / "docs" / "questions.md"


def rows(page):
    return [line for line in page.splitlines() if line.startswith("| ")]


def test_the_published_page_is_of_today():
    assert PUBLISHED.read_text(encoding="utf-8") == rulebook.page(), "run `make questions`"


def test_every_question_has_its_line_and_every_reason_its_code():
    page = rulebook.page()
    for question in questions.QUESTIONS:
        (row,) = [row for row in rows(page) if row.startswith(f"| {question.texts['en']} |")]
        assert all(answer.texts["en"] in row for answer in question.answers)
        assert f"| {'yes' if question.visible else 'no'} |" in row
    assert all(f"`{rule.code}`" in page for rule in grades.RULES)


@pytest.mark.parametrize("condition", Condition)
def test_every_condition_says_what_it_is_sold_as(condition):
    (row,) = [row for row in rows(rulebook.page()) if row.startswith(f"| `{condition}` |")]
    grade = grades.sold_as(condition)
    assert row == f"| `{condition}` | `{grade.name}` | {grades.MEANING[grade]} |"


@pytest.mark.parametrize(
    "row",
    [
        "Yes: `FUNCTIONAL_FLAWLESS`<br>No: `NOT_FUNCTIONAL_USED` (`NO_POWER`)",
        "Yes: refused (`BLACKLISTED`)<br>No: `FUNCTIONAL_FLAWLESS`",
        "Yes: `FUNCTIONAL_FLAWLESS`<br>No: `FUNCTIONAL_FLAWLESS` (`ACCESSORIES_MISSING`)",
        "Cracked or splintered: `FUNCTIONAL_CRACKED` (`SCREEN_CRACKED`)",
        "| `CRACKED` | `FUNCTIONAL_CRACKED` | `NOT_FUNCTIONAL_CRACKED` |",
        "| `VISIBLE` | `FUNCTIONAL_USED` | `NOT_FUNCTIONAL_USED` |",
    ],
)
def test_the_page_says_what_an_answer_leads_to(row):
    assert row in rulebook.page()
