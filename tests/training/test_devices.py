"""A file of devices: one row out for each row in, in order; a row without a value says why."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from training import devices
from training.intake import IntakeError
from valuation.appraiser import Appraiser

HEAD = "market,currency,category,brand,model,storage_gb,grade,condition,on,colour\n"
ROWS = (
    "FR,EUR,smartphone,Apple,iPhone 13,128,GOOD,,,red\n"
    "FR,EUR,smartphone,Apple,iPhone 13,128,,FUNCTIONAL_GOOD,,blue\n"
    "FR,EUR,smartphone,Apple,iPhone 13,128,SHINY,,,green\n"
    "JP,JPY,smartphone,Apple,iPhone 13,128,GOOD,,,grey\n"
    "FR,EUR,smartphone,Apple,iPhone 13,128,GOOD,,2024-01-01,=1+1\n"
)


@pytest.fixture
def valued(tmp_path: Path, appraiser: Appraiser) -> pl.DataFrame:
    path = tmp_path / "devices.csv"
    path.write_text(HEAD + ROWS, "utf-8")
    return devices.appraise(path=path, on=appraiser.as_of, appraiser=appraiser, mapping=None)


def test_every_row_comes_back_in_order_with_its_own_columns(valued: pl.DataFrame) -> None:
    assert valued["colour"].to_list() == ["red", "blue", "green", "grey", "=1+1"]
    assert valued.columns[-len(devices.ANSWERS) :] == list(devices.ANSWERS)


def test_a_condition_stands_for_the_grade_it_is_sold_as(valued: pl.DataFrame) -> None:
    assert valued["p50"][0] == valued["p50"][1]


def test_a_day_in_the_file_goes_before_the_day_of_the_command(valued: pl.DataFrame) -> None:
    assert valued["p50"][4] > valued["p50"][0]


def test_a_row_that_cannot_be_valued_says_why_and_has_no_value(valued: pl.DataFrame) -> None:
    assert valued["p50"].is_null().to_list() == [False, False, True, True, False]
    assert "SHINY" in valued["fault"][2]
    assert "JPY" in valued["fault"][3]
    assert valued["fault"][0] is None


def test_it_is_written_as_csv_without_formulas_or_as_parquet(tmp_path: Path, valued: pl.DataFrame) -> None:
    devices.write(table=valued, path=tmp_path / "out.csv")
    assert "'=1+1" in (tmp_path / "out.csv").read_text("utf-8")
    devices.write(table=valued, path=tmp_path / "out.parquet")
    assert pl.read_parquet(tmp_path / "out.parquet").equals(valued)
    with pytest.raises(IntakeError, match=r"\.csv or \.parquet"):
        devices.write(table=valued, path=tmp_path / "out.xlsx")


def test_devices_in_another_encoding_are_refused_by_the_name_of_their_file(
    tmp_path: Path, appraiser: Appraiser
) -> None:
    (tmp_path / "a.csv").write_bytes(f"{HEAD}FR,EUR,smartphone,Citro\xebn,X,1,GOOD,,,".encode("latin-1"))
    with pytest.raises(IntakeError, match=r"a\.csv cannot be read"):
        devices.appraise(path=tmp_path / "a.csv", on=date(2026, 8, 1), appraiser=appraiser, mapping=None)


def test_the_same_table_as_parquet_is_worth_the_same(tmp_path: Path, appraiser: Appraiser) -> None:
    row = {
        "market": "FR",
        "currency": "EUR",
        "category": "smartphone",
        "brand": "Apple",
        "model": "iPhone 13",
    }
    frame = pl.DataFrame({**{k: [v] for k, v in row.items()}, "storage_gb": [128.0], "grade": ["GOOD"]})
    for name, write in (("a.csv", frame.write_csv), ("a.parquet", frame.write_parquet)):
        write(tmp_path / name)
    one, other = (
        devices.appraise(path=tmp_path / name, on=date(2026, 8, 1), appraiser=appraiser, mapping=None)
        for name in ("a.csv", "a.parquet")
    )
    assert one["p50"].to_list() == other["p50"].to_list()
