"""Kinds of facts: what a number, a word or a table in a scenario file may be, and what is said where it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date
from itertools import pairwise
from typing import Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from valuation import markets
from valuation.catalogue import CATEGORIES
from valuation.grades import Condition, Grade

OTHERS = "others"  # the entry of a table for all that it does not name
T = TypeVar("T")


def _currencies() -> tuple[str, ...]:
    return tuple({markets.terms(market=market, on=date.max).currency: None for market in markets.markets()})


def _one_of(kind: str, known: Callable[[], Iterable[str]]) -> AfterValidator:
    def check(word: str) -> str:
        if word not in (words := list(known())):
            raise ValueError(f"{word!r:.40} is no {kind} that is known; write one of {', '.join(words)}")
        return word

    return AfterValidator(check)


def _with(needed: Callable[[], Collection[str]]) -> AfterValidator:
    def check(table: dict[str, T]) -> dict[str, T]:
        if OTHERS not in table and (missing := [word for word in needed() if word not in table]):
            raise ValueError(f"has no entry for {', '.join(missing)}; give it one")
        return table

    return AfterValidator(check)


def _drawable(table: dict[str, float]) -> dict[str, float]:
    if not sum(table.values()) > 0:
        raise ValueError("has no entry above 0: nothing could be drawn")
    return table


def _ascending(values: list[Any]) -> list[Any]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("is not in order; write the lowest first")
    return values


Share = Annotated[float, Field(ge=0, le=1)]
Cut = Annotated[float, Field(ge=0, le=0.9)]
Level = Annotated[float, Field(ge=-3, le=3)]  # a log: from a twentieth to twenty times
Spread = Annotated[float, Field(ge=0, le=2)]  # the sd of a log
Times = Annotated[float, Field(ge=0.05, le=20)]
Amount = Annotated[float, Field(gt=0, le=100_000)]
Weight = Annotated[float, Field(ge=0, le=1000)]
Days = Annotated[int, Field(ge=1, le=3650)]
Years = Annotated[float, Field(ge=0.01, le=100)]
Name = Annotated[str, Field(min_length=1, max_length=80, pattern=r"\S")]
Ascending = Annotated[list[T], AfterValidator(_ascending)]

Market = Annotated[str, _one_of("market with terms", markets.markets)]
Category = Annotated[str, _one_of("category", lambda: CATEGORIES)]
GradeName = Annotated[str, _one_of("grade", lambda: list(Grade.__members__))]
ConditionName = Annotated[str, _one_of("condition", lambda: map(str, Condition))]
Currency = Annotated[str, _one_of("currency of a market with terms", _currencies)]

EveryCurrency = _with(_currencies)
Weights = AfterValidator(_drawable)
WithOthers = _with(lambda: (OTHERS,))
EveryGrade = _with(lambda: list(Grade.__members__))
EveryCondition = _with(lambda: list(map(str, Condition)))
By = Annotated[dict[str, Level], WithOthers]


class Part(BaseModel):
    """A table of a scenario: every key known, every number finite and of its own kind."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Part)


def of_one_length(part: P, name: str, other: str) -> P:
    """The part, where its two lists have one length and are not empty; ValueError otherwise."""
    needed, given = len(getattr(part, name)), len(getattr(part, other))
    if needed != given or not needed:
        raise ValueError(f"{other} has {given} entries and {name} {needed}; give both the same, at least one")
    return part


class Span(Part):
    """Anything from `least` to `most`."""

    least: float
    most: float

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.least > self.most:
            raise ValueError(f"from {self.least:g} to {self.most:g} is no range; write the least first")
        return self


class Range(Span):
    """A number of zero or more."""

    least: Weight
    most: Weight


class Wait(Span):
    """A whole number of days."""

    least: Days
    most: Days


class Drop(Span):
    """A share that is taken off."""

    least: Cut
    most: Cut


class Bounds(Span):
    """The sd of a log, above zero."""

    least: Annotated[float, Field(ge=0.001, le=1)]
    most: Annotated[float, Field(ge=0.001, le=1)]


class Ramp(Span):
    """Days after a day, or before it where they are below zero."""

    least: Annotated[float, Field(ge=-365, le=365)]
    most: Annotated[float, Field(ge=-365, le=365)]

    @model_validator(mode="after")
    def _has_length(self) -> Self:
        if self.least == self.most:
            raise ValueError("has no length; let most be later than least")
        return self
