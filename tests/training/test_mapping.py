from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from training import mapping
from valuation import ledger

MAPPINGS = Path(__file__).parents[2] / "notebooks" / "mappings"
SALE = {
    "sale_id": "s1",
    "sold_on": "2025-03-01",
    "market": "GB",
    "currency": "GBP",
    "price": "419.00",
    "category": "laptop",
    "brand": "Dell",
    "model": "XPS 13",
    "grade": "GOOD",
}


def written(tmp_path, text):
    file = tmp_path / "map.toml"
    file.write_text(text, "utf-8")
    return file


def problems_of(tmp_path, text):
    with pytest.raises(mapping.MappingError) as error:
        mapping.load(written(tmp_path, text))
    return error.value.problems


def mapped(tmp_path, text, *rows):
    """The rows, each SALE with these cells, as the mapping file reads them."""
    table = pl.DataFrame([{**SALE, **row} for row in rows], infer_schema_length=None).lazy()
    chosen = mapping.load(written(tmp_path, text))
    return mapping.apply(table=table, mapping=chosen, contract=ledger.SALES).collect()


def misfits(tmp_path, text, **cells):
    with pytest.raises(mapping.MappingError) as error:
        mapped(tmp_path, text, cells)
    return error.value.problems


def storage(tmp_path, reading, *cells):
    text = f"[columns]\nstorage_gb = {reading}"
    return mapped(tmp_path, text, *({"size": cell} for cell in cells))["storage_gb"].to_list()


def model(tmp_path, reading, *cells):
    return mapped(tmp_path, f"[columns]\nmodel = {reading}", *({"cell": cell} for cell in cells))[
        "model"
    ].to_list()


def test_a_column_is_renamed(tmp_path):
    assert model(tmp_path, '{ from = "cell" }', "T490") == ["T490"]


def test_a_column_that_the_file_does_not_mention_keeps_its_name_and_value(tmp_path):
    assert mapped(tmp_path, "", {})["price"].to_list() == ["419.00"]


def test_a_constant_fills_every_row(tmp_path):
    assert model(tmp_path, '{ value = "X" }', "a", "b") == ["X", "X"]


def test_the_first_source_that_holds_something_wins(tmp_path):
    rows = [{"a": None, "b": "2"}, {"a": " ", "b": "2"}, {"a": "1", "b": "2"}]
    found = mapped(tmp_path, '[columns]\nmodel = { from = ["a", "b"] }', *rows)
    assert found["model"].to_list() == ["2", "2", "1"]


def test_the_first_reading_that_finds_something_wins_and_a_constant_ends_the_list(tmp_path):
    reading = (
        """[{ from = "cell", text = '(T\\d+)' }, { from = "cell", text = '(X\\d+)' }, { value = "?" }]"""
    )
    assert model(tmp_path, reading, "X1 T490", "X230", "blade", None) == ["T490", "X230", "?", "?"]


@pytest.mark.parametrize(
    ("cell", "gb"),
    [("16 GB", 16), ("512gb SSD", 512), ("1TB", 1024), ("1.5 tb", 1536), ("none", None), ("9 PB", None)],
)
def test_a_number_is_taken_out_of_text_in_its_unit(tmp_path, cell, gb):
    reading = r"""{ from = "size", number = '(\d+(?:\.\d)?) ?(gb|tb|pb)', units = { GB = 1, TB = 1024 } }"""
    assert storage(tmp_path, reading, cell) == [gb]


def test_patterns_are_tried_in_order_of_preference(tmp_path):
    reading = r"""{ from = "size", number = ['(\d+)GB SSD', '(\d+)GB'] }"""
    assert storage(tmp_path, reading, "500GB HDD 256GB SSD", "500GB HDD") == [256, 500]


def test_the_first_pattern_found_gives_its_constant(tmp_path):
    reading = """{ from = "cell", match = [["alienware", "Alienware"], ["dell|alien", "Dell"]] }"""
    assert model(tmp_path, reading, "DELL Alienware", "dell", "hp") == ["Alienware", "Dell", None]


def test_a_word_is_translated_and_an_unknown_word_stays_to_become_a_fault(tmp_path):
    text = '[columns]\ngrade = { from = "state", words = { "Used" = "FAIR" } }'
    found = mapped(tmp_path, text, {"state": "Used"}, {"sale_id": "s2", "state": "Battered"})
    faults = ledger.audit(frame=found, contract=ledger.SALES, as_of=None).faults
    assert found["grade"].to_list() == ["FAIR", "Battered"]
    assert faults.select("row", "column", "value").rows() == [(2, "grade", "Battered")]


def test_a_date_is_read_in_its_format_and_what_does_not_fit_stays_to_become_a_fault(tmp_path):
    text = '[columns]\nsold_on = { from = "day", date = "%d.%m.%Y" }'
    found = mapped(tmp_path, text, {"day": "01.03.2025"}, {"sale_id": "s2", "day": "March 1st"})
    audit = ledger.audit(frame=found, contract=ledger.SALES, as_of=None)
    assert audit.good["sold_on"].to_list() == [date(2025, 3, 1)]
    assert audit.faults.select("rule", "value").rows() == [("date_readable", "March 1st")]


def test_a_typed_date_needs_no_format(tmp_path):
    text = '[columns]\nsold_on = { from = "day", date = "%d.%m.%Y" }'
    assert mapped(tmp_path, text, {"day": date(2025, 3, 1)})["sold_on"].to_list() == [date(2025, 3, 1)]


@pytest.mark.parametrize(("case", "told"), [("lower", "xps 13"), ("upper", "XPS 13"), ("title", "Xps 13")])
def test_the_case_is_changed_where_asked(tmp_path, case, told):
    assert model(tmp_path, f'{{ from = "cell", case = "{case}" }}', "xPS 13") == [told]


def test_spaces_around_a_cell_do_not_count(tmp_path):
    assert model(tmp_path, '{ from = "cell" }', "  XPS 13 ") == ["XPS 13"]


def test_an_attribute_is_declared_with_direction_and_kind(tmp_path):
    text = '[attributes]\nram_gb = { direction = "+" }\nmaker = { direction = "none", kind = "text" }'
    assert mapping.load(written(tmp_path, text)).attributes == {
        "ram_gb": ledger.Attribute(name="ram_gb", direction="+", kind="number"),
        "maker": ledger.Attribute(name="maker", direction="none", kind="text"),
    }


def test_a_row_is_set_aside_by_the_first_rule_that_hits(tmp_path):
    text = """
    aside = [
        { rule = "a lot", from = "title", match = '\\blot of\\b' },
        { rule = "too dear", above_launch = 4 },
    ]"""
    rows = [{"title": "Lot of 3", "launch_price": "10"}, {"title": "one", "launch_price": "10"}]
    rows += [{"title": "one", "launch_price": "104.75"}, {"title": None, "launch_price": None}]
    assert mapped(tmp_path, text, *rows)["aside"].to_list() == ["a lot", "too dear", None, None]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[colums]", "colums: there is no such key"),
        ('[columns]\nprice = { form = "x" }', "columns.price.0.form: there is no such key"),
        ("[columns]\nprice = {}", "give either `value` or `from`"),
        ('[columns]\nprice = { from = "x", value = 1 }', "give either `value` or `from`"),
        ("[columns]\nprice = { value = 1, number = '(1)' }", "at most one of"),
        ("[columns]\nprice = { from = 'x', number = '(1)', text = '(1)' }", "at most one of"),
        ("[columns]\nprice = { from = 'x', units = { GB = 1 } }", "`units` belong to `number`"),
        ("[columns]\nprice = { from = 'x', number = '1' }", "needs 1 group"),
        ("[columns]\nprice = { from = 'x', number = '(1)', units = { GB = 1 } }", "needs 2 group"),
        ("[columns]\nprice = { from = 'x', number = '(1' }", "is no pattern"),
        ("[columns]\nprice = { from = 'x', text = '(?<=a)(b)' }", "look-around"),
        ("[columns]\nprice = { from = 'x', case = 'snake' }", "columns.price.0.case"),
        ("[attributes]\nram = { direction = 'up' }", "attributes.ram.direction"),
        ("[attributes]\nram = { direction = '+', kind = 'text' }", "a text neither rises nor falls"),
        ("aside = [{ rule = 'x' }]", "give either `from` and `match`, or `above_launch`"),
        ("aside = [{ rule = 'x', from = 'title' }]", "give either `from` and `match`, or `above_launch`"),
        ("[columns", "is no mapping file in TOML"),
    ],
)
def test_a_wrong_key_or_value_is_told_with_the_file_and_the_key(tmp_path, text, problem):
    (told,) = problems_of(tmp_path, text)
    assert told.startswith(str(tmp_path / "map.toml"))
    assert problem in told


def test_every_problem_of_a_file_is_told_at_once(tmp_path):
    text = "[colums]\n[columns]\nprice = {}\n[attributes]\nram = { direction = 'up' }"
    assert len(problems_of(tmp_path, text)) == 3


def test_a_mapping_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(mapping.MappingError, match=r"nowhere\.toml"):
        mapping.load(tmp_path / "nowhere.toml")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[columns]\nprice = { from = 'cost' }", "columns.price: there is no column 'cost' in the table"),
        ("aside = [{ rule = 'x', from = 'name', match = 'x' }]", "aside.0: there is no column 'name'"),
        ("[columns]\nprise = { value = 1 }", "columns.prise: sales have no such column"),
        ("[attributes]\nprice = { direction = '+' }", "attributes.price: this name is taken"),
        ("[attributes]\nram = { direction = '+' }", "attributes.ram: neither [columns] nor the table has it"),
    ],
)
def test_a_mapping_that_does_not_fit_the_table_is_told_by_its_key(tmp_path, text, problem):
    told, has = misfits(tmp_path, text)
    assert problem in told
    assert has == f"the table has {', '.join(SALE)}"


def test_a_column_that_neither_the_table_nor_the_mapping_has_is_told():
    with pytest.raises(mapping.MappingError, match=r"columns\.price: sales need this column"):
        mapping.apply(
            table=pl.LazyFrame([SALE]).drop("price"), mapping=mapping.IDENTITY, contract=ledger.SALES
        )


@pytest.mark.parametrize("file", sorted(MAPPINGS.glob("*.toml")), ids=lambda file: file.stem)
def test_every_mapping_in_the_notebooks_loads_and_declares_attributes(file):
    assert mapping.load(file).attributes
