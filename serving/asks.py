"""The shapes of what is asked: read strictly, so no unknown field, no number in quotes, no true for 1."""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)

from valuation import questions
from valuation.catalogue import CATEGORIES
from valuation.grades import Grade, Wear

MOST_DEVICES = 1000  # of one POST /v1/valuations
MOST_ATTRIBUTES = 32


def _plain(text: str) -> str:
    """Refuse letters of other scripts: one that only looks Latin would make another device of it."""
    if any(letter.isalnum() and not _latin(letter) for letter in text):
        raise ValueError("a name is written in Latin letters and the digits 0 to 9")
    return text


def _latin(letter: str) -> bool:
    return letter.isascii() or unicodedata.name(letter, "").startswith("LATIN ")


def _written_day(value: object) -> object:
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return value
    raise ValueError("a day is written as 2021-01-31")


def _written_number(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value):
        raise ValueError("a number is written with the digits 0 to 9")
    return value


Written = BeforeValidator(_written_number)  # in a query, where pydantic itself takes 1_0 for ten
Market = Annotated[str, Field(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217")]
DeviceId = Annotated[str, Field(pattern="^[a-z0-9]+(-[a-z0-9]+)*$", max_length=120)]
Name = Annotated[str, Field(min_length=1, max_length=120, pattern=r"\S"), AfterValidator(_plain)]
Day = Annotated[date, BeforeValidator(_written_day), Field(strict=False)]
Share = Annotated[float, Field(ge=0, le=1)]
AttributeName = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,39}$")]
AttributeValue = Annotated[float, Field(ge=-1e12, le=1e12)] | Name
Attributes = Annotated[dict[AttributeName, AttributeValue], Field(max_length=MOST_ATTRIBUTES)]
Category = Literal[CATEGORIES]  # type: ignore[valid-type]
GradeWord = Literal[tuple(Grade.__members__)]  # type: ignore[valid-type]
WearWord = Literal[tuple(Wear.__members__)]  # type: ignore[valid-type]
Language = Literal[questions.LANGUAGES]  # type: ignore[valid-type]


Told = TypeVar("Told")
# Not told, an answer leaves no trace in a request that is kept: a key given before it could be left out still holds.
Untold = Annotated[Told | None, Field(exclude_if=lambda told: told is None)]


class Ask(BaseModel):
    """Something that is asked."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, frozen=True)


class Amount(Ask):
    """An amount: a decimal string, never a float."""

    amount: Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,3})?$")]
    currency: Currency


class KnownDevice(Ask):
    """A device by its id of /v1/devices; attributes given here go before those that are usual for it."""

    device_id: DeviceId
    attributes: Attributes = {}


class DescribedDevice(Ask):
    """A device in words, known or not; what is left out widens the estimate."""

    category: Category
    brand: Name
    model: Name
    storage_gb: Annotated[float, Field(gt=0, le=1e6)] | None = None
    launched_on: Day | None = None
    launch_price: Amount | None = None
    attributes: Attributes = {}


def _kind(device: Any) -> str:
    fields = device if isinstance(device, dict) else getattr(device, "__dict__", ())
    return "known" if "device_id" in fields else "described"


Device = Annotated[
    Annotated[KnownDevice, Tag("known")] | Annotated[DescribedDevice, Tag("described")], Discriminator(_kind)
]


class Answers(Ask):
    """What the owner says of the device: all that GET /v1/buyback/questions asks about it.

    A battery health or accessories that are not known are left out or null, and so is what is not asked.
    """

    powers_on: Untold[bool] = None
    fully_functional: Untold[bool] = None
    screen: Untold[WearWord] = None  # type: ignore[valid-type]
    body: Untold[WearWord] = None  # type: ignore[valid-type]
    battery_health: Share | None = None
    carrier_locked: Untold[bool] = None
    activation_locked: Untold[bool] = None
    blacklisted: Untold[bool] = None
    accessories: Untold[bool] = None


class QuestionsAsk(Ask):
    """GET /v1/buyback/questions, a query; in the market's language where none is told."""

    market: Market
    device_id: DeviceId
    lang: Language | None = None


def _luhn(imei: str) -> str:
    """Refuse an IMEI whose last digit is not the one that the others ask for (ISO/IEC 7812-1, annex B)."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(imei))]
    if len(set(imei)) == 1:
        raise ValueError("no device has such an IMEI")
    if sum(number // 10 + number % 10 for number in doubled) % 10:
        raise ValueError("the last digit of an IMEI does not fit the others: a digit is mistyped")
    return imei


def _no_imei(told: str) -> str:
    """Refuse an IMEI as a serial: one device would be two."""
    digits = told.replace("-", "")
    if digits.isdecimal() and 14 <= len(digits) <= 16:
        raise ValueError("so many digits are an IMEI: tell it as one")
    return told


class OneUnit(Ask):
    """The very device: its IMEI, or its serial number where it has none. Of either only a digest is kept."""

    imei: Untold[Annotated[str, Field(pattern="^[0-9]{15}$"), AfterValidator(_luhn)]] = None
    serial: Untold[Annotated[str, Field(pattern="^[A-Z0-9][A-Z0-9-]{4,29}$"), AfterValidator(_no_imei)]] = (
        None
    )

    @model_validator(mode="after")
    def _one(self) -> OneUnit:
        if (self.imei is None) == (self.serial is None):
            raise ValueError("either an imei or a serial tells a device")
        return self


class QuoteAsk(Ask):
    """POST /v1/buyback/quotes; where the `unit` is told, there is one open quote for it at a time."""

    market: Market
    device: Device
    answers: Answers
    unit: Untold[OneUnit] = None


class AcceptAsk(Ask):
    """POST /v1/buyback/quotes/{quote_id}/accept: yes to the amount that stands, which is told so that both mean the
    same one.
    """

    amount: Amount
    unit: Untold[OneUnit] = None


class InspectionAsk(Ask):
    """POST /v1/buyback/quotes/{quote_id}/inspection: what was found, in the answers that its owner gave."""

    found: Answers


class PaymentAsk(Ask):
    """POST /v1/buyback/quotes/{quote_id}/payment: the amount that stands was paid."""

    amount: Amount


class VoidAsk(Ask):
    """POST /v1/buyback/quotes/{quote_id}/void: why nothing comes of the quote."""

    reason: Literal["WITHDRAWN", "DECLINED", "RETURNED", "NEVER_ARRIVED", "MISTAKE"]


class Unit(Ask):
    """One device of POST /v1/valuations."""

    device: Device
    battery_health: Share | None = None
    carrier_locked: bool | None = None


class ValuationsAsk(Ask):
    """POST /v1/valuations."""

    market: Market
    devices: Annotated[list[Unit], Field(min_length=1, max_length=MOST_DEVICES)]


class ComparablesAsk(Ask):
    """GET /v1/comparables, a query."""

    market: Market
    device_id: DeviceId
    grade: GradeWord  # type: ignore[valid-type]
    battery_health: Annotated[Share | None, Field(strict=False), Written] = None
    carrier_locked: Annotated[bool | None, Field(strict=False)] = None


class PriceCheckAsk(Unit):
    """POST /v1/sellers/price-checks; `paid` is what the seller paid for the device."""

    market: Market
    grade: GradeWord  # type: ignore[valid-type]
    price: Amount
    paid: Amount | None = None


_ASKS = (
    Amount,
    KnownDevice,
    DescribedDevice,
    Answers,
    QuestionsAsk,
    OneUnit,
    QuoteAsk,
    AcceptAsk,
    InspectionAsk,
    PaymentAsk,
    VoidAsk,
    ValuationsAsk,
    ComparablesAsk,
    PriceCheckAsk,
)
# Every name that a report of errors may repeat: any other came from outside.
FIELDS = frozenset(name for ask in _ASKS for name in ask.model_fields) | {
    "q",
    "limit",
    "quote_id",
    "idempotency-key",
}
