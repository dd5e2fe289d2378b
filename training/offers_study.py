"""Rehearses offers: learns before each window of days, makes offers for its quotes by several policies, and compares.

Amounts are in hundredths of what a flawless device usually brings in the currency of the quote, so that markets add up.
What a trade earned is told without reserves: commission, work, parts, shipping, returns, warranty, payment and tax.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import polars as pl

from training import accepting, drawing, fitting, offers, owning
from training.offers import Page
from training.owning import Asked
from training.settings import DEFAULTS, Settings
from valuation.appraiser import Appraiser
from valuation.bargain import Bargain
from valuation.deal import CUT
from valuation.inspection import PLACES
from valuation.ledger import Attribute
from valuation.markets import Terms
from valuation.owners import Owners
from valuation.rows import Floats, Whole

HISTORY, FLAT, COST_PLUS = "history", "flat 55 % of value", "cost-plus"
OBSERVED, LEARNED, FIFTH = "from all quotes", "expected margin", "expected margin, a fifth drawn"
POLICIES = (LEARNED, FIFTH, COST_PLUS, OBSERVED, FLAT, HISTORY)
FLAT_SHARE = 0.55
FEW = 5  # one in so many cells of drawn quotes is learned from by FIFTH
SETTLED_DAYS = 45  # from a quote until it is known what came of it: its validity, the parcel, the inspection
KNOWN_DAYS = 21  # and before a window, until most answers are known
STEP = 0.02  # of the log of an offer, over which slopes are told
TINY = 1e-9
LEAST = 0.01  # major units: nothing lower is an offer
OF_PRICE = ("COMMISSION", "RETURNS", "WARRANTY")  # deductions that are shares of the price
NO_DENSITY = 1e-3  # so low that all of what an offer lies from the usual one counts as drawn


class OffersStudyError(ValueError):
    """Quotes from which offers cannot be studied."""


@dataclass(frozen=True, kw_only=True)
class History:
    """The good rows of SALES, with their attributes, and of QUOTES."""

    sales: pl.DataFrame
    quotes: pl.DataFrame
    attributes: Mapping[str, Attribute]
    settings: Settings = DEFAULTS
    seed: int = 1

    def before(self, day: date) -> History:
        """What was known before a day: a quote whose answer came later is open."""
        quotes = self.quotes.filter(pl.col("quoted_at").dt.date() < day - timedelta(days=KNOWN_DAYS))
        late = (pl.col("accepted_at").dt.date() >= day).fill_null(value=False)
        return replace(
            self,
            sales=self.sales.filter(pl.col("sold_on") < day),
            quotes=quotes.with_columns(
                pl.when(late).then(None).otherwise(name).alias(name)
                for name in ("accepted", "inspected_condition", "final_amount", "sale_id")
            ),
        )


def windows(*, quotes: pl.DataFrame, window_days: int, origins: int) -> list[tuple[date, date]]:
    """Part the end of the quotes, as far as it is known what came of them, into windows [start, end), oldest first."""
    first, last = quotes.select(
        first=pl.col("quoted_at").min().dt.date(), last=pl.col("quoted_at").max().dt.date()
    ).row(0)
    end = last - timedelta(days=SETTLED_DAYS)
    starts = [end - timedelta(days=window_days * back) for back in range(origins, 0, -1)]
    if starts[0] - timedelta(days=window_days) < first:
        raise OffersStudyError(
            f"The quotes run from {first} to {last}: after {SETTLED_DAYS} days until it is known what came of them, "
            f"{origins} windows of {window_days} days leave less than one to learn from. Take fewer or shorter windows."
        )
    return [(start, start + timedelta(days=window_days)) for start in starts]


def rehearse(
    *, history: History, window_days: int, origins: int, progress: Callable[[str], None]
) -> pl.DataFrame:
    """Offer by every policy for the quotes of each window, after learning from what came before: one row per quote.

    Raises OffersStudyError, PropensityError, TooFewQuotesError, TooFewInspectionsError, TooFewSalesError.
    """
    parts = windows(quotes=history.quotes, window_days=window_days, origins=origins)
    found = [_window(history, *part, progress) for part in parts]
    common = [name for name in found[0].columns if all(name in part.columns for part in found)]
    return pl.concat(part.select(common) for part in found)


def policies(judged: pl.DataFrame) -> list[str]:
    """Those of POLICIES that offered for these rows."""
    return [name for name in POLICIES if f"offer of {name}" in judged.columns]


def _window(history: History, start: date, end: date, progress: Callable[[str], None]) -> pl.DataFrame:
    known = history.before(start)
    progress(f"learning from {known.sales.height:,} sales and {known.quotes.height:,} quotes before {start}")
    appraiser = fitting.fit(
        sales=known.sales,
        attributes=known.attributes,
        as_of=start,
        seed=known.seed,
        settings=known.settings,
    )
    day = pl.col("quoted_at").dt.date()
    quotes = history.quotes.filter((day >= start) & (day < end)).join(
        history.sales.select("sale_id", sold_for="price"), on="sale_id", how="left", maintain_order="left"
    )
    sold_in = owning.resold_in(quotes=known.quotes, sales=known.sales)
    late = owning.asked(quotes=quotes, appraiser=appraiser, sold_in=sold_in)
    early = owning.asked(quotes=known.quotes, appraiser=appraiser, sold_in=sold_in)
    for told in (early, late):
        drawing.checked(weight=_weights(told), cell=_cells(told))
    progress(f"offering for {late.quotes.height:,} quotes from {start}")
    found = judged(taught=taught(early), late=late, appraiser=appraiser)
    return found.with_columns(window=pl.lit(start))


def taught(told: Asked) -> dict[str, Owners | None]:
    """The owners that each policy knows of, who learned from the quotes; without FIFTH, where that has too few."""
    everything = told.quotes.with_columns(randomised=pl.lit(value=True), propensity=pl.lit(NO_DENSITY))
    found: dict[str, Owners | None] = {
        LEARNED: owning.fit(told),
        OBSERVED: owning.fit(replace(told, quotes=everything)),
        COST_PLUS: None,
    }
    with suppress(accepting.TooFewQuotesError):
        found[FIFTH] = owning.fit(replace(told, quotes=_some_cells(told)))
    return found


def _some_cells(told: Asked) -> pl.DataFrame:
    """The quotes, of which fewer cells of model and day count as drawn."""
    cell = told.owners.select(model=pl.col("model"), day=told.quotes["quoted_at"].dt.date()).hash_rows(seed=1)
    return told.quotes.with_columns(pl.col("randomised") & (cell % FEW == 0))


def judged(*, taught: Mapping[str, Owners | None], late: Asked, appraiser: Appraiser) -> pl.DataFrame:
    """What each policy offers for quotes, what it and the learned model say of it, and what came of the quotes."""
    devices = owning.devices(late.quotes)
    learned = taught[LEARNED]
    error = learned.acceptance.spread_error if learned else 0.0
    plain = list(
        offers.pages(devices=devices, appraiser=appraiser, owners=learned, adjusted=_without_reserves)
    )
    made = {name: _offered(devices, appraiser, owners) for name, owners in taught.items()}
    logged = np.maximum(late.quotes["offer"].to_numpy(), LEAST)
    value = _gathered(plain, lambda page: _declared_price(page))
    made |= {FLAT: FLAT_SHARE * value, HISTORY: logged}
    scale = 100 / _usual(late)
    told = {
        **{f"offer of {name}": offer for name, offer in made.items()},
        **{f"margin of {name}": _said(plain, made[name], Bargain.margin) * scale for name in made},
        **{f"wider of {name}": _wider(plain, made[name], logged, error) * scale for name in made},
        **{f"chance of {name}": _said(plain, made[name], Bargain.accepted) for name in made},
        "slope_told": _said(plain, made[LEARNED], slope),
        "in_full_told": _said(plain, logged, in_full),
        "price_told": _said(plain, logged, price_kept),
        "reward": _reward(plain, late.quotes) * scale,
        "weight": _weights(late),
        "scale": scale,
    }
    kept = late.quotes.select(
        "quote_id",
        "quoted_at",
        "market",
        "currency",
        "category",
        "condition",
        "offer",
        "accepted",
        "final_amount",
        "sold_for",
        "inspected_condition",
        drawn=accepting.answered(late.quotes),
        propensity="propensity",
        cell=_cells(late),
    )
    return kept.hstack(pl.DataFrame({name: np.asarray(values) for name, values in told.items()}))


def _weights(told: Asked) -> Floats:
    return drawing.weights(owners=told.owners, quotes=told.quotes, flawless=told.flawless)


def _cells(told: Asked) -> pl.Series:
    return drawing.cells(owners=told.owners, quotes=told.quotes)


def _without_reserves(terms: Terms) -> Terms:
    """The terms without what is kept back for what may happen: for what a trade earned."""
    nothing = Decimal(0)
    return replace(terms, price_lock_used=nothing, uncertainty_share=nothing, capital_share_per_day=nothing)


def _offered(devices: pl.DataFrame, appraiser: Appraiser, owners: Owners | None) -> Floats:
    """What is paid for each device, 0 where nothing is offered: major units, (n,)."""
    pages = offers.pages(devices=devices, appraiser=appraiser, owners=owners)
    return _gathered(list(pages), lambda page: page.paid)


def _gathered(pages: Sequence[Page], of: Callable[[Page], Floats]) -> Floats:
    found = [(page.rows, of(page)) for page in pages]
    told = np.empty(sum(len(rows) for rows, _ in found))
    for rows, values in found:
        told[rows] = values
    return told


def _said(pages: Sequence[Page], paid: Floats, of: Callable[[Bargain, Floats], Floats]) -> Floats:
    """What the learned bargain says of an offer for each device, 0 where nothing is offered: (n,)."""

    def said(page: Page) -> Floats:
        own = paid[page.rows]
        return np.where(own > 0, of(page.declared, np.maximum(own, LEAST)), 0.0)

    return _gathered(pages, said)


def _wider(pages: Sequence[Page], paid: Floats, logged: Floats, error: float) -> Floats:
    """The expected margin of each offer where what owners take is spread wider by an error of its log: (n,).

    What is taken of the offers that were made is known: so it is spread around those.
    """

    def said(page: Page) -> Floats:
        own, usual, bargain = paid[page.rows], np.log(logged[page.rows])[:, None], page.declared
        reserve = usual + (bargain.reserve - usual) * np.exp(error)
        wider = replace(bargain, reserve=reserve, spread=bargain.spread * np.exp(error))
        return np.where(own > 0, wider.margin(np.maximum(own, LEAST)), 0.0)

    return _gathered(pages, said)


def slope(bargain: Bargain, offer: Floats) -> Floats:
    """How fast the chance that an offer is taken rises with its log: (n,)."""
    high, low = (bargain.accepted(offer * np.exp(step)) for step in (STEP, -STEP))
    return np.asarray((high - low) / (2 * STEP))


def in_full(bargain: Bargain, offer: Floats) -> Floats:
    """The chance that who takes an offer is paid in full: (n,)."""
    taking = bargain.chance * bargain.takes(offer[:, None])[:, :, 0]
    return np.asarray((taking * (bargain.cut >= CUT)).sum(axis=1) / taking.sum(axis=1).clip(TINY))


def price_kept(bargain: Bargain, offer: Floats) -> Floats:
    """The mean price of the devices of those who take an offer, and what is left of it: (n,)."""
    keeping = bargain.chance * bargain.keeps(offer[:, None])[:, :, 0]
    sold = bargain.proceeds.price  # type: ignore[attr-defined]
    return np.asarray((keeping * sold).sum(axis=1) / keeping.sum(axis=1).clip(TINY))


def _declared_price(page: Page) -> Floats:
    at = np.arange(len(page.rows)), page.columns
    return np.asarray(page.listed.proceeds.resale[at])


def _usual(late: Asked) -> Floats:
    """What a flawless device usually brings in the currency of each quote: (n,)."""
    table = pl.DataFrame({"currency": late.quotes["currency"], "flawless": late.flawless})
    return table.select(pl.col("flawless").median().over("currency")).to_series().to_numpy()


def _reward(pages: Sequence[Page], quotes: pl.DataFrame) -> Floats:
    """What came of each quote, major units, NaN where it is not known yet: (n,).

    A device that is not sold yet counts as what such a one brings.
    """
    refused = quotes.select((~pl.col("accepted")).fill_null(value=False)).to_series().to_numpy()
    inspected = quotes["inspected_condition"].is_not_null().to_numpy() & ~refused
    true = quotes["inspected_condition"].fill_null("FUNCTIONAL_GOOD").replace_strict(PLACES).to_numpy()
    final, sold = (quotes[name].cast(pl.Float64).to_numpy() for name in ("final_amount", "sold_for"))

    def earned(page: Page) -> Floats:
        rows, bargain = page.rows, page.declared
        own = _earned(page, true[rows], final[rows], sold[rows])
        back = -bargain.back
        return np.select([refused[rows], ~inspected[rows]], [0.0, np.nan], np.where(np.isnan(own), back, own))

    return _gathered(pages, earned)


def _earned(page: Page, true: Whole, paid: Floats, price: Floats) -> Floats:
    """What devices earned that were found so, paid so much and sold for so much, or are not sold yet: (k,)."""
    sold, at = page.listed.proceeds, (np.arange(len(true)), true)
    expected = sold.price[at]
    kept = 1 - sum(sold.deductions[code][at] for code in OF_PRICE) / expected
    every = np.broadcast_to(paid[:, None, None], (*sold.price.shape, 1))
    unsold = sold.earned(every)[..., 0][at]
    tax = sold.vat * np.maximum(price - paid, 0)
    return np.where(np.isnan(price), unsold, sold.net[at] + (price - expected) * kept - tax - paid)
