"""Exploration: so many cells as the terms say, whoever asks, and none where it is off."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pytest

from valuation import exploration, markets

ON = date(2026, 5, 1)
TERMS = markets.terms(market="GB", on=ON)


def cells(terms: markets.Terms, seed: str = "s", days: int = 4_000) -> list[float | None]:
    return [
        exploration.drawn(
            brand="Apple", model="iPhone 13", on=ON + timedelta(days=day), terms=terms, seed=seed
        )
        for day in range(days)
    ]


@pytest.mark.parametrize("share", ["0.05", "0.10", "0.5"])
def test_the_share_of_cells_is_that_of_the_terms(share: str) -> None:
    found = cells(replace(TERMS, explored_share=Decimal(share)))
    drawn = np.mean([place is not None for place in found])
    assert abs(drawn - float(share)) < 4 * np.sqrt(float(share) * (1 - float(share)) / len(found))


def test_places_are_even_over_the_range() -> None:
    found = [place for place in cells(replace(TERMS, explored_share=Decimal(1))) if place is not None]
    counts, _ = np.histogram(found, bins=10, range=(0, 1))
    assert ((counts - 400) ** 2 / 400).sum() < 27.9  # chi-squared of 9 degrees, one in a thousand


def test_where_it_is_off_nothing_is_drawn() -> None:
    assert set(cells(replace(TERMS, explored_share=Decimal(0)))) == {None}
    off = [m for m in markets.markets() if not markets.terms(market=m, on=ON).explored_share]
    assert off == ["PL", "SE"]


def test_one_cell_has_one_draw_however_the_model_is_written_and_another_seed_another() -> None:
    every = replace(TERMS, explored_share=Decimal(1))
    told = {"on": ON, "terms": every, "seed": "s"}
    one = exploration.drawn(brand="Apple", model="iPhone 13", **told)  # type: ignore[arg-type]
    assert one == exploration.drawn(brand="APPLE", model="Apple  iPhone 13", **told)  # type: ignore[arg-type]
    assert one != exploration.drawn(brand="Apple", model="iPhone 14", **told)  # type: ignore[arg-type]
    assert cells(every, "s", 5) != cells(every, "t", 5)
