"""The two forms: what they ask, how their fields are read, and what is said when one cannot be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from babel import Locale
from pydantic import ValidationError

from serving import asks
from serving.refusal import Refusal
from valuation import grades
from valuation.grades import Grade

_TERRITORIES = Locale("en").territories


@dataclass(frozen=True)
class Question:
    """One question with its possible answers; `wrong` is said when none of them was chosen."""

    name: str
    text: str
    answers: tuple[tuple[str, str], ...]
    wrong: str


def _choice(name: str, text: str, *answers: tuple[str, str]) -> Question:
    return Question(name, text, answers, f"Choose an answer to: {text}")


def _yes_no(name: str, text: str) -> Question:
    return _choice(name, text, ("yes", "Yes"), ("no", "No"))


QUESTIONS = (
    _yes_no("powers_on", "Does it switch on?"),
    _yes_no("fully_functional", "Does everything on it work?"),
    _choice(
        "screen",
        "How does the screen look?",
        ("FLAWLESS", "Flawless"),
        ("LIGHT", "Light scratches, hard to see"),
        ("VISIBLE", "Scratches that can be seen"),
        ("CRACKED", "Cracked"),
    ),
    _choice(
        "body",
        "How does the body look?",
        ("FLAWLESS", "Flawless"),
        ("LIGHT", "Light scratches, hard to see"),
        ("VISIBLE", "Scratches or dents that can be seen"),
        ("CRACKED", "Broken or bent"),
    ),
    _yes_no("carrier_locked", "Is it locked to one carrier?"),
    _yes_no("activation_locked", "Is it still locked to an account, such as iCloud or Google?"),
    _yes_no("blacklisted", "Is it reported lost or stolen?"),
)
GRADES = tuple((grade.name, f"{grade.name.title()}: {grades.MEANING[grade]}") for grade in reversed(Grade))

_WRONG = {question.name: question.wrong for question in QUESTIONS} | {
    "market": "Choose where you are.",
    "grade": "Choose how worn it is.",
    "battery_health": "Write the battery health as a whole number from 0 to 100, or leave it empty.",
    "price": "Write the price like 329 or 329.00.",
    "paid": "Write what you paid like 180 or 180.00, or leave it empty.",
}


def country(market: str) -> str:
    """The name of a market's country."""
    return str(_TERRITORIES[market])


def quote_ask(given: Mapping[str, str]) -> asks.QuoteAsk:
    """Read the customer's form. Raises ValidationError."""
    answers = {question.name: _answer(question, given) for question in QUESTIONS}
    return asks.QuoteAsk.model_validate(
        {
            "market": given.get("market"),
            "device": {"device_id": given.get("device_id")},
            "answers": answers | {"battery_health": _share(given)},
        }
    )


def price_check_ask(given: Mapping[str, str], *, currency: str) -> asks.PriceCheckAsk:
    """Read the seller's form, with amounts in the market's currency. Raises ValidationError."""
    paid = given.get("paid")
    return asks.PriceCheckAsk.model_validate(
        {
            "market": given.get("market"),
            "device": {"device_id": given.get("device_id")},
            "grade": given.get("grade"),
            "price": {"amount": given.get("price"), "currency": currency},
            "paid": {"amount": paid, "currency": currency} if paid else None,
            "battery_health": _share(given),
        }
    )


def wrong(error: ValidationError | Refusal) -> list[str]:
    """What to mend, in words; never what was typed."""
    if isinstance(error, Refusal):
        fields = [part for fault in error.errors for part in str(fault["field"]).split(".")]
        return [_WRONG[name] for name in fields if name in _WRONG] or [error.detail]
    names = dict.fromkeys(str(part) for fault in error.errors() for part in fault["loc"])
    return [_WRONG[name] for name in names if name in _WRONG] or ["Fill in the form again."]


def _answer(question: Question, given: Mapping[str, str]) -> bool | str | None:
    answer = given.get(question.name)
    return {"yes": True, "no": False}.get(answer or "", answer)


def _share(given: Mapping[str, str]) -> float | str | None:
    percent = given.get("battery_health") or None
    return int(percent) / 100 if percent and re.fullmatch("[0-9]{1,3}", percent) else percent
