"""Learning owners: from what was drawn, checked on what came later, and nothing where there is too little."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from training import owning, screen
from training.owning import Asked
from valuation import package
from valuation.appraiser import Appraiser
from valuation.inspection import CONDITIONS
from valuation.owners import Owners


@pytest.fixture(scope="module")
def told(quotes: pl.DataFrame, appraiser: Appraiser) -> Asked:
    return owning.asked(quotes=quotes, appraiser=appraiser, sold_in="marketplace")


def test_owners_are_learned_and_checked_on_later_quotes(
    quotes: pl.DataFrame, sales: pl.DataFrame, appraiser: Appraiser, capsys: pytest.CaptureFixture[str]
) -> None:
    lesson = owning.learn(quotes=quotes, sales=sales, appraiser=appraiser)
    assert lesson.owners is not None
    screen.lesson(lesson)
    assert (
        f"from 10,000 quotes, {lesson.owners.acceptance.quotes:,} of them drawn by" in capsys.readouterr().out
    )
    assert lesson.check is not None
    assert lesson.policy == "expected-margin"
    assert lesson.check.n >= owning.FEWEST_HELD
    assert json.loads(json.dumps(lesson.to_json()))["drawn"] == lesson.owners.acceptance.quotes


def test_too_few_drawn_quotes_leave_offers_at_cost_plus_and_say_why(
    quotes: pl.DataFrame, sales: pl.DataFrame, appraiser: Appraiser
) -> None:
    none = quotes.with_columns(randomised=pl.lit(value=False))
    lesson = owning.learn(quotes=none, sales=sales, appraiser=appraiser)
    assert (lesson.owners, lesson.check, lesson.policy) == (None, None, "cost-plus")
    assert "0 were answered offers drawn by chance" in lesson.reasons[0]


def test_chances_in_place_of_densities_leave_offers_at_cost_plus_and_say_why(
    quotes: pl.DataFrame, sales: pl.DataFrame, appraiser: Appraiser
) -> None:
    chances = quotes.with_columns(propensity=pl.when("randomised").then(0.5))
    lesson = owning.learn(quotes=chances, sales=sales, appraiser=appraiser)
    assert (lesson.owners, lesson.policy) == (None, "cost-plus")
    assert "could not average more than 1" in lesson.reasons[0]


def test_acceptance_that_tells_less_than_one_chance_for_all_is_not_used(told: Asked) -> None:
    """Answers of the early quotes that are the reverse of the later ones."""
    drawn = told.quotes["randomised"]
    late = pl.int_range(pl.len()) >= int(told.quotes.height * 0.7)
    turned = told.quotes.with_columns(accepted=pl.when(late).then("accepted").otherwise(~pl.col("accepted")))
    check = owning.checked(replace(told, quotes=turned))
    assert drawn.sum() > 400
    assert not check.passed
    assert "one chance for all tells better" in check.reasons[0]


def test_the_mixture_of_true_conditions_takes_what_those_who_declare_one_take(
    told: Asked, owners: Owners
) -> None:
    offer = told.quotes["offer"].to_numpy()
    least = owners.acceptance.least_by_condition(devices=told.owners, flawless=told.flawless)
    takes = np.array(
        [owners.acceptance.probability(offer=offer, least=least[:, place]) for place in range(6)]
    )
    chance = owners.inspection.by_declared(categories=told.owners["category"].to_list())
    declared = told.owners["condition"].replace_strict(
        {str(condition): place for place, condition in enumerate(CONDITIONS)}
    )
    mixed = (chance[np.arange(len(offer)), declared.to_numpy()] * takes.T).sum(axis=1)
    drawn = told.quotes["randomised"].to_numpy() & told.quotes["accepted"].is_not_null().to_numpy()
    happened = told.quotes["accepted"].cast(pl.Float64).to_numpy()[drawn].mean()
    assert mixed[drawn].mean() == pytest.approx(happened, abs=0.02)


def test_the_channel_is_that_of_most_of_what_was_bought(quotes: pl.DataFrame, sales: pl.DataFrame) -> None:
    bought = quotes.drop_nulls("sale_id")["sale_id"]
    told = pl.DataFrame({"sale_id": bought, "channel": ["shop"] * (len(bought) - 3) + ["auction"] * 3})
    assert owning.resold_in(quotes=quotes, sales=told) == "shop"
    assert owning.resold_in(quotes=quotes, sales=sales.filter(pl.lit(value=False))) is None


def test_owners_are_packed_with_the_appraiser(appraiser: Appraiser, owners: Owners, tmp_path: Path) -> None:
    package.save(appraiser=replace(appraiser, owners=owners), directory=tmp_path / "packed")
    opened = package.load(directory=tmp_path / "packed").owners
    assert opened is not None
    assert opened.acceptance == owners.acceptance
    assert opened.resold_in == owners.resold_in
    assert (opened.inspection.kept == owners.inspection.kept).all()
    assert opened.inspection.chances.keys() == owners.inspection.chances.keys()
    for category, chances in owners.inspection.chances.items():
        assert (opened.inspection.chances[category] == chances).all()


def test_an_older_device_is_never_taken_for_more_of_what_it_would_bring(owners: Owners) -> None:
    ages = list(owners.acceptance.shifts["age"].values())
    assert len(ages) == 9
    assert ages == sorted(ages, reverse=True)
