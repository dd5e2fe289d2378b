"""The re-quote: what a device is paid once it was inspected, as the difference of two itemised lists.

The first list is that of the quote. The second is the one that the quote would have had, on its day, by its model and
its terms, had the owner declared what counts of what was found (questions.counted). A higher price is paid; a lower one
is only an offer, which its owner accepts or refuses: nothing is ever accepted for him.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from valuation import grades, questions
from valuation.deal import LABELS, Line
from valuation.grades import Answers, Reason
from valuation.markets import Terms
from valuation.money import CurrencyMismatch, Money
from valuation.offer import Decision, Offer


class Turn(StrEnum):
    """What a re-quote asks for: SAME and HIGHER are paid; LOWER waits for its owner; RETURN goes back to him."""

    SAME = "SAME"
    HIGHER = "HIGHER"
    LOWER = "LOWER"
    RETURN = "RETURN"


@dataclass(frozen=True, kw_only=True)
class Requote:
    """A quote after inspection. `differences` are the lines of the second list less those of the first, without those
    that are alike; they sum to `delta`. `reasons` say what counted that was declared otherwise.
    """

    turn: Turn
    before: Offer
    after: Offer
    delta: Money
    differences: tuple[Line, ...]
    reasons: tuple[Reason, ...]

    @property
    def needs_consent(self) -> bool:
        """Whether its owner has to say yes before anything is paid."""
        return self.turn == Turn.LOWER


def counted(*, declared: Answers, found: Answers, category: str, terms: Terms) -> Answers:
    """What counts of what was found, by the rule of the market; the second list is made of these answers."""
    return questions.counted(declared=declared, found=found, category=category, rule=terms.requote_for)


def requote(*, before: Offer, after: Offer, declared: Answers, counting: Answers, terms: Terms) -> Requote:
    """Compare the offer of a quote with the one for what counts.

    A device that may not be bought, or that is worth nothing any more, goes back to its owner, as does one that a
    person would have to look at. Raises CurrencyMismatch for offers of two currencies, ValueError where nothing was
    offered before.
    """
    if before.decision != Decision.OFFER:
        raise ValueError(
            f"A quote that was no offer ({before.decision}) is not quoted again: give a new quote."
        )
    if before.amount.currency != after.amount.currency:
        raise CurrencyMismatch(f"{before.amount} and {after.amount} are of two currencies.")
    return Requote(
        turn=_turn(before, after),
        before=before,
        after=after,
        delta=after.amount - before.amount,
        differences=_differences(before, after),
        reasons=_reasons(declared, counting, terms),
    )


def _turn(before: Offer, after: Offer) -> Turn:
    if after.decision != Decision.OFFER:
        return Turn.RETURN
    if after.amount == before.amount:
        return Turn.SAME
    return Turn.LOWER if after.amount < before.amount else Turn.HIGHER


def _differences(before: Offer, after: Offer) -> tuple[Line, ...]:
    first, second = ({line.code: line.amount.minor for line in offer.lines} for offer in (before, after))
    moved = {code: second.get(code, 0) - first.get(code, 0) for code in LABELS}
    currency = before.amount.currency
    return tuple(
        Line(code=code, label=LABELS[code], amount=Money(minor, currency))
        for code, minor in moved.items()
        if minor
    )


def _reasons(declared: Answers, counting: Answers, terms: Terms) -> tuple[Reason, ...]:
    """The reasons of one assessment that the other does not have; those no longer true begin with NO_LONGER_."""
    was, now = (
        {
            reason.code: reason
            for reason in grades.assess(answers=each, battery_floor=terms.battery_floor).reasons
        }
        for each in (declared, counting)
    )
    better = [
        Reason(code=f"NO_LONGER_{code}", sentence=f"Found otherwise: {reason.sentence}")
        for code, reason in was.items()
        if code not in now
    ]
    return (*(reason for code, reason in now.items() if code not in was), *better)
