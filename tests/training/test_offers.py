"""Offers for files of devices: one row out for each row in, as the customer would be offered."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from training import offers
from training.intake import IntakeError
from valuation import markets, offer
from valuation.appraiser import Appraiser
from valuation.grades import Condition, sold_as
from valuation.owners import Owners

ON = date(2026, 6, 1)
ROW = {
    "market": "FR",
    "currency": "EUR",
    "category": "smartphone",
    "brand": "Apple",
    "model": "iPhone 13",
    "storage_gb": 128,
    "condition": "FUNCTIONAL_GOOD",
    "battery_health": 0.88,
}


@pytest.fixture(scope="module")
def knowing(appraiser: Appraiser, owners: Owners) -> Appraiser:
    return replace(appraiser, owners=owners)


def offered(appraiser: Appraiser, folder: Path, *rows: dict[str, object]) -> pl.DataFrame:
    path = folder / "devices.csv"
    pl.DataFrame(list(rows), infer_schema_length=None).write_csv(path)
    return offers.offer_for(path=path, on=ON, appraiser=appraiser, mapping=None)


def test_there_is_one_row_for_each_in_order_with_the_columns_of_the_file(
    knowing: Appraiser, tmp_path: Path
) -> None:
    rows = [{**ROW, "note": f"n{number}", "condition": str(c)} for number, c in enumerate(Condition)]
    found = offered(knowing, tmp_path, *rows)
    assert found["note"].to_list() == [f"n{number}" for number in range(6)]
    assert found.columns == [*rows[0], *offers.ANSWERS]
    assert found["fault"].null_count() == 6
    assert found["offer"].to_list() == sorted(found["offer"].to_list(), reverse=True)


def test_a_file_is_offered_what_one_customer_is_offered(knowing: Appraiser, tmp_path: Path) -> None:
    rows = [{**ROW, "condition": str(condition)} for condition in Condition]
    terms = markets.terms(market="FR", on=ON)
    for row, told in zip(rows, offered(knowing, tmp_path, *rows).iter_rows(named=True), strict=True):
        device = {name: row[name] for name in ("category", "brand", "model", "battery_health")}
        outlook = knowing.outlook(
            device={**device, "storage_gb": 128.0},
            market="FR",
            currency="EUR",
            grade=sold_as(Condition(row["condition"])),
            on=ON,
            days_later=terms.days_until_sold("smartphone"),
        )
        one = offer.decided(
            listed=offer.listing(prospects=outlook.prospects, terms=terms, owners=knowing.owners),
            prospects=outlook.prospects,
            columns=pl.Series([list(Condition).index(Condition(row["condition"]))]).to_numpy(),
            terms=terms,
        )
        assert told["offer"] == Decimal(int(one.paid_minor[0])).scaleb(-2)
        assert told["decision"] == one.decision[0]


def test_without_owners_the_chance_is_not_known_and_the_policy_says_so(
    appraiser: Appraiser, knowing: Appraiser, tmp_path: Path
) -> None:
    (plain,) = offered(appraiser, tmp_path, ROW).iter_rows(named=True)
    (known,) = offered(knowing, tmp_path, ROW).iter_rows(named=True)
    assert (plain["policy"], plain["accept_probability"], plain["expected_margin"]) == (
        "cost-plus",
        None,
        None,
    )
    assert known["policy"] == "expected-margin"
    assert 0 < known["accept_probability"] < 1
    assert known["expected_margin"] > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"market": "IT"}, "no terms in IT on 2026-06-01; there are some in DE, FR, GB, PL, SE, US"),
        ({"condition": None, "grade": "GOOD"}, "condition: is null; write one of FUNCTIONAL_FLAWLESS"),
        ({"condition": "BROKEN"}, "condition_known: condition is BROKEN"),
        ({"currency": "USD"}, "currency_of_the_market: currency is USD"),
    ],
)
def test_a_row_that_cannot_be_offered_for_says_why_and_the_others_are(
    knowing: Appraiser, tmp_path: Path, change: dict[str, object], said: str
) -> None:
    wrong = {**ROW, "grade": None, **change}
    found = offered(knowing, tmp_path, {**ROW, "grade": None}, wrong)
    assert said in found["fault"][1]
    assert found["decision"].to_list() == ["OFFER", None]


def test_a_file_without_a_condition_is_refused_by_that_name(appraiser: Appraiser, tmp_path: Path) -> None:
    bare = {name: told for name, told in ROW.items() if name != "condition"}
    for row in (bare, {**bare, "grade": "GOOD"}):
        with pytest.raises(IntakeError, match=r"devices\.csv lacks condition, .* FUNCTIONAL_FLAWLESS"):
            offered(appraiser, tmp_path, row)


def test_a_file_may_have_columns_named_as_ours(knowing: Appraiser, tmp_path: Path) -> None:
    found = offered(knowing, tmp_path, {**ROW, "row": 7, "offer": "x", "reason": "y"})
    assert (found["row"].to_list(), found["decision"].to_list()) == (["7"], ["OFFER"])


def test_no_offer_is_made_that_earns_nothing(
    knowing: Appraiser, quotes: pl.DataFrame, tmp_path: Path
) -> None:
    asked = quotes.select(*(name for name in ROW if name != "battery_health")).head(600)
    found = offered(knowing, tmp_path, *asked.to_dicts())
    made = found.filter(pl.col("decision") == "OFFER")
    assert made.height > 300
    assert (made["expected_margin"] > 0).all()


def test_the_amounts_are_decimals(knowing: Appraiser, tmp_path: Path) -> None:
    found = offered(knowing, tmp_path, ROW)
    assert found.schema["offer"] == pl.Decimal(18, 2)
    found.write_csv(tmp_path / "out.csv")
    written = (tmp_path / "out.csv").read_text().splitlines()[1].split(",")
    assert written[9].endswith(".00")


def test_an_empty_file_has_no_offers(knowing: Appraiser) -> None:
    empty = pl.DataFrame(schema={"market": pl.String, "on": pl.Date})
    assert offers.table(devices=empty, appraiser=knowing).height == 0
