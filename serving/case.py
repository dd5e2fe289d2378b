"""A case: all that an offer follows from besides the appraiser; kept with the quote, so as to be priced again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Any

from valuation import advice, catalogue, grades, ledger, markets
from valuation.advice import Advice
from valuation.appraisal import Outlook
from valuation.appraiser import FORECAST_DAYS, Appraiser
from valuation.controls import Controls
from valuation.grades import Answers, Wear
from valuation.markets import Terms

_DAYS = frozenset(column.name for column in ledger.DEVICES.columns if column.kind == "date")


class CaseUnknown(ValueError):  # noqa: N818 - said as it is
    """Nothing was kept from which this quote could be priced again."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A device as the appraiser is told of it, what its owner answered, where and when, what was held against offers,
    and where in the terms' range the offer was drawn, None where it was not.
    """

    market: str
    on: date
    device: Mapping[str, Any]
    answers: Answers
    controls: Controls
    drawn: float | None

    @property
    def terms(self) -> Terms:
        """The terms of its market on its day."""
        return markets.terms(market=self.market, on=self.on)

    @property
    def exposure(self) -> str:
        """The model in its market, however it is spelled, for which one does not promise any amount."""
        brand, model = self.device["brand"], self.device["model"]
        return f"{self.market} {catalogue.key(brand)} {catalogue.model_key(brand=brand, model=model)}"

    def answered(self, answers: Answers) -> Case:
        """The same case with other answers."""
        told = {"battery_health": answers.battery_health, "carrier_locked": answers.carrier_locked}
        return replace(self, answers=answers, device={**self.device, **told})

    def content(self) -> bytes:
        """It as JSON; see read."""
        return json.dumps(asdict(self), sort_keys=True, default=str).encode()

    @classmethod
    def read(cls, content: bytes) -> Case:
        """The case of such a JSON; CaseUnknown where there is none."""
        if not content:
            raise CaseUnknown("This quote is from before cases were kept.")
        told = json.loads(content)
        worn = {name: Wear[told["answers"][name]] for name in ("screen", "body")}
        days = {name: told["device"][name] for name in _DAYS & set(told["device"])}
        read = {name: day and date.fromisoformat(day) for name, day in days.items()}
        return cls(
            market=told["market"],
            on=date.fromisoformat(told["on"]),
            device=told["device"] | read,
            answers=Answers(**told["answers"] | worn),
            controls=Controls(**told["controls"]),
            drawn=told["drawn"],
        )


def advised(*, case: Case, appraiser: Appraiser) -> tuple[Outlook, Advice]:
    """The outlook of a device at the grade that it would be sold at, and the offer with what would raise it."""
    terms, answers = case.terms, case.answers
    possible = advice.changes(answers=answers)
    assessed = grades.assess(answers=answers, battery_floor=terms.battery_floor)
    told: dict[str, Any] = {
        "device": case.device,
        "market": case.market,
        "currency": terms.currency,
        "on": case.on,
        "days": FORECAST_DAYS,
    }
    outlook = appraiser.outlook(
        **told,
        grade=grades.sold_as(assessed.condition),
        days_later=terms.days_until_sold(case.device["category"]),
        changes=[change.device for change in possible],
    )
    found = advice.advise(
        prospects=outlook.prospects,
        answers=answers,
        terms=terms,
        owners=appraiser.owners,
        controls=case.controls,
        drawn=case.drawn,
    )
    if found.offer.grade != outlook.appraisal.grade:  # what is explained is the price behind the offer
        outlook = appraiser.outlook(**told, grade=found.offer.grade)
    return outlook, found
