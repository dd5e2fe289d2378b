"""Values a file of devices: one row out for each row in, in order."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

from training import intake
from training import mapping as mappings
from valuation import grades, ledger
from valuation.appraisal import OUTCOMES
from valuation.appraiser import Appraiser
from valuation.grades import Condition

ANSWERS = (*OUTCOMES, "basis", "comparables", "fault")
_SOLD_AS = {condition.value: grades.sold_as(condition).name for condition in Condition}


def appraise(*, path: Path, on: date, appraiser: Appraiser, mapping: mappings.Mapping | None) -> pl.DataFrame:
    """Value the devices of a file in the columns of ledger.DEVICES, or of a mapping that makes them.

    A day `on` in the file overrides `on`; a condition stands for the grade it is sold as. Returns the columns of the
    file and ANSWERS; a row with a fault has no value and says why in `fault`. A column of the file that is named as
    an answer is replaced by it.
    """
    raw = intake.scan(path).collect()
    read = intake.read(
        path=path,
        contract=ledger.DEVICES,
        mapping=_with_attributes(mapping or mappings.IDENTITY, appraiser, raw.columns),
        as_of=None,
    )
    devices = read.good.with_columns(
        on=pl.col("on").fill_null(pl.lit(on)),
        grade=pl.coalesce("grade", pl.col("condition").replace_strict(_SOLD_AS, default=None)),
    )
    known = devices.filter(pl.col("currency").is_in(appraiser.currencies))
    valued = pl.concat([known.select("row"), appraiser.appraise(devices=known)], how="horizontal")
    complaints = pl.concat([_complaints(read), _without_sales(devices, appraiser)])
    answers = valued.join(complaints, on="row", how="full", coalesce=True)
    kept = raw.drop([name for name in ANSWERS if name in raw.columns])
    return (
        kept.with_row_index("row", offset=1)
        .with_columns(pl.col("row").cast(pl.Int64))
        .join(answers, on="row", how="left", maintain_order="left")
        .select(*kept.columns, *ANSWERS)
    )


def _with_attributes(mapping: mappings.Mapping, appraiser: Appraiser, columns: list[str]) -> mappings.Mapping:
    """Read the appraiser's own attributes, where the file has them or the mapping makes them."""
    made = {*columns, *mapping.columns}
    declared = {
        a.name: mappings.Declared(direction=a.direction, kind=a.kind)
        for a in appraiser.attributes.values()
        if a.name in made
    }
    return mapping.model_copy(update={"declared": declared})


def _complaints(read: intake.Intake) -> pl.DataFrame:
    """Say in one sentence a row why it has no value: row, fault."""
    faults = read.faults.select(
        "row",
        fault=pl.format("{}: {} is {}; {}", "rule", "column", pl.col("value").fill_null("null"), "remedy"),
    )
    aside = read.aside.select("row", fault=pl.format("set aside by the mapping: {}", "rule"))
    return pl.concat([faults, aside]).group_by("row").agg(pl.col("fault").str.join("; "))


def _without_sales(devices: pl.DataFrame, appraiser: Appraiser) -> pl.DataFrame:
    """Say which rows ask for a currency that the appraiser has seen no sale in: row, fault."""
    foreign = devices.filter(~pl.col("currency").is_in(appraiser.currencies))
    known = ", ".join(appraiser.currencies)
    return foreign.select(
        "row", fault=pl.format("no past sales in {}; there are some in {}", "currency", pl.lit(known))
    )


def write(*, table: pl.DataFrame, path: Path) -> None:
    """Write a table as csv or parquet, by the name of the file.

    In a csv, a text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    if path.suffix == ".parquet":
        table.write_parquet(path)
    elif path.suffix == ".csv":
        table.with_columns(pl.col(pl.String).str.replace(r"^([=+\-@\t\r])", "'$1")).write_csv(path)
    else:
        raise intake.IntakeError(f"{path} is of no known kind. Name the output .csv or .parquet.")
