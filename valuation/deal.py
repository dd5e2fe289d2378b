"""The deal: what one device at one price comes to, itemised to the cent; and how firm it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from valuation import money
from valuation.bargain import Bargain
from valuation.grades import Condition, Reason
from valuation.inspection import CONDITIONS
from valuation.money import Money
from valuation.price_list import PriceList
from valuation.rows import Floats

LABELS: Mapping[str, str] = MappingProxyType(
    {
        "RESALE": "Expected resale price",
        "COMMISSION": "Marketplace commission",
        "REFURBISHMENT": "Refurbishment and repair",
        "PARTS": "Spare parts",
        "ACCESSORIES": "Accessories that are missing",
        "SHIPPING": "Shipping, both ways",
        "RETURNS": "Devices that buyers send back",
        "WARRANTY": "Warranty",
        "HOLDING": "Holding it until it sells",
        "PRICE_LOCK": "Keeping this price for you",
        "PAYMENT": "Paying you",
        "UNCERTAINTY": "Uncertain resale price",
        "INSPECTION": "What inspections of such devices find",
        "MARGIN": "Margin",
        "VAT_ON_MARGIN": "VAT on the margin",
        "ROUNDING": "Rounding to what is paid",
    }
)
FOUND: Mapping[Condition, str] = MappingProxyType(
    {
        Condition.FUNCTIONAL_FLAWLESS: "no wear",
        Condition.FUNCTIONAL_GOOD: "light wear",
        Condition.FUNCTIONAL_USED: "visible wear, or a battery that holds too little",
        Condition.FUNCTIONAL_CRACKED: "a crack or a break",
        Condition.NOT_FUNCTIONAL_USED: "something that does not work",
        Condition.NOT_FUNCTIONAL_CRACKED: "a crack, and something that does not work",
    }
)
CUT = 0.995  # of an offer: what is left of more is no cut
RARE = 0.005  # of those who took such an offer: fewer are no usual reason
MOST_REASONS = 3


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of an itemised offer: what is taken off the resale price is negative."""

    code: str
    label: str
    amount: Money


@dataclass(frozen=True, kw_only=True)
class Firmness:
    """How firm an offer is among those who took one like it: the share that was paid in full, the mean of what was
    paid in the end, and what was found where it was less, the most usual first.
    """

    paid_in_full_share: float
    expected_final: Money
    usual_reasons: tuple[Reason, ...]


@dataclass(frozen=True, kw_only=True)
class Deal:
    """A device, the row `at` of a price list, declared in the condition of a `column`, for what is paid."""

    listed: PriceList
    at: int
    column: int
    paid: Money

    def lines(self) -> tuple[Line, ...]:
        """The resale price, what is taken off it to the nearest minor unit, and what rounding leaves over.

        The margin, and what is held against what inspections find, are those of the price sought; the tax is that of
        the price paid.
        """
        sold, place = self.listed.proceeds, (self.at, self.column)
        sought = float(self.listed.sought[place])
        taken = {code: float(amounts[place]) for code, amounts in sold.deductions.items()}
        declared = self._declared(sold.earned, sought)
        if self._bargain is None:
            taken["MARGIN"] = declared
        else:
            taken["MARGIN"] = self.margin(sought) / self.accepted(sought)
            taken["INSPECTION"] = declared - taken["MARGIN"]
        taken["VAT_ON_MARGIN"] = self._declared(sold.tax, self._major)
        minors = {code: -self._minor(taken[code]) for code in LABELS if code in taken}
        minors = {"RESALE": self._minor(float(sold.resale[place])), **minors}
        minors["ROUNDING"] = self.paid.minor - sum(minors.values())
        return tuple(
            Line(code=code, label=LABELS[code], amount=Money(minor, self.paid.currency))
            for code, minor in minors.items()
        )

    def _declared(self, of: Callable[[Floats], Floats], paid: float) -> float:
        """What it comes to where the device is as declared."""
        every = np.full((*self.listed.sought.shape, 1), paid)
        return float(of(every)[self.at, self.column, 0])

    def accepted(self, paid: float) -> float:
        """The chance that an offer of so much is taken; owners are known."""
        return float(self._known.accepted(np.array([paid]))[0])

    def margin(self, paid: float) -> float:
        """What making such an offer earns in the mean, taken or not, in major units; owners are known."""
        return float(self._known.margin(np.array([paid]))[0])

    def firmness(self) -> Firmness:
        """How firm the price is; owners are known."""
        bargain, offer = self._known, np.array([[self._major]])
        among = bargain.chance[0] * bargain.takes(offer)[0, :, 0]
        among = among / among.sum()
        cut = bargain.cut[0]
        final = self._minor(self._major * float((among * cut).sum()))
        return Firmness(
            paid_in_full_share=float(among[cut >= CUT].sum()),
            expected_final=Money(final, self.paid.currency),
            usual_reasons=_usual(among, cut),
        )

    @property
    def _known(self) -> Bargain:
        if self._bargain is None:
            raise ValueError(
                "Nothing is known of owners: draw offers, and learn from them (retrain --quotes)."
            )
        return self._bargain

    @cached_property
    def _bargain(self) -> Bargain | None:
        row = self.at * len(CONDITIONS) + self.column
        return self.listed.bargain and self.listed.bargain.at(slice(row, row + 1))

    @property
    def _major(self) -> float:
        return float(self.paid.amount)

    def _minor(self, amount: float) -> int:
        return money.nearest_minor(amount, self.paid.currency)


def _usual(among: Floats, cut: Floats) -> tuple[Reason, ...]:
    """What lowers such offers, the most usual first."""
    lowering = [place for place in np.argsort(-among) if cut[place] < CUT and among[place] >= RARE]
    return tuple(
        Reason(
            code=CONDITIONS[place],
            sentence=f"In {among[place]:.1%} of such devices {FOUND[CONDITIONS[place]]} was found.",
        )
        for place in lowering[:MOST_REASONS]
    )
