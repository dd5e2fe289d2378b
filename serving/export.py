"""The export: the quotes that were given as the table of QUOTES that a retrain learns from."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import polars as pl

from serving import subject
from serving.asks import Answers
from serving.case import Case
from serving.life import Kind, Life
from serving.promise import Quote
from serving.steps import OWNERS_REASONS
from valuation import grades, ledger
from valuation.money import Money

_COLUMNS = {column.name: ledger.DTYPES[column.kind] for column in ledger.QUOTES.columns}


def table(lives: Iterable[tuple[Quote, Life]]) -> pl.DataFrame:
    """The offers among some quotes in the columns of ledger.QUOTES; those from before cases were kept are left out."""
    rows = [_row(quote, life) for quote, life in lives if quote.decision == "OFFER" and quote.inputs]
    schema = {name: pl.Float64 if kind == pl.Decimal else kind for name, kind in _COLUMNS.items()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _row(quote: Quote, life: Life) -> list[Any]:
    case, reply = Case.read(quote.inputs), json.loads(quote.reply)
    happened = {event.kind: event for event in life.events}
    agreed = next((event for event in life.events if event.kind == Kind.ACCEPTED), None)
    void = happened.get(Kind.VOIDED)  # by the house it is no answer of the owner's
    refused = Kind.EXPIRED in happened or (void and void.details.get("turn") in OWNERS_REASONS)
    paid = happened.get(Kind.PAID)
    told = {
        **{name: case.device.get(name) for name in _COLUMNS},
        "quote_id": quote.quote_id,
        "quoted_at": quote.quoted_at,
        "market": quote.market,
        "currency": quote.currency,
        "condition": reply["grade"],
        "offer": _major(quote.offer_minor, quote.currency),
        "policy": reply["policy"],
        "randomised": reply["randomised"],
        "propensity": reply["propensity"],
        "accepted": True if agreed else False if refused else None,
        "accepted_at": agreed and agreed.at,
        "inspected_condition": _inspected(case, life),
        "final_amount": paid and _major(paid.amount_minor, quote.currency),
    }
    return [told[name] for name in _COLUMNS]


def _inspected(case: Case, life: Life) -> str | None:
    """The condition in which a device was found, by all that was found."""
    found = next((event.details["found"] for event in life.events if event.kind == Kind.INSPECTED), None)
    if found is None:
        return None
    answers = subject.answers(Answers.model_validate(found), category=case.device["category"])
    return grades.assess(answers=answers, battery_floor=case.terms.battery_floor).condition.value


def _major(minor: int, currency: str) -> float:
    return float(Money(minor, currency).amount)
