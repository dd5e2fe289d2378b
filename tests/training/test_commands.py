"""Wrong input at the command line: exit 1 or 2, a message that names it, nothing trained and nothing promoted."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from training.__main__ import app


@pytest.fixture
def table(sales: pl.DataFrame) -> pl.DataFrame:
    return sales.drop("row").head(400)


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments), env={"REPRISE_HOME": str(home), "COLUMNS": "200"})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def retrain(folder: Path, table: pl.DataFrame, *more: str) -> tuple[int, str]:
    path = folder / "sales.parquet"
    table.write_parquet(path)
    code, said = run(folder / "home", "retrain", "--sales", str(path), "--promote", *more)
    assert not (folder / "home" / "artifacts").exists()
    return code, said


SPOILT = {
    "a negative price": (pl.lit(-1.0).alias("price"), "amount_above_zero"),
    "a price that is no number": (pl.lit(float("nan")).alias("price"), "number_finite"),
    "a market that is no country": (pl.lit("XX").alias("market"), "market_is_a_country"),
    "a currency of another market": (pl.lit("JPY").alias("currency"), "currency_of_the_market"),
    "an unknown grade": (pl.lit("MINT").alias("grade"), "grade_known"),
    "a day to come": (pl.lit("2199-01-01").str.to_date().alias("sold_on"), "not_in_the_future"),
    "one id for all": (pl.lit("same").alias("sale_id"), "id_unique"),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_faulty_table_trains_nothing_and_names_rule_row_and_value(
    tmp_path: Path, table: pl.DataFrame, fault: str
) -> None:
    change, rule = SPOILT[fault]
    code, said = retrain(tmp_path, table.with_columns(change))
    assert code == 1
    assert rule in said
    assert "first in row" in said


def test_a_missing_column_is_named(tmp_path: Path, table: pl.DataFrame) -> None:
    code, said = retrain(tmp_path, table.drop("price"))
    assert code == 1
    assert "price" in said


def test_a_table_without_rows_is_refused(tmp_path: Path, table: pl.DataFrame) -> None:
    assert retrain(tmp_path, table.head(0))[0] == 1


def test_sales_of_too_few_days_are_refused_with_what_to_pass(tmp_path: Path, table: pl.DataFrame) -> None:
    code, said = retrain(tmp_path, table.with_columns(sold_on=pl.lit("2026-06-01").str.to_date()))
    assert code == 1
    assert "days" in said


@pytest.mark.parametrize("path", ["nowhere.csv", "."])
def test_a_path_that_is_no_file_is_refused_by_name(tmp_path: Path, path: str) -> None:
    code, said = run(tmp_path, "retrain", "--sales", str(tmp_path / path))
    assert code == 1
    assert str(tmp_path) in said.replace("\n", "")


def test_a_mapping_that_names_a_missing_column_is_refused(tmp_path: Path, table: pl.DataFrame) -> None:
    mapping = tmp_path / "map.toml"
    mapping.write_text('[columns]\nprice = { from = "cost" }\n', "utf-8")
    code, said = retrain(tmp_path, table, "--map", str(mapping))
    assert code == 1
    assert "cost" in said


def test_check_prints_the_rules_and_writes_every_fault(tmp_path: Path, table: pl.DataFrame) -> None:
    path = tmp_path / "sales.csv"
    table.with_columns(price=pl.when(pl.int_range(pl.len()) < 3).then(-5.0).otherwise("price")).write_csv(
        path
    )
    code, said = run(tmp_path, "check", str(path))
    assert code == 1
    assert "3 faulty" in said
    faults = pl.read_csv(tmp_path / "sales.csv.faults.csv")
    assert faults["row"].to_list() == [1, 2, 3]
    assert set(faults["rule"]) == {"amount_above_zero"}


def test_a_table_of_listings_beside_the_sales_is_audited_and_refused_by_name(
    tmp_path: Path, table: pl.DataFrame
) -> None:
    listings = tmp_path / "listings.csv"
    listings.write_text("listing_id,market\nl1,FR\n", "utf-8")
    code, said = retrain(tmp_path, table, "--listings", str(listings))
    assert code == 1
    assert "listings.csv" in said.replace("\n", "")
    assert "list_price" in said


def test_check_of_a_clean_table_is_done(tmp_path: Path, table: pl.DataFrame) -> None:
    path = tmp_path / "sales.parquet"
    table.write_parquet(path)
    assert run(tmp_path, "check", str(path))[0] == 0


def test_wrong_use_is_exit_two(tmp_path: Path) -> None:
    assert run(tmp_path, "check", "x.csv", "--kind", "cats")[0] == 2
    assert run(tmp_path, "retrain")[0] == 2
    assert run(tmp_path, "retrain", "--sales", "x.csv", "--window-days", "0")[0] == 2


def test_without_any_model_the_registry_says_how_to_begin(tmp_path: Path) -> None:
    assert "reprise retrain" in run(tmp_path, "models")[1]
    for command in (("rollback",), ("promote", "3")):
        code, said = run(tmp_path, *command)
        assert code == 1
        assert "Refused" in said


def test_every_command_has_help(tmp_path: Path) -> None:
    for command in ("check", "backtest", "retrain", "demo", "models", "promote", "rollback", "appraise"):
        code, said = run(tmp_path, command, "--help")
        assert code == 0
        assert "Usage" in said


def test_a_backtest_writes_predictions_study_and_report(tmp_path: Path, sales: pl.DataFrame) -> None:
    path = tmp_path / "sales.parquet"
    sales.drop("row").write_parquet(path)
    code, said = run(
        tmp_path, "backtest", "--sales", str(path), "--origins", "1", "--out", str(tmp_path / "study")
    )
    assert code == 0, said
    written = {p.name for p in (tmp_path / "study").iterdir()}
    assert written == {"predictions.parquet", "study.json", "report.html"}
    predictions = pl.read_parquet(tmp_path / "study" / "predictions.parquet")
    assert predictions.null_count().select("p05", "p50", "p95", "linear_hedonic").row(0) == (0, 0, 0, 0)
    assert "SIMULATED" in said
    assert "SIMULATED" in (tmp_path / "study" / "report.html").read_text("utf-8").upper()


def test_a_directory_that_is_no_appraiser_values_nothing(tmp_path: Path) -> None:
    code, said = run(
        tmp_path,
        "appraise",
        "--devices",
        "d.csv",
        "--on",
        "2026-07-01",
        "--out",
        "o.csv",
        "--appraiser",
        str(tmp_path),
    )
    assert code == 1
    assert "manifest.json" in said
