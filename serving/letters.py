"""The letters: what the domain found, written into the shapes of replies."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from serving import replies
from serving.champion import Incumbent
from serving.life import Event, Status
from serving.promise import Known
from valuation import money, price_list
from valuation.advice import Advice
from valuation.appraisal import Appraisal, Effect, Outlook, Value
from valuation.catalogue import Variant
from valuation.comparables import Comparable
from valuation.deal import LABELS, Firmness
from valuation.grades import Grade, Reason
from valuation.markets import Terms
from valuation.money import Money
from valuation.offer import Offer
from valuation.questions import Question
from valuation.requote import Requote
from valuation.suggestion import Suggestion

# HouseCanary calls an fsd up to 0.15 a high confidence; the other two steps are ours.
LEVELS: tuple[tuple[float, Literal["A", "B", "C"]], ...] = ((0.15, "A"), (0.25, "B"), (0.40, "C"))


# What a quote says of fields that came later than it.
_BEFORE: dict[str, Any] = {
    "status": Status.ISSUED.value,
    "policy": price_list.COST_PLUS,
    "randomised": False,
    "propensity": None,
    "firmness": None,
    "what_would_raise_it": [],
    "if_you_wait": [],
}


def model(incumbent: Incumbent) -> replies.Model:
    """Name the appraiser in office."""
    found = incumbent.appraiser
    return replies.Model(name=found.name, version=incumbent.version, as_of=found.as_of)


def heading(*, incumbent: Incumbent, appraisal: Appraisal, request_id: str) -> dict[str, Any]:
    """The fields of replies.Appraised."""
    return {
        "as_of": appraisal.on,
        "request_id": request_id,
        "market": appraisal.market,
        "model": model(incumbent),
        "simulated": incumbent.appraiser.simulated,
    }


def questions(
    *, device: str, asked: Sequence[Question], market: str, lang: str, on: date, request_id: str
) -> replies.Questions:
    """Write the questions about a device in a language."""
    return replies.Questions(
        as_of=on,
        request_id=request_id,
        market=market,
        device=device,
        lang=lang,
        questions=[_question(question, lang) for question in asked],
    )


def _question(question: Question, lang: str) -> replies.Question:
    return replies.Question(
        field=question.field,
        kind=question.kind,
        question=question.texts[lang],
        answers=[replies.Answer(value=one.value, text=one.texts[lang]) for one in question.answers],
        visible=question.visible,
    )


class Letter:
    """A quote that is written but for its ids and instants: `to` puts these in."""

    # What stands in for them. Nothing that was asked can hold it, for nobody knows it.
    _MARK = f"~{secrets.token_hex(16)}~"

    def __init__(self, write: Callable[[str, str, datetime, datetime], replies.Quote]) -> None:
        never = datetime(1, 1, 1, tzinfo=UTC)
        told = write(f"{self._MARK}0", f"{self._MARK}1", never, never).model_dump(mode="json")
        told |= {"quoted_at": f"{self._MARK}2", "valid_until": f"{self._MARK}3"}
        written = json.dumps(told, ensure_ascii=False, separators=(",", ":"))
        first, *parts = written.split(self._MARK)
        self._first = first.encode()
        self._parts = [(int(part[0]), part[1:].encode()) for part in parts]

    def to(self, *, quote_id: str, request_id: str, quoted_at: datetime, valid_until: datetime) -> bytes:
        """The whole letter, the JSON of a replies.Quote."""
        told = [word.encode() for word in (quote_id, request_id, _iso(quoted_at), _iso(valid_until))]
        return self._first + b"".join(told[which] + rest for which, rest in self._parts)


def _iso(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def valid_until(offer: Offer, quoted_at: datetime) -> datetime:
    """Until when an offer holds."""
    return quoted_at + timedelta(days=offer.valid_days)


def quote(*, device: str, outlook: Outlook, advised: Advice, heading: dict[str, Any]) -> Letter:
    """Write a quote."""

    def write(quote_id: str, request_id: str, quoted_at: datetime, valid_until: datetime) -> replies.Quote:
        told = heading | {"request_id": request_id}
        return _quote(device, outlook, advised, quote_id, quoted_at, valid_until, told)

    return Letter(write)


def _quote(
    device: str,
    outlook: Outlook,
    advised: Advice,
    quote_id: str,
    quoted_at: datetime,
    valid_until: datetime,
    heading: dict[str, Any],
) -> replies.Quote:
    appraisal, decided, currency = outlook.appraisal, advised.offer, outlook.appraisal.currency
    resale = _resale(appraisal, decided.grade) if possible(appraisal) else None
    return replies.Quote(
        **heading,
        quote_id=quote_id,
        status=Status.ISSUED.value,
        device=device,
        decision=decided.decision.value,
        offer=_money(decided.amount),
        policy=decided.policy,
        randomised=decided.propensity is not None,
        propensity=decided.propensity,
        grade=advised.assessed.condition.value,
        grade_reasons=_reasons(advised.assessed.reasons),
        reasons=_reasons(decided.reasons),
        range=resale and replies.Range(p10=resale.p10, p50=resale.p50, p90=resale.p90),
        firmness=decided.firmness and _firmness(decided.firmness),
        resale=resale,
        confidence=_confidence(appraisal) if resale else None,
        breakdown=[
            replies.Line(code=line.code, label=line.label, amount=_money(line.amount))
            for line in decided.lines
        ],
        explanation=_explanation(appraisal) if resale else [],
        what_would_raise_it=[
            replies.Raise(change=each.change.code, sentence=each.change.sentence, delta=_money(each.delta))
            for each in advised.raises
        ],
        if_you_wait=[_later(days, value, resale.p50, currency) for days, value in outlook.forecast.items()]
        if resale
        else [],
        terms_version=decided.terms_version,
        quoted_at=quoted_at,
        valid_until=valid_until,
        expired=False,
    )


def _firmness(firm: Firmness) -> replies.Firmness:
    return replies.Firmness(
        paid_in_full_share=round(firm.paid_in_full_share, 3),
        expected_final=_money(firm.expected_final),
        usual_reasons=_reasons(firm.usual_reasons),
    )


def _later(days: int, value: Value, now: replies.Money, currency: str) -> replies.Later:
    later = Money(money.nearest_minor(value.p50, currency), currency)
    return replies.Later(
        days=days, p50=_money(later), delta=_money(later - Money.parse(now.amount, currency))
    )


def kept(*, reply: bytes) -> replies.Quote:
    """Read a reply that was kept, also one from before some of the fields were there."""
    return replies.Quote.model_validate(_BEFORE | json.loads(reply))


def life(*, known: Known, at: datetime, request_id: str) -> replies.Life:
    """Write where a quote stands at an instant, and what happened to it."""
    quote, lived, currency = known.quote, known.life, known.quote.currency
    return replies.Life(
        as_of=at.date(),
        request_id=request_id,
        quote_id=quote.quote_id,
        status=lived.status(at=at).value,
        amount=_money(Money(lived.amount_minor, currency)),
        valid_until=quote.expires_at,
        events=[_happened(event, currency) for event in lived.events],
    )


def _happened(event: Event, currency: str) -> replies.Happened:
    told = event.details
    return replies.Happened(
        kind=event.kind.value,
        at=event.at,
        amount=_money(Money(event.amount_minor, currency)),
        turn=told.get("turn"),
        differences=[
            replies.Line(code=code, label=LABELS[code], amount=_money(Money(minor, currency)))
            for code, minor in told.get("differences", {}).items()
        ],
        reasons=[replies.Reason(**reason) for reason in told.get("reasons", ())],
    )


def requoted(found: Requote) -> dict[str, Any]:
    """The details that are kept of a re-quote; `_happened` reads them."""
    return {
        "turn": found.turn.value,
        "differences": {line.code: line.amount.minor for line in found.differences},
        "reasons": [vars(reason) for reason in found.reasons],
    }


def valuation(*, device: str, appraisal: Appraisal) -> replies.Valuation:
    """Write the ladder of one device, best grade first; the confidence is that at the appraisal's grade."""
    ladder = [_resale(appraisal, grade) for grade in sorted(appraisal.ladder, reverse=True)]
    return replies.Valuation(device=device, ladder=ladder, confidence=_confidence(appraisal))


def valuations(
    *, incumbent: Incumbent, found: list[replies.Valuation], market: str, on: date, request_id: str
) -> replies.Valuations:
    """Write the answer that holds several valuations."""
    return replies.Valuations(
        as_of=on,
        request_id=request_id,
        market=market,
        model=model(incumbent),
        simulated=incumbent.appraiser.simulated,
        valuations=found,
    )


def price_check(
    *, device: str, appraisal: Appraisal, suggested: Suggestion, terms: Terms, heading: dict[str, Any]
) -> replies.PriceCheck:
    """Write what a seller should know of a price."""
    low, high = suggested.fair_range
    return replies.PriceCheck(
        **heading,
        device=device,
        rating=suggested.rating.value,
        fair_range=replies.FairRange(low=_money(low), high=_money(high)),
        suggested=_money(suggested.suggested),
        floor=_money(suggested.floor),
        reasons=_reasons(suggested.reasons),
        resale=_resale(appraisal, appraisal.grade),
        confidence=_confidence(appraisal),
        explanation=_explanation(appraisal),
        terms_version=terms.version,
    )


def comparables(
    *,
    device: str,
    appraisal: Appraisal,
    forecast: Mapping[int, Value],
    found: Sequence[Comparable],
    heading: dict[str, Any],
) -> replies.Comparables:
    """Write the past sales that are nearest to a device, and what it will sell for later."""
    currency = appraisal.currency
    return replies.Comparables(
        **heading,
        device=device,
        resale=_resale(appraisal, appraisal.grade),
        forecast=[
            replies.Ahead(days=days, resale=_range(value, currency)) for days, value in forecast.items()
        ],
        comparables=[_comparable(sale, currency) for sale in found],
    )


def _comparable(sale: Comparable, currency: str) -> replies.Comparable:
    price, adjusted = (money.nearest_minor(amount, currency) for amount in (sale.price, sale.adjusted))
    name = Variant(device_id="", category="", brand=sale.brand, model=sale.model, storage_gb=sale.storage_gb)
    return replies.Comparable(
        sold_on=sale.sold_on,
        market=sale.market,
        device=name.name,
        grade=sale.grade,
        price=_money(Money(price, currency)),
        adjustments=_effects(sale.adjustments, adjusted - price, currency),
        adjusted=_money(Money(adjusted, currency)),
    )


def market(terms: Terms) -> replies.MarketOpen:
    """Write a market that is open."""
    return replies.MarketOpen(
        market=terms.market,
        currency=terms.currency,
        language=terms.language,
        quote_validity_days=terms.quote_validity_days,
        return_days=terms.return_days,
        warranty_months=terms.warranty_months,
        grade_words={grade.name: word for grade, word in terms.grade_words.items()},
        grade_words_elsewhere={
            marketplace: {word: grade.name for word, grade in words.items()}
            for marketplace, words in terms.grade_words_elsewhere.items()
        },
        terms_version=terms.version,
    )


def device(variant: Variant) -> replies.Device:
    """Write a device of the catalogue."""
    return replies.Device(**{name: getattr(variant, name) for name in replies.Device.model_fields})


def possible(appraisal: Appraisal) -> bool:
    """Whether every number that is told can be an amount: an estimate gone wrong is for a person to see."""
    told = [value for at in appraisal.ladder.values() for value in (at.p10, at.p50, at.p90, at.fsd)]
    told += [effect.amount for effect in appraisal.effects]
    try:
        return all(_estimate(value, appraisal.currency) for value in told)
    except money.MoneyError:
        return False


def _money(amount: Money) -> replies.Money:
    return replies.Money(amount=amount.amount, currency=amount.currency)


def _estimate(value: float, currency: str) -> replies.Money:
    return _money(Money(money.nearest_minor(value, currency), currency))


def _resale(appraisal: Appraisal, grade: Grade) -> replies.Resale:
    value, currency = appraisal.ladder[grade], appraisal.currency
    return replies.Resale(grade=grade.name, **dict(_range(value, currency)))


def _range(value: Value, currency: str) -> replies.Range:
    quantiles = {name: _estimate(getattr(value, name), currency) for name in ("p10", "p50", "p90")}
    return replies.Range(**quantiles)


def _confidence(appraisal: Appraisal) -> replies.Confidence:
    fsd = appraisal.value.fsd
    return replies.Confidence(
        score=round(max(0.0, 1 - fsd), 3),
        level=next((level for most, level in LEVELS if fsd <= most), "D"),
        fsd=round(fsd, 3),
        basis=appraisal.basis,
        comparables=appraisal.comparables,
    )


def _explanation(appraisal: Appraisal) -> list[replies.Effect]:
    value = money.nearest_minor(appraisal.value.p50, appraisal.currency)
    return _effects(appraisal.effects, value, appraisal.currency)


def _effects(effects: Sequence[Effect], total: int, currency: str) -> list[replies.Effect]:
    """Write effects in money; what rounding leaves over goes to the first, so that they sum to `total` minor units."""
    minors = [money.nearest_minor(effect.amount, currency) for effect in effects]
    if minors:
        minors[0] += total - sum(minors)
    return [
        replies.Effect(feature=effect.feature, effect=_money(Money(minor, currency)))
        for effect, minor in zip(effects, minors, strict=True)
    ]


def _reasons(reasons: tuple[Reason, ...]) -> list[replies.Reason]:
    return [replies.Reason(code=reason.code, sentence=reason.sentence) for reason in reasons]
