"""The shapes of what is answered: every field is always there."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from serving.asks import GradeWord, Language, WearWord
from serving.life import Kind, Status
from valuation.grades import Condition

ConditionWord = Literal[tuple(Condition.__members__)]  # type: ignore[valid-type]

StatusWord = Literal[tuple(Status.__members__)]  # type: ignore[valid-type]
KindWord = Literal[tuple(Kind.__members__)]  # type: ignore[valid-type]


class Reply(BaseModel):
    """Something that is answered."""

    model_config = ConfigDict(frozen=True)


class Money(Reply):
    """An amount as a decimal string with all decimals of its currency."""

    amount: str
    currency: str


class Range(Reply):
    """Low, middle and high: one in ten lies below p10, one in ten above p90."""

    p10: Money
    p50: Money
    p90: Money


class Resale(Range):
    """What a device is expected to sell for at a grade."""

    grade: GradeWord  # type: ignore[valid-type]


class Model(Reply):
    """Which appraiser answered; it knows the sales up to `as_of`."""

    name: str
    version: str
    as_of: date


class Reason(Reply):
    """A code for programs and a sentence for people."""

    code: str
    sentence: str


class Confidence(Reply):
    """How far to trust a value: score is 1 - fsd, level A to D, basis model, family, brand or category."""

    score: float
    level: Literal["A", "B", "C", "D"]
    fsd: float
    basis: str
    comparables: int


class Line(Reply):
    """One line of an offer; the lines add up to it."""

    code: str
    label: str
    amount: Money


class Effect(Reply):
    """How much something about the device moves the estimate of what it will sell for."""

    feature: str
    effect: Money


class Answered(Reply):
    """What every answer says; `as_of` is the day for which it holds."""

    as_of: date
    request_id: str


class Appraised(Answered):
    """What every answer with an estimate says; `simulated`: learned from simulated sales."""

    market: str
    model: Model
    simulated: bool


class Firmness(Reply):
    """How firm a price is: the share of such devices that were paid in full, what was paid for them in the mean, and
    what was found where it was less.
    """

    paid_in_full_share: float
    expected_final: Money
    usual_reasons: list[Reason]


class Raise(Reply):
    """How far a change of the device would raise the offer."""

    change: str
    sentence: str
    delta: Money


class Later(Reply):
    """What the device is expected to sell for in so many days, and how much more or less that is than today."""

    days: int
    p50: Money
    delta: Money


class Answer(Reply):
    """An answer that may be chosen, and the value that stands for it: null where it is not known."""

    value: bool | WearWord | None  # type: ignore[valid-type]
    text: str


class Question(Reply):
    """What fills a `field` of a quote's answers, a share by any number 0..1 too; `visible` to the customer or not."""

    field: str
    kind: Literal["yes_no", "wear", "share"]
    question: str
    answers: list[Answer]
    visible: bool


class Questions(Answered):
    """What is asked about a device, in order."""

    market: str
    device: str
    lang: Language
    questions: list[Question]


class Quote(Appraised):
    """A firm offer, kept until `valid_until`; `range` is that of the resale price behind it.

    `range`, `resale` and `confidence` are null where the estimate is no possible price (decision REVIEW). `policy`
    says how the offer was found: expected-margin, cost-plus where it is not known which offers are taken, none for a
    refusal. Where it was drawn around that (`randomised`), `propensity` is the density of its logarithm. `firmness` is
    null where nothing is known of inspections.
    """

    quote_id: str
    status: StatusWord  # type: ignore[valid-type]
    device: str
    decision: Literal["OFFER", "REVIEW", "RECYCLE", "REFUSE"]
    offer: Money
    policy: str
    randomised: bool
    propensity: float | None
    grade: ConditionWord  # type: ignore[valid-type]
    grade_reasons: list[Reason]
    reasons: list[Reason]
    range: Range | None
    firmness: Firmness | None
    resale: Resale | None
    confidence: Confidence | None
    breakdown: list[Line]
    explanation: list[Effect]
    what_would_raise_it: list[Raise]
    if_you_wait: list[Later]
    terms_version: str
    quoted_at: AwareDatetime
    valid_until: AwareDatetime
    expired: bool


class Happened(Reply):
    """Something that happened to a quote, and the amount that stands from then on.

    Of an inspection, `turn` is SAME, HIGHER, LOWER or RETURN; the `differences` of the itemised lists sum to what the
    amount moved by, and the `reasons` say what was found that counts. A quote is VOIDED for the reason in `turn`.
    """

    kind: KindWord  # type: ignore[valid-type]
    at: AwareDatetime
    amount: Money
    turn: str | None
    differences: list[Line]
    reasons: list[Reason]


class Life(Answered):
    """Where a quote stands, and what happened to it so far. REQUOTED waits for its owner's yes to another amount;
    what is PAYABLE only waits to be paid.
    """

    quote_id: str
    status: StatusWord  # type: ignore[valid-type]
    amount: Money
    valid_until: AwareDatetime
    events: list[Happened]


class Valuation(Reply):
    """The value of one device at every grade, best first."""

    device: str
    ladder: list[Resale]
    confidence: Confidence


class Valuations(Appraised):
    """One valuation for each device that was asked for, in that order."""

    valuations: list[Valuation]


class Comparable(Reply):
    """A past sale; its price and the adjustments for what differs add up to `adjusted`."""

    sold_on: date
    market: str
    device: str
    grade: GradeWord  # type: ignore[valid-type]
    price: Money
    adjustments: list[Effect]
    adjusted: Money


class Ahead(Reply):
    """What the device will sell for in so many days, as far as age and season tell."""

    days: int
    resale: Range


class Comparables(Appraised):
    """The nearest past sales, the nearest first, beside the estimate and what it will be."""

    device: str
    resale: Resale
    forecast: list[Ahead]
    comparables: list[Comparable]


class FairRange(Reply):
    """From p25 to p75: half of such devices sell for a price in here."""

    low: Money
    high: Money


class PriceCheck(Appraised):
    """How a seller's price compares; below `floor` the sale loses money."""

    device: str
    rating: Literal["GREAT", "GOOD", "FAIR", "HIGH", "OVERPRICED"]
    fair_range: FairRange
    suggested: Money
    floor: Money
    reasons: list[Reason]
    resale: Resale
    confidence: Confidence
    explanation: list[Effect]
    terms_version: str


class MarketOpen(Reply):
    """A market that can be quoted today, in its currency and language (a CLDR locale: fr_FR).

    `grade_words` are the words of its language by grade; `grade_words_elsewhere` the grades of other
    marketplaces' words, by marketplace: one word may stand for two grades on two of them.
    """

    market: str
    currency: str
    language: str
    quote_validity_days: int
    return_days: int
    warranty_months: int
    grade_words: dict[GradeWord, str]  # type: ignore[valid-type]
    grade_words_elsewhere: dict[str, dict[str, GradeWord]]  # type: ignore[valid-type]
    terms_version: str


class Markets(Answered):
    """The markets whose terms hold today."""

    markets: list[MarketOpen]


class Device(Reply):
    """A device that can be asked for by its id."""

    device_id: str
    name: str
    category: str
    brand: str
    model: str
    storage_gb: float | None
    launched_on: date | None


class Devices(Answered):
    """The devices that fit, best first."""

    devices: list[Device]


class DeviceFound(Answered):
    """One device, and the names of the attributes that can be told of a device."""

    device: Device
    attributes: list[str]


class Champion(Answered):
    """The appraiser in office; `card` says what it learned from and how it was judged."""

    model: Model
    digest: str
    simulated: bool
    card: dict[str, Any]


class Look(Answered):
    """What asking the registry brought: the version it names champion, null where it could not be asked; the one in
    office; and the reason where they differ.
    """

    outcome: str
    registered: str | None
    in_office: str | None
    reason: str


class Health(Reply):
    """Whether the server lives, or is ready."""

    status: Literal["alive", "ready"]


class Fault(Reply):
    """What is wrong with one field of a request."""

    field: str
    title: str


class Problem(Reply):
    """Any answer but a good one (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[Fault]
    request_id: str


class UnknownDevice(Problem):
    """No device has this id; the nearest that exist."""

    suggestions: list[Device]
