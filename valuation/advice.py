"""Advice to an owner: the offer for a device as it is, and how far each change of it would raise the price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from valuation import grades, offer
from valuation.appraisal import Prospects
from valuation.controls import CALM, Controls
from valuation.grades import Answers, Assessment, Reason, Wear
from valuation.inspection import PLACES
from valuation.markets import Terms
from valuation.money import Money
from valuation.offer import Offer
from valuation.owners import Owners
from valuation.proceeds import Seller


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something that its owner could do about a device: what he would answer then, and what the appraiser is told.

    It is no change of a device that is so already. One of several `parts`, by their codes, is told only where it raises
    the offer more than each of them.
    """

    code: str
    sentence: str
    answers: Mapping[str, Any]
    device: Mapping[str, object]
    parts: tuple[str, ...] = ()

    def of(self, answers: Answers) -> Answers:
        """What he would answer then."""
        return replace(answers, **self.answers)

    def possible(self, answers: Answers) -> bool:
        """Whether he would answer anything else then."""
        return any(getattr(answers, name) != told for name, told in self.answers.items())


def _change(code: str, sentence: str, parts: tuple[str, ...] = (), **answers: Any) -> Change:
    told: dict[str, object] = {
        name: answers[name] for name in ("battery_health", "carrier_locked") if name in answers
    }
    return Change(code=code, sentence=sentence, answers=answers, device=told, parts=parts)


# What an owner could do, or could have kept his device from.
CHANGES: tuple[Change, ...] = (
    _change("ACCOUNT_REMOVED", "Its owner's account is removed from it.", activation_locked=False),
    _change("CARRIER_UNLOCKED", "It is unlocked for all carriers.", carrier_locked=False),
    _change("BATTERY_REPLACED", "It gets a new battery.", battery_health=1.0),
    _change("REPAIRED", "What does not work is repaired.", powers_on=True, fully_functional=True),
    _change("ACCESSORIES_ADDED", "Its accessories are complete.", accessories=True),
    _change("SCREEN_LIKE_NEW", "Its screen is like new.", screen=Wear.FLAWLESS),
    _change("BODY_LIKE_NEW", "Its body is like new.", body=Wear.FLAWLESS),
    _change(
        "SCREEN_AND_BODY_LIKE_NEW",
        "Its screen and its body are like new.",
        parts=("SCREEN_LIKE_NEW", "BODY_LIKE_NEW"),
        screen=Wear.FLAWLESS,
        body=Wear.FLAWLESS,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Raise:
    """How far a change would raise an offer."""

    change: Reason
    delta: Money


@dataclass(frozen=True, kw_only=True)
class Advice:
    """An offer, the condition behind it with its reasons, and what would raise it, most first."""

    offer: Offer
    assessed: Assessment
    raises: tuple[Raise, ...]


def changes(*, answers: Answers) -> tuple[Change, ...]:
    """The changes that a device with these answers allows; one of several parts where it allows each of them."""
    allowed = {change.code for change in CHANGES if change.possible(answers)}
    return tuple(change for change in CHANGES if allowed.issuperset((change.code, *change.parts)))


def advise(
    *,
    prospects: Prospects,
    answers: Answers,
    terms: Terms,
    owners: Owners | None = None,
    controls: Controls = CALM,
    seller: Seller = Seller.PRIVATE,
    drawn: float | None = None,
) -> Advice:
    """Offer for a device, and tell what would raise the offer.

    The prospects are those of the device as it is and with each of its `changes`, in order; see offer.decide.
    """
    possible = changes(answers=answers)
    told = [answers, *(change.of(answers) for change in possible)]
    assessed = [grades.assess(answers=each, battery_floor=terms.battery_floor) for each in told]
    columns = np.array([PLACES[each.condition] for each in assessed])
    listed = offer.listing(
        prospects=prospects,
        terms=terms,
        owners=owners,
        controls=controls,
        seller=seller,
        drawn=drawn,
        missing=np.array([each.accessories is False for each in told]),
    )
    found = offer.decided(listed=listed, prospects=prospects, columns=columns, terms=terms, controls=controls)
    paid = [
        0 if each.blocked else int(amount) for each, amount in zip(assessed, found.paid_minor, strict=True)
    ]
    alone = dict(zip((change.code for change in possible), paid[1:], strict=True))
    raises = [
        Raise(
            change=Reason(code=change.code, sentence=change.sentence),
            delta=Money(amount - paid[0], terms.currency),
        )
        for change, amount in zip(possible, paid[1:], strict=True)
        if amount > max([paid[0], *(alone[part] for part in change.parts)])
    ]
    own = (
        offer.refused(condition=assessed[0].condition, blocked=assessed[0].blocked, terms=terms)
        if assessed[0].blocked
        else offer.written(
            listed=listed, found=found, prospects=prospects, columns=columns, at=0, terms=terms
        )
    )
    return Advice(
        offer=own, assessed=assessed[0], raises=tuple(sorted(raises, key=lambda each: -each.delta.minor))
    )
