"""The device that a question is about, in the words that the appraiser reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from serving import asks, letters
from serving.incumbent import Incumbent
from serving.refusal import Refusal
from valuation import catalogue, money, questions
from valuation.appraisal import Appraisal
from valuation.catalogue import Variant
from valuation.grades import Answers, Wear
from valuation.markets import Terms
from valuation.money import Money

_NAMES = ("category", "brand", "model", "storage_gb", "launched_on")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A device: what people call it, and what the appraiser is told of it.

    `hearsay`: its model is not known, or more storage or another attribute is told than any known one has.
    """

    name: str
    fields: Mapping[str, Any]
    hearsay: bool = False

    @classmethod
    def of(cls, *, unit: asks.Unit, incumbent: Incumbent, currency: str, on: date) -> Subject:
        """Look a device up, or take its description; what is known of a brand and model
        goes before what is told, and of a model whose storage is not told the least is taken.

        Refusal 404 for an unknown id, with the nearest; 422 for attributes that this appraiser does not know,
        a launch price in another currency than the market's, a launch after `on`, and another category than
        that of the device so named.
        """
        device = unit.device
        told = {"battery_health": unit.battery_health, "carrier_locked": unit.carrier_locked}
        attributes = _attributes(device.attributes, incumbent)
        if isinstance(device, asks.KnownDevice):
            variant = find(device_id=device.device_id, incumbent=incumbent)
            fields = told | _known(variant, incumbent, currency) | attributes
            return cls(name=variant.name, fields=fields, hearsay=not incumbent.knows(attributes=attributes))
        described = Variant(device_id="", **device.model_dump(include=set(_NAMES)))
        price = device.launch_price and amount(device.launch_price, currency=currency, field="launch_price")
        launch: dict[str, Any] = {"launch_price": price and float(price.amount)}
        if device.launched_on and device.launched_on > on:
            raise _malformed("launched_on", "a device that is traded in was launched before today")
        namesake = incumbent.namesake(brand=device.brand, model=device.model)
        if namesake is not None:
            if namesake.category != device.category:
                raise _malformed("category", f"a device of this name is a {namesake.category}")
            least = described.storage_gb or namesake.storage_gb
            launch = {"launched_on": namesake.launched_on, "launch_price": None, "storage_gb": least}
        most = incumbent.most_storage(brand=device.brand, model=device.model)
        hearsay = (
            namesake is None
            or (described.storage_gb or 0) > most
            or not incumbent.knows(attributes=attributes)
        )
        fields = told | _names(described) | launch | attributes
        return cls(name=described.name, fields=fields, hearsay=hearsay)


def appraise(
    subjects: Sequence[Subject], *, incumbent: Incumbent, terms: Terms, on: date
) -> tuple[Appraisal, ...]:
    """Value several devices at every grade: appraisals at grade GOOD, without an explanation."""
    told = [one.fields for one in subjects]
    return incumbent.appraiser.ladders(devices=told, market=terms.market, currency=terms.currency, on=on)


def answers(told: asks.Answers, *, category: str) -> Answers:
    """What an owner answered, and what counts where nothing is asked; Refusal 422 for what is missing."""
    given = {name: value for name, value in told.model_dump().items() if value is not None}
    if missing := questions.untold(category=category, told=given):
        title = f"an answer is needed for a {category}: see GET /v1/buyback/questions"
        errors = [{"field": f"answers.{name}", "title": title} for name in missing]
        raise Refusal(422, "malformed", "Some fields cannot be taken as they are.", errors=errors)
    worn = {name: Wear[given[name]] for name in ("screen", "body") if name in given}
    return questions.whole(category=category, told=given | worn)


def find(*, device_id: str, incumbent: Incumbent) -> Variant:
    """The device with this id; Refusal 404 with the nearest ones."""
    try:
        return incumbent.catalogue.get(device_id)
    except catalogue.UnknownDevice as unknown:
        near = [letters.device(variant).model_dump(mode="json") for variant in unknown.suggestions]
        raise Refusal(404, "device_unknown", "No device has this id.", suggestions=near) from None


def amount(asked: asks.Amount, *, currency: str, field: str) -> Money:
    """Read an amount in the market's currency; Refusal 422 in another, and with too many decimals."""
    if asked.currency != currency:
        raise _malformed(field, f"the currency of this market is {currency}")
    try:
        return Money.parse(asked.amount, currency)
    except money.MoneyError:
        raise _malformed(field, f"{currency} has fewer decimals") from None


def _malformed(field: str, title: str) -> Refusal:
    errors = [{"field": field, "title": title}]
    return Refusal(422, "malformed", "Some fields cannot be taken as they are.", errors=errors)


def _names(variant: Variant) -> dict[str, Any]:
    return {name: getattr(variant, name) for name in _NAMES}


def _known(variant: Variant, incumbent: Incumbent, currency: str) -> dict[str, Any]:
    """What is usual for a device: its launch facts, and its attributes among the sales."""
    usual = incumbent.usual(variant=variant, currency=currency)
    return {**_names(variant), **{name: value for name, value in usual.items() if value is not None}}


def _attributes(given: Mapping[str, float | str], incumbent: Incumbent) -> dict[str, float | str]:
    declared = incumbent.appraiser.attributes
    if not set(given) <= set(declared):
        known = ", ".join(sorted(declared)) or "none"
        raise _malformed("attributes", f"the attributes that this appraiser knows: {known}")
    for name, value in given.items():
        if isinstance(value, str) != (declared[name].kind == "text"):
            raise _malformed("attributes", f"{name} is a {declared[name].kind}")
    return dict(given)
