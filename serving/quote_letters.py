"""Letters about a quote: its offer, and what happened to it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from serving import letters, replies
from serving.life import Event, Status
from serving.promise import Known
from valuation import money, price_list
from valuation.advice import Advice
from valuation.appraisal import Outlook, Value
from valuation.deal import LABELS, Firmness
from valuation.money import Money
from valuation.offer import Offer
from valuation.requote import Requote

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
    resale = letters.resale(appraisal, decided.grade) if letters.possible(appraisal) else None
    return replies.Quote(
        **heading,
        quote_id=quote_id,
        status=Status.ISSUED.value,
        device=device,
        decision=decided.decision.value,
        offer=letters.amount(decided.amount),
        policy=decided.policy,
        randomised=decided.propensity is not None,
        propensity=decided.propensity,
        grade=advised.assessed.condition.value,
        grade_reasons=letters.reasons(advised.assessed.reasons),
        reasons=letters.reasons(decided.reasons),
        range=resale and replies.Range(p10=resale.p10, p50=resale.p50, p90=resale.p90),
        firmness=decided.firmness and _firmness(decided.firmness),
        resale=resale,
        confidence=letters.confidence(appraisal) if resale else None,
        breakdown=[
            replies.Line(code=line.code, label=line.label, amount=letters.amount(line.amount))
            for line in decided.lines
        ],
        explanation=letters.explanation(appraisal) if resale else [],
        what_would_raise_it=[
            replies.Raise(
                change=each.change.code, sentence=each.change.sentence, delta=letters.amount(each.delta)
            )
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
        expected_final=letters.amount(firm.expected_final),
        usual_reasons=letters.reasons(firm.usual_reasons),
    )


def _later(days: int, value: Value, now: replies.Money, currency: str) -> replies.Later:
    later = Money(money.nearest_minor(value.p50, currency), currency)
    return replies.Later(
        days=days, p50=letters.amount(later), delta=letters.amount(later - Money.parse(now.amount, currency))
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
        amount=letters.amount(Money(lived.amount_minor, currency)),
        valid_until=quote.expires_at,
        events=[_happened(event, currency) for event in lived.events],
    )


def _happened(event: Event, currency: str) -> replies.Happened:
    told = event.details
    return replies.Happened(
        kind=event.kind.value,
        at=event.at,
        amount=letters.amount(Money(event.amount_minor, currency)),
        turn=told.get("turn"),
        differences=[
            replies.Line(code=code, label=LABELS[code], amount=letters.amount(Money(minor, currency)))
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
