"""One invented market of every scenario, made once for all tests."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import polars as pl
import pytest

from training.simulator import market, scenario
from training.simulator.market import Market

SALES, SEED = 60_000, 3

Told = Callable[[str], pl.DataFrame]


@cache
def invented(name: str) -> Market:
    """The market of a scenario."""
    return market.simulate(scenario=name, sales=SALES, seed=SEED)


@pytest.fixture(params=scenario.names())
def any_market(request: pytest.FixtureRequest) -> Market:
    """The market of every scenario that there is, present and future."""
    return invented(request.param)


@pytest.fixture
def steady() -> Market:
    """The market without surprises."""
    return invented("steady")


@pytest.fixture
def with_truth(any_market: Market) -> Told:
    """The rows of a kind in every scenario, with the truth beside them; of the sales only the clean."""
    tables = {"sale": any_market.sales, "listing": any_market.listings, "quote": any_market.quotes}

    def beside(kind: str) -> pl.DataFrame:
        known = any_market.truth.filter(pl.col("kind") == kind, pl.col("dirt").is_null())
        own = known.drop("market", "currency", "kind")
        return tables[kind].join(own, left_on=f"{kind}_id", right_on="id", maintain_order="left")

    return beside
