from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from training import intake, mapping
from valuation import ledger

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
AS_OF = date(2026, 1, 1)
HEAD = "sale_id,sold_on,market,currency,price,category,brand,model,grade"
GOOD = "s1,2025-03-01,DE,EUR,419.00,smartphone,Apple,iPhone 13,GOOD"
WRONG = "s2,2025-03-01,DE,EUR,-1,smartphone,Apple,iPhone 13,GOOD"


def read(path, chosen=None, contract=ledger.SALES):
    return intake.read(path=path, contract=contract, mapping=chosen, as_of=AS_OF)


@pytest.fixture
def csv(tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text("\n".join([HEAD, GOOD, WRONG]) + "\n")
    return file


def test_csv_gzip_and_parquet_give_the_same_rows(csv):
    packed, columns = csv.with_suffix(".csv.gz"), csv.with_suffix(".parquet")
    packed.write_bytes(gzip.compress(csv.read_bytes()))
    pl.read_csv(csv, infer_schema=False).write_parquet(columns)
    first, *others = (read(path) for path in (csv, packed, columns))
    assert first.good.height == 1
    assert all(one.good.equals(first.good) and one.faults.equals(first.faults) for one in others)


def test_nothing_in_a_csv_is_guessed(tmp_path):
    file = tmp_path / "sales.csv"
    file.write_text("\n".join([HEAD, GOOD.replace("s1", "007").replace("iPhone 13", "3310")]))
    assert read(file).good.select("sale_id", "model").rows() == [("007", "3310")]


def test_a_bom_before_the_first_column_does_not_count(csv):
    csv.write_bytes(b"\xef\xbb\xbf" + csv.read_bytes())
    assert read(csv).good["sale_id"].to_list() == ["s1"]


def test_every_row_is_good_or_faulty_or_aside_and_counted_by_its_place_in_the_file(tmp_path, csv):
    csv.write_text(csv.read_text() + GOOD.replace("s1", "s3").replace("iPhone 13", "lot of 5") + "\n")
    rules = tmp_path / "map.toml"
    rules.write_text("aside = [{ rule = 'a lot', from = 'model', match = 'lot of' }]")
    found = read(csv, mapping.load(rules))
    assert (found.read, found.good["row"].to_list(), found.faults["row"].to_list()) == (3, [1], [2])
    assert found.aside.select("row", "rule", "model").rows() == [(3, "a lot", "lot of 5")]


def test_a_faulty_row_that_is_set_aside_is_no_fault(tmp_path, csv):
    rules = tmp_path / "map.toml"
    rules.write_text("aside = [{ rule = 'a refund', from = 'price', match = '^-' }]")
    found = read(csv, mapping.load(rules))
    assert found.faults.is_empty()
    assert found.aside["row"].to_list() == [2]


def test_the_fault_share_counts_rows_not_faults(csv):
    csv.write_text(csv.read_text().replace("-1,smartphone", "-1,phone"))
    found = read(csv)
    assert (found.faults.height, found.fault_share) == (2, 0.5)


def test_too_many_faults_are_refused_with_the_rule_the_place_the_value_and_the_remedy(csv):
    with pytest.raises(intake.TooManyFaults) as error:
        intake.refuse_above(read(csv), 0.49)
    for part in ("1 of 2 rows", "amount_above_zero in price", "row 2", "'-1'", "above zero", "--max-faults"):
        assert part in str(error.value)


def test_faults_up_to_the_allowed_share_are_no_refusal(csv):
    intake.refuse_above(read(csv), 0.5)


def test_the_rule_broken_most_often_comes_first(tmp_path):
    file = tmp_path / "sales.csv"
    rows = [WRONG, WRONG.replace("s2", "s3"), GOOD.replace("DE", "UK")]
    file.write_text("\n".join([HEAD, *rows]))
    table = intake.broken_rules(read(file).faults)
    assert table.select("rule", "rows", "first").rows() == [
        ("amount_above_zero", 2, 1),
        ("market_is_a_country", 1, 3),
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("sales.csv", b"", "is empty"),
        ("sales.csv", HEAD.encode(), "no row"),
        ("sales.csv", b"a,b\n1,2\n", "columns.price: sales need this column"),
        ("sales.csv", f"{HEAD},price\n{GOOD},1".encode(), "more than one column 'price'"),
        (
            "sales.csv.gz",
            gzip.compress(f'"grade",{HEAD}\nFAIR,{GOOD}'.encode(), mtime=0),
            "more than one column 'grade'",
        ),
        ("sales.csv", HEAD.encode() + b"\n1,2,3,4,5,6,7,8,9,10,11\n", "cannot be read as a table"),
        (
            "sales.csv",
            HEAD.encode() + b"\n" + GOOD.replace("Apple", "\xff").encode("latin-1"),
            "cannot be read",
        ),
        ("sales.csv.gz", b"plain text", "not what its name says"),
        ("sales.parquet", b"plain text", "not what its name says"),
        ("sales.parquet", b"PAR1 and nothing more", "cannot be read as a table"),
        ("sales.xlsx", b"PK", "of no known kind"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused_by_name_and_reason(tmp_path, name, content, told):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(intake.IntakeError, match=name) as error:
        read(file)
    assert told in str(error.value)


def test_columns_without_a_name_are_no_matter(csv):
    csv.write_text(f"{HEAD},,\n{GOOD},,\n")
    assert read(csv).good["price"].to_list() == [419.0]


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(intake.IntakeError, match="is no file"):
        read(tmp_path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(intake.IntakeError, match="does not exist"):
        read(tmp_path / "sales.csv")


def test_a_mapping_that_does_not_fit_names_the_file_of_the_table(tmp_path, csv):
    rules = tmp_path / "map.toml"
    rules.write_text("[columns]\nprice = { from = 'cost' }")
    with pytest.raises(intake.IntakeError, match=r"sales\.csv") as error:
        read(csv, mapping.load(rules))
    assert "there is no column 'cost'" in str(error.value)


def real(file, chosen):
    """The real set as its mapping reads it; the test is left out, and says so, where the folder is absent."""
    if not (DATA / file).is_file():
        pytest.skip(f"the real sales {DATA / file} are not on this machine")
    return read(DATA / file, mapping.load(ROOT / "notebooks" / "mappings" / chosen))


@pytest.fixture(scope="module")
def laptops():
    return real("uk_laptops_sold_2020.parquet", "uk-laptops.toml")


@pytest.fixture(scope="module")
def consoles():
    return real("us_consoles_gpus_sold_2020.parquet", "us-consoles.toml")


def test_the_real_laptops_are_good_but_for_a_few_set_aside(laptops):
    assert laptops.read == 1517
    assert laptops.faults.is_empty()
    assert laptops.aside.height < 0.02 * laptops.read


def test_free_text_gives_most_real_laptops_their_memory_disk_and_processor(laptops):
    known = {name: 1 - laptops.good[name].null_count() / laptops.good.height for name in laptops.good.columns}
    assert known["ram_gb"] > 0.98
    assert known["storage_gb"] > 0.88
    assert known["cpu_generation"] > 0.92
    assert laptops.good["ram_gb"].is_between(1, 128).all()
    assert laptops.good["cpu_generation"].drop_nulls().is_between(1, 11).all()


def test_the_real_grades_keep_their_order_of_price_at_the_ends(laptops):
    price = dict(laptops.good.group_by("grade").agg(pl.col("price").median()).rows())
    assert price["PARTS"] < price["FAIR"] < price["NEW"]


def test_the_real_consoles_have_only_repeated_ids_as_faults(consoles):
    assert consoles.read == 58255
    assert set(consoles.faults["rule"]) == {"id_unique"}
    assert consoles.fault_share < 0.001


def test_few_real_consoles_are_set_aside_and_none_left_is_above_four_launch_prices(consoles):
    assert consoles.aside.height < 0.01 * consoles.read
    assert (consoles.good["price"] <= 4 * consoles.good["launch_price"]).all()


def test_a_sellers_slogan_about_nothing_is_a_new_console(consoles):
    share = dict(consoles.good["grade"].value_counts(normalize=True).rows())
    assert share["NEW"] > 0.97
    assert share["PREMIUM"] > share["GOOD"] > share["FAIR"] > 0


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"sale_id;price\n1;2\n", "separated by ';'"),
        ("a.csv", b"sale_id\tprice\n1\t2\n", r"separated by '\\t'"),
        ("a.csv", "sale_id,price\n1,2\n".encode("utf-16"), "UTF-16"),
        ("a.csv.gz", gzip.compress(b"sale_id,price\n" * 1000, mtime=0)[:40], "damaged"),
        ("a.parquet", b"PAR1 and then nothing", "damaged"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_with_what_to_do(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(intake.IntakeError, match=said) as refused:
        intake.read(path=tmp_path / name, contract=ledger.SALES, mapping=None, as_of=None)
    assert name in str(refused.value)


def test_a_mapping_that_sets_every_row_aside_leaves_nothing_to_learn_from(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEAD}\n{GOOD}\n", "utf-8")
    everything = mapping.Mapping.model_validate({"aside": [{"rule": "all", "from": "brand", "match": "."}]})
    read = intake.read(path=tmp_path / "a.csv", contract=ledger.SALES, mapping=everything, as_of=None)
    with pytest.raises(intake.IntakeError, match="set aside"):
        intake.refuse_above(read, 0.02)
