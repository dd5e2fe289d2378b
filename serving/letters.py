"""The letters: what the domain found, written into the shapes of replies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Literal

from serving import replies
from serving.incumbent import Incumbent
from valuation import money
from valuation.appraisal import Appraisal, Effect, Value
from valuation.catalogue import Variant
from valuation.comparables import Comparable
from valuation.grades import Grade, Reason
from valuation.markets import Terms
from valuation.money import Money
from valuation.questions import Question
from valuation.suggestion import Suggestion

# HouseCanary calls an fsd up to 0.15 a high confidence; the other two steps are ours.
LEVELS: tuple[tuple[float, Literal["A", "B", "C"]], ...] = ((0.15, "A"), (0.25, "B"), (0.40, "C"))


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


def valuation(*, device: str, appraisal: Appraisal) -> replies.Valuation:
    """Write the ladder of one device, best grade first; the confidence is that at the appraisal's grade."""
    ladder = [resale(appraisal, grade) for grade in sorted(appraisal.ladder, reverse=True)]
    return replies.Valuation(device=device, ladder=ladder, confidence=confidence(appraisal))


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
        fair_range=replies.FairRange(low=amount(low), high=amount(high)),
        suggested=amount(suggested.suggested),
        floor=amount(suggested.floor),
        reasons=reasons(suggested.reasons),
        resale=resale(appraisal, appraisal.grade),
        confidence=confidence(appraisal),
        explanation=explanation(appraisal),
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
        resale=resale(appraisal, appraisal.grade),
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
        price=amount(Money(price, currency)),
        adjustments=_effects(sale.adjustments, adjusted - price, currency),
        adjusted=amount(Money(adjusted, currency)),
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


def amount(amount: Money) -> replies.Money:
    return replies.Money(amount=amount.amount, currency=amount.currency)


def _estimate(value: float, currency: str) -> replies.Money:
    return amount(Money(money.nearest_minor(value, currency), currency))


def resale(appraisal: Appraisal, grade: Grade) -> replies.Resale:
    value, currency = appraisal.ladder[grade], appraisal.currency
    return replies.Resale(grade=grade.name, **dict(_range(value, currency)))


def _range(value: Value, currency: str) -> replies.Range:
    quantiles = {name: _estimate(getattr(value, name), currency) for name in ("p10", "p50", "p90")}
    return replies.Range(**quantiles)


def confidence(appraisal: Appraisal) -> replies.Confidence:
    fsd = appraisal.value.fsd
    return replies.Confidence(
        score=round(max(0.0, 1 - fsd), 3),
        level=next((level for most, level in LEVELS if fsd <= most), "D"),
        fsd=round(fsd, 3),
        basis=appraisal.basis,
        comparables=appraisal.comparables,
    )


def explanation(appraisal: Appraisal) -> list[replies.Effect]:
    value = money.nearest_minor(appraisal.value.p50, appraisal.currency)
    return _effects(appraisal.effects, value, appraisal.currency)


def _effects(effects: Sequence[Effect], total: int, currency: str) -> list[replies.Effect]:
    """Write effects in money; what rounding leaves over goes to the first, so that they sum to `total` minor units."""
    minors = [money.nearest_minor(effect.amount, currency) for effect in effects]
    if minors:
        minors[0] += total - sum(minors)
    return [
        replies.Effect(feature=effect.feature, effect=amount(Money(minor, currency)))
        for effect, minor in zip(effects, minors, strict=True)
    ]


def reasons(reasons: tuple[Reason, ...]) -> list[replies.Reason]:
    return [replies.Reason(code=reason.code, sentence=reason.sentence) for reason in reasons]
