"""Laws of every offer, on random devices, of both policies and in all markets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from tests.judge import ladders
from valuation import markets, money, offer
from valuation.appraisal import Prospects
from valuation.appraiser import Appraiser
from valuation.inspection import CONDITIONS
from valuation.owners import Owners
from valuation.price_list import BY_MARGIN, COST_PLUS

AT_ONCE = 500
SEED = 11


def walked(appraiser: Appraiser, steps: int) -> pl.DataFrame:
    """So many steps of devices that get better: see ladders.walks."""
    rng = np.random.default_rng(SEED)
    devices = ladders.draw(appraiser, devices=-(-steps // ladders.STEPS), rng=rng)
    quoted = devices.with_columns(market=pl.col("market").replace("ES", "FR"))
    return ladders.walks(quoted.filter(pl.col("market").is_in(markets.markets())))


def listed(
    appraiser: Appraiser, steps: pl.DataFrame, owners: Owners | None, **more: object
) -> Iterator[tuple[pl.DataFrame, Prospects, offer.PriceList, markets.Terms]]:
    """The price lists of these steps, market by market."""
    told = steps.with_columns(condition=pl.lit("FUNCTIONAL_GOOD"), grade=pl.lit("GOOD"))
    for (name,), part in told.partition_by("market", as_dict=True).items():
        terms = markets.terms(market=str(name), on=appraiser.as_of)
        days = np.array([terms.days_until_sold(category) for category in part["category"]])
        prospects = appraiser.prospects(devices=part, days=days, owners=owners)
        for first in range(0, part.height, AT_ONCE):
            at = slice(first, first + AT_ONCE)
            found = offer.listing(prospects=prospects.at(at), terms=terms, owners=owners, **more)  # type: ignore[arg-type]
            yield part[at], prospects.at(at), found, terms


def paid(found: offer.PriceList, terms: markets.Terms) -> np.ndarray:
    """What is paid in each condition, minor units: (n, 6)."""
    return np.floor(found.sought * 10 ** money.digits(terms.currency) / terms.payable_step.minor + 1e-9)


@pytest.fixture(scope="module", params=[COST_PLUS, BY_MARGIN])
def lists(request: pytest.FixtureRequest, appraiser: Appraiser, owners: Owners) -> pl.DataFrame:
    """What is paid at each of 5,000 steps in each condition, in payable steps."""
    return counted(appraiser, owners if request.param == BY_MARGIN else None, 5_000)


def counted(appraiser: Appraiser, owners: Owners | None, steps: int) -> pl.DataFrame:
    parts = []
    for rows, _, found, terms in listed(appraiser, walked(appraiser, steps), owners):
        assert found.policy == (BY_MARGIN if owners else COST_PLUS)
        assert (found.sought >= 0).all()
        assert (found.sought <= found.highest).all()
        made = paid(found, terms)
        parts.append(
            rows.select("device", "walk", "step").hstack(pl.DataFrame(made, schema=list(CONDITIONS)))
        )
    return pl.concat(parts)


def falls(lists: pl.DataFrame) -> dict[str, int]:
    """How often a better device is paid less, by walk, and a better condition."""
    found = {}
    for (walk,), part in lists.sort("device", "walk", "step").partition_by("walk", as_dict=True).items():
        fall = part.select((pl.col(c).diff() < 0).over("device") for c in CONDITIONS)
        found[str(walk)] = int(fall.sum().sum_horizontal()[0])
    made = lists.select(CONDITIONS).to_numpy()
    return found | {"condition": int((np.diff(made, axis=1) > 0).sum())}


def test_a_better_device_is_never_paid_less(lists: pl.DataFrame) -> None:
    assert falls(lists) == dict.fromkeys((*ladders.WALKS, ladders.LOOKED_UP, "condition"), 0)


@pytest.mark.soak
@pytest.mark.parametrize("policy", [COST_PLUS, BY_MARGIN])
def test_a_better_device_is_never_paid_less_of_100_000(
    appraiser: Appraiser, owners: Owners, policy: str
) -> None:
    lists = counted(appraiser, owners if policy == BY_MARGIN else None, 100_000)
    assert lists.height >= 90_000
    assert falls(lists) == dict.fromkeys((*ladders.WALKS, ladders.LOOKED_UP, "condition"), 0)
