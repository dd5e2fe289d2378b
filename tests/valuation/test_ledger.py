from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from valuation import ledger, rules
from valuation.grades import Grade

AS_OF = date(2026, 1, 1)
SALE = {
    "sale_id": "s1",
    "sold_on": date(2025, 3, 1),
    "market": "DE",
    "currency": "EUR",
    "price": 419.0,
    "category": "smartphone",
    "brand": "Apple",
    "model": "iPhone 13",
    "grade": "GOOD",
}
DEVICE = {key: SALE[key] for key in ("market", "currency", "category", "brand", "model")}
LISTING = {
    **DEVICE,
    "listing_id": "l1",
    "grade": "GOOD",
    "listed_on": date(2025, 3, 1),
    "sold": False,
    "list_price": 439.0,
}
QUOTE = {
    **DEVICE,
    "quote_id": "q1",
    "quoted_at": datetime(2025, 3, 1, 9, 30, tzinfo=UTC),
    "condition": "FUNCTIONAL_GOOD",
    "offer": 240.0,
    "policy": "cost-plus",
    "randomised": False,
}
GOOD_ROWS = {"sales": SALE, "listings": LISTING, "quotes": QUOTE, "devices": {**DEVICE, "grade": "GOOD"}}


def audit(*rows, kind="sales", as_of=AS_OF, **more):
    frame = pl.DataFrame([{**GOOD_ROWS[kind], **row} for row in rows or ({},)], infer_schema_length=None)
    return ledger.audit(frame=frame, contract=ledger.CONTRACTS[kind], as_of=as_of, **more)


def broken(*rows, **more):
    return {(fault["column"], fault["rule"]) for fault in audit(*rows, **more).faults.iter_rows(named=True)}


@pytest.mark.parametrize("kind", ledger.CONTRACTS)
def test_a_good_row_of_every_table_has_no_fault(kind):
    found = audit({}, kind=kind)
    assert found.faults.is_empty()
    assert found.good["row"].to_list() == [1]


@pytest.mark.parametrize("contract", ledger.CONTRACTS.values(), ids=lambda contract: contract.kind)
def test_good_rows_have_the_columns_of_the_contract_in_their_types_and_order(contract):
    good = audit({}, kind=contract.kind).good
    assert good.schema == {
        **{column.name: ledger.DTYPES[column.kind] for column in contract.columns},
        "row": pl.Int64,
    }


@pytest.mark.parametrize("contract", ledger.CONTRACTS.values(), ids=lambda contract: contract.kind)
def test_a_null_is_a_fault_where_a_value_is_needed(contract):
    for column in contract.columns:
        if column.required:
            assert broken({column.name: None}, kind=contract.kind) == {(column.name, "value_given")}


def test_the_same_table_as_text_gives_the_same_good_rows():
    typed = pl.DataFrame(
        [{**SALE, "storage_gb": 128.0, "carrier_locked": True, "launched_on": date(2021, 9, 24)}]
    )
    text = typed.with_columns(pl.all().cast(pl.String))
    read = [ledger.audit(frame=one, contract=ledger.SALES, as_of=AS_OF).good for one in (typed, text)]
    assert read[0].equals(read[1])


def test_a_fault_names_row_column_rule_value_and_remedy():
    found = audit({}, {"sale_id": "s2", "grade": "Used"})
    fault = found.faults.row(0, named=True)
    assert (fault["row"], fault["column"], fault["rule"], fault["value"]) == (
        2,
        "grade",
        "grade_known",
        "Used",
    )
    assert all(grade.name in fault["remedy"] for grade in Grade)


def test_a_faulty_row_is_set_aside_whole_and_no_other_row_with_it():
    found = audit({}, {"sale_id": "s2", "price": -1.0, "grade": "Used"}, {"sale_id": "s3"})
    assert found.good["row"].to_list() == [1, 3]
    assert found.faults["row"].to_list() == [2, 2]


def test_good_and_faulty_rows_are_all_the_rows():
    prices = [1.0, 0.0, None, float("nan"), 2.0]
    found = audit(*({"sale_id": f"s{place}", "price": price} for place, price in enumerate(prices)))
    assert {*found.good["row"], *found.faults["row"]} == {1, 2, 3, 4, 5}
    assert not {*found.good["row"]} & {*found.faults["row"]}


def test_the_first_row_of_an_id_counts_and_later_ones_are_faults():
    found = audit({}, {"sale_id": "s2"}, {}, {})
    assert found.good["row"].to_list() == [1, 2]
    assert found.faults["row"].to_list() == [3, 4]


def test_missing_ids_are_not_duplicates_of_each_other():
    assert broken({"sale_id": None}, {"sale_id": None}, {}) == {("sale_id", "value_given")}


@pytest.mark.parametrize("price", [0.0, -1.0])
def test_a_price_is_above_zero(price):
    assert broken({"price": price}) == {("price", "amount_above_zero")}


@pytest.mark.parametrize("price", [float("nan"), float("inf"), "1e400", "NaN"])
def test_a_price_is_finite(price):
    assert broken({"price": price}) == {("price", "number_finite")}


@pytest.mark.parametrize("price", ["12,50", "£12", "0x10", "twelve", "1_0"])
def test_a_text_that_is_no_plain_number_is_a_fault(price):
    assert broken({"price": price}) == {("price", "number_readable")}


@pytest.mark.parametrize("day", ["01/03/2025", "2025-02-30", "20250301", "yesterday"])
def test_a_text_that_is_no_iso_date_is_a_fault(day):
    assert broken({"sold_on": day}) == {("sold_on", "date_readable")}


def test_numbers_may_come_as_integers_or_decimals():
    assert audit({"price": 12}).good["price"].to_list() == [12.0]
    assert audit({"price": Decimal("12.50")}).good["price"].to_list() == [12.5]


def test_an_id_may_come_as_an_integer():
    assert audit({"sale_id": 283805410427}).good["sale_id"].to_list() == ["283805410427"]


@pytest.mark.parametrize(("text", "value"), [("true", True), ("FALSE", False), ("1", True), (0, False)])
def test_a_bool_is_read_from_its_usual_spellings(text, value):
    assert audit({"carrier_locked": text}).good["carrier_locked"].to_list() == [value]


def test_a_blank_text_is_nothing_given():
    assert broken({"brand": "  "}) == {("brand", "value_given")}
    assert audit({"unit_id": ""}).good["unit_id"].to_list() == [None]


def test_an_instant_is_brought_to_utc():
    found = audit({"quoted_at": "2025-03-01T09:30:00+01:00"}, kind="quotes")
    assert found.good["quoted_at"].to_list() == [datetime(2025, 3, 1, 8, 30, tzinfo=UTC)]


def test_a_typed_instant_without_a_zone_is_utc():
    found = audit({"quoted_at": datetime(2025, 3, 1, 8, 30)}, kind="quotes")  # noqa: DTZ001
    assert found.good["quoted_at"].to_list() == [datetime(2025, 3, 1, 8, 30, tzinfo=UTC)]


def test_markets_are_the_249_countries_of_iso_3166_1():
    assert len(rules.MARKETS) == 249
    assert {"GB", "DE", "US", "PL", "SE", "FR", "MY", "SG", "TH"} <= set(rules.MARKETS)


@pytest.mark.parametrize("market", ["UK", "gb", "EU", "XK", "Germany", "ZZ"])
def test_a_market_that_is_no_country_is_a_fault(market):
    assert broken({"market": market}) == {("market", "market_is_a_country")}


@pytest.mark.parametrize(
    ("market", "currency", "sold_on", "legal"),
    [
        ("GB", "GBP", date(2020, 3, 10), True),
        ("GB", "EUR", date(2020, 3, 10), False),
        ("HR", "HRK", date(2022, 12, 31), True),
        ("HR", "EUR", date(2022, 12, 31), False),
        ("HR", "EUR", date(2023, 1, 1), True),
        ("HR", "HRK", date(2024, 1, 1), False),
    ],
)
def test_the_currency_is_the_markets_on_the_day_of_the_sale(market, currency, sold_on, legal):
    faults = broken({"market": market, "currency": currency, "sold_on": sold_on})
    assert faults == (set() if legal else {("currency", "currency_of_the_market")})


def test_a_sale_before_the_launch_is_legal_because_people_order_ahead():
    assert not broken({"sold_on": date(2020, 9, 16), "launched_on": date(2020, 11, 12)})


@pytest.mark.parametrize("launched_on", [date(1969, 12, 31), date(2027, 3, 2)])
def test_a_launch_before_1970_or_two_years_after_the_sale_is_absurd(launched_on):
    assert broken({"launched_on": launched_on}) == {("launched_on", "launch_plausible")}


def test_the_day_of_the_audit_itself_is_not_the_future():
    assert not broken({"sold_on": AS_OF})
    assert broken({"sold_on": date(2026, 1, 2)}) == {("sold_on", "not_in_the_future")}


def test_without_a_day_of_audit_no_row_is_in_the_future():
    assert not broken({"sold_on": date(2099, 1, 1)}, as_of=None)


def test_an_open_listing_has_no_end():
    assert audit({"ended_on": None}, kind="listings").good["ended_on"].to_list() == [None]
    assert broken({"ended_on": date(2027, 1, 1)}, kind="listings") == {("ended_on", "not_in_the_future")}


def test_a_quote_is_drawn_with_a_positive_propensity_and_offers_nothing_negative():
    assert broken({"propensity": 0.0, "offer": -1.0}, kind="quotes") == {
        ("propensity", "propensity_above_zero"),
        ("offer", "amount_not_negative"),
    }


def test_a_device_needs_its_grade_or_its_condition():
    states = [{"grade": "GOOD"}, {"grade": None, "condition": "FUNCTIONAL_GOOD"}, {"grade": None}]
    found = audit(*({"condition": None, **state} for state in states), kind="devices")
    assert found.faults.select("row", "rule").rows() == [(3, "state_given")]


def test_devices_may_come_with_a_condition_column_alone():
    row = {**DEVICE, "condition": "FUNCTIONAL_GOOD"}
    found = ledger.audit(frame=pl.DataFrame([row]), contract=ledger.DEVICES, as_of=None)
    assert found.good["grade"].to_list() == [None]


def test_devices_without_grade_and_condition_columns_are_refused():
    with pytest.raises(ledger.LedgerError, match="lacks grade or condition"):
        ledger.audit(frame=pl.DataFrame([DEVICE]), contract=ledger.DEVICES, as_of=None)


def test_a_table_without_a_column_is_refused_by_its_name():
    with pytest.raises(ledger.LedgerError, match="lacks price, model"):
        ledger.audit(frame=pl.DataFrame([SALE]).drop("price", "model"), contract=ledger.SALES, as_of=AS_OF)


def test_a_table_without_a_row_is_refused():
    with pytest.raises(ledger.LedgerError, match="no row"):
        ledger.audit(frame=pl.DataFrame([SALE]).clear(), contract=ledger.SALES, as_of=AS_OF)


@pytest.mark.parametrize(
    ("column", "value"), [("price", True), ("price", date(2025, 1, 1)), ("brand", 1.5), ("sold_on", 20_000)]
)
def test_a_column_whose_type_cannot_hold_its_values_is_refused(column, value):
    with pytest.raises(ledger.LedgerError, match=f"{column} is"):
        audit({column: value})


ATTRIBUTES = {
    "ram_gb": ledger.Attribute(name="ram_gb", direction="+", kind="number"),
    "colour": ledger.Attribute(name="colour", direction="none", kind="text"),
}


def test_declared_attributes_join_the_good_rows_and_other_columns_do_not():
    good = audit({"ram_gb": 16, "colour": "red", "note": "x"}, attributes=ATTRIBUTES).good
    assert good.columns[-3:] == ["ram_gb", "colour", "row"]
    assert good.select("ram_gb", "colour").rows() == [(16.0, "red")]


def test_an_attribute_may_be_null_but_not_nonsense():
    assert not broken({"ram_gb": None, "colour": None}, attributes=ATTRIBUTES)
    assert broken({"ram_gb": "lots", "colour": "red"}, attributes=ATTRIBUTES) == {
        ("ram_gb", "number_readable")
    }


def test_a_declared_attribute_that_the_table_lacks_is_refused():
    with pytest.raises(ledger.LedgerError, match="lacks colour"):
        audit({"ram_gb": 16}, attributes=ATTRIBUTES)


def test_a_long_value_is_shown_shortened():
    assert audit({"grade": "x" * 10_000}).faults["value"].str.len_chars().to_list() == [
        ledger.LONGEST_VALUE_SHOWN
    ]
