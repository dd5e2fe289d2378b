"""The offer: what is paid for a device, and why, line by line.

What is paid comes from the price list (valuation/price_list.py), rounded down to what the market pays out; the
lines are those of the deal (valuation/deal.py) and add up to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from valuation import grades, money, price_list
from valuation.appraisal import OUTCOMES, Appraisal, Prospects
from valuation.controls import CALM, Controls
from valuation.deal import Deal, Firmness, Line
from valuation.grades import Condition, Grade, Reason
from valuation.inspection import PLACES
from valuation.markets import Terms
from valuation.money import Money
from valuation.owners import Owners
from valuation.price_list import PriceList
from valuation.proceeds import SOLD_AS, Seller
from valuation.rows import Floats, Mask, Rows, Whole

FIRM_BASES = ("model", "family")  # what a value must rest on for a price to be promised unseen
P10, P50, MEAN, FSD = (OUTCOMES.index(name) for name in ("p10", "p50", "mean", "fsd"))
NONE = "none"  # the policy of a refusal
A_HAIR = 1e-6  # of a minor unit: less is the error of floats


class Decision(StrEnum):
    """OFFER pays; REVIEW asks a person; RECYCLE takes the device for nothing; REFUSE does not take it."""

    OFFER = "OFFER"
    REVIEW = "REVIEW"
    RECYCLE = "RECYCLE"
    REFUSE = "REFUSE"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A decision with its reasons. The lines sum to the amount; only an OFFER has any.

    `grade` is the one at which the device would be sold; the amount is above zero for OFFER only. `policy` says how the
    amount was found; `propensity` is the density of the log of an offer that was drawn by chance, None for any other.
    Where owners are known: the chance that the offer is taken, the margin that making it earns in the mean, taken or
    not, in major units, and how firm it is.
    """

    decision: Decision
    amount: Money
    grade: Grade
    lines: tuple[Line, ...]
    reasons: tuple[Reason, ...]
    terms_version: str
    valid_days: int
    policy: str
    propensity: float | None = None
    accept_probability: float | None = None
    expected_margin: float | None = None
    firmness: Firmness | None = None


@dataclass(frozen=True, kw_only=True)
class Decided(Rows):
    """What was decided for n devices: the code of CAUSES, what is paid in minor units, and the grade it is sold at."""

    cause: NDArray[np.str_]
    paid_minor: Whole
    grade: Whole

    @property
    def decision(self) -> list[Decision]:
        """The decisions: (n,)."""
        return [CAUSES[cause] for cause in self.cause]


# Why each decision is made, the first that applies.
CAUSES: Mapping[str, Decision] = MappingProxyType(
    {
        "ESTIMATE_IMPOSSIBLE": Decision.REVIEW,
        "ESTIMATE_UNCERTAIN": Decision.REVIEW,
        "DEVICE_UNKNOWN": Decision.REVIEW,
        "BUYING_STOPPED": Decision.REVIEW,
        "MODEL_STALE": Decision.REVIEW,
        "MARKET_FALLS": Decision.REVIEW,
        "BELOW_MINIMUM": Decision.RECYCLE,
        "EARNS_NOTHING": Decision.REVIEW,
        "EXPOSED": Decision.REVIEW,
        "FOR_PARTS": Decision.OFFER,
        "REFURBISHED": Decision.OFFER,
    }
)

_CODES = np.array(list(CAUSES))
_OFFERED = np.array([decision == Decision.OFFER for decision in CAUSES.values()])


def decide(
    *,
    appraisal: Appraisal,
    condition: Condition,
    terms: Terms,
    blocked: tuple[str, ...] = (),
    owners: Owners | None = None,
    controls: Controls = CALM,
    seller: Seller = Seller.PRIVATE,
    drawn: float | None = None,
    missing: bool = False,
) -> Offer:
    """Choose what to pay for a device, rounded down to the market's payable step.

    The device goes the way that pays more: refurbished (and repaired where needed), or sold for parts; a tie goes to
    refurbishing. REFUSE for a `blocked` one (codes of grades.RULES); REVIEW where the estimate is no possible price,
    its fsd is above the terms' max_fsd, it rests on less than FIRM_BASES, or the controls say so; RECYCLE where less
    than the minimum could be paid. `drawn` is the place of exploration.drawn in the terms' range; accessories may be
    `missing`.

    Raises CurrencyMismatch or MarketMismatch where the appraisal is not of the terms' market.
    """
    terms.require(market=appraisal.market, currency=appraisal.currency)
    if blocked:
        return refused(condition=condition, blocked=blocked, terms=terms)
    prospects, columns = appraisal.prospects, np.array([PLACES[condition]])
    listed = listing(
        prospects=prospects,
        terms=terms,
        owners=owners,
        controls=controls,
        seller=seller,
        drawn=drawn,
        missing=np.array([missing]),
    )
    found = decided(listed=listed, prospects=prospects, columns=columns, terms=terms, controls=controls)
    return written(listed=listed, found=found, prospects=prospects, columns=columns, at=0, terms=terms)


def refused(*, condition: Condition, blocked: tuple[str, ...], terms: Terms) -> Offer:
    """Refuse a device for the codes of rules that block it."""
    plain = _plain(Decision.REFUSE, grades.sold_as(condition), terms, NONE)
    return replace(plain, reasons=grades.refusals(blocked=blocked))


def listing(
    *,
    prospects: Prospects,
    terms: Terms,
    owners: Owners | None = None,
    controls: Controls = CALM,
    seller: Seller = Seller.PRIVATE,
    drawn: float | None = None,
    missing: Mask | None = None,
) -> PriceList:
    """Draw up the price list of devices whose estimates may be no possible prices: those count as nothing."""
    listed = price_list.draw_up(
        prospects=_finite(prospects),
        terms=terms,
        owners=owners,
        controls=controls,
        seller=seller,
        missing=missing,
    )
    if drawn is None:
        return listed
    return listed.drawn(at=drawn, within=float(terms.explored_within))


def decided(
    *, listed: PriceList, prospects: Prospects, columns: Whole, terms: Terms, controls: Controls = CALM
) -> Decided:
    """Decide for n devices, each in the condition of its column of the price list (n,)."""
    rows = np.arange(len(prospects))
    step, digits = terms.payable_step.minor, money.digits(terms.currency)
    sought = listed.sought[rows, columns] * 10**digits
    paid = (np.floor((sought + A_HAIR) / step) * step).astype(np.int64)
    grade = listed.proceeds.grade[rows, columns]
    applies = {
        "ESTIMATE_IMPOSSIBLE": ~_possible(prospects, SOLD_AS[columns], terms),
        "ESTIMATE_UNCERTAIN": ~(prospects.today[rows, grade, FSD] <= terms.max_fsd),
        "DEVICE_UNKNOWN": controls.hearsay
        | np.all([prospects.basis != basis for basis in FIRM_BASES], axis=0),
        "BUYING_STOPPED": np.full(len(rows), controls.stopped),
        "MODEL_STALE": np.full(len(rows), controls.stale),
        "MARKET_FALLS": np.full(len(rows), controls.index_change <= -float(terms.index_brake)),
        "BELOW_MINIMUM": paid < terms.minimum_offer.minor,
        "EARNS_NOTHING": _loses(listed, columns, paid / 10**digits),
        "EXPOSED": paid + controls.exposed > terms.exposure_cap.minor,
        "FOR_PARTS": grade == Grade.PARTS,
    }  # in the order of CAUSES, of which the last is left
    first = np.argmax([*applies.values(), np.ones(len(rows), dtype=bool)], axis=0)
    return Decided(cause=_CODES[first], paid_minor=np.where(_OFFERED[first], paid, 0), grade=grade)


def _loses(listed: PriceList, columns: Whole, paid: Floats) -> Mask:
    """Where only those would take what is paid for a worse condition who own one: nothing is earned by it: (n,)."""
    if listed.bargain is None:
        return np.zeros(len(columns), dtype=bool)
    declared = listed.bargain.at(np.arange(len(columns)) * len(PLACES) + columns)
    return np.asarray(declared.margin(np.maximum(paid, 10.0**-2)) <= 0)


def _possible(prospects: Prospects, grade: Whole, terms: Terms) -> Mask:
    """Whether p10, p50 and mean are ordered prices up to the market's ceiling, at this grade and for parts: (n,).

    False for NaN.
    """
    most, rows = float(terms.resale_ceiling.amount), np.arange(len(prospects))
    at = [grade, np.full_like(grade, Grade.PARTS)]
    every = np.concatenate([ladder[rows, at] for ladder in (prospects.today, prospects.later)])
    p10, p50, mean = every[..., P10], every[..., P50], every[..., MEAN]
    possible = (p10 > 0) & (p10 <= p50) & (p50 <= most) & (mean > 0) & (mean <= most)
    return np.asarray(possible.all(axis=0))


def _finite(prospects: Prospects) -> Prospects:
    """The same with nothing for what can be no amount of money."""
    today, later = (
        np.where(np.abs(ladder) < money.MAX_MINOR, ladder, 0.0)
        for ladder in (prospects.today, prospects.later)
    )
    return replace(prospects, today=today, later=later)


def written(
    *, listed: PriceList, found: Decided, prospects: Prospects, columns: Whole, at: int, terms: Terms
) -> Offer:
    """Write the offer for the device of row `at`, with its lines and reasons."""
    cause, grade, column = str(found.cause[at]), Grade(found.grade[at]), int(columns[at])
    reason = _reason(cause, float(prospects.today[at, grade, FSD]), terms)
    plain = replace(_plain(CAUSES[cause], grade, terms, listed.policy), reasons=(reason,))
    if plain.decision != Decision.OFFER:
        return plain
    paid, propensity = int(found.paid_minor[at]), listed.propensity
    offered = replace(
        plain,
        amount=Money(paid, terms.currency),
        propensity=None if propensity is None else float(propensity[at, column]),
    )
    deal = Deal(listed=listed, at=at, column=column, paid=offered.amount)
    if listed.bargain is None:
        return replace(offered, lines=deal.lines())
    amount = float(offered.amount.amount)
    return replace(
        offered,
        lines=deal.lines(),
        accept_probability=deal.accepted(amount),
        expected_margin=deal.margin(amount),
        firmness=deal.firmness(),
    )


def _plain(decision: Decision, grade: Grade, terms: Terms, policy: str) -> Offer:
    """An offer of nothing."""
    return Offer(
        decision=decision,
        amount=Money(0, terms.currency),
        grade=grade,
        lines=(),
        reasons=(),
        terms_version=terms.version,
        valid_days=terms.quote_validity_days,
        policy=policy,
    )


def _reason(cause: str, fsd: float, terms: Terms) -> Reason:
    sentences = {
        "ESTIMATE_IMPOSSIBLE": "The estimate is no possible price: a person looks at it.",
        "ESTIMATE_UNCERTAIN": f"The estimate is too uncertain ({fsd:.0%}, at most {terms.max_fsd:.0%}): a person "
        "looks at it.",
        "DEVICE_UNKNOWN": "Too few devices like it were sold to promise a price: a person looks at it.",
        "EARNS_NOTHING": "For what it would bring, hardly any owner would give it away: a person looks at it.",
        "BUYING_STOPPED": "No price is promised at the moment: a person looks at it.",
        "MODEL_STALE": "What such devices sell for was learned too long ago to promise a price: a person looks at it.",
        "MARKET_FALLS": "Prices fall too fast to promise one: a person looks at it.",
        "EXPOSED": "Many such devices are on their way already: a person looks at it.",
        "BELOW_MINIMUM": f"After all costs less than {terms.minimum_offer} would be left to pay: it can be recycled "
        "free.",
        "FOR_PARTS": "It is sold for parts: that brings more than refurbishing it.",
        "REFURBISHED": "It is refurbished, repaired where needed, and sold again.",
    }
    return Reason(code=cause, sentence=sentences[cause])
