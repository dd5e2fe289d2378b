"""The whole grid: for every device of the catalogue, market and condition, what is paid is what the list leaves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from valuation import deal, ledger, markets, money, offer
from valuation.appraiser import Appraiser
from valuation.catalogue import Catalogue
from valuation.deal import Deal
from valuation.grades import Grade
from valuation.inspection import CONDITIONS
from valuation.markets import Terms
from valuation.money import Money
from valuation.owners import Owners
from valuation.price_list import PriceList
from valuation.proceeds import SOLD_AS

EURO_IN = {"EUR": 1.0, "GBP": 0.87, "USD": 1.1, "PLN": 4.3, "SEK": 11.3}  # about, in 2025
CUSTOMS = {"DE": "EU", "FR": "EU", "PL": "EU", "SE": "EU", "GB": "GB", "US": "US"}


@pytest.fixture(scope="module", params=["cost-plus", "expected-margin"])
def grid(
    request: pytest.FixtureRequest, appraiser: Appraiser, owners: Owners
) -> list[tuple[pl.DataFrame, Terms, PriceList, np.ndarray]]:
    """Devices, terms, price list and what is paid in minor units (n, 6), by market."""
    known = owners if request.param == "expected-margin" else None
    return list(_grid(appraiser, known))


def _grid(
    appraiser: Appraiser, owners: Owners | None
) -> Iterator[tuple[pl.DataFrame, Terms, PriceList, np.ndarray]]:
    for market in markets.markets():
        terms = markets.terms(market=market, on=appraiser.as_of)
        devices = _devices(appraiser, terms)
        days = np.array([terms.days_until_sold(category) for category in devices["category"]])
        prospects = appraiser.prospects(devices=devices, days=days, owners=owners)
        listed = offer.listing(prospects=prospects, terms=terms, owners=owners)
        paid = np.column_stack(
            [
                offer.decided(
                    listed=listed,
                    prospects=prospects,
                    columns=np.full(len(prospects), column),
                    terms=terms,
                ).paid_minor
                for column in range(len(CONDITIONS))
            ]
        )
        yield devices, terms, listed, paid


def _devices(appraiser: Appraiser, terms: Terms) -> pl.DataFrame:
    variants = [
        v for v in Catalogue.embedded().variants if v.launched_on and v.launched_on <= appraiser.as_of
    ]
    names = ("category", "brand", "model", "storage_gb", "launched_on")
    schema = {column.name: ledger.DTYPES[column.kind] for column in ledger.DEVICES.columns}
    told = {"market": terms.market, "currency": terms.currency, "grade": "GOOD", "on": appraiser.as_of}
    rows = [{name: getattr(variant, name) for name in names} | told for variant in variants]
    return pl.DataFrame([[row.get(name) for name in schema] for row in rows], schema=schema, orient="row")


def test_the_grid_is_whole(grid: list[tuple[pl.DataFrame, Terms, PriceList, np.ndarray]]) -> None:
    assert {terms.market for _, terms, _, _ in grid} == set(markets.markets())
    assert sum(paid.size for _, _, _, paid in grid) > 6 * 6 * 300
    assert all((paid > 0).any() for _, _, _, paid in grid)


def test_what_is_paid_is_at_most_the_resale_price_less_costs_tax_and_the_least_margin(
    grid: list[tuple[pl.DataFrame, Terms, PriceList, np.ndarray]],
) -> None:
    for _, terms, listed, paid in grid:
        major = paid / 10 ** money.digits(terms.currency)
        left = listed.proceeds.earned(major[:, :, None])[..., 0]
        least = float(terms.least_margin_share) * listed.proceeds.price
        made = paid > 0
        assert (left[made] >= least[made] - 0.005).all()
        assert (major[made] < listed.proceeds.resale[made]).all()
        assert (paid % terms.payable_step.minor == 0).all()
        assert (paid[made] >= terms.minimum_offer.minor).all()


def test_every_list_sums_to_the_cent(
    grid: list[tuple[pl.DataFrame, Terms, PriceList, np.ndarray]],
) -> None:
    for _, terms, listed, paid in grid:
        for row, column in zip(*np.nonzero(paid), strict=True):
            amount = Money(int(paid[row, column]), terms.currency)
            lines = Deal(listed=listed, at=int(row), column=int(column), paid=amount).lines()
            assert sum(line.amount.minor for line in lines) == amount.minor
            assert {line.code for line in lines} <= set(deal.LABELS)


@pytest.mark.parametrize("column", [0, 1, 2])
def test_no_round_trip_through_markets_and_currencies_earns(
    grid: list[tuple[pl.DataFrame, Terms, PriceList, np.ndarray]], appraiser: Appraiser, column: int
) -> None:
    """Bought in one market at the grade that a condition sells as, traded in as what it is in another.

    Who crosses a customs border pays the tax of the country that he comes to.
    """
    grade = Grade(SOLD_AS[column]).name
    for devices, bought, _, _ in grid:
        values = appraiser.appraise(devices=devices.with_columns(grade=pl.lit(grade)))
        price = _euros(values["p50"].to_numpy(), bought)
        for _, sold, _, paid in grid:
            border = float(sold.vat_rate) * (CUSTOMS[bought.market] != CUSTOMS[sold.market])
            got = _euros(paid[:, column] / 10 ** money.digits(sold.currency), sold)
            assert (got < price * (1 + border)).all(), (bought.market, sold.market)


def _euros(amounts: np.ndarray, terms: Terms) -> np.ndarray:
    return np.asarray(amounts / EURO_IN[terms.currency])
