"""The desk: where a question meets the appraiser in office and the terms of the day.

Both front doors, the API and the page, come here. Nothing is computed here: it asks, and passes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar

import structlog
from starlette.concurrency import run_in_threadpool

from serving import asks, letters, replies, subject
from serving.champion import Champion
from serving.incumbent import Incumbent
from serving.refusal import Refusal
from serving.subject import Subject
from valuation import catalogue, markets, questions, suggestion
from valuation.appraisal import Appraisal
from valuation.appraiser import FORECAST_DAYS
from valuation.catalogue import Variant
from valuation.grades import Grade
from valuation.markets import Terms

AT_ONCE = 20  # devices: some 16 ms
Found = TypeVar("Found")
log = structlog.get_logger("serving")


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Answers questions. `now` gives the instant in UTC and is the only clock.

    Parts of long lists are valued one by one, whoever asks for them (`turns`): others are answered after each.
    """

    champion: Champion
    now: Callable[[], datetime]
    turns: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    @property
    def today(self) -> date:
        """The day for which values hold, in UTC."""
        return self.now().date()

    @property
    def incumbent(self) -> Incumbent:
        """The appraiser in office; Refusal 503 while there is none."""
        if self.champion.incumbent is None:
            raise Refusal(503, "no_champion", "No appraiser is in office yet.", headers={"Retry-After": "5"})
        return self.champion.incumbent

    def terms(self, market: str) -> Terms:
        """The terms of a market today; Refusal 409 where it has none."""
        try:
            return markets.terms(market=market, on=self.today)
        except (markets.MarketUnknown, markets.TermsNotYetKnown):
            known = ", ".join(markets.markets())
            detail = f"This market has no terms today. Markets with terms: {known}."
            raise Refusal(409, "market_closed", detail) from None

    def priced(self, market: str) -> Terms:
        """The terms of a market in which the appraiser can value; Refusal 409 where it has seen no sale there."""
        terms, learned = self.terms(market), self.incumbent.appraiser.currencies
        if terms.currency not in learned:
            known = ", ".join(learned)
            detail = f"There are no past sales in {terms.currency} to value from; there are some in {known}."
            raise Refusal(409, "currency_not_learned", detail)
        return terms

    def open_markets(self) -> list[Terms]:
        """The terms of every market that has some today."""
        found = []
        for market in markets.markets():
            with suppress(markets.TermsNotYetKnown):
                found.append(markets.terms(market=market, on=self.today))
        return found

    def search(self, *, q: str, brand: str = "", category: str | None = None, limit: int) -> list[Variant]:
        """The devices nearest to what somebody typed, best first; all of them where nothing was typed."""
        known = self.incumbent.catalogue
        found = known.search(q, limit=len(known.variants)) if q.strip() else known.variants
        fitting = (
            variant
            for variant in found
            if category in (None, variant.category)
            and (not brand or catalogue.key(brand) == catalogue.key(variant.brand))
        )
        return list(islice(fitting, limit))

    def device(self, device_id: str) -> Variant:
        """The device with this id; Refusal 404 with the nearest ones."""
        return subject.find(device_id=device_id, incumbent=self.incumbent)

    def questions(self, *, ask: asks.QuestionsAsk, request_id: str) -> replies.Questions:
        """What is asked about a device in a market, in its language or in the one that is wanted."""
        terms, device = self.terms(ask.market), self.device(ask.device_id)
        return letters.questions(
            device=device.name,
            asked=questions.of(category=device.category),
            market=terms.market,
            lang=ask.lang or questions.language(locale=terms.language),
            on=self.today,
            request_id=request_id,
        )

    async def valuate(self, *, ask: asks.ValuationsAsk, request_id: str) -> replies.Valuations:
        """Value devices at every grade, some at a time, so that others are answered in between."""
        terms, incumbent, on = self.priced(ask.market), self.incumbent, self.today
        units, found = list(enumerate(ask.devices)), []
        for first in range(0, len(units), AT_ONCE):
            async with self.turns:
                await asyncio.sleep(0)
                part = [
                    _numbered(unit, number, incumbent, terms, on)
                    for number, unit in units[first : first + AT_ONCE]
                ]
                valued = subject.appraise(part, incumbent=incumbent, terms=terms, on=on)
                found += [
                    letters.valuation(device=one.name, appraisal=_possible(appraisal))
                    for one, appraisal in zip(part, valued, strict=True)
                ]
        return letters.valuations(
            incumbent=incumbent, found=found, market=terms.market, on=on, request_id=request_id
        )

    def check_price(self, *, ask: asks.PriceCheckAsk, request_id: str) -> replies.PriceCheck:
        """Compare a seller's price with what such devices sell for; nothing is kept."""
        terms, incumbent = self.priced(ask.market), self.incumbent
        price = subject.amount(ask.price, currency=terms.currency, field="price")
        paid = subject.amount(ask.paid, currency=terms.currency, field="paid") if ask.paid else None
        asked = Subject.of(unit=ask, incumbent=incumbent, currency=terms.currency, on=self.today)
        appraisal = _possible(self._appraise(incumbent, asked, terms, Grade[ask.grade]))
        suggested = suggestion.suggest(appraisal=appraisal, price=price, terms=terms, paid=paid)
        return letters.price_check(
            device=asked.name,
            appraisal=appraisal,
            suggested=suggested,
            terms=terms,
            heading=letters.heading(incumbent=incumbent, appraisal=appraisal, request_id=request_id),
        )

    async def comparables(self, *, ask: asks.ComparablesAsk, request_id: str) -> replies.Comparables:
        """Find the past sales nearest to a device, and tell what it will sell for later; beside other answers."""
        terms, incumbent = self.priced(ask.market), self.incumbent
        unit = asks.Unit(
            device=asks.KnownDevice(device_id=ask.device_id),
            battery_health=ask.battery_health,
            carrier_locked=ask.carrier_locked,
        )
        asked = Subject.of(unit=unit, incumbent=incumbent, currency=terms.currency, on=self.today)
        told: dict[str, Any] = {
            "device": asked.fields,
            "market": terms.market,
            "currency": terms.currency,
            "grade": Grade[ask.grade],
            "on": self.today,
        }
        outlook = await run_in_threadpool(incumbent.appraiser.outlook, **told, days=FORECAST_DAYS)
        appraisal = _possible(outlook.appraisal)
        return letters.comparables(
            device=asked.name,
            appraisal=appraisal,
            forecast=outlook.forecast,
            found=await run_in_threadpool(incumbent.appraiser.comparables, **told),
            heading=letters.heading(incumbent=incumbent, appraisal=appraisal, request_id=request_id),
        )

    def _appraise(self, incumbent: Incumbent, asked: Subject, terms: Terms, grade: Grade) -> Appraisal:
        return incumbent.appraiser.appraise_one(
            device=asked.fields,
            market=terms.market,
            currency=terms.currency,
            grade=grade,
            on=self.today,
        )


def _numbered(unit: asks.Unit, number: int, incumbent: Incumbent, terms: Terms, on: date) -> Subject:
    """The subject of one unit of many; a Refusal says of which."""
    try:
        return Subject.of(unit=unit, incumbent=incumbent, currency=terms.currency, on=on)
    except Refusal as refusal:
        within = f"devices.{number}"
        refusal.errors = [{**e, "field": f"{within}.device.{e['field']}"} for e in refusal.errors] or [
            {"field": within, "title": refusal.detail}
        ]
        raise


def _possible(appraisal: Appraisal) -> Appraisal:
    """The same appraisal; Refusal 409 where its numbers are no prices. (A quote then goes to a person.)"""
    if not letters.possible(appraisal):
        raise Refusal(409, "estimate_impossible", "This device cannot be valued at the moment.")
    return appraisal
