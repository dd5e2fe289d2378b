"""What a trade costs in an invented market: the terms of the real markets, as arrays by row of the shelf."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from valuation import markets
from valuation.grades import Condition
from valuation.markets import Terms
from valuation.money import Money
from valuation.rows import Floats

CONDITIONS = tuple(Condition)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """By row of the shelf (s,), amounts in major units; shares are of a resale price.

    `kept` of a price by who buys and resells (to wait costs what the device loses meanwhile, no more), `proceeds` of
    one by who only sells; holding per day; VAT of a margin; work by condition (s, 6), for parts (s,); other costs of
    one unit; sending one back; the step and the days of an offer.
    """

    kept: Floats
    proceeds: Floats
    holding_per_day: Floats
    vat_of_margin: Floats
    work: Floats
    parts_work: Floats
    unit: Floats
    shipping: Floats
    step: Floats
    valid_days: Floats

    @classmethod
    def of(cls, shelf: pl.DataFrame, on: date) -> Costs:
        """The costs of every row of the shelf, by the terms of its market on a day."""
        pairs = shelf.select("market", "category").unique(maintain_order=True)
        terms = {m: markets.terms(market=m, on=on) for m in pairs["market"].unique(maintain_order=True)}
        rows = [_row(terms[market], category) for market, category in pairs.iter_rows()]
        place = {pair: row for row, pair in enumerate(pairs.iter_rows())}
        at = [place[pair] for pair in shelf.select("market", "category").iter_rows()]
        return cls(**{name: np.array([row[name] for row in rows], dtype=np.float64)[at] for name in rows[0]})


def _row(terms: Terms, category: str) -> dict[str, object]:
    vat = float(terms.vat_rate / (1 + terms.vat_rate))
    sold = float(1 - terms.commission_share - terms.after_sale_share)
    return {
        "kept": sold,
        "proceeds": sold - vat,
        "holding_per_day": float(terms.holding_share_per_day),
        "vat_of_margin": vat,
        "work": [_major(terms.refurbishment[category][c] + terms.parts[category][c]) for c in CONDITIONS],
        "parts_work": _major(terms.parts_handling[category]),
        "unit": _major(terms.shipping[category]) + _major(terms.payment_fee),
        "shipping": _major(terms.shipping[category]),
        "step": _major(terms.payable_step),
        "valid_days": terms.quote_validity_days,
    }


def _major(amount: Money) -> float:
    return float(amount.amount)
