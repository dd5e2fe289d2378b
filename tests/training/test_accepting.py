"""Laws of acceptance: learned from drawn offers, it finds what owners take; from people's offers nobody can."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from training import accepting
from training.accepting import TooFewQuotesError
from valuation.acceptance import Acceptance

N, WITHIN, SPREAD = 8_000, 0.08, 0.25
TAKEN = {
    "FUNCTIONAL_FLAWLESS": 0.62,
    "FUNCTIONAL_USED": 0.50,
    "NOT_FUNCTIONAL_USED": 0.25,
}  # of flawless value
MARKETS = {"FR EUR": 1.0, "US USD": 0.9}


@dataclass(frozen=True)
class Drawn:
    """Quotes of an invented market: what the owners tell, the quotes, the value known, and what owners take."""

    owners: pl.DataFrame
    quotes: pl.DataFrame
    flawless: NDArray[np.float64]
    least: NDArray[np.float64]  # the median for such a device, by the value that is known


@pytest.fixture(scope="module")
def market() -> Drawn:
    """Who made the offers knew the device better than the value does, and owners know it too."""
    rng = np.random.default_rng(5)
    condition = rng.choice(list(TAKEN), N)
    where = rng.choice(list(MARKETS), N)
    flawless = np.exp(rng.normal(5.5, 0.7, N))
    more = 0.05 * rng.standard_normal(N)  # of the device's worth than the value tells
    share = np.array([TAKEN[c] for c in condition]) * np.array([MARKETS[m] for m in where])
    factor = rng.uniform(np.log1p(-WITHIN), np.log1p(WITHIN), N)
    offer = flawless * share * np.exp(more + factor + 0.02)
    least = flawless * share * np.exp(more + SPREAD * rng.standard_normal(N))
    return Drawn(
        owners=pl.DataFrame(
            {
                "condition": condition,
                "market": where,
                "category": "smartphone",
                "brand": rng.choice(["apple", "samsung"], N),
                "model": rng.choice([f"m{k}" for k in range(40)], N),
                "age_years": rng.uniform(0, 6, N),
            }
        ),
        quotes=pl.DataFrame(
            {
                "offer": offer,
                "randomised": True,
                "propensity": 1 / (np.log1p(WITHIN) - np.log1p(-WITHIN)),
                "accepted": offer >= least,
            }
        ),
        flawless=flawless,
        least=flawless * share,
    )


@pytest.fixture(scope="module")
def learned(market: Drawn) -> Acceptance:
    return accepting.fit(owners=market.owners, quotes=market.quotes, flawless=market.flawless)


def test_the_slope_is_found_though_the_offers_knew_more_than_the_value(learned: Acceptance) -> None:
    assert learned.spread == pytest.approx(SPREAD, rel=0.2)  # three standard errors at this many quotes
    assert learned.quotes == N


def test_what_owners_take_is_found_by_condition_and_market(market: Drawn, learned: Acceptance) -> None:
    found = learned.least(owners=market.owners, flawless=market.flawless)
    assert abs(np.median(np.log(found / market.least))) < 0.02
    assert np.std(np.log(found / market.least)) < 0.04


def test_a_higher_offer_is_never_less_likely_to_be_taken(market: Drawn, learned: Acceptance) -> None:
    least = learned.least(owners=market.owners, flawless=market.flawless)[:50]
    chances = [learned.probability(offer=share * least, least=least) for share in (0, 0.5, 0.9, 1, 1.1, 2)]
    assert (np.diff(chances, axis=0) >= 0).all()
    assert (chances[0] == 0).all()
    assert np.allclose(chances[3], 0.5)


def test_a_word_that_was_not_met_takes_what_all_take(market: Drawn, learned: Acceptance) -> None:
    strange = market.owners.head(1).with_columns(
        brand=pl.lit("nova"), model=pl.lit(None, pl.String), age_years=pl.lit(None, pl.Float64)
    )
    least = learned.least(owners=strange, flawless=market.flawless[:1])
    assert least == pytest.approx(market.least[:1], rel=0.1)


def test_offers_of_people_are_not_learned_from(market: Drawn) -> None:
    some = pl.int_range(pl.len()) < accepting.FEWEST_QUOTES - 1
    with pytest.raises(TooFewQuotesError, match=r"Of 8000 quotes, 99 were answered offers drawn by chance"):
        accepting.fit(
            owners=market.owners,
            quotes=market.quotes.with_columns(randomised=some),
            flawless=market.flawless,
        )


def test_an_open_quote_and_one_without_its_density_teach_nothing(market: Drawn) -> None:
    odd = pl.int_range(pl.len()) % 2 == 1
    half = market.quotes.with_columns(
        accepted=pl.when(odd).then(None).otherwise("accepted"),
        propensity=pl.when(pl.int_range(pl.len()) % 4 == 2).then(None).otherwise("propensity"),
    )
    learned = accepting.fit(owners=market.owners, quotes=half, flawless=market.flawless)
    assert learned.quotes == N // 4
