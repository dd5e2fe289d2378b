"""Values a file of devices: one row out for each row in, in order."""

from __future__ import annotations

from dataclasses import dataclass
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
NUMBER = "row of the file"  # a name that no file has
_SOLD_AS = {condition.value: grades.sold_as(condition).name for condition in Condition}


@dataclass(frozen=True, kw_only=True)
class Read:
    """A file of devices: as it was written, the devices that can be valued, numbered by `row`, and what is wrong with
    the others (row, fault).
    """

    raw: pl.DataFrame
    devices: pl.DataFrame
    complaints: pl.DataFrame

    def answered(
        self, *, answers: pl.DataFrame, complaints: pl.DataFrame, names: tuple[str, ...]
    ) -> pl.DataFrame:
        """The columns of the file and those of the answers (row, names), row by row, with the fault of each.

        A column of the file that is named as an answer is replaced by it.
        """
        faults = complaints.group_by("row", maintain_order=True).agg(pl.col("fault").str.join("; "))
        kept = self.raw.drop([name for name in names if name in self.raw.columns])
        return (
            kept.with_row_index(NUMBER, offset=1)
            .with_columns(pl.col(NUMBER).cast(pl.Int64))
            .join(
                answers.join(faults, on="row", how="full", coalesce=True),
                left_on=NUMBER,
                right_on="row",
                how="left",
                maintain_order="left",
            )
            .select(*kept.columns, *names)
        )


def read(*, path: Path, on: date, appraiser: Appraiser, mapping: mappings.Mapping | None) -> Read:
    """Read a file in the columns of ledger.DEVICES, or of a mapping that makes them.

    A day `on` in the file overrides `on`; a condition stands for the grade it is sold as.
    """
    raw = intake.scan(path)
    columns = raw.collect_schema().names()
    found = intake.read(
        path=path,
        contract=ledger.DEVICES,
        mapping=_with_attributes(mapping or mappings.IDENTITY, appraiser, columns),
        as_of=None,
    )
    devices = found.good.with_columns(
        on=pl.col("on").fill_null(pl.lit(on)),
        grade=pl.coalesce("grade", pl.col("condition").replace_strict(_SOLD_AS, default=None)),
    )
    return Read(
        raw=raw.collect(),
        devices=devices.filter(pl.col("currency").is_in(appraiser.currencies)),
        complaints=pl.concat([_complaints(found), _without_sales(devices, appraiser)]),
    )


def appraise(*, path: Path, on: date, appraiser: Appraiser, mapping: mappings.Mapping | None) -> pl.DataFrame:
    """Value the devices of a file, see `read`.

    Returns the columns of the file and ANSWERS; a row with a fault has no value and says why in `fault`.
    """
    found = read(path=path, on=on, appraiser=appraiser, mapping=mapping)
    valued = pl.concat(
        [found.devices.select("row"), appraiser.appraise(devices=found.devices)], how="horizontal"
    )
    return found.answered(answers=valued, complaints=found.complaints, names=ANSWERS)


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
    """Say why rows have no value: row, fault."""
    faults = read.faults.select(
        "row",
        fault=pl.format("{}: {} is {}; {}", "rule", "column", pl.col("value").fill_null("null"), "remedy"),
    )
    aside = read.aside.select("row", fault=pl.format("set aside by the mapping: {}", "rule"))
    return pl.concat([faults, aside])


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
