"""The facts of an invented market: what a scenario is made of. market.toml has each with its value and its source.

Levels are logs of a price, shares run 0..1, weights are zero or more and need not sum to anything.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date, timedelta
from itertools import pairwise
from typing import Annotated, TypeVar

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


def _ascending(values: list[float]) -> list[float]:
    if any(later <= earlier for earlier, later in pairwise(values)):
        raise ValueError("is not in order; write the lowest first")
    return values


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Weight = Annotated[float, Field(ge=0)]
Days = Annotated[int, Field(ge=1, le=3650)]
Ascending = Annotated[list[float], AfterValidator(_ascending)]

Market = Annotated[str, _one_of("market with terms", markets.markets)]
Category = Annotated[str, _one_of("category", lambda: CATEGORIES)]
GradeName = Annotated[str, _one_of("grade", lambda: list(Grade.__members__))]
ConditionName = Annotated[str, _one_of("condition", lambda: map(str, Condition))]
Currency = Annotated[str, _one_of("currency of a market with terms", _currencies)]

Weights = AfterValidator(_drawable)
WithOthers = _with(lambda: (OTHERS,))
EveryGrade = _with(lambda: list(Grade.__members__))
EveryCondition = _with(lambda: list(map(str, Condition)))
By = Annotated[dict[str, float], WithOthers]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=_Part)


def _of_one_length(part: P, name: str, other: str) -> P:
    needed, given = len(getattr(part, name)), len(getattr(part, other))
    if needed != given or not needed:
        raise ValueError(f"{other} has {given} entries and {name} {needed}; give both the same, at least one")
    return part


class Range(_Part):
    """Anything from `least` to `most` alike."""

    least: float
    most: float

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if self.least > self.most:
            raise ValueError(f"from {self.least:g} to {self.most:g} is no range; write the least first")
        return self


class Period(_Part):
    """The days of the market: `days` of them, the last is `ends_on`."""

    ends_on: date
    days: Annotated[int, Field(ge=60, le=3650)]

    @property
    def starts_on(self) -> date:
        """The first day."""
        return self.ends_on - timedelta(days=self.days - 1)


class Volume(_Part):
    """How many quotes and listings there are for every sale."""

    quotes_per_sale: Annotated[float, Field(ge=0, le=1)]
    listings_per_sale: Annotated[float, Field(ge=0, le=1)]


class Markets(_Part):
    """Weight of sales, log level of used prices, and the day on which trade begins (else the first)."""

    share: Annotated[dict[Market, Weight], Weights]
    level: dict[Market, float]
    opens_on: dict[Market, date]

    @model_validator(mode="after")
    def _complete(self) -> Markets:
        if missing := sorted(set(self.share) - set(self.level)):
            raise ValueError(f"level has no entry for {', '.join(missing)}; give it one")
        return self


class Popularity(_Part):
    """How soon the sales of a variant fall by e, and the sd of log popularity among models."""

    fades_years: Positive
    spread: Weight


class Age(_Part):
    """What a device keeps of its launch price on day 0, and loses each year times the pace of its age."""

    keeps: Annotated[dict[str, Positive], WithOthers]
    loses: Annotated[dict[str, Annotated[float, Field(ge=0, lt=1)]], WithOthers]
    knots_years: Ascending
    pace: list[Weight]

    @model_validator(mode="after")
    def _paired(self) -> Age:
        return _of_one_length(self, "knots_years", "pace")


class Launch(_Part):
    """Elasticity of used to launch price; what a successor takes off its predecessors, and from when to when."""

    elasticity: Positive
    typical_usd: Positive
    drop: Range
    drop_fades: Share
    ramp_days: Range


class Storage(_Part):
    """One doubling of storage, as a log, by brand; more when new, fading by e."""

    doubling: By
    doubling_when_new: float
    fades_years: Positive


class Grades(_Part):
    """Weight of sales and log value by grade; how much wider the ladder is by category."""

    share: Annotated[dict[GradeName, Weight], Weights]
    level: Annotated[dict[GradeName, float], EveryGrade]
    width: Annotated[dict[str, Positive], WithOthers]


class Battery(_Part):
    """Health falls with age; below each knee a unit of health costs so much log value; some tell of it."""

    categories: list[Category]
    wear_per_year: Share
    varies: Range
    worst: Share
    told_share: Share
    knees: Ascending
    slopes: list[Weight]

    @model_validator(mode="after")
    def _paired(self) -> Battery:
        return _of_one_length(self, "knees", "slopes")


class Lock(_Part):
    """Carrier locks: where, how often, and what they cost."""

    markets: list[Market]
    categories: list[Category]
    share: Share
    level: float


class Channels(_Part):
    """Weight of sales, log level and noise by channel."""

    share: Annotated[dict[str, Weight], Weights]
    level: dict[str, float]
    noise: dict[str, Positive]

    @model_validator(mode="after")
    def _complete(self) -> Channels:
        for name in ("level", "noise"):
            if set(getattr(self, name)) != set(self.share):
                raise ValueError(f"{name} should have exactly the channels of share: {', '.join(self.share)}")
        return self


class Index(_Part):
    """Where prices stand on each day, as a log: AR(1) of each market and category, a yearly wave, a drift."""

    persistence: Share
    step: Weight
    season: Weight
    highest_share_of_year: Share
    drift_per_year: By


class Exchange(_Part):
    """Rates to the euro wander; prices follow them in part, and late."""

    yearly_sd: Annotated[dict[Currency, Weight], _with(_currencies)]
    pass_through: Share
    lag_days: Positive


class Effects(_Part):
    """What no feature says: sd of the log value of models, and of a brand in a market."""

    model_sd: Weight
    brand_in_market_sd: Weight


class Noise(_Part):
    """Log prices around their value: a mixture of two normals, the wide one `wide_times` the other.

    The sd begins at `base` for the newest NEW device and grows with age, wear, cheapness and rarity, within bounds;
    all of it is multiplied by `times`.
    """

    wide_share: Share
    wide_times: Positive
    base: Positive
    per_year: Weight
    per_grade: Weight
    when_cheap: Weight
    when_rare: Weight
    bounds: Range
    times: Positive


class Returns(_Part):
    """Sales that come back and are sold again, as the same unit."""

    share: Share
    after_days: Range


class Dirt(_Part):
    """Shares of sales whose row is not what happened."""

    duplicate: Share
    bundle: Share
    for_parts: Share
    wrong_storage: Share
    slip: Share
    misgrade: Share
    fault: Share


class Owners(_Part):
    """Who trades in: conditions declared, found behind each; the least they take, and how it varies."""

    condition: Annotated[dict[ConditionName, Weight], EveryCondition, Weights]
    found: Annotated[dict[ConditionName, Annotated[dict[ConditionName, Weight], Weights]], EveryCondition]
    worth: Annotated[dict[str, Annotated[dict[ConditionName, Positive], EveryCondition]], WithOthers]
    reserve: Annotated[dict[str, Positive], WithOthers]
    private_sd: Positive
    competitor_sd: Weight
    hassle: Weight
    answer_days: Positive


class Policy(_Part):
    """How offers were made: a share of the resale value, by people who see competitors; some of them drawn."""

    share: Annotated[dict[str, Share], WithOthers]
    caution: Weight
    caution_fades_years: Positive
    error_sd: Weight
    sees_competitors: Share
    explored_share: Share
    explored_within: Annotated[float, Field(gt=0, lt=1)]
    inspection_days: Range
    sale_days: Range


class Listings(_Part):
    """What sellers ask, how fast that sells, and when they give up."""

    markup: float
    markup_sd: Weight
    days_at_value: Annotated[dict[str, Positive], WithOthers]
    price_effect: Annotated[float, Field(gt=1)]
    competitors: Weight
    competitor_markup: float
    competitor_sd: Positive
    undercut: Weight
    season: Weight
    withdrawn_per_day: Share
    patience_days: Range
    markdown_share: Share
    markdown: Range
    horizon_days: Days
    salvage: Share


class Event(_Part):
    """Something that happens on a day, to all or to some, for good or until another day.

    `level` is added to the log value; `noise`, `competitors` and `selling` (the chance to sell) are multiplied.
    """

    on: date
    says: str
    until: date | None = None
    level: float = 0.0
    noise: Positive = 1.0
    competitors: Positive = 1.0
    selling: Positive = 1.0
    markets: list[Market] = []
    categories: list[Category] = []
    brands: list[str] = []


class NewDevice(_Part):
    """A device that is in no catalogue, with its launch prices in dollars by storage."""

    on: date
    brand: str
    model: str
    category: Category
    storage_gb: Ascending
    usd: Ascending

    @model_validator(mode="after")
    def _paired(self) -> NewDevice:
        return _of_one_length(self, "storage_gb", "usd")


class Scenario(_Part):
    """The numbers of one invented market; market.toml tells each and its source."""

    says: str
    period: Period
    volume: Volume
    markets: Markets
    categories: Annotated[dict[Category, Weight], Weights]
    popularity: Popularity
    age: Age
    launch: Launch
    storage: Storage
    grades: Grades
    battery: Battery
    lock: Lock
    channels: Channels
    index: Index
    exchange: Exchange
    effects: Effects
    noise: Noise
    returns: Returns
    dirt: Dirt
    owners: Owners
    policy: Policy
    listings: Listings
    events: list[Event] = []
    launches: list[NewDevice] = []
