"""The facts of an invented market: what a scenario is made of. market.toml has each with its value and its source.

Levels are logs of a price, shares run 0..1, weights are zero or more and need not sum to anything.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from pydantic import Field, model_validator

from training.simulator import kinds
from training.simulator.events import Event, NewDevice


class Period(kinds.Part):
    """The days of the market: `days` of them, the last is `ends_on`."""

    ends_on: Annotated[date, Field(ge=date(2000, 1, 1), le=date(2100, 1, 1))]
    days: Annotated[int, Field(ge=60, le=3650)]

    @property
    def starts_on(self) -> date:
        """The first day."""
        return self.ends_on - timedelta(days=self.days - 1)


class Volume(kinds.Part):
    """How many quotes and listings there are for every sale."""

    quotes_per_sale: Annotated[float, Field(ge=0, le=1)]
    listings_per_sale: Annotated[float, Field(ge=0, le=1)]


class Markets(kinds.Part):
    """Weight of sales, log level of used prices, and the day on which trade begins (else the first)."""

    share: Annotated[dict[kinds.Market, kinds.Weight], kinds.Weights]
    level: dict[kinds.Market, kinds.Level]
    opens_on: dict[kinds.Market, date]

    @model_validator(mode="after")
    def _complete(self) -> Markets:
        if missing := sorted(set(self.share) - set(self.level)):
            raise ValueError(f"level has no entry for {', '.join(missing)}; give it one")
        return self


class Popularity(kinds.Part):
    """How soon the sales of a variant fall by e, and the sd of log popularity among models."""

    fades_years: kinds.Years
    spread: Annotated[float, Field(ge=0, le=5)]


class Age(kinds.Part):
    """What a device keeps of its launch price on day 0, and loses each year times the pace of its age."""

    keeps: Annotated[dict[str, kinds.Times], kinds.WithOthers]
    loses: Annotated[dict[str, kinds.Cut], kinds.WithOthers]
    knots_years: kinds.Ascending[kinds.Weight]
    pace: list[kinds.Weight]

    @model_validator(mode="after")
    def _paired(self) -> Age:
        return kinds.of_one_length(self, "knots_years", "pace")


class Launch(kinds.Part):
    """Elasticity of used to launch price; what a successor takes off its predecessors, and from when to when.

    `continues`: a line whose next generation has another name, by that name."""

    elasticity: kinds.Times
    typical_usd: kinds.Amount
    drop: kinds.Drop
    drop_fades: kinds.Share
    ramp_days: kinds.Ramp
    continues: dict[kinds.Name, kinds.Name]


class Storage(kinds.Part):
    """One doubling of storage, as a log, by brand; more when new, fading by e."""

    doubling: kinds.By
    doubling_when_new: kinds.Level
    fades_years: kinds.Years


class Grades(kinds.Part):
    """Weight of sales and log value by grade; how much wider the ladder is by category."""

    share: Annotated[dict[kinds.GradeName, kinds.Weight], kinds.Weights]
    level: Annotated[dict[kinds.GradeName, kinds.Level], kinds.EveryGrade]
    width: Annotated[dict[str, kinds.Times], kinds.WithOthers]


class Battery(kinds.Part):
    """Health falls with age; below each knee a unit of health costs so much log value; some tell of it."""

    categories: list[kinds.Category]
    wear_per_year: kinds.Share
    varies: kinds.Range
    worst: kinds.Share
    told_share: kinds.Share
    knees: kinds.Ascending[kinds.Share]
    slopes: list[kinds.Weight]

    @model_validator(mode="after")
    def _paired(self) -> Battery:
        return kinds.of_one_length(self, "knees", "slopes")


class Lock(kinds.Part):
    """Carrier locks: where, how often, and what they cost."""

    markets: list[kinds.Market]
    categories: list[kinds.Category]
    share: kinds.Share
    level: kinds.Level


class Channels(kinds.Part):
    """Weight of sales, log level and noise by channel."""

    share: Annotated[dict[str, kinds.Weight], kinds.Weights]
    level: dict[str, kinds.Level]
    noise: dict[str, kinds.Times]

    @model_validator(mode="after")
    def _complete(self) -> Channels:
        for name in ("level", "noise"):
            if set(getattr(self, name)) != set(self.share):
                raise ValueError(f"{name} should have exactly the channels of share: {', '.join(self.share)}")
        return self


class Index(kinds.Part):
    """Where prices stand on each day, as a log: AR(1) of each market and category, a yearly wave, a drift."""

    persistence: kinds.Share
    step: kinds.Spread
    season: kinds.Spread
    highest_share_of_year: kinds.Share
    drift_per_year: kinds.By


class Exchange(kinds.Part):
    """Rates to the euro wander; prices follow them in part, and late."""

    yearly_sd: Annotated[dict[kinds.Currency, kinds.Spread], kinds.EveryCurrency]
    pass_through: kinds.Share
    lag_days: Annotated[float, Field(ge=0.5, le=1000)]


class Effects(kinds.Part):
    """What no feature says: sd of the log value of models, and of a brand in a market."""

    model_sd: kinds.Spread
    brand_in_market_sd: kinds.Spread


class Noise(kinds.Part):
    """Log prices around their value: a mixture of two normals, the wide one `wide_times` the other.

    The sd begins at `base` for the newest NEW device and grows with age, wear, cheapness and rarity, within bounds;
    all of it is multiplied by `times`.
    """

    wide_share: kinds.Share
    wide_times: kinds.Times
    base: kinds.Spread
    per_year: kinds.Spread
    per_grade: kinds.Spread
    when_cheap: kinds.Spread
    when_rare: kinds.Spread
    bounds: kinds.Bounds
    times: Annotated[float, Field(ge=0.05, le=4)]


class Returns(kinds.Part):
    """Sales that come back and are sold again, as the same unit."""

    share: kinds.Share
    after_days: kinds.Wait


class Dirt(kinds.Part):
    """Shares of sales whose row is not what happened."""

    duplicate: kinds.Share
    bundle: kinds.Share
    for_parts: kinds.Share
    wrong_storage: kinds.Share
    slip: kinds.Share
    misgrade: kinds.Share
    fault: kinds.Share


class Owners(kinds.Part):
    """Who trades in: conditions declared, found behind each; the least they take, and how it varies."""

    condition: Annotated[dict[kinds.ConditionName, kinds.Weight], kinds.EveryCondition, kinds.Weights]
    found: Annotated[
        dict[kinds.ConditionName, Annotated[dict[kinds.ConditionName, kinds.Weight], kinds.Weights]],
        kinds.EveryCondition,
    ]
    worth: Annotated[
        dict[str, Annotated[dict[kinds.ConditionName, kinds.Times], kinds.EveryCondition]], kinds.WithOthers
    ]
    reserve: Annotated[dict[str, kinds.Times], kinds.WithOthers]
    private_sd: Annotated[float, Field(ge=0.01, le=2)]
    competitor_sd: kinds.Spread
    hassle: kinds.Spread
    answer_days: Annotated[float, Field(ge=1, le=90)]


class Policy(kinds.Part):
    """How offers were made: a share of the resale value, by people who see competitors; some of them drawn."""

    share: Annotated[dict[str, kinds.Times], kinds.WithOthers]
    caution: kinds.Spread
    caution_fades_years: kinds.Years
    error_sd: kinds.Spread
    sees_competitors: kinds.Share
    explored_share: kinds.Share
    explored_within: Annotated[float, Field(gt=0, le=0.9)]
    inspection_days: kinds.Wait
    sale_days: kinds.Wait


class Listings(kinds.Part):
    """What sellers ask, how fast that sells, and when they give up."""

    markup: kinds.Level
    markup_sd: kinds.Spread
    days_at_value: Annotated[dict[str, Annotated[float, Field(ge=2, le=3650)]], kinds.WithOthers]
    price_effect: Annotated[float, Field(ge=1.5, le=50)]
    competitors: kinds.Weight
    competitor_markup: kinds.Level
    competitor_sd: kinds.Spread
    undercut: kinds.Spread
    season: kinds.Cut
    withdrawn_per_day: kinds.Share
    patience_days: kinds.Wait
    markdown_share: kinds.Share
    markdown: kinds.Drop
    horizon_days: kinds.Days
    salvage: kinds.Share


class Scenario(kinds.Part):
    """The numbers of one invented market; market.toml tells each and its source."""

    says: Annotated[str, Field(min_length=1)]
    period: Period
    volume: Volume
    markets: Markets
    categories: Annotated[dict[kinds.Category, kinds.Weight], kinds.Weights]
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
    events: list[Event] = Field(default_factory=list)
    launches: list[NewDevice] = Field(default_factory=list)
