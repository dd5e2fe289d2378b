"""Makes offers for tables of devices: page by page, each of one market and its terms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from training import devices as valuing
from training import intake
from training import mapping as mappings
from valuation import markets, money, offer
from valuation.appraisal import Prospects
from valuation.appraiser import Appraiser
from valuation.bargain import Bargain
from valuation.inspection import CONDITIONS, PLACES
from valuation.markets import Terms
from valuation.owners import Owners
from valuation.price_list import PriceList
from valuation.rows import Floats, Whole

ROWS = 400  # of a page: a price list is drawn up in all conditions
ANSWERS = ("decision", "offer", "accept_probability", "expected_margin", "policy", "reason", "fault")
_DIGITS = 18


@dataclass(frozen=True, kw_only=True)
class Page:
    """Some devices of one market: their `rows` in the table (k,), what they bring, their price list, and the column of
    the condition that each is declared in (k,).
    """

    rows: Whole
    columns: Whole
    terms: Terms
    prospects: Prospects
    listed: PriceList

    @property
    def declared(self) -> Bargain:
        """The bargain of each device as it was declared: (k,); owners are known."""
        if self.listed.bargain is None:
            raise ValueError("Nothing is known of owners: there is no bargain to look at.")
        return self.listed.bargain.at(np.arange(len(self.rows)) * len(CONDITIONS) + self.columns)

    @property
    def paid(self) -> Floats:
        """What is paid for each, 0 where nothing is offered: major units, (k,)."""
        return np.asarray(self.decided().paid_minor / 10 ** money.digits(self.terms.currency))

    def decided(self) -> offer.Decided:
        """The decisions."""
        return offer.decided(
            listed=self.listed, prospects=self.prospects, columns=self.columns, terms=self.terms
        )


def pages(
    *,
    devices: pl.DataFrame,
    appraiser: Appraiser,
    owners: Owners | None,
    adjusted: Callable[[Terms], Terms] = lambda terms: terms,
) -> Iterator[Page]:
    """Go through devices of the ledger, each on its day `on` and in its `condition`, by the terms of its market, or
    these `adjusted`.

    Raises MarketUnknown, TermsNotYetKnown where there are none.
    """
    days = devices.select("market", "on").unique(maintain_order=True)
    held = [markets.terms(market=market, on=on) for market, on in days.iter_rows()]
    known = days.with_columns(terms=pl.Series([terms.version for terms in held]))
    version = devices.join(known, on=("market", "on"), how="left", maintain_order="left")["terms"]
    by_version = {terms.version: terms for terms in held}
    for (of,), part in (
        pl.DataFrame({"terms": version}).with_row_index().group_by("terms", maintain_order=True)
    ):
        rows, terms = part["index"].to_numpy(), adjusted(by_version[str(of)])
        for first in range(0, len(rows), ROWS):
            yield _page(
                devices[rows[first : first + ROWS]], rows[first : first + ROWS], terms, appraiser, owners
            )


def _page(
    devices: pl.DataFrame, rows: Whole, terms: Terms, appraiser: Appraiser, owners: Owners | None
) -> Page:
    days = np.array([terms.days_until_sold(category) for category in devices["category"]])
    prospects = appraiser.prospects(devices=devices, days=days, owners=owners)
    return Page(
        rows=rows,
        columns=devices["condition"].replace_strict(PLACES, return_dtype=pl.Int64).to_numpy(),
        terms=terms,
        prospects=prospects,
        listed=offer.listing(prospects=prospects, terms=terms, owners=owners),
    )


def table(*, devices: pl.DataFrame, appraiser: Appraiser) -> pl.DataFrame:
    """Offer for devices as of `pages`: ANSWERS but for the fault, row by row.

    The offer is a decimal in major units; what is not known without owners is null.
    """
    found = [_told(page) for page in pages(devices=devices, appraiser=appraiser, owners=appraiser.owners)]
    told = pl.concat(found) if found else pl.DataFrame(schema={"row": pl.Int64, **_SCHEMA})
    return told.sort("row").drop("row")


_SCHEMA: dict[str, Any] = {
    "decision": pl.String,
    "offer": pl.Decimal(_DIGITS, 2),
    "accept_probability": pl.Float64,
    "expected_margin": pl.Float64,
    "policy": pl.String,
    "reason": pl.String,
}


def _told(page: Page) -> pl.DataFrame:
    decided = page.decided()
    paid = page.paid
    taken, margin = _at(page, paid) if page.listed.bargain else (np.full(len(paid), np.nan),) * 2
    return pl.DataFrame(
        {
            "row": page.rows.astype(np.int64),
            "decision": [str(decision) for decision in decided.decision],
            "offer": pl.Series(paid).cast(pl.Decimal(_DIGITS, 2)),
            "accept_probability": pl.Series(taken).fill_nan(None),
            "expected_margin": pl.Series(margin).fill_nan(None),
            "policy": page.listed.policy,
            "reason": decided.cause.astype(np.str_),
        },
        schema={"row": pl.Int64, **_SCHEMA},
    )


def _at(page: Page, paid: Floats) -> tuple[Floats, Floats]:
    """The chance that each offer is taken and what making it earns; nothing where nothing is offered."""
    bargain, made = page.declared, paid > 0
    asked = np.where(made, paid, 1.0)
    return np.where(made, bargain.accepted(asked), 0.0), np.where(made, bargain.margin(asked), 0.0)


def offer_for(
    *, path: Path, on: date, appraiser: Appraiser, mapping: mappings.Mapping | None
) -> pl.DataFrame:
    """Make offers for the devices of a file as devices.appraise reads it, with a `condition` in each row.

    Returns the columns of the file and ANSWERS; a row with a fault has no offer and says why in `fault`. Raises
    IntakeError where there is no such column at all.
    """
    _refuse_without_condition(path, mapping)
    read = valuing.read(path=path, on=on, appraiser=appraiser, mapping=mapping)
    faulty = pl.concat([read.complaints, _unquotable(read.devices)])
    quotable = read.devices.join(faulty, on="row", how="anti")
    answers = pl.concat(
        [quotable.select("row"), table(devices=quotable, appraiser=appraiser)], how="horizontal"
    )
    return read.answered(answers=answers, complaints=faulty, names=ANSWERS)


def _refuse_without_condition(path: Path, mapping: mappings.Mapping | None) -> None:
    """A grade says what a device is sold as, not what its owner declares."""
    if "condition" not in {
        *intake.scan(path).collect_schema().names(),
        *(mapping.columns if mapping else ()),
    }:
        raise intake.IntakeError(
            f"{path} lacks condition, which offers rest on: add a column with one of {', '.join(CONDITIONS)} in each "
            "row, or name its source in a mapping file."
        )


def _unquotable(devices: pl.DataFrame) -> pl.DataFrame:
    """Say which rows no offer can be made for: row, fault."""
    known = ", ".join(markets.markets())
    return pl.concat(
        [
            devices.filter(pl.col("condition").is_null()).select(
                "row", fault=pl.lit(f"condition: is null; write one of {', '.join(CONDITIONS)}")
            ),
            devices.filter(~_has_terms(devices)).select(
                "row", fault=pl.format("no terms in {} on {}; there are some in " + known, "market", "on")
            ),
        ]
    )


def _has_terms(devices: pl.DataFrame) -> pl.Series:
    """Which rows are of a market that has terms, in its currency, on their day: (n,)."""
    told = devices.select("market", "on", "currency").iter_rows()
    return pl.Series([_currency(market, on) == currency for market, on, currency in told], dtype=pl.Boolean)


def _currency(market: str, on: date) -> str | None:
    try:
        return markets.terms(market=market, on=on).currency
    except (markets.MarketUnknown, markets.TermsNotYetKnown):
        return None
