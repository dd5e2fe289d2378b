"""Markets: the taxes, fees, costs and rules of each, on a day.

A market is one file of dated values, terms/xx.toml, with the keys of SCHEMA. Shares and amounts are decimal
strings; a source that begins with (m) marks a value that nobody has confirmed.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from valuation import catalogue, dated, money, questions
from valuation.catalogue import CATEGORIES
from valuation.dated import Dated, OpenTable, TermsError
from valuation.grades import Condition, Grade
from valuation.money import Money
from valuation.rows import Floats

TERMS = Path(__file__).parent / "terms"
DAYS_PER_YEAR = 365.25
MARKETPLACES = ("back_market", "refurbed", "ebay", "amazon_renewed", "swappie")

_AMOUNTS = dict.fromkeys(CATEGORIES, dated.amount)
_REFURBISHED = ("FAIR", "GOOD", "EXCELLENT", "PREMIUM")
_WORDS = OpenTable(member=dated.text, value=dated.named(Grade))

# Every key of a terms file and the kind of its values; what each means is said at Terms.
SCHEMA: dated.Schema = {
    "currency": dated.currency,
    "language": dated.language,
    "vat_scheme": dated.one_of("margin", "none"),
    "vat_rate": dated.share,
    "commission_share": dated.share,
    "monthly_fee": dated.amount,
    "buyer_fee": OpenTable(member=dated.amount, value=dated.amount),
    "payment_fee": dated.amount,
    "returns_share": dated.share,
    "warranty_share": dated.share,
    "holding_share_per_day": dated.share,
    "capital_share_per_day": dated.share,
    "price_swing": dated.share,
    "price_lock_used": dated.share,
    "uncertainty_share": dated.share,
    "usual_uncertainty": dated.share,
    "margin_share": dated.share,
    "least_margin_share": dated.share,
    "most_margin_share": dated.share,
    "explored_share": dated.share,
    "explored_within": dated.share,
    "exposure_cap": dated.positive_amount,
    "index_brake": dated.share,
    **{f"refurbishment.{category}": dict.fromkeys(Condition, dated.amount) for category in CATEGORIES},
    **{f"parts.{category}": dict.fromkeys(Condition, dated.amount) for category in CATEGORIES},
    "parts_handling": _AMOUNTS,
    "accessories": _AMOUNTS,
    "shipping": _AMOUNTS,
    "days_to_sell": dict.fromkeys(CATEGORIES, dated.days),
    "days_to_arrive": dated.days,
    "minimum_offer": dated.positive_amount,
    "payable_step": dated.positive_amount,
    "quote_validity_days": dated.days,
    "requote_for": dated.one_of(*questions.REQUOTE_FOR),
    "return_days": dated.days,
    "warranty_months": dated.months,
    "max_fsd": dated.float_share,
    "resale_ceiling": dated.positive_amount,
    "resale_step": dated.positive_amount,
    "resale_ending": dated.amount,
    "battery_floor": dict.fromkeys(_REFURBISHED, dated.float_share),
    "grade_words": dict.fromkeys(Grade.__members__, dated.text),
    **{f"grade_words_elsewhere.{marketplace}": _WORDS for marketplace in MARKETPLACES},
}


class MarketUnknown(LookupError):  # noqa: N818 - like TermsNotYetKnown: the asker is not always at fault
    """There are no terms for this market."""


class TermsNotYetKnown(LookupError):  # noqa: N818
    """The terms of this market begin later than the day asked for."""


class WordUnknown(LookupError):  # noqa: N818
    """No grade is known by this word."""


class MarketMismatch(ValueError):  # noqa: N818
    """An appraisal for one market met the terms of another."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What holds in one market on one day.

    Shares run 0..1; they are of the resale price, VAT included, unless said otherwise. `version` is a digest
    of all the values in force.
    """

    market: str
    version: str
    currency: str
    language: str  # the locale of the market, for money.spelled and the grade words: fr_FR
    vat_scheme: str  # "margin": VAT on resale minus purchase (2006/112/EC art. 313-315); "none"
    vat_rate: Decimal  # of a price without VAT
    commission_share: Decimal  # to the marketplace
    monthly_fee: Money  # to the marketplace; a fixed cost: no single offer carries it, the margin has to
    buyer_fee: Mapping[Money, Money]  # see buyer_fee_on; by the price from which it holds, lowest first
    payment_fee: Money  # for paying the customer
    returns_share: Decimal  # devices sent back within return_days
    warranty_share: Decimal  # devices that fail within warranty_months
    holding_share_per_day: Decimal  # capital and falling prices while a seller's device waits for its buyer
    capital_share_per_day: Decimal  # capital alone, where it is known how far the price of a device will fall
    price_swing: Decimal  # sd of the log of a year's move of the market; see price_lock_share
    price_lock_used: Decimal  # customers who use a kept price as an option
    uncertainty_share: Decimal  # of what p10 lies below the mean price: a wider estimate pays less
    usual_uncertainty: Decimal  # of the mean price: what p10 lies below it that is not held against a device
    margin_share: Decimal  # where nothing is known of who takes which offer
    least_margin_share: Decimal  # and most: between them lies the margin with the highest expected profit
    most_margin_share: Decimal
    explored_share: Decimal  # of cells of model and day: their offers are drawn; 0 where that is off
    explored_within: Decimal  # of the usual offer, up or down
    exposure_cap: Money  # of what was offered for one model and may still be taken
    index_brake: Decimal  # a fall of the market in four weeks from which on a person decides
    refurbishment: Mapping[str, Mapping[Condition, Money]]  # by category; labour, cleaning, testing
    parts: Mapping[str, Mapping[Condition, Money]]  # by category; spare parts: screen, battery, board
    parts_handling: Mapping[str, Money]  # by category, for a device that is sold for parts
    accessories: Mapping[str, Money]  # by category, what a missing set costs; see questions.toml
    shipping: Mapping[str, Money]  # by category, from the customer and to the buyer
    days_to_sell: Mapping[str, int]  # by category, from arrival
    days_to_arrive: int  # from the quote until the device has been inspected
    minimum_offer: Money
    payable_step: Money
    quote_validity_days: int
    requote_for: str  # the worse findings that may lower a re-quote: "seen" by the customer, or "all"
    return_days: int  # within which a buyer may send a device back
    warranty_months: int  # promised to the buyer; the law may give more
    max_fsd: float  # above it a person decides
    resale_ceiling: Money  # above it an estimate is not believed
    resale_step: Money  # resale prices are multiples of the step, plus the ending
    resale_ending: Money
    battery_floor: Mapping[Grade, float]
    grade_words: Mapping[Grade, str]  # in the market's language
    grade_words_elsewhere: Mapping[str, Mapping[str, Grade]]  # by marketplace, in its words; see grade_of

    @property
    def after_sale_share(self) -> Decimal:
        """Returns and warranty together."""
        return self.returns_share + self.warranty_share

    def holding_share(self, category: str) -> Decimal:
        """The share of the resale price lost while a device of this category waits for its buyer."""
        return self.holding_share_per_day * self.days_to_sell[category]

    @cached_property
    def costs(self) -> Mapping[str, Mapping[str, Floats]]:
        """What a device costs in each Condition, in major units, by table and category: (6,)."""
        tables = {"refurbishment": self.refurbishment, "parts": self.parts}
        alike = {
            "parts_handling": self.parts_handling,
            "accessories": self.accessories,
            "shipping": self.shipping,
        }
        tables |= {
            name: {category: dict.fromkeys(Condition, amount) for category, amount in table.items()}
            for name, table in alike.items()
        }
        return {
            name: {
                c: np.array([float(costs[condition].amount) for condition in Condition])
                for c, costs in table.items()
            }
            for name, table in tables.items()
        }

    @cached_property
    def price_lock_share(self) -> Decimal:
        """What it costs that a price is kept: a put at the money over the validity, as a share of the resale price, for
        those who use it.

        Without drift, at no interest: 2 N(s sqrt(t) / 2) - 1, for a swing s a year and t years (Brenner and
        Subrahmanyam, A Simple Formula to Compute the Implied Standard Deviation, 1988).
        """
        years = self.quote_validity_days / DAYS_PER_YEAR
        put = math.erf(float(self.price_swing) * math.sqrt(years / 8))
        return self.price_lock_used * Decimal(repr(round(put, 6)))

    def days_until_sold(self, category: str) -> int:
        """From a quote until the device is usually sold again."""
        return self.days_to_arrive + self.days_to_sell[category]

    def buyer_fee_on(self, price: Money) -> Money:
        """What the marketplace adds for the buyer on top of a price; nothing where no such fee is known of.

        Raises CurrencyMismatch for a price in another currency, MoneyError for one below zero.
        """
        nothing = Money(0, self.currency)
        if price < nothing:
            raise money.MoneyError(f"{price} is no price: give one of zero or more.")
        return [nothing, *(fee for start, fee in self.buyer_fee.items() if start <= price)][-1]

    def grade_of(self, *, word: str, marketplace: str) -> Grade:
        """Our grade for another marketplace's word; case, width and spaces do not matter.

        Marketplaces mean different grades by one word. Raises WordUnknown for a word or marketplace that the
        terms do not have.
        """
        if marketplace not in self.grade_words_elsewhere:
            known = ", ".join(self.grade_words_elsewhere)
            raise WordUnknown(f"No grade words of {marketplace!r:.40} are known: known are those of {known}.")
        words = self.grade_words_elsewhere[marketplace]
        grades = {catalogue.key(known): grade for known, grade in words.items()}
        if (asked := catalogue.key(word)) not in grades:
            known = ", ".join(words) or "none"
            raise WordUnknown(
                f"No grade is known by {word!r:.40} on {marketplace} in {self.market}: known are {known}. "
                f"Add the word with its source (grade_words_elsewhere.{marketplace})."
            )
        return grades[asked]

    def require(self, *, market: str, currency: str) -> None:
        """Raise CurrencyMismatch or MarketMismatch unless both are the terms' own."""
        if currency != self.currency:
            raise money.CurrencyMismatch(
                f"An estimate in {currency} met the terms of {self.market}, which are in {self.currency}: "
                f"value the device in {self.currency}."
            )
        if market != self.market:
            raise MarketMismatch(
                f"An estimate for {market} met the terms of {self.market}: ask for the terms of {market}."
            )


@dataclass(frozen=True, kw_only=True)
class Market:
    """A terms file that keeps all rules: the dated values of every key, oldest first."""

    code: str
    file: str
    history: Mapping[str, tuple[Dated, ...]]

    def terms(self, *, on: date) -> Terms:
        """The terms in force on a day. Raises TermsNotYetKnown before the first day of any key."""
        force = {key: self.in_force(key=key, on=on) for key in SCHEMA}
        values: dict[str, Any] = {}
        for key, entry in force.items():
            group, _, member = key.partition(".")
            if member:
                values.setdefault(group, {})[member] = entry.value
            else:
                values[key] = entry.value
        for key in ("battery_floor", "grade_words"):
            values[key] = {Grade[word]: value for word, value in values[key].items()}
        written = json.dumps(
            [self.code, {key: entry.written for key, entry in force.items()}], sort_keys=True
        )
        return Terms(market=self.code, version=hashlib.sha256(written.encode()).hexdigest()[:12], **values)

    def in_force(self, *, key: str, on: date) -> Dated:
        """The value of a key of SCHEMA on a day. Raises TermsNotYetKnown before the key's first day."""
        begun = [entry for entry in self.history[key] if entry.since <= on]
        if not begun:
            raise TermsNotYetKnown(
                f"No {key} for market {self.code} on {on}: the first one known starts "
                f"{self.history[key][0].since} ({self.file}, {key}). "
                "Add the earlier value with its source, or value the device on a later date."
            )
        return begun[-1]


def markets() -> tuple[str, ...]:
    """The markets that have terms: ISO 3166-1 alpha-2 codes, in order."""
    return tuple(sorted(path.stem.upper() for path in TERMS.glob("??.toml")))


@lru_cache(maxsize=4096)
def terms(*, market: str, on: date) -> Terms:
    """The terms of a market on a day. Raises MarketUnknown, TermsNotYetKnown, TermsError (broken file)."""
    if market not in markets():
        raise MarketUnknown(
            f"No terms for market {market!r:.20}: known are {', '.join(markets())}. "
            "To open another one, add its file to valuation/terms."
        )
    return _market(market).terms(on=on)


@cache
def _market(code: str) -> Market:
    return load(path=TERMS / f"{code.lower()}.toml")


def load(*, path: Path) -> Market:
    """Read and check a terms file named after its market, xx.toml; TermsError lists every problem found."""
    history = dated.read(path=path, schema=SCHEMA)
    market = Market(code=path.stem.upper(), file=dated.name(path=path), history=history)
    if problems := list(_contradictions_over_time(market)):
        raise TermsError(problems)
    return market


def _contradictions_over_time(market: Market) -> Iterator[str]:
    """The contradictions among values in force together, each on the first day that it shows."""
    complete = max(entries[0].since for entries in market.history.values())
    days = {entry.since for entries in market.history.values() for entry in entries}
    seen = set()
    for day in sorted(day for day in days if day >= complete):
        for key, problem in _contradictions(market.terms(on=day)):
            if (key, problem) not in seen:
                seen.add((key, problem))
                yield f"{market.file}, {key}, {day}: {problem}"


def _contradictions(terms: Terms) -> Iterator[tuple[str, str]]:
    if (terms.vat_scheme == "none") != (terms.vat_rate == 0):
        yield "vat_scheme", "should be none where vat_rate is 0, and only there"
    # At 1 or more the offer would fall while the estimate rises (the closed form in offer.py).
    shares = (
        terms.commission_share + terms.after_sale_share + terms.price_lock_share + terms.most_margin_share
    )
    longest = max(terms.holding_share(category) for category in CATEGORIES)
    if (1 + terms.vat_rate) * (shares + longest + terms.uncertainty_share) >= 1:
        yield "most_margin_share", "the shares together, with VAT on them, leave nothing to pay"
    if not terms.least_margin_share <= terms.margin_share <= terms.most_margin_share:
        yield "margin_share", "should lie between least_margin_share and most_margin_share"
    if list(terms.battery_floor.values()) != sorted(terms.battery_floor.values()):
        yield "battery_floor", "a better grade should never have a lower floor"
    yield from _cheaper_for_worse(terms)
    yield from _fees_out_of_order(terms)
    yield from _words_twice(terms)


def _cheaper_for_worse(terms: Terms) -> Iterator[tuple[str, str]]:
    for group, table in (("refurbishment", terms.refurbishment), ("parts", terms.parts)):
        for category, costs in table.items():
            if list(costs.values()) != sorted(costs.values()):
                yield f"{group}.{category}", "a worse condition should never cost less"


def _fees_out_of_order(terms: Terms) -> Iterator[tuple[str, str]]:
    starts = [start.minor for start in terms.buyer_fee]
    if starts != sorted(starts):
        yield "buyer_fee", "its prices are not in order; write the lowest first"
    elif starts[:1] not in ([], [0]):
        yield "buyer_fee", "its first price should be 0: every price needs a fee"


def _words_twice(terms: Terms) -> Iterator[tuple[str, str]]:
    for marketplace, words in terms.grade_words_elsewhere.items():
        if len({catalogue.key(word) for word in words}) < len(words):
            yield f"grade_words_elsewhere.{marketplace}", "two of its words are one, written differently"
